//! Which code answers to which vector file.
//!
//! To claim a file, add a module and a line to `CLAIMS`.

mod alias;
mod backend_weights;
mod bounded_load;
mod breaker;
mod breaker_backoff;
mod breaker_merge;
mod breaker_transitions;
mod cache_state;
mod canary_sticky;
mod client_ip;
mod consul_index;
mod discovery_parse;
mod flap_damping;
mod gcra;
mod hash;
mod hrw;
mod jump_hash;
mod leader_lease;
mod leasing;
mod least_request;
mod limiter_comparison;
mod locality_zone;
mod logistic_score;
mod maglev;
mod outlier;
mod overload;
mod peak_ewma;
mod priority_load;
mod progressive;
mod ratelimit_headers;
mod ring_hash;
mod rl_table;
mod route_match;
mod safe_shrink;
mod slow_start;
mod wrr;

use std::num::NonZeroU32;

use tidegate_policy::gcra::Rate;
use tidegate_policy::hash::sip::SipKey;
use tidegate_policy::time::Span;

use crate::data::{Fault, Node};

/// Checks a document and counts its cases.
pub type Claim = fn(&Node<'_>) -> Result<usize, Fault>;

/// Checks one row of a list.
type Row = fn(&Node<'_>) -> Result<(), Fault>;

const CLAIMS: [(&str, Claim); 35] = [
    ("alias", alias::check),
    ("backend_weights", backend_weights::check),
    ("bounded_load", bounded_load::check),
    ("breaker_backoff", breaker_backoff::check),
    ("breaker_merge", breaker_merge::check),
    ("breaker_transitions", breaker_transitions::check),
    ("cache_state", cache_state::check),
    ("canary_sticky", canary_sticky::check),
    ("client_ip", client_ip::check),
    ("consul_index", consul_index::check),
    ("discovery_parse", discovery_parse::check),
    ("flap_damping", flap_damping::check),
    ("gcra", gcra::check),
    ("hash", hash::check),
    ("hrw", hrw::check),
    ("jump_hash", jump_hash::check),
    ("leader_lease", leader_lease::check),
    ("leasing", leasing::check),
    ("least_request", least_request::check),
    ("limiter_comparison", limiter_comparison::check),
    ("locality_zone", locality_zone::check),
    ("logistic_score", logistic_score::check),
    ("maglev", maglev::check),
    ("outlier", outlier::check),
    ("overload", overload::check),
    ("peak_ewma", peak_ewma::check),
    ("priority_load", priority_load::check),
    ("progressive", progressive::check),
    ("ratelimit_headers", ratelimit_headers::check),
    ("ring_hash", ring_hash::check),
    ("rl_table", rl_table::check),
    ("route_match", route_match::check),
    ("safe_shrink", safe_shrink::check),
    ("slow_start", slow_start::check),
    ("wrr", wrr::check),
];

/// What claims the file `name`: `gcra.json` and `gcra-more.json` are of one kind.
#[must_use]
pub fn of(name: &str) -> Option<Claim> {
    let stem = name.strip_suffix(".json")?;
    let kind = stem.split_once('-').map_or(stem, |(kind, _)| kind);
    CLAIMS.iter().find(|(claimed, _)| *claimed == kind).map(|(_, claim)| *claim)
}

/// Checks each row of the lists of these names; how many rows there are.
fn lists(document: &Node<'_>, lists: &[(&str, Row)]) -> Result<usize, Fault> {
    let mut rows = 0;
    for (name, row) in lists {
        let items = document.field(name)?.items()?;
        items.iter().try_for_each(row)?;
        rows += items.len();
    }
    Ok(rows)
}

/// The rate in the fields `limit`, `period_s` and `burst`, its interval and capacity
/// compared with `T_ns` and `tau_ns`.
fn rate(case: &Node<'_>) -> Result<Rate, Fault> {
    let limit: NonZeroU32 = count(&case.field("limit")?)?;
    let burst: NonZeroU32 = count(&case.field("burst")?)?;
    let period = Span::from_secs(case.field("period_s")?.natural()?);
    let rate = Rate::new(limit, period, burst);
    let rate = rate.ok_or_else(|| case.malformed("limit, period and burst make no rate".to_string()))?;
    case.field("T_ns")?.is(rate.interval().as_nanos())?;
    case.field("tau_ns")?.is(rate.capacity().as_nanos())?;
    Ok(rate)
}

/// An integer of at least 1.
fn count(node: &Node<'_>) -> Result<NonZeroU32, Fault> {
    NonZeroU32::new(node.count()?).ok_or_else(|| node.malformed("found 0, expected at least 1".to_string()))
}

/// The key of the published SipHash test values: the bytes 00 to 0f.
fn test_key() -> SipKey {
    SipKey::from_bytes(std::array::from_fn(|index| u8::try_from(index).unwrap_or(0)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number at the end of a field's name, behind `prefix`.
fn suffix(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}
