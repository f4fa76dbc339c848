//! One limit's part in one request: what it says, and charging it.
//!
//! [`Charge::evaluate`] asks worker memory first and the cell only when memory does not
//! know. [`Charge::commit`] writes, deciding anew when another worker was faster.
//! [`Charge::undo`] takes a write back when a later limit of the same request refuses, and
//! [`Charge::settle`] moves leases into and out of memory once the request passes.

use alloc::format;
use alloc::string::String;
use core::cell::RefCell;

use super::config::Limit;
use super::decide::{Bucket, Decision};
use super::hot::{Hot, Known};
use super::lease::Taken;
use super::metrics::What;
use super::stage::count;
use super::state::Block;
use super::table::{self, Change, How, Place, Way};
use crate::host::{Host, Store, StoreError, Version};
use crate::time::{Span, Timestamp};

/// What a worker keeps of one limit.
pub(super) struct Shard {
    hot: RefCell<Hot>,
    /// The name of the cell last used; its last four digits change.
    cell: RefCell<String>,
    block_bits: u32,
}

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
    Admitted { block: Block, version: Version, outcome: table::Outcome },
    /// The cell was charged.
    Charged { change: Change, before: Undo, how: How, next: Bucket, lease: Option<Taken> },
    /// The cell could not be asked or charged.
    Failed,
    /// Worker memory has a unit for it.
    Leased { left: u64, bucket: Bucket },
    /// It is refused. `bucket` is `None` when it has no key to count by.
    Refused { retry_after: Option<Span>, bucket: Option<Bucket> },
}

/// What a write replaced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Overflow(Bucket),
    Way(Way),
}

/// Most times that one cell is tried against other workers (reference 0.4).
const TRIES: usize = 8;

// === impl Shard ===

impl Shard {
    pub(super) fn new(limit: &Limit) -> Self {
        // 22 bytes, which Envoy's strings hold without a heap block of their own: on the way to
        // a cold cell that is one miss of the processor's cache less.
        let bits = char::from_digit(limit.block_bits, 36).unwrap_or('0');
        let cell = format!("tidegate/rl1/{:04x}{bits}0000", limit.number);
        Self { hot: RefCell::default(), cell: RefCell::new(cell), block_bits: limit.block_bits }
    }

    /// The names of the limit's cells.
    pub(super) fn cells(&self) -> impl Iterator<Item = String> + '_ {
        let blocks = 1_u32.checked_shl(self.block_bits).unwrap_or(0);
        (0..blocks).map(|block| {
            self.point_at(block);
            self.cell.borrow().clone()
        })
    }

    /// Leased requests that ended unused.
    pub(super) fn sweep(&self, now: Timestamp) -> u64 {
        self.hot.borrow_mut().sweep(now)
    }

    fn point_at(&self, block: u32) {
        let mut cell = self.cell.borrow_mut();
        let digits = cell.len().saturating_sub(4);
        cell.truncate(digits);
        // Twice a request: the formatter would take longer than the decision.
        for shift in [12, 8, 4, 0] {
            cell.push(char::from_digit((block >> shift) & 0xf, 16).unwrap_or('0'));
        }
    }

    fn load(&self, block: u32, store: &impl Store) -> Result<(Block, Version), StoreError> {
        self.point_at(block);
        let (bytes, version) = store.load(&self.cell.borrow())?.ok_or(StoreError::Unavailable)?;
        Ok((Block::decode(&bytes), version))
    }

    fn replace(
        &self,
        block: u32,
        new: &Block,
        version: Version,
        store: &impl Store,
    ) -> Result<(), StoreError> {
        self.point_at(block);
        store.replace(&self.cell.borrow(), &new.encode(), version)
    }

    fn place(&self, hash: u64) -> Place {
        Place::of(hash, self.block_bits)
    }
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
        let (known, stranded) = shard.hot.borrow_mut().see(hash, now);
        count(host, index, What::Stranded, stranded);
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
        let Ok((mut block, version)) = shard.load(place.block, host) else { return Found::Failed };
        let cut = block.adopt(limit.rate, limit.tag, now);
        let outcome =
            table::decide(limit.rate, &block.ways, block.overflow, place.fingerprint, now, limit.cost);
        match outcome.decision {
            Decision::Admit { .. } => Found::Admitted { block, version, outcome },
            Decision::Refuse { retry_after } => {
                if cut {
                    // Unwritten, the debt would be cut anew as of each refusal, and never end.
                    let _ = shard.replace(place.block, &block, version, host);
                }
                let until = now.plus(retry_after.unwrap_or(Span::ZERO));
                shard.hot.borrow_mut().refuse(self.hash, until, outcome.before);
                Found::Refused { retry_after, bucket: Some(outcome.before) }
            }
        }
    }

    /// Charges the cell, if the cell is what admits the request. When another worker wrote
    /// in between, the cell is asked again, and may now refuse.
    pub(super) fn commit(&mut self, limit: &Limit, shard: &Shard, now: Timestamp, host: &impl Host) {
        for _ in 0..TRIES {
            let Found::Admitted { block, version, outcome } = &mut self.found else { return };
            let (Some(change), Decision::Admit { next }) = (outcome.change, outcome.decision) else { return };
            let lease = self::lease(limit, shard, self.hash, next, change, now);
            let change = match (change, lease) {
                (Change::Way(at, way), Some(taken)) => Change::Way(at, Way { bucket: taken.next, ..way }),
                _ => change,
            };
            let Some(before) = apply(block, change) else { return };
            let how = outcome.how;
            match shard.replace(shard.place(self.hash).block, block, *version, host) {
                Ok(()) => {
                    self.found = Found::Charged { change, before, how, next, lease };
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
    /// only be too strict for a moment, and never too lax.
    pub(super) fn undo(&self, limit: &Limit, shard: &Shard, now: Timestamp, host: &impl Host) {
        let Found::Charged { change, before, lease, .. } = &self.found else { return };
        let number = shard.place(self.hash).block;
        let requests = lease.map_or(1, |taken| taken.requests.saturating_add(1));
        let charge = limit.rate.interval().times(limit.cost.saturating_mul(requests));
        for _ in 0..TRIES {
            let Ok((mut block, version)) = shard.load(number, host) else { return };
            // Others may have charged leases as of their end, which is not yet.
            let ago = host.now().since(now).plus(limit.terms.ttl());
            let Some(revert) = revert(&block, *change, *before, charge, ago) else { return };
            let _ = apply(&mut block, revert);
            if shard.replace(number, &block, version, host) != Err(StoreError::Stale) {
                return;
            }
        }
    }

    /// The request passes: leases move into and out of worker memory.
    pub(super) fn settle(&self, shard: &Shard, host: &impl Host) {
        match &self.found {
            Found::Charged { how, lease, .. } => {
                count(host, self.limit, What::Evicted, u64::from(*how == How::EvictLive));
                count(host, self.limit, What::Overflow, u64::from(*how == How::Overflow));
                if let Some(taken) = lease {
                    count(host, self.limit, What::Leases, 1);
                    shard.hot.borrow_mut().keep(self.hash, taken);
                }
            }
            Found::Leased { .. } => {
                count(host, self.limit, What::Leased, 1);
                shard.hot.borrow_mut().spend(self.hash);
            }
            Found::Admitted { .. } | Found::Failed | Found::Refused { .. } => {}
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
fn revert(block: &Block, made: Change, before: Undo, charge: Span, ago: Span) -> Option<Change> {
    match (made, before) {
        (Change::Overflow(ours), Undo::Overflow(old)) => {
            (block.overflow == ours).then_some(Change::Overflow(old))
        }
        (Change::Way(at, ours), Undo::Way(old)) => {
            let now = *block.ways.get(at)?;
            if now == ours {
                return Some(Change::Way(at, old));
            }
            let built_on = now.fingerprint == ours.fingerprint && now.bucket > ours.bucket;
            built_on.then(|| Change::Way(at, Way { bucket: now.bucket.refund(charge, ago), ..now }))
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
