//! Jump consistent hash, which no policy uses: compared with a model.

use super::lists;
use crate::data::{Fault, Node};
use crate::models::jump;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    lists(document, &[("cases", case)])
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let key = case.field("key")?.parsed(|text| text.parse().ok(), "an unsigned integer in a text")?;
    case.field("bucket")?.is(jump(key, case.field("buckets")?.count()?))
}
