//! Which share of the requests, or of the retries, is refused.

use tidegate_policy::breaker::overload::{admission_control, refuses};

use super::{lists, Row};
use crate::data::{Fault, Node};
use crate::throttling::{client_throttling, retry_budget, RetryTokens};

/// Draws that tell all shares apart.
const DRAWS: u64 = 10_000;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let all: [(&str, Row); 3] = [
        ("envoy_admission_control", admission),
        ("google_sre_client_throttling", throttling),
        ("envoy_retry_budget", budget),
    ];
    Ok(lists(document, &all)? + retry_tokens(&document.field("grpc_retry_throttling")?)?)
}

fn admission(row: &Node<'_>) -> Result<(), Fault> {
    let share = admission_control(
        row.field("total")?.natural()?,
        row.field("success")?.natural()?,
        row.field("sr_threshold")?.number()?,
        row.field("aggression")?.number()?,
        row.field("max_rejection")?.number()?,
    );
    row.field("p_reject")?.is_about(share, 0.0)?;
    let first_admitted = (0..DRAWS).find(|draw| !refuses(share, *draw)).unwrap_or(DRAWS);
    row.field("reject_if_r_mod_10000_lt")?.is(first_admitted)
}

fn throttling(row: &Node<'_>) -> Result<(), Fault> {
    let share = client_throttling(
        row.field("requests")?.natural()?,
        row.field("accepts")?.natural()?,
        row.field("K")?.number()?,
    );
    row.field("p_reject")?.is_about(share, 0.0)
}

fn budget(row: &Node<'_>) -> Result<(), Fault> {
    let most = retry_budget(
        row.field("active_or_pending")?.natural()?,
        row.field("budget_percent")?.count()?,
        row.field("min_retry_concurrency")?.natural()?,
    );
    row.field("max_concurrent_retries")?.is(most)
}

/// Compares the bucket after each outcome; how many there are.
fn retry_tokens(section: &Node<'_>) -> Result<usize, Fault> {
    let max = thousandths(&section.field("maxTokens")?)?;
    let mut tokens = RetryTokens::new(max, thousandths(&section.field("tokenRatio")?)?);
    let sequence = section.field("sequence")?.items()?;
    for step in &sequence {
        tokens = tokens.after(step.field("ev")?.parsed(success, "`F` or `S`")?);
        step.field("tokens_milli")?.is(tokens.thousandths())?;
        step.field("retry_allowed")?.is(tokens.allows_retry())?;
    }
    Ok(sequence.len())
}

fn success(event: &str) -> Option<bool> {
    match event {
        "F" => Some(false),
        "S" => Some(true),
        _ => None,
    }
}

/// gRPC keeps three decimals of both numbers.
fn thousandths(node: &Node<'_>) -> Result<u32, Fault> {
    let number = (node.number()? * 1000.0).round();
    if (1.0..=1e6).contains(&number) {
        Ok(number as u32)
    } else {
        Err(node.malformed("out of range, expected 0.001 to 1000".to_string()))
    }
}
