//! The alias method.

use tidegate_policy::split::Alias;

use super::wrr::weights;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    for case in &cases {
        let alias = Alias::new(&weights(case)?);
        let alias = alias.ok_or_else(|| case.malformed("nobody has a weight".to_string()))?;
        case.field("S")?.is(alias.total())?;
        let (own, others): (Vec<u64>, Vec<usize>) = alias.slots().iter().copied().unzip();
        case.field("prob")?.is(own)?;
        case.field("alias")?.is(others)?;
        case.field("exact_hits_over_n_times_S")?.is(hits(&alias))?;
        for pick in case.field("picks")?.items()? {
            let got = alias.at(pick.field("slot")?.count()?, pick.field("u")?.natural()?);
            pick.field("pick")?.is(got)?;
        }
    }
    Ok(cases.len())
}

/// How often each is picked when every slot meets every `u` once.
pub(super) fn hits(alias: &Alias) -> Vec<u64> {
    let mut hits = vec![0; alias.slots().len()];
    for slot in 0..hits.len() {
        for u in 0..alias.total() {
            hits[alias.at(slot, u)] += 1;
        }
    }
    hits
}
