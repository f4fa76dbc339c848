//! What a cached answer is good for, and how long one holds that there is no such service.

use tidegate_policy::time::Span;
use tidegate_policy::watch::freshness::{negative_ttl, CacheParams, Freshness, LONGEST, NEGATIVE_FIRST};

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    let negative = document.field("negative_ttl_s")?.items()?;
    for (node, streak) in negative.iter().zip(1..) {
        node.is(negative_ttl(NEGATIVE_FIRST, streak, LONGEST).floor_secs())?;
    }
    Ok(cases.len() + negative.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let age = Span::from_secs(case.field("age_s")?.natural()?);
    let state = CacheParams::default().freshness(age, case.field("last_fetch_failed")?.boolean()?);
    case.field("expect")?.is(match state {
        Freshness::Expired => "expired",
        Freshness::Fresh => "fresh",
        Freshness::StaleIfError => "stale_if_error",
        Freshness::StaleWhileRevalidate => "stale_while_revalidate",
    })
}
