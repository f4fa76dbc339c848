//! What weights mean for backends of the Gateway API.

use serde_json::json;
use tidegate_policy::routing::{Target, Weights};
use tidegate_policy::split::Alias;

use super::alias::hits;
use super::canary_sticky::policy;
use super::wrr::weights;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    Ok(cases.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let weights = weights(case)?;
    let invalid = case.optional("invalid")?.map_or(Ok(Vec::new()), |list| list.items())?;
    let invalid = invalid.iter().map(Node::count).collect::<Result<Vec<usize>, _>>()?;
    let variants = weights.iter().enumerate().map(|(index, weight)| {
        // A backend that is not there keeps its share and is answered with 500.
        let (field, value) =
            if invalid.contains(&index) { ("status", json!(500)) } else { ("cluster", json!("c")) };
        json!({"name": format!("v{index}"), field: value, "weight": weight})
    });
    let variants: Vec<_> = variants.collect();
    let policy = policy(case, &json!({"routes": [{"name": "r", "variants": variants}]}))?;
    let route = &policy.routes[0];
    let alias = Alias::new(&Weights::new(route, &[]).weights);
    let alias = alias.ok_or_else(|| case.malformed("nobody has a weight".to_string()))?;
    let whole = alias.total() as f64 * weights.len() as f64;
    let shares = case.field("shares")?;
    same_length(&shares, weights.len())?;
    for (share, hits) in shares.items()?.iter().zip(hits(&alias)) {
        share.is_about(hits as f64 / whole, 0.0)?;
    }
    if let Some(statuses) = case.optional("status_for")? {
        same_length(&statuses, weights.len())?;
        for (status, variant) in statuses.items()?.iter().zip(&route.variants) {
            status.is(if let Target::Status(status) = variant.target { status } else { 200 })?;
        }
    } else if !invalid.is_empty() {
        return Err(case.malformed("field `status_for` is missing".to_string()));
    }
    Ok(())
}

fn same_length(list: &Node<'_>, expected: usize) -> Result<(), Fault> {
    let len = list.items()?.len();
    if len == expected {
        return Ok(());
    }
    Err(list.malformed(format!("{len} items for {expected} weights")))
}
