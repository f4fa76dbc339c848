//! Ejected endpoints, as all workers share them: one cell for each service.
//!
//! Each worker counts consecutive failures on its own, by the rules of Envoy's outlier detection; once
//! it ejects an endpoint, no worker sends requests there. An ejection ends by time. Each further one is
//! longer, and one is forgotten for every ten seconds without an ejection.
//!
//! An endpoint that *refuses* connections needs no run of failures, and its share of the endpoints does not
//! matter: one refused connection makes it a last resort for a second, each further one for twice as long.
//! One that is only kept because its registry's answer is not believed gets nothing from then on, until the
//! registry names it again.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | layout, 1 |
//! | 1 | 0 |
//! | 2–3 | number of entries |
//! | 4– | entries of 32 bytes: the endpoint's hash, the millisecond at which its ejection ends, the one until which it counts as refusing connections (8 each), how many ejections it had, how many connections it refused in succession (4 each) |
//!
//! All numbers little end first. A cell that cannot be read has no entries.

use alloc::vec::Vec;

use crate::balance::outlier;
use crate::discovery::config::policy::EjectionParams;
use crate::discovery::endpoint::MAX_ENDPOINTS;

/// One endpoint's latest ejection, which may be over.
///
/// ```
/// use tidegate_policy::discovery::cells::ejection::{decode, encode, Ejection};
///
/// let list = [Ejection { endpoint: 7, until_ms: 30_000, times: 1, ..Ejection::default() }];
/// assert_eq!(decode(&encode(&list)), list);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ejection {
    /// The endpoint, as a hash of its address.
    pub endpoint: u64,
    /// The millisecond at which the ejection ends.
    pub until_ms: u64,
    /// How many ejections the endpoint had, this one included, without those that were forgotten.
    pub times: u32,
    /// The millisecond until which it counts as refusing connections; for one that the registry has to name
    /// first [`NAMED_AGAIN`] and the millisecond at which it refused one.
    pub refuses_until_ms: u64,
    /// How many connections it refused, without those that were forgotten.
    pub refusals: u32,
}

/// Until the registry names the endpoint, or for an hour: one that is gone is never named.
pub const NAMED_AGAIN: u64 = 1 << 63;
const HOUR_MS: u64 = 3_600_000;

/// Most entries of a cell: one for each endpoint that a service may have. A worker reads them after each change.
pub const MAX: usize = MAX_ENDPOINTS;
/// After each such time without an ejection one is forgotten. Envoy looks at its hosts at this interval
/// by default, and forgets one with each look.
const FORGET_MS: u64 = 10_000;
/// How long an endpoint is avoided that refused one connection.
const REFUSED_MS: u64 = 1_000;
const LAYOUT: u8 = 1;
const ENTRY: usize = 32;

/// The entries of a cell.
#[must_use]
pub fn decode(bytes: &[u8]) -> Vec<Ejection> {
    let Some(([layout, _, low, high], rest)) = bytes.split_first_chunk::<4>() else { return Vec::new() };
    let count = usize::from(u16::from_le_bytes([*low, *high]));
    if *layout != LAYOUT || count > MAX || rest.len() != count.saturating_mul(ENTRY) {
        return Vec::new();
    }
    rest.chunks_exact(ENTRY).filter_map(entry).collect()
}

/// The bytes of a cell.
#[must_use]
pub fn encode(list: &[Ejection]) -> Vec<u8> {
    let list = list.get(..MAX).unwrap_or(list);
    let mut out = alloc::vec![LAYOUT, 0];
    out.extend_from_slice(&u16::try_from(list.len()).unwrap_or(0).to_le_bytes());
    for ejection in list {
        out.extend_from_slice(&ejection.endpoint.to_le_bytes());
        out.extend_from_slice(&ejection.until_ms.to_le_bytes());
        out.extend_from_slice(&ejection.refuses_until_ms.to_le_bytes());
        out.extend_from_slice(&ejection.times.to_le_bytes());
        out.extend_from_slice(&ejection.refusals.to_le_bytes());
    }
    out
}

fn entry(bytes: &[u8]) -> Option<Ejection> {
    let (endpoint, bytes) = bytes.split_first_chunk()?;
    let (until, bytes) = bytes.split_first_chunk()?;
    let (refuses_until, bytes) = bytes.split_first_chunk()?;
    let (times, bytes) = bytes.split_first_chunk()?;
    let refusals = bytes.first_chunk()?;
    Some(Ejection {
        endpoint: u64::from_le_bytes(*endpoint),
        until_ms: u64::from_le_bytes(*until),
        times: u32::from_le_bytes(*times),
        refuses_until_ms: u64::from_le_bytes(*refuses_until),
        refusals: u32::from_le_bytes(*refusals),
    })
}

/// Ejects one of `hosts` endpoints at `now_ms`; `None` when it is ejected already, or too many would be.
#[must_use]
pub fn eject(
    list: &[Ejection],
    endpoint: u64,
    hosts: u32,
    now_ms: u64,
    params: &EjectionParams,
) -> Option<Vec<Ejection>> {
    // Those that refuse connections are avoided anyway, however many they are.
    let current = |ejection: &&Ejection| ejection.until_ms > now_ms && !ejection.refuses(now_ms);
    if of(list, endpoint).until_ms > now_ms {
        return None;
    }
    let others = u32::try_from(list.iter().filter(current).count()).unwrap_or(u32::MAX);
    if !outlier::may_eject(hosts, others, params.max_ejection_percent, params.always_eject_one) {
        return None;
    }
    let known = of(list, endpoint);
    let before = known.remembered(now_ms);
    let (times, ms) = outlier::ejection_time(
        before.saturating_add(1),
        params.base_ejection_time_ms,
        params.max_ejection_time_ms,
    );
    with(list, Ejection { until_ms: now_ms.saturating_add(ms), times, ..known }, now_ms)
}

/// Notes that an endpoint refused a connection at `now_ms`; `None` when that is known. Avoided for at most
/// `longest_ms`, or until the registry names it when it is `held`.
#[must_use]
pub fn refuse(
    list: &[Ejection],
    endpoint: u64,
    held: bool,
    now_ms: u64,
    longest_ms: u64,
) -> Option<Vec<Ejection>> {
    let known = of(list, endpoint);
    if known.refuses(now_ms) && (!held || known.waits_for_name()) {
        return None;
    }
    let before = forgetting(known.refusals, known.refuses_until_ms, now_ms);
    let ms = REFUSED_MS.saturating_mul(1 << before.min(16)).min(longest_ms.max(1));
    let refuses_until_ms = now_ms.saturating_add(if held { NAMED_AGAIN } else { ms });
    with(list, Ejection { refuses_until_ms, refusals: before.saturating_add(1), ..known }, now_ms)
}

/// Without the connections that an endpoint refused, because it takes them again; `None` when it counts as refusing
/// none at `now_ms`.
#[must_use]
pub fn accept(list: &[Ejection], endpoint: u64, now_ms: u64) -> Option<Vec<Ejection>> {
    let counts = |one: &Ejection| one.refuses(now_ms) && !one.waits_for_name();
    let is = |one: &Ejection| one.endpoint == endpoint && counts(one);
    without_refusals(list, &is)
}

/// Without what waits for the registry to name an endpoint that it names; `None` when nothing is to be forgotten.
#[must_use]
pub fn named(list: &[Ejection], is_named: &dyn Fn(u64) -> bool) -> Option<Vec<Ejection>> {
    without_refusals(list, &|one| one.waits_for_name() && is_named(one.endpoint))
}

/// Without the refused connections of those that `over` is true of; `None` when there are none such.
fn without_refusals(list: &[Ejection], over: &dyn Fn(&Ejection) -> bool) -> Option<Vec<Ejection>> {
    let forgotten = |one: &Ejection| match over(one) {
        true => Ejection { refuses_until_ms: 0, refusals: 0, ..*one },
        false => *one,
    };
    list.iter().any(over).then(|| list.iter().map(forgotten).collect())
}

fn of(list: &[Ejection], endpoint: u64) -> Ejection {
    let known = list.iter().find(|ejection| ejection.endpoint == endpoint);
    known.copied().unwrap_or(Ejection { endpoint, ..Ejection::default() })
}

/// With this entry in place of the one that the endpoint had. Forgotten entries make room.
fn with(list: &[Ejection], new: Ejection, now_ms: u64) -> Option<Vec<Ejection>> {
    let mut kept: Vec<Ejection> =
        list.iter().filter(|ejection| ejection.endpoint != new.endpoint).copied().collect();
    kept.retain(|ejection| {
        ejection.next_end_ms(now_ms).is_some()
            || ejection.remembered(now_ms) > 0
            || ejection.refused_lately(now_ms)
    });
    if kept.len() >= MAX {
        // What is new is worth more than what ends soonest.
        let ends = |at: &usize| kept.get(*at).and_then(|ejection| ejection.next_end_ms(now_ms));
        let soonest = (0..kept.len()).min_by_key(ends)?;
        kept.swap_remove(soonest);
    }
    kept.push(new);
    Some(kept)
}

/// How many of `times` are not forgotten when the last one ended at `until_ms`.
fn forgetting(times: u32, until_ms: u64, now_ms: u64) -> u32 {
    let forgotten = now_ms.saturating_sub(until_ms).checked_div(FORGET_MS).unwrap_or(0);
    times.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
}

// === impl Ejection ===

impl Ejection {
    /// How many ejections are not forgotten at `now_ms`.
    fn remembered(&self, now_ms: u64) -> u32 {
        forgetting(self.times, self.until_ms, now_ms)
    }

    /// Whether connections that it refused are not all forgotten at `now_ms`.
    #[must_use]
    pub fn refused_lately(&self, now_ms: u64) -> bool {
        !self.waits_for_name() && forgetting(self.refusals, self.refuses_until_ms, now_ms) > 0
    }

    /// Whether it counts as refusing connections at `now_ms`.
    #[must_use]
    pub const fn refuses(&self, now_ms: u64) -> bool {
        self.refusal_ends_ms() > now_ms
    }

    /// The millisecond at which it no longer counts as refusing connections, if nothing ends that before.
    const fn refusal_ends_ms(&self) -> u64 {
        if self.waits_for_name() {
            self.refuses_until_ms.saturating_sub(NAMED_AGAIN).saturating_add(HOUR_MS)
        } else {
            self.refuses_until_ms
        }
    }

    /// Whether it refused a connection while it was only kept.
    #[must_use]
    pub const fn waits_for_name(&self) -> bool {
        self.refuses_until_ms >= NAMED_AGAIN
    }

    /// When its next state ends; `None` when it is neither ejected nor refuses connections at `now_ms`.
    #[must_use]
    pub fn next_end_ms(&self, now_ms: u64) -> Option<u64> {
        [self.until_ms, self.refusal_ends_ms()].into_iter().filter(|until| *until > now_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: EjectionParams = EjectionParams {
        consecutive_5xx: 5,
        consecutive_gateway_failure: 5,
        base_ejection_time_ms: 30_000,
        max_ejection_time_ms: 300_000,
        max_ejection_percent: 50,
        always_eject_one: true,
        patience: None,
    };

    #[test]
    fn a_list_survives_the_round_trip_and_a_broken_cell_is_empty() {
        let list = [
            Ejection { endpoint: 7, until_ms: 9, times: 2, refuses_until_ms: 3, refusals: 4 },
            Ejection { endpoint: 8, until_ms: 1, times: 1, ..Ejection::default() },
        ];
        let bytes = encode(&list);
        assert_eq!(&bytes[..6], b"\x01\0\x02\0\x07\0");
        assert_eq!(bytes.len(), 4 + 2 * ENTRY);
        assert_eq!(decode(&bytes), list);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), [], "cut at {end}");
        }
        assert_eq!(decode(&[0; 4]), [], "as it was created");
    }

    #[test]
    fn each_ejection_is_longer_until_time_without_one_shortens_it() {
        let mut list = Vec::new();
        let mut now = 0;
        for expected in [30_000, 60_000, 90_000] {
            list = eject(&list, 1, 4, now, &PARAMS).unwrap();
            assert_eq!(list[0].until_ms - now, expected);
            assert_eq!(eject(&list, 1, 4, now + expected - 1, &PARAMS), None, "it is ejected already");
            now += expected;
        }
        now += 2 * FORGET_MS;
        list = eject(&list, 1, 4, now, &PARAMS).unwrap();
        assert_eq!(list[0].until_ms - now, 60_000);
    }

    #[test]
    fn each_refused_connection_counts_for_longer_and_one_is_enough_when_the_registry_agrees() {
        let (mut list, mut now) = (Vec::new(), 0);
        for expected in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            list = refuse(&list, 1, false, now, 30_000).unwrap();
            assert_eq!((list[0].refuses_until_ms - now, list[0].until_ms), (expected, 0));
            assert_eq!(refuse(&list, 1, false, now + expected - 1, 30_000), None, "that is known");
            now += expected;
        }
        list = refuse(&list, 1, true, now, 30_000).unwrap();
        assert_eq!(
            (list[0].refuses_until_ms, refuse(&list, 1, true, now, 30_000)),
            (NAMED_AGAIN + now, None)
        );
        assert_eq!((list[0].refuses(now + HOUR_MS - 1), list[0].refuses(now + HOUR_MS)), (true, false));
        assert_eq!(list[0].next_end_ms(now), Some(now + HOUR_MS), "workers look again then");
        let gone = eject(&list, 2, 4, now + HOUR_MS, &PARAMS).unwrap();
        assert_eq!((gone.len(), gone[0].endpoint), (1, 2), "one that is gone is never named");
        assert_eq!(named(&list, &|_| false), None, "it is still held");
        list = named(&list, &|_| true).unwrap();
        assert_eq!((list[0].refuses(now), named(&list, &|_| true)), (false, None));
    }

    #[test]
    fn endpoints_that_refuse_connections_are_no_part_of_the_share_that_may_be_ejected() {
        let mut list = Vec::new();
        for endpoint in 0..8 {
            list = eject(&list, endpoint, 10, 0, &PARAMS).unwrap_or(list);
            list = refuse(&list, endpoint, false, 0, 30_000).unwrap();
        }
        assert!(eject(&list, 9, 10, 5, &PARAMS).is_some());
    }

    #[test]
    fn half_of_the_endpoints_stay() {
        let mut list = Vec::new();
        let ejected = (0..10).filter(|endpoint| {
            let next = eject(&list, *endpoint, 10, 5, &PARAMS);
            next.is_some_and(|next| {
                list = next;
                true
            })
        });
        assert_eq!(ejected.count(), 5);
        assert_eq!(eject(&[], 1, 1, 5, &PARAMS).map(|list| list.len()), Some(1), "one may always be ejected");
        let params = EjectionParams { always_eject_one: false, ..PARAMS };
        assert_eq!(eject(&[], 1, 1, 5, &params), None);
    }

    #[test]
    fn a_cell_is_bounded() {
        let params = EjectionParams { max_ejection_percent: 100, ..PARAMS };
        let mut list: Vec<Ejection> = (0..MAX as u64)
            .map(|e| Ejection { endpoint: e, until_ms: 9, times: 9, ..Ejection::default() })
            .collect();
        list[3].until_ms = 7;
        for (endpoint, now) in [(9_999, 5), (9_998, 10)] {
            list = eject(&list, endpoint, 9_999, now, &params).unwrap();
            assert_eq!(
                (list.len(), list.last().unwrap().endpoint),
                (MAX, endpoint),
                "the newest has a place"
            );
            assert!(list.iter().all(|one| one.endpoint != 3), "in place of the one that ends soonest");
        }
        assert_eq!(decode(&encode(&list)), list);
    }

    /// The 513th endpoint that refused connections kept its share.
    #[test]
    fn a_zone_that_is_off_is_noted_whole() {
        let all = 0..1_000;
        let list = all.clone().fold(Vec::new(), |list, one| refuse(&list, one, false, 0, 30_000).unwrap());
        assert!(all.clone().all(|one| of(&decode(&encode(&list)), one).refuses(999)));
    }
}
