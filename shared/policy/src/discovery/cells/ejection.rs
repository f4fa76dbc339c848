//! Ejected endpoints, as all workers share them: one cell for each service.
//!
//! Each worker counts consecutive failures on its own, by the rules of Envoy's outlier detection; once
//! it ejects an endpoint, no worker sends requests there. An ejection ends by time. Each further one is
//! longer, and one is forgotten for every ten seconds without an ejection.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | layout, 1 |
//! | 1 | 0 |
//! | 2–3 | number of entries |
//! | 4– | entries of 24 bytes: the endpoint's hash, the millisecond at which its ejection ends (8 each), how many ejections it had (4), 0 (4) |
//!
//! All numbers little end first. A cell that cannot be read has no entries.

use alloc::vec::Vec;

use crate::balance::outlier;
use crate::discovery::config::policy::EjectionParams;

/// One endpoint's latest ejection, which may be over.
///
/// ```
/// use tidegate_policy::discovery::cells::ejection::{decode, encode, Ejection};
///
/// let list = [Ejection { endpoint: 7, until_ms: 30_000, times: 1 }];
/// assert_eq!(decode(&encode(&list)), list);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// The endpoint, as a hash of its address.
    pub endpoint: u64,
    /// The millisecond at which the ejection ends.
    pub until_ms: u64,
    /// How many ejections the endpoint had, this one included, without those that were forgotten.
    pub times: u32,
}

/// Most entries of a cell: 12 KiB, which a worker reads after each ejection. More endpoints than this at
/// one time are no outliers.
pub const MAX: usize = 512;
/// After each such time without an ejection one is forgotten. Envoy looks at its hosts at this interval
/// by default, and forgets one with each look.
const FORGET_MS: u64 = 10_000;
const LAYOUT: u8 = 1;
const ENTRY: usize = 24;

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
        out.extend_from_slice(&ejection.times.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }
    out
}

fn entry(bytes: &[u8]) -> Option<Ejection> {
    let (endpoint, bytes) = bytes.split_first_chunk()?;
    let (until, bytes) = bytes.split_first_chunk()?;
    let times = bytes.first_chunk()?;
    Some(Ejection {
        endpoint: u64::from_le_bytes(*endpoint),
        until_ms: u64::from_le_bytes(*until),
        times: u32::from_le_bytes(*times),
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
    let current = |ejection: &&Ejection| ejection.until_ms > now_ms;
    if list.iter().filter(current).any(|ejection| ejection.endpoint == endpoint) {
        return None;
    }
    let others = u32::try_from(list.iter().filter(current).count()).unwrap_or(u32::MAX);
    if !outlier::may_eject(hosts, others, params.max_ejection_percent, params.always_eject_one) {
        return None;
    }
    let before = list
        .iter()
        .find(|ejection| ejection.endpoint == endpoint)
        .map_or(0, |ejection| ejection.remembered(now_ms));
    let (times, ms) = outlier::ejection_time(
        before.saturating_add(1),
        params.base_ejection_time_ms,
        params.max_ejection_time_ms,
    );
    // Forgotten entries make room.
    let mut kept: Vec<Ejection> =
        list.iter().filter(|ejection| ejection.endpoint != endpoint).copied().collect();
    kept.retain(|ejection| ejection.until_ms > now_ms || ejection.remembered(now_ms) > 0);
    if kept.len() >= MAX {
        let idle = kept.iter().position(|ejection| ejection.until_ms <= now_ms)?;
        kept.swap_remove(idle);
    }
    kept.push(Ejection { endpoint, until_ms: now_ms.saturating_add(ms), times });
    Some(kept)
}

// === impl Ejection ===

impl Ejection {
    /// How many ejections are not forgotten at `now_ms`.
    fn remembered(&self, now_ms: u64) -> u32 {
        let forgotten = now_ms.saturating_sub(self.until_ms).checked_div(FORGET_MS).unwrap_or(0);
        self.times.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
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
            Ejection { endpoint: 7, until_ms: 9, times: 2 },
            Ejection { endpoint: 8, until_ms: 1, times: 1 },
        ];
        let bytes = encode(&list);
        assert_eq!(&bytes[..6], b"\x01\0\x02\0\x07\0");
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
        let mut list: Vec<Ejection> =
            (0..MAX as u64).map(|e| Ejection { endpoint: e, until_ms: 9, times: 9 }).collect();
        assert_eq!(eject(&list, 9_999, 5_000, 5, &params), None, "all of them are ejected");
        list = eject(&list, 9_999, 5_000, 10, &params).unwrap();
        assert_eq!(list.len(), MAX);
        assert_eq!(decode(&encode(&list)), list);
    }
}
