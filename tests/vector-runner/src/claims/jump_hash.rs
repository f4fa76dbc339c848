//! Jump consistent hash.

use tidegate_policy::hash::jump::jump;

use super::lists;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    lists(document, &[("cases", case)])
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let key = case.field("key")?.parsed(|text| text.parse().ok(), "an unsigned integer in a text")?;
    case.field("bucket")?.is(jump(key, case.field("buckets")?.count()?))
}
