//! One limit's part in one request: what it says, and charging it.
//!
//! [`Charge::evaluate`] asks worker memory first and the cell only when memory does not
//! know. [`Charge::commit`] writes, deciding anew when another worker was faster.
//! [`Charge::undo`] takes a write back when a later limit of the same request refuses, and
//! [`Charge::settle`] moves leases into and out of memory once the request passes.

use super::config::Limit;
use super::hot::Known;
use super::lease::Taken;
use super::metrics::What;
use super::shard::{Loaded, Shard};
use super::stage::count;
use super::state::Block;
use super::table::{self, Change, How, Way};
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
    Charged { change: Change, before: Undo, how: How, next: Bucket, lease: Option<Taken>, cost: Span },
    /// The cell could not be asked or charged.
    Failed,
    /// Worker memory has a unit for it.
    Leased { left: u64, bucket: Bucket },
    /// The cell was charged and the charge taken back, for another limit refuses the request.
    Spared { bucket: Bucket },
    /// It is refused. `bucket` is `None` when it has no key to count by.
    Refused { retry_after: Option<Span>, bucket: Option<Bucket> },
}

/// What a write replaced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Overflow(Bucket),
    Way(Way),
}

// === impl Charge ===

impl Charge {
    /// A request that lacks what the limit counts by, and may not pass without.
    pub(super) fn without_key(limit: usize) -> Self {
        Self { limit, hash: 0, found: Found::Refused { retry_after: None, bucket: None } }
    }

    /// Asks worker memory, then the cell.
    pub(super) fn evaluate(
        limit: &Limit,
        shard: &Shard,
        index: usize,
        hash: u64,
        now: Timestamp,
        host: &impl Host,
    ) -> Self {
        let (known, unspent) = shard.hot.borrow_mut().see(hash, now);
        if let Some(unspent) = unspent {
            count(host, index, What::Stranded, shard.give_back(limit, unspent, host));
        }
        let mut charge = Self { limit: index, hash, found: Found::Failed };
        charge.found = match known {
            Known::Leased { left, bucket } => Found::Leased { left, bucket },
            Known::Nothing => charge.ask(limit, shard, now, host),
            Known::Refused { retry_after, bucket } => {
                Found::Refused { retry_after: Some(retry_after), bucket: Some(bucket) }
            }
        };
        charge
    }

    /// Asks the cell.
    fn ask(&self, limit: &Limit, shard: &Shard, now: Timestamp, host: &impl Host) -> Found {
        let place = shard.place(self.hash);
        let Ok(loaded) = shard.load(limit, place.block, now, host) else { return Found::Failed };
        let Loaded { block, version, rate, cost, cut, .. } = &loaded;
        let outcome = table::decide(*rate, &block.ways, block.overflow, place.fingerprint, now, *cost);
        match outcome.decision {
            Decision::Admit { .. } => Found::Admitted { loaded, outcome },
            Decision::Refuse { retry_after } => {
                if *cut {
                    // Unwritten, the debt would be cut anew as of each refusal, and never end.
                    let _ = shard.replace(place.block, block, *version, host);
                }
                let until = now.plus(retry_after.unwrap_or(Span::ZERO));
                shard.hot.borrow_mut().refuse(self.hash, now, until, outcome.before);
                Found::Refused { retry_after, bucket: Some(outcome.before) }
            }
        }
    }

    /// Charges the cell, if the cell is what admits the request. When another worker wrote
    /// in between, the cell is asked again, and may now refuse.
    pub(super) fn commit(&mut self, limit: &Limit, shard: &Shard, now: Timestamp, host: &impl Host) {
        for _ in 0..TRIES {
            let Found::Admitted { loaded, outcome } = &mut self.found else { return };
            let (Some(change), Decision::Admit { next }) = (outcome.change, outcome.decision) else { return };
            let lease = self::lease(limit, shard, self.hash, next, change, now).filter(|_| loaded.in_force);
            let change = match (change, lease) {
                (Change::Way(at, way), Some(taken)) => Change::Way(at, Way { bucket: taken.next, ..way }),
                _ => change,
            };
            let Some(before) = apply(&mut loaded.block, change) else { return };
            let (how, cost) = (outcome.how, loaded.rate.interval().times(loaded.cost));
            match shard.replace(shard.place(self.hash).block, &loaded.block, loaded.version, host) {
                Ok(()) => {
                    self.found = Found::Charged { change, before, how, next, lease, cost };
                    return;
                }
                Err(StoreError::Stale) => {
                    count(host, self.limit, What::Contended, 1);
                    self.found = self.ask(limit, shard, now, host);
                }
                Err(_) => break,
            }
        }
        if matches!(self.found, Found::Admitted { .. }) {
            self.found = Found::Failed;
        }
    }

    /// Takes the charge back. Where others have charged the same key in between, all but a
    /// little of it, and where the key has lost its way to another, nothing: the limit can
    /// only be too strict, and never too lax.
    pub(super) fn undo(&mut self, limit: &Limit, shard: &Shard, now: Timestamp, host: &impl Host) {
        let Found::Charged { change, before, lease, cost, .. } = &self.found else { return };
        let number = shard.place(self.hash).block;
        let requests = lease.map_or(1, |taken| taken.requests.saturating_add(1));
        let charge = cost.times(requests);
        for _ in 0..TRIES {
            let Ok((mut block, version)) = shard.read(number, host) else { break };
            // Others may have charged leases as of their end, which is not yet.
            let ago = host.now().since(now).plus(limit.terms.ttl());
            let refund = |bucket: Bucket| bucket.refund(charge, ago);
            let Some(revert) = revert(&block, *change, *before, refund) else { break };
            let _ = apply(&mut block, revert);
            if shard.replace(number, &block, version, host) != Err(StoreError::Stale) {
                break;
            }
        }
        self.found = Found::Spared { bucket: before.bucket() };
    }

    /// The request passes: leases move into and out of worker memory.
    pub(super) fn settle(&self, shard: &Shard, host: &impl Host) {
        match &self.found {
            Found::Charged { how, lease, change, .. } => {
                count(host, self.limit, What::Evicted, u64::from(*how == How::EvictLive));
                count(host, self.limit, What::Overflow, u64::from(*how == How::Overflow));
                if let (Some(taken), Change::Way(way, _)) = (lease, change) {
                    count(host, self.limit, What::Leases, 1);
                    shard.hot.borrow_mut().keep(self.hash, taken, *way);
                }
            }
            Found::Leased { .. } => {
                count(host, self.limit, What::Leased, 1);
                shard.hot.borrow_mut().spend(self.hash);
            }
            Found::Admitted { .. } | Found::Failed | Found::Refused { .. } | Found::Spared { .. } => {}
        }
    }

    /// The bucket to tell the client about, and the leased requests to add to what it has
    /// left; `None` when there is nothing to tell.
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
            Self::Overflow(bucket) | Self::Way(Way { bucket, .. }) => bucket,
        }
    }
}

/// A lease to take in the same write, when the key is hot in this worker.
fn lease(
    limit: &Limit,
    shard: &Shard,
    hash: u64,
    next: Bucket,
    change: Change,
    now: Timestamp,
) -> Option<Taken> {
    if matches!(change, Change::Overflow(_)) {
        return None;
    }
    let seen = shard.hot.borrow().seen(hash);
    let requests = limit.terms.size(seen, limit.rate.remaining(next, now));
    (requests > 0).then(|| limit.terms.take(limit.rate, next, now, requests)).flatten()
}

/// The change that takes back another one, as far as that can be done.
fn revert(block: &Block, made: Change, before: Undo, refund: impl Fn(Bucket) -> Bucket) -> Option<Change> {
    match (made, before) {
        (Change::Overflow(ours), Undo::Overflow(old)) => {
            (block.overflow == ours).then_some(Change::Overflow(old))
        }
        (Change::Way(at, ours), Undo::Way(old)) => {
            let found = *block.ways.get(at)?;
            if found == ours {
                // Another key that had the way may have come back and taken a second one; two
                // ways of one key would be two buckets.
                let elsewhere = |(index, way): (usize, &Way)| {
                    index != at && way.fingerprint == old.fingerprint && way.bucket != Bucket::FULL
                };
                let moved = block.ways.iter().enumerate().any(elsewhere);
                let fingerprint = if moved { ours.fingerprint } else { old.fingerprint };
                return Some(Change::Way(at, Way { fingerprint, ..old }));
            }
            let built_on = found.fingerprint == ours.fingerprint && found.bucket > ours.bucket;
            built_on.then(|| Change::Way(at, Way { bucket: refund(found.bucket), ..found }))
        }
        _ => None,
    }
}

/// Makes a change and says what it replaced.
fn apply(block: &mut Block, change: Change) -> Option<Undo> {
    match change {
        Change::Overflow(new) => Some(Undo::Overflow(core::mem::replace(&mut block.overflow, new))),
        Change::Way(at, new) => block.ways.get_mut(at).map(|way| Undo::Way(core::mem::replace(way, new))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(fingerprint: u64, ms: u64) -> Way {
        Way { fingerprint, bucket: Bucket::full_at(Timestamp::ZERO.plus(Span::from_millis(ms))) }
    }

    /// A key whose way we had taken used to get it back although it had come again in between
    /// and taken another one: two ways of one key are two buckets.
    #[test]
    fn a_key_never_has_two_ways() {
        let (ours, theirs) = (way(1, 500), way(2, 100));
        let mut block = Block::empty();
        block.ways[3] = ours;
        let made = Change::Way(3, ours);
        let undo = |block: &Block| revert(block, made, Undo::Way(theirs), |bucket| bucket);
        assert_eq!(undo(&block), Some(Change::Way(3, theirs)));
        block.ways[5] = way(2, 900);
        assert_eq!(undo(&block), Some(Change::Way(3, way(1, 100))));
    }

    #[test]
    fn what_others_built_on_is_refunded_and_what_they_took_is_left() {
        let (ours, before) = (way(1, 500), Undo::Way(way(1, 400)));
        let refund = |bucket: Bucket| bucket.refund(Span::from_millis(100), Span::ZERO);
        #[rustfmt::skip]
        let cases = [
            // found        becomes
            (way(1, 500),   Some(way(1, 400))), // as we left it
            (way(1, 700),   Some(way(1, 600))), // charged again by others
            (way(2, 700),   None),              // another key's now
            (way(1, 300),   None),              // cut by another configuration
        ];
        for (found, expected) in cases {
            let mut block = Block::empty();
            block.ways[3] = found;
            let got = revert(&block, Change::Way(3, ours), before, refund);
            assert_eq!(got, expected.map(|way| Change::Way(3, way)), "{found:?}");
        }
    }
}
