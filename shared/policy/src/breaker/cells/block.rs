//! The bytes of a block: one shared cell with the records of a few targets that showed at run time.
//!
//! ```text
//! offset  size  what                                          little endian throughout
//!      0     1  layout, 1
//!      1     3  zero
//!      4     4  tag of the parameters that the records belong to
//!      8  4×(8+32+N×16)  ways: fingerprint (8 bytes), record
//! ```
//!
//! A fingerprint of 0 is a free way. A record that is closed and has counted nothing for a whole
//! window equals an absent one: its way goes to the next target that needs one. After those goes the
//! closed record with the fewest failures, whose target brings them along when it fails again, since
//! each worker remembers its own (`breaker/worker/entry.rs`): made-up targets that fail once
//! cannot keep others out. Open breakers whose time is over, and that had no request for a first open time
//! since, go last, and only from a block in which nothing is closed. So an open one stays while it is asked
//! for. A target that finds no way counts nowhere and is never refused, and shortens the times of the
//! others ([`shorten`]).

use crate::breaker::cells::record::Record;
use crate::breaker::params::BreakerParams;
use crate::breaker::state::State;

/// Ways of a block.
pub const WAYS: usize = 4;

const HEAD: usize = 8;
const FINGERPRINT: usize = 8;
const LAYOUT: u8 = 1;

/// Bytes of a block whose records have `slots` slots.
#[must_use]
pub fn size(slots: u32) -> usize {
    way_size(slots).saturating_mul(WAYS).saturating_add(HEAD)
}

/// A block without records, for parameters with this tag.
#[must_use]
pub fn empty(slots: u32, tag: u32) -> alloc::vec::Vec<u8> {
    let mut bytes = alloc::vec![0; size(slots)];
    for (place, byte) in bytes.iter_mut().zip([LAYOUT, 0, 0, 0].into_iter().chain(tag.to_le_bytes())) {
        *place = byte;
    }
    bytes
}

/// The tag of the parameters that a block was written for; 0 for one that cannot be read.
#[must_use]
pub fn tag(bytes: &[u8], slots: u32) -> u32 {
    let tag = bytes.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    if bytes.len() == size(slots) && bytes.first() == Some(&LAYOUT) {
        tag
    } else {
        0
    }
}

/// The way of a target, if it has one.
#[must_use]
#[inline(never)]
pub fn find(bytes: &[u8], fingerprint: u64, params: &BreakerParams) -> Option<usize> {
    ways(bytes, params).position(|(of, _)| of == fingerprint)
}

/// A way for a target that has none.
#[must_use]
pub fn room(bytes: &[u8], params: &BreakerParams, now_ms: u64) -> Option<usize> {
    let rated = ways(bytes, params).enumerate().filter_map(|(way, (fingerprint, bytes))| {
        let record = Record::decode(bytes, params);
        let rank = if fingerprint == 0 { Some((0, 0)) } else { rank(&record, params, now_ms) };
        Some((rank?, way))
    });
    rated.min().map(|(_, way)| way)
}

/// Ends what is open and half-open no later than after a first open time, or after a probe that is not
/// slow; `true` if that changed anything. So long open times do not keep newcomers out: a target that nobody
/// asks for any more loses its way, and one that is asked for is probed sooner.
pub fn shorten(bytes: &mut [u8], params: &BreakerParams, now_ms: u64) -> bool {
    let first = params.wait(1);
    let left = first.saturating_add(params.jitter(first, u64::MAX)).max(params.slow_call_ms);
    let until = now_ms.saturating_add(left);
    let mut shortened = false;
    for way in 0..WAYS {
        let Some((fingerprint, record)) = ways(bytes, params).nth(way) else { break };
        let mut record = Record::decode(record, params);
        let endless = record.at_ms == 0;
        if record.state.is_tripped() && (endless || record.at_ms > until) {
            record.at_ms = until;
            put(bytes, way, fingerprint, &record, params);
            shortened = true;
        }
    }
    shortened
}

/// Which record gives its way to a newcomer, the smallest first; `None` for one that stays.
fn rank(record: &Record, params: &BreakerParams, now_ms: u64) -> Option<(u8, u64)> {
    if record.is_idle(params, now_ms) {
        return Some((1, 0));
    }
    let over = record.at_ms != 0 && now_ms >= record.at_ms.saturating_add(params.base_open_ms);
    match record.state {
        State::Open if over => Some((3, record.at_ms)),
        State::HalfOpen if over => Some((4, record.at_ms)),
        State::HalfOpen | State::Open => None,
        _ => {
            let window = record.window(params, now_ms);
            Some((2, u64::from(window.failed).saturating_add(window.slow.into())))
        }
    }
}

/// The record in a way.
#[must_use]
#[inline(never)]
pub fn record(bytes: &[u8], way: usize, params: &BreakerParams) -> Record {
    let bytes = ways(bytes, params).nth(way).map_or(&[][..], |(_, record)| record);
    Record::decode(bytes, params)
}

/// Writes a target's record into a way. The parameters are those that the bytes were read with.
pub fn put(bytes: &mut [u8], way: usize, fingerprint: u64, record: &Record, params: &BreakerParams) {
    let size = way_size(params.slots);
    let Some(way) = bytes.get_mut(HEAD..).and_then(|ways| ways.chunks_exact_mut(size).nth(way)) else {
        return;
    };
    let new = fingerprint.to_le_bytes().into_iter().chain(record.encode());
    way.iter_mut().zip(new).for_each(|(place, byte)| *place = byte);
}

fn ways<'a>(bytes: &'a [u8], params: &BreakerParams) -> impl Iterator<Item = (u64, &'a [u8])> {
    let ways = bytes.get(HEAD..).unwrap_or(&[]).chunks_exact(way_size(params.slots));
    ways.take(WAYS).filter_map(|way| {
        let (fingerprint, record) = way.split_first_chunk()?;
        Some((u64::from_le_bytes(*fingerprint), record))
    })
}

fn way_size(slots: u32) -> usize {
    Record::size(slots).saturating_add(FINGERPRINT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::cells::record::{Counts, Slot};

    fn params() -> BreakerParams {
        BreakerParams { slots: 2, ..BreakerParams::default() }
    }

    fn some(state: State, at_ms: u64, total: u32) -> Record {
        let mut record = Record { state, at_ms, ..Record::new(&params()) };
        record.slots[0] = Slot { epoch: 4, counts: Counts { total, failed: 0, slow: 0 } };
        record
    }

    #[test]
    fn a_record_is_where_it_was_put() {
        let mut bytes = empty(2, 7);
        assert_eq!((tag(&bytes, 2), tag(&bytes, 3), tag(&[0; 8], 2)), (7, 0, 0));
        put(&mut bytes, 2, 9, &some(State::Open, 1, 1), &params());
        assert_eq!(find(&bytes, 9, &params()), Some(2));
        assert_eq!(record(&bytes, 2, &params()), some(State::Open, 1, 1));
        assert_eq!(find(&bytes, 8, &params()), None);
        assert_eq!(bytes.len(), size(2));
    }

    /// A closed record with so many failures.
    fn failing(failed: u32) -> Record {
        let mut record = some(State::Closed, 0, failed);
        record.slots[0].counts.failed = failed;
        record
    }

    #[test]
    fn the_way_of_a_closed_record_goes_first_and_that_of_an_open_one_stays() {
        let open = || some(State::Open, 6_000, 0);
        let over = |at_ms| some(State::Open, at_ms, 0);
        let probes = |at_ms| some(State::HalfOpen, at_ms, 0);
        let params = BreakerParams { base_open_ms: 500, ..params() };
        #[rustfmt::skip]
        let cases = [
            // name                                the four ways                                               way
            ("an idle one",                        [failing(1), open(), some(State::Closed, 0, 0), over(1)],    Some(2)),
            ("the fewest failures",                [failing(3), failing(2), failing(4), over(1)],               Some(1)),
            ("the first of equals",                [open(), failing(1), failing(1), failing(1)],                Some(1)),
            ("a success is no failure",            [failing(1), some(State::Closed, 0, 9), open(), over(1)],    Some(1)),
            ("closed before waited out",           [over(4_000), open(), failing(9), over(1)],                  Some(2)),
            ("waited out for longest",             [over(4_000), open(), over(3_000), open()],                  Some(2)),
            ("over for less than an open time",    [over(4_501), open(), probes(4_501), open()],                None),
            ("lost probes come last",              [probes(3_000), over(4_000), open(), open()],                Some(1)),
            ("lost probes",                        [open(), open(), probes(4_000), open()],                     Some(2)),
            ("open ones and endless probes stay",  [open(), probes(0), probes(6_000), open()],                  None),
        ];
        for (name, four, expected) in cases {
            let mut bytes = empty(2, 7);
            assert_eq!(room(&bytes, &params, 5_000), Some(0), "{name}: free");
            for (way, record) in four.iter().enumerate() {
                put(&mut bytes, way, 1, record, &params);
            }
            assert_eq!(room(&bytes, &params, 5_000), expected, "{name}");
        }
    }

    #[test]
    fn in_a_full_block_nothing_is_open_for_longer_than_at_first() {
        let shortened = |params: &BreakerParams, record: &Record| {
            let mut bytes = empty(2, 7);
            put(&mut bytes, 1, 9, record, params);
            let changed = shorten(&mut bytes, params, 1_000);
            let after = super::record(&bytes, 1, params);
            assert_eq!((find(&bytes, 9, params), changed), (Some(1), after != *record));
            assert!(!shorten(&mut bytes, params, 1_001), "once");
            assert_eq!(Record { at_ms: record.at_ms, ..after.clone() }, *record);
            after.at_ms
        };
        let long = BreakerParams { slow_call_ms: 9_000, ..params() };
        #[rustfmt::skip]
        let cases = [
            // name                     params      record                             until
            ("a first open time",       params(),   some(State::Open, 6_499, 0),       6_499),
            ("a long one",              params(),   some(State::Open, 300_000, 0),     6_499),
            ("one that is over",        params(),   some(State::Open, 500, 0),         500),
            ("probes",                  params(),   some(State::HalfOpen, 31_000, 0),  6_499),
            ("probes without an end",   params(),   some(State::HalfOpen, 0, 0),       6_499),
            ("probes that may be long", long,       some(State::HalfOpen, 31_000, 0),  10_000),
            ("a closed one",            params(),   some(State::Closed, 90_000, 3),    90_000),
        ];
        for (name, params, record, until) in cases {
            assert_eq!(shortened(&params, &record), until, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_ways() {
        assert_eq!(find(&[1; 20], 1, &params()), None);
        assert_eq!(room(&[], &params(), 0), None);
        assert_eq!(record(&[], 3, &params()), Record::new(&params()));
    }
}
