//! Leases of units to workers, and how others share a capacity.

use std::num::NonZeroU32;

use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::ratelimit::lease::LeaseParams;
use tidegate_policy::time::{Span, Timestamp};

use super::count;
use crate::data::{Fault, Node};
use crate::{formula, models};

/// What came of a number of requests.
struct Leased {
    admitted: u64,
    stranded: u64,
    pool_left: u64,
}

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    let bounds = document.field("bounds")?.fields()?;
    bounds.iter().try_for_each(|(name, text)| bound(name, text))?;
    Ok(cases.len() + bounds.len() + doorman(&document.field("doorman")?)?)
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let limit = count(&case.field("limit")?)?;
    let workers = count(&case.field("workers")?)?;
    let lease = count(&case.field("lease")?)?;
    let got = lease_out(limit, workers, lease, case.field("requests")?.natural()?);
    let got = got.ok_or_else(|| case.malformed("the limit makes no rate".to_string()))?;
    case.field("admitted")?.is(got.admitted)?;
    case.field("stranded")?.is(got.stranded)?;
    case.field("pool_left")?.is(got.pool_left)
}

/// Sends `requests` to the workers in turn at one instant. A worker without units charges
/// one, and leases as many more as make `lease` together.
fn lease_out(limit: NonZeroU32, workers: NonZeroU32, lease: NonZeroU32, requests: u64) -> Option<Leased> {
    let now = Timestamp::ZERO.plus(Span::from_secs(1000));
    let rate = Rate::new(limit, Span::from_secs(1), limit)?;
    let params = LeaseParams::new(rate, 1, u64::from(lease.get()), Span::ZERO);
    let mut bucket = Bucket::FULL;
    let mut held = vec![0_u64; workers.get() as usize];
    let mut admitted = 0;
    let turns = (0..held.len()).cycle();
    for (_, worker) in (0..requests).zip(turns) {
        if held[worker] > 0 {
            held[worker] -= 1;
            admitted += 1;
        } else if let Decision::Admit { next } = rate.decide(bucket, now, 1) {
            let taken = params.take(rate, next, now, u64::from(lease.get()) - 1);
            held[worker] = taken.map_or(0, |taken| taken.requests);
            bucket = taken.map_or(next, |taken| taken.next);
            admitted += 1;
        }
    }
    Some(Leased { admitted, stranded: held.iter().sum(), pool_left: rate.remaining(bucket, now) })
}

/// Compares a bound with what the scheme, or a model of it, does at its worst.
fn bound(name: &str, text: &Node<'_>) -> Result<(), Fault> {
    let (limit, workers, lease) = (120.0, 4.0, 10.0);
    let (proxies, rate, delay) = (4.0, 7.0, 3.0);
    let small = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    let over = |lease| {
        let got = lease_out(small(120), small(4), small(lease), 1000);
        got.map_or(f64::NAN, |got| got.admitted as f64 - limit)
    };
    let stranded =
        || lease_out(small(120), small(4), small(10), 4).map_or(f64::NAN, |got| got.stranded as f64);
    let old_leases = limit;
    let measured: &[(&str, f64)] = match name {
        "single_proxy_shared_cas" => &[("over", over(1))],
        "single_proxy_lease" => &[("over", over(10)), ("under", stranded())],
        "N_proxies_local_share_limit_over_N" => {
            &[("over", 0.0), ("under", models::unused_shares(limit, proxies))]
        }
        "N_proxies_async_sync_every_d" => &[("over", models::unseen(proxies, rate, delay))],
        "doorman_lease" => {
            &[("over", old_leases), ("safe_capacity", models::proportional_share(limit, &[limit; 3])[0])]
        }
        _ => return Err(text.malformed("not a known scheme".to_string())),
    };
    let variables = [
        ("W", workers),
        ("n", lease),
        ("L", limit),
        ("N", proxies),
        ("rate_local_max", rate),
        ("d", delay),
        ("sum of old leases", old_leases),
        ("capacity", limit),
        ("clients", 3.0),
    ];
    let clauses: Vec<&str> = text.text()?.split(';').map(str::trim).collect();
    if clauses.len() != measured.len() {
        return Err(text.wrong(clauses.join("; "), format!("{} bounds", measured.len())));
    }
    for (clause, (quantity, got)) in clauses.iter().zip(measured) {
        let claimed = clause.strip_prefix(quantity).and_then(|rest| formula::bound(rest, &variables));
        let claimed = claimed
            .ok_or_else(|| text.malformed(format!("found {clause:?}, expected a bound on {quantity}")))?;
        if !claimed.holds(*got) {
            return Err(text.wrong(clause, format!("{quantity} = {got}")));
        }
    }
    Ok(())
}

/// Compares Doorman's ways of sharing; how many there are.
fn doorman(doorman: &Node<'_>) -> Result<usize, Fault> {
    let capacity = doorman.field("capacity")?.number()?;
    let wants = doorman.field("wants")?.items()?;
    let wants = wants.iter().map(Node::number).collect::<Result<Vec<_>, _>>()?;
    let shares = [
        ("proportional_share", models::proportional_share(capacity, &wants)),
        ("fair_share", models::fair_share(capacity, &wants)),
    ];
    for (name, got) in &shares {
        let expected = doorman.field(name)?;
        let items = expected.items()?;
        if items.len() != got.len() {
            return Err(expected.wrong(format!("{} shares", items.len()), format!("{} shares", got.len())));
        }
        items.iter().zip(got).try_for_each(|(item, got)| item.is_about(*got, 1e-6))?;
    }
    Ok(shares.len())
}
