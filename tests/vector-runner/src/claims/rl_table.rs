//! Keys in tables: where they go, what happens in a full block, and the odds of it.

use std::net::IpAddr;

use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::hash::sip::SipHash13;
use tidegate_policy::http::{Attribute, Header, Request};
use tidegate_policy::key::{Key, Part};
use tidegate_policy::ratelimit::table::{decide, Change, Lookup, Outcome, Place, Slot};
use tidegate_policy::time::{Span, Timestamp};

use super::{hex, rate, suffix, test_key};
use crate::data::{Fault, Node};
use crate::models;

/// The rule of steps that name none.
const RULE: u16 = 7;

/// A request without anything, for keys that need nothing.
struct Nobody;

/// A block of any number of slots.
struct Block {
    slots: Vec<Slot>,
    overflow: Bucket,
}

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let places = document.field("locate")?.items()?;
    places.iter().try_for_each(locate)?;
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    Ok(places.len() + cases.len() + maths(&document.field("maths")?)?)
}

fn locate(place: &Node<'_>) -> Result<(), Fault> {
    let rule: u16 = place.field("rule")?.count()?;
    let client = place.field("client")?.text()?;
    let bytes = [&rule.to_le_bytes()[..], client.as_bytes()].concat();
    let hash = hash(rule, client);
    place.field("input_hex")?.is(hex(&bytes))?;
    place.field("h")?.is(format!("{hash:#018x}"))?;
    place.field("h")?.is(format!("{:#018x}", SipHash13::hash(test_key(), &bytes)))?;
    place.field("fp48")?.is(format!("{:012x}", Place::of(hash, 0).fingerprint))?;
    let blocks =
        place.fields()?.into_iter().filter_map(|(name, node)| Some((suffix(name, "block_of_")?, node)));
    let blocks: Vec<_> = blocks.collect();
    if blocks.is_empty() {
        return Err(place.malformed("field `block_of_4096`, or another number, is missing".to_string()));
    }
    for (blocks, expected) in blocks {
        expected.is(Place::of(hash, block_bits(blocks, &expected)?).block)?;
    }
    Ok(())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let rate = rate(case)?;
    let blocks = case.field("blocks")?;
    let bits = block_bits(blocks.natural()?, &blocks)?;
    let slots = case.field("ways")?;
    let slots: usize = match slots.count::<u16>()? {
        0 => return Err(slots.malformed("found 0, expected at least 1".to_string())),
        slots => usize::from(slots),
    };
    let rule = case.optional("rule")?.map_or(Ok(RULE), |rule| rule.count())?;
    let fresh = || Block { slots: vec![Slot::default(); slots], overflow: Bucket::FULL };
    let mut table: Vec<Block> = (0..1_u32 << bits).map(|_| fresh()).collect();
    let mut outcomes = Vec::new();
    for step in case.field("steps")?.items()? {
        let now = Timestamp::from_nanos(step.field("now_ns")?.natural()?);
        let cost = step.field("cost")?.natural()?;
        let place = Place::of(hash(rule, step.field("client")?.text()?), bits);
        let block = &mut table[place.block as usize];
        let outcome = decide(rate, &block.slots, block.overflow, place.fingerprint, now, cost);
        answer(&step.field("expect")?, rate, place, now, &outcome)?;
        // A cost of 0 asks without charging.
        block.apply(outcome.change.filter(|_| cost > 0));
        outcomes.push(outcome.lookup);
    }
    let stats = case.field("stats")?;
    for lookup in [
        Lookup::EvictLive,
        Lookup::Hit,
        Lookup::InsertFree,
        Lookup::Overflow,
        Lookup::OverflowDeny,
        Lookup::ReuseDead,
    ] {
        stats.field(word(lookup))?.is(outcomes.iter().filter(|other| **other == lookup).count())?;
    }
    Ok(())
}

fn answer(expected: &Node<'_>, rate: Rate, place: Place, now: Timestamp, got: &Outcome) -> Result<(), Fault> {
    let (allow, bucket, retry_after) = match got.decision {
        Decision::Admit { next } => (true, next, Some(Span::ZERO)),
        Decision::Refuse { retry_after } => (false, got.before, retry_after),
    };
    let rate = if got.lookup == Lookup::Overflow { rate.single() } else { rate };
    expected.field("allow")?.is(allow)?;
    expected.field("block")?.is(place.block)?;
    expected.field("fp")?.is(format!("{:012x}", place.fingerprint))?;
    expected.field("how")?.is(word(got.lookup))?;
    expected.field("remaining")?.is(rate.remaining(bucket, now))?;
    expected.field("retry_after_ns")?.is(retry_after.map(Span::as_nanos))
}

/// The hash of a rule's client, through the key that a limit would have.
fn hash(rule: u16, client: &str) -> u64 {
    let key = Key::new(rule, vec![Part::Constant(client.to_string())]);
    key.hash(test_key(), &Nobody, true).unwrap_or(0)
}

fn block_bits(blocks: u64, node: &Node<'_>) -> Result<u32, Fault> {
    if blocks.is_power_of_two() && blocks <= 1 << 16 {
        Ok(blocks.trailing_zeros())
    } else {
        Err(node.malformed(format!("{blocks} blocks are out of range, expected a power of two, 1 to 65536")))
    }
}

fn word(lookup: Lookup) -> &'static str {
    match lookup {
        Lookup::EvictLive => "evict_live",
        Lookup::Hit => "hit",
        Lookup::InsertFree => "insert_free",
        Lookup::Overflow => "overflow",
        Lookup::OverflowDeny => "overflow_deny",
        Lookup::ReuseDead => "reuse_dead",
    }
}

/// Compares the odds; how many rows there are.
fn maths(maths: &Node<'_>) -> Result<usize, Fault> {
    let unknown =
        |node: &Node<'_>| node.malformed("the name is not as expected, such as `fp48_16way`".to_string());
    let shares = maths.field("p_false_share_per_lookup")?.fields()?;
    for (name, node) in &shares {
        let sizes = name.strip_prefix("fp").and_then(|n| n.strip_suffix("way")?.split_once('_'));
        let (bits, slots) = sizes.and_then(numbers).ok_or_else(|| unknown(node))?;
        node.is_about(models::false_share(bits, slots), 0.0)?;
    }
    let pairs = maths.field("expected_colliding_pairs_full_table")?.fields()?;
    for (name, node) in &pairs {
        let sizes =
            name.split_once("_fp").and_then(|(size, bits)| Some((numbers(size.split_once('x')?)?, bits)));
        let ((blocks, slots), bits) = sizes.ok_or_else(|| unknown(node))?;
        let bits = bits.parse().map_err(|_| unknown(node))?;
        node.is_about(models::colliding_pairs(blocks, slots, bits), 0.0)?;
    }
    let overflows = maths.field("overflow_probability")?.items()?;
    for row in &overflows {
        let (blocks, slots) = (row.field("blocks")?.number()?, row.field("ways")?.count()?);
        let keys = row.field("live_keys")?.number()?;
        row.field("load")?.is_about(keys / (blocks * f64::from(slots)), 0.0)?;
        // Usually computed as one minus the rest, which leaves an error of some 1e-16.
        row.field("p_block_over_ways")?.is_about(models::poisson_above(keys / blocks, slots), 1e-15)?;
    }
    let sketches = maths.field("count_min")?.items()?;
    for row in &sketches {
        let sketch = models::count_min(row.field("eps")?.number()?, row.field("delta")?.number()?);
        row.field("width")?.is(sketch.width)?;
        row.field("depth")?.is(sketch.depth)?;
        row.field("bytes_u32")?.is(sketch.width * sketch.depth * 4)?;
    }
    Ok(shares.len() + pairs.len() + overflows.len() + sketches.len())
}

fn numbers((a, b): (&str, &str)) -> Option<(u32, u32)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

// === impl Nobody ===

impl Request for Nobody {
    fn headers(&self) -> &[Header<'_>] {
        &[]
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }

    fn lone_header(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn attribute(&self, _which: Attribute) -> Option<Vec<u8>> {
        None
    }
}

// === impl Block ===

impl Block {
    fn apply(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Overflow(bucket)) => self.overflow = bucket,
            Some(Change::Slot(index, slot)) => self.slots[index] = slot,
            None => {}
        }
    }
}
