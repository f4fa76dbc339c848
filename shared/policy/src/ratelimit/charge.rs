//! One limit's part in one request: what it says, and charging it.
//!
//! [`Charge::evaluate`] asks worker memory first and the cell only when memory does not
//! know. [`Charge::commit`] writes, deciding anew when another worker was faster.
//! [`Charge::undo`] takes a write back when a later limit of the same request refuses, and
//! [`Charge::settle`] moves leases into and out of memory once the request passes.

use super::config::Limit;
use super::hot::Known;
use super::lease::Lease;
use super::local::{count, Loaded, LocalLimit};
use super::metrics::LimitMetric;
use super::state::Block;
use super::table::{self, Change, Lookup, Slot};
use crate::gcra::{Bucket, Decision};
use crate::host::{Host, StoreError, TRIES};
use crate::time::{Span, Timestamp};

/// One limit's part in one request.
#[derive(Debug)]
pub(super) struct Charge {
    /// The limit's place in the policy.
    pub(super) limit: usize,
    hash: u64,
    /// What the limit says, so far.
    pub(super) found: Found,
}

/// What a limit says about a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives in a vector that is reused; a box would be allocated")]
pub(super) enum Found {
    /// The cell admits it; not charged yet.
    Admitted { loaded: Loaded, outcome: table::Outcome },
    /// The cell was charged, `cost` for this request alone.
    Charged { change: Change, before: Undo, lookup: Lookup, next: Bucket, lease: Option<Lease>, cost: Span },
    /// The cell could not be asked or charged.
    Failed,
    /// Worker memory has a unit for it.
    Leased { left: u64, bucket: Bucket },
    /// The cell was charged and the charge taken back, for another limit refuses the request.
    Spared { bucket: Bucket },
    /// It is refused. `bucket` is `None` when it has no key to count by, and another key's when a
    /// `newcomer` found its block full.
    Refused { retry_after: Option<Span>, bucket: Option<Bucket>, newcomer: bool },
}

/// What a write replaced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Overflow(Bucket),
    Slot(Slot),
}

// === impl Charge ===

impl Charge {
    /// A request that lacks what the limit counts by, and may not pass without.
    pub(super) fn without_key(limit: usize) -> Self {
        Self { limit, hash: 0, found: Found::Refused { retry_after: None, bucket: None, newcomer: false } }
    }

    /// Asks worker memory, then the cell.
    pub(super) fn evaluate(
        limit: &Limit,
        local: &LocalLimit,
        index: usize,
        hash: u64,
        now: Timestamp,
        host: &impl Host,
    ) -> Self {
        let (known, unspent) = local.hot.borrow_mut().see(hash, now);
        if let Some(unspent) = unspent {
            count(host, index, LimitMetric::Stranded, local.give_back(limit, unspent, host));
        }
        let mut charge = Self { limit: index, hash, found: Found::Failed };
        charge.found = match known {
            Known::Leased { left, bucket } => Found::Leased { left, bucket },
            Known::Nothing => charge.ask(limit, local, now, host),
            Known::Refused { retry_after, bucket, newcomer } => {
                Found::Refused { retry_after: Some(retry_after), bucket: Some(bucket), newcomer }
            }
        };
        charge
    }

    /// Asks the cell.
    fn ask(&self, limit: &Limit, local: &LocalLimit, now: Timestamp, host: &impl Host) -> Found {
        let place = local.place(self.hash);
        let Ok(loaded) = local.load(limit, place.block, now, host) else { return Found::Failed };
        let Loaded { block, version, rate, cost, changed, .. } = &loaded;
        let outcome = table::decide(*rate, &block.slots, block.overflow, place.fingerprint, now, *cost);
        match outcome.decision {
            Decision::Admit { .. } => Found::Admitted { loaded, outcome },
            Decision::Refuse { retry_after } => {
                if *changed {
                    // Unwritten, the debt would be converted anew as of each refusal, and end too late.
                    let _ = local.replace(place.block, block, *version, host);
                }
                let until = now.plus(retry_after.unwrap_or(Span::ZERO));
                let newcomer = outcome.lookup == Lookup::OverflowDeny;
                local.hot.borrow_mut().refuse(self.hash, now, until, outcome.before, newcomer);
                Found::Refused { retry_after, bucket: Some(outcome.before), newcomer }
            }
        }
    }

    /// Charges the cell, if the cell is what admits the request. When another worker wrote
    /// in between, the cell is asked again, and may now refuse.
    pub(super) fn commit(&mut self, limit: &Limit, local: &LocalLimit, now: Timestamp, host: &impl Host) {
        for _ in 0..TRIES {
            let Found::Admitted { loaded, outcome } = &mut self.found else { return };
            let (Some(change), Decision::Admit { next }) = (outcome.change, outcome.decision) else { return };
            let lease = self::lease(limit, local, self.hash, next, change, now).filter(|_| loaded.in_force);
            let change = match (change, lease) {
                (Change::Slot(at, slot), Some(taken)) => {
                    Change::Slot(at, Slot { bucket: taken.next, ..slot })
                }
                _ => change,
            };
            let Some(before) = apply(&mut loaded.block, change) else { return };
            let (lookup, cost) = (outcome.lookup, loaded.rate.interval().times(loaded.cost));
            match local.replace(local.place(self.hash).block, &loaded.block, loaded.version, host) {
                Ok(()) => {
                    self.found = Found::Charged { change, before, lookup, next, lease, cost };
                    return;
                }
                Err(StoreError::Stale) => {
                    count(host, self.limit, LimitMetric::Contended, 1);
                    self.found = self.ask(limit, local, now, host);
                }
                Err(_) => break,
            }
        }
        if matches!(self.found, Found::Admitted { .. }) {
            self.found = Found::Failed;
        }
    }

    /// Takes the charge back. Where others have charged the same key in between, all but a
    /// little of it, and where the key has lost its slot to another, nothing: the limit can
    /// only be too strict, and never too lax.
    pub(super) fn undo(&mut self, limit: &Limit, local: &LocalLimit, now: Timestamp, host: &impl Host) {
        let Found::Charged { change, before, lease, cost, .. } = &self.found else { return };
        let number = local.place(self.hash).block;
        let requests = lease.map_or(1, |taken| taken.requests.saturating_add(1));
        let charge = cost.times(requests);
        for _ in 0..TRIES {
            let Ok((mut block, version)) = local.read(number, host) else { break };
            // Others may have charged leases as of their end, which is not yet.
            let ago = host.now().since(now).plus(limit.lease.ttl());
            let refund = |bucket: Bucket| bucket.refund(charge, ago);
            let Some(revert) = revert(&block, *change, *before, refund) else { break };
            let _ = apply(&mut block, revert);
            if local.replace(number, &block, version, host) != Err(StoreError::Stale) {
                break;
            }
        }
        self.found = Found::Spared { bucket: before.bucket() };
    }

    /// The request passes: leases move into and out of worker memory.
    pub(super) fn settle(&self, local: &LocalLimit, host: &impl Host) {
        match &self.found {
            Found::Charged { lookup, lease, change, .. } => {
                count(host, self.limit, LimitMetric::Evicted, u64::from(*lookup == Lookup::EvictLive));
                count(host, self.limit, LimitMetric::Overflow, u64::from(*lookup == Lookup::Overflow));
                if let (Some(taken), Change::Slot(slot, _)) = (lease, change) {
                    count(host, self.limit, LimitMetric::Leases, 1);
                    local.hot.borrow_mut().keep(self.hash, taken, *slot);
                }
            }
            Found::Leased { .. } => {
                count(host, self.limit, LimitMetric::Leased, 1);
                local.hot.borrow_mut().spend(self.hash);
            }
            Found::Admitted { .. } | Found::Failed | Found::Refused { .. } | Found::Spared { .. } => {}
        }
    }

    /// Whether the overflow bucket of its block admitted it, which has room for one.
    pub(super) fn by_overflow(&self) -> bool {
        matches!(&self.found, Found::Charged { lookup: Lookup::Overflow, .. })
    }

    /// The bucket that the client learns about, and the leased requests to add to what it has
    /// left; `None` when there is none.
    pub(super) fn standing(&self) -> Option<(Bucket, u64)> {
        match &self.found {
            Found::Admitted { outcome, .. } => Some((outcome.before, 0)),
            Found::Charged { next, .. } => Some((*next, 0)),
            Found::Failed => None,
            Found::Leased { left, bucket } => Some((*bucket, left.saturating_sub(1))),
            Found::Refused { bucket, .. } => bucket.map(|bucket| (bucket, 0)),
            Found::Spared { bucket } => Some((*bucket, 0)),
        }
    }
}

// === impl Undo ===

impl Undo {
    fn bucket(self) -> Bucket {
        match self {
            Self::Overflow(bucket) | Self::Slot(Slot { bucket, .. }) => bucket,
        }
    }
}

/// A lease to take in the same write, when the key is hot in this worker.
fn lease(
    limit: &Limit,
    local: &LocalLimit,
    hash: u64,
    next: Bucket,
    change: Change,
    now: Timestamp,
) -> Option<Lease> {
    if matches!(change, Change::Overflow(_)) {
        return None;
    }
    let seen = local.hot.borrow().seen(hash);
    let requests = limit.lease.size(seen, limit.rate.remaining(next, now));
    (requests > 0).then(|| limit.lease.take(limit.rate, next, now, requests)).flatten()
}

/// The change that takes back another one, as far as that can be done.
fn revert(block: &Block, made: Change, before: Undo, refund: impl Fn(Bucket) -> Bucket) -> Option<Change> {
    match (made, before) {
        (Change::Overflow(ours), Undo::Overflow(old)) => {
            (block.overflow == ours).then_some(Change::Overflow(old))
        }
        (Change::Slot(at, ours), Undo::Slot(old)) => {
            let found = *block.slots.get(at)?;
            if found == ours {
                // Another key that had the slot may have come back and taken a second one; two
                // slots of one key would be two buckets.
                let elsewhere = |(index, slot): (usize, &Slot)| {
                    index != at && slot.fingerprint == old.fingerprint && slot.bucket != Bucket::FULL
                };
                let moved = block.slots.iter().enumerate().any(elsewhere);
                let fingerprint = if moved { ours.fingerprint } else { old.fingerprint };
                return Some(Change::Slot(at, Slot { fingerprint, ..old }));
            }
            let built_on = found.fingerprint == ours.fingerprint && found.bucket > ours.bucket;
            built_on.then(|| Change::Slot(at, Slot { bucket: refund(found.bucket), ..found }))
        }
        _ => None,
    }
}

/// Makes a change and says what it replaced.
fn apply(block: &mut Block, change: Change) -> Option<Undo> {
    match change {
        Change::Overflow(new) => Some(Undo::Overflow(core::mem::replace(&mut block.overflow, new))),
        Change::Slot(at, new) => {
            block.slots.get_mut(at).map(|slot| Undo::Slot(core::mem::replace(slot, new)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(fingerprint: u64, ms: u64) -> Slot {
        Slot { fingerprint, bucket: Bucket::full_at(Timestamp::ZERO.plus(Span::from_millis(ms))) }
    }

    /// A key whose slot we had taken used to get it back although it had come again in between
    /// and taken another one: two slots of one key are two buckets.
    #[test]
    fn a_key_never_has_two_slots() {
        let (ours, theirs) = (slot(1, 500), slot(2, 100));
        let mut block = Block::empty();
        block.slots[3] = ours;
        let made = Change::Slot(3, ours);
        let undo = |block: &Block| revert(block, made, Undo::Slot(theirs), |bucket| bucket);
        assert_eq!(undo(&block), Some(Change::Slot(3, theirs)));
        block.slots[5] = slot(2, 900);
        assert_eq!(undo(&block), Some(Change::Slot(3, slot(1, 100))));
    }

    #[test]
    fn what_others_built_on_is_refunded_and_what_they_took_is_left() {
        let (ours, before) = (slot(1, 500), Undo::Slot(slot(1, 400)));
        let refund = |bucket: Bucket| bucket.refund(Span::from_millis(100), Span::ZERO);
        #[rustfmt::skip]
        let cases = [
            // found        becomes
            (slot(1, 500),   Some(slot(1, 400))), // as we left it
            (slot(1, 700),   Some(slot(1, 600))), // charged again by others
            (slot(2, 700),   None),              // another key's now
            (slot(1, 300),   None),              // cut by another configuration
        ];
        for (found, expected) in cases {
            let mut block = Block::empty();
            block.slots[3] = found;
            let got = revert(&block, Change::Slot(3, ours), before, refund);
            assert_eq!(got, expected.map(|slot| Change::Slot(3, slot)), "{found:?}");
        }
    }
}
