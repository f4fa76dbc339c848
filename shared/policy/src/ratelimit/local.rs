//! What a worker keeps of one limit, and the limit's cells.
//!
//! Besides its blocks a limit has one small cell that announces the rate in force, written
//! by the configuration that started last and withdrawn when it goes. Only a configuration that is
//! in force converts what keys owe to its own rate. One that was superseded and still serves
//! decides by the rate in force wherever that has been at work, so that a key has one bucket
//! of one rate for all configurations (ADR 0008).

use alloc::format;
use alloc::string::String;
use core::cell::RefCell;

use super::config::Limit;
use super::hot::{HotKeys, Unspent};
use super::metrics::{self, LimitMetric};
use super::state::{self, Block, InForce};
use super::table::Place;
use crate::gcra::Rate;
use crate::host::{Host, Store, StoreError, Version, TRIES};
use crate::http::{CellSpec, Seed};
use crate::time::{Span, Timestamp};

/// What a worker keeps of one limit.
pub(super) struct LocalLimit {
    pub(super) hot: RefCell<HotKeys>,
    /// The name of the cell last used; its last four bytes change.
    cell: RefCell<String>,
    block_bits: u32,
}

/// A block as it was read, made to fit a limit.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) block: Block,
    pub(super) version: Version,
    /// The rate that decides: the limit's, or the one in force.
    pub(super) rate: Rate,
    /// What a request costs by it.
    pub(super) cost: u64,
    /// Whether the limit's rate is the one in force.
    pub(super) in_force: bool,
    /// Whether a debt became another time, so that the block must be written.
    pub(super) changed: bool,
}

/// In place of a block's number: the cell that announces the rate.
const ANNOUNCEMENT: &str = "rate";

// === impl LocalLimit ===

impl LocalLimit {
    pub(super) fn new(limit: &Limit) -> Self {
        // 22 bytes, which Envoy's strings hold without a heap block of their own: on the slot to
        // a cold cell that is one miss of the processor's cache less.
        let bits = char::from_digit(limit.block_bits, 36).unwrap_or('0');
        let cell = format!("tidegate/r1{:06x}{bits}{ANNOUNCEMENT}", limit.number);
        Self { hot: RefCell::default(), cell: RefCell::new(cell), block_bits: limit.block_bits }
    }

    /// The limit's cells, one at a time.
    pub(super) fn cells(&self) -> impl Iterator<Item = CellSpec> + '_ {
        let blocks = 1_u32.checked_shl(self.block_bits).unwrap_or(0);
        let announcement = core::iter::once_with(|| {
            self.point_at_announcement();
            CellSpec { name: self.cell.borrow().clone(), seed: Seed::Zeros(state::IN_FORCE_BYTES) }
        });
        announcement.chain((0..blocks).map(|block| {
            self.point_at(block);
            CellSpec { name: self.cell.borrow().clone(), seed: Seed::Zeros(state::BYTES) }
        }))
    }

    /// Announces the limit's rate as the one in force.
    pub(super) fn announce(&self, limit: &Limit, store: &impl Store) -> Result<(), StoreError> {
        let ours = InForce { tag: limit.tag, rate: limit.rate };
        self.point_at_announcement();
        for _ in 0..TRIES {
            let (bytes, version) = store.load(&self.cell.borrow())?.ok_or(StoreError::Unavailable)?;
            if InForce::decode(&bytes) == Some(ours) {
                return Ok(());
            }
            match store.replace(&self.cell.borrow(), &ours.encode(), version) {
                Err(StoreError::Stale) => {}
                done => return done,
            }
        }
        Err(StoreError::Contended)
    }

    /// Withdraws the announcement, if it still is the limit's. A configuration that comes
    /// back without being configured anew, as Envoy does on a rollback while the first still
    /// drains, finds nothing announced and announces itself.
    pub(super) fn withdraw(&self, limit: &Limit, store: &impl Store) {
        self.point_at_announcement();
        let Ok(Some((bytes, version))) = store.load(&self.cell.borrow()) else { return };
        if InForce::decode(&bytes).is_some_and(|announced| announced.tag == limit.tag) {
            // Lost to another configuration: then the cell is its own.
            let _ = store.replace(&self.cell.borrow(), &[0; state::IN_FORCE_BYTES], version);
        }
    }

    /// Reads a block and makes it fit the limit.
    pub(super) fn load(
        &self,
        limit: &Limit,
        block: u32,
        now: Timestamp,
        store: &impl Store,
    ) -> Result<Loaded, StoreError> {
        let (mut block, version) = self.read(block, store)?;
        let (rate, cost) = (limit.rate, limit.cost);
        if block.claim(limit.rate, limit.tag) {
            return Ok(Loaded { block, version, rate, cost, in_force: true, changed: false });
        }
        self.point_at_announcement();
        let (bytes, _) = store.load(&self.cell.borrow())?.ok_or(StoreError::Unavailable)?;
        match InForce::decode(&bytes) {
            Some(other) if other.tag != limit.tag => {
                let rate = other.rate;
                let cost = cost.min(rate.burst().get().into());
                return Ok(Loaded { block, version, rate, cost, in_force: false, changed: false });
            }
            Some(_) => {}
            None => self.announce(limit, store)?,
        }
        let changed = block.adopt(limit.rate, limit.tag, now);
        Ok(Loaded { block, version, rate, cost, in_force: true, changed })
    }

    /// Reads a block as it is.
    pub(super) fn read(&self, block: u32, store: &impl Store) -> Result<(Block, Version), StoreError> {
        self.point_at(block);
        let (bytes, version) = store.load(&self.cell.borrow())?.ok_or(StoreError::Unavailable)?;
        Ok((Block::decode(&bytes), version))
    }

    /// Writes a block if no other worker did since `version`.
    pub(super) fn replace(
        &self,
        block: u32,
        new: &Block,
        version: Version,
        store: &impl Store,
    ) -> Result<(), StoreError> {
        self.point_at(block);
        store.replace(&self.cell.borrow(), &new.encode(), version)
    }

    /// Gives back what a lease did not spend: all of it where no worker has charged the key since,
    /// else less the time since it was taken; nothing where the key has lost its slot. Says how
    /// many requests could not be given back.
    pub(super) fn give_back(&self, limit: &Limit, unspent: Unspent, host: &impl Host) -> u64 {
        let place = self.place(unspent.hash);
        let each = limit.rate.interval().times(limit.cost);
        let charge = each.times(unspent.requests);
        for _ in 0..TRIES {
            let Ok((mut block, version)) = self.read(place.block, host) else { break };
            let slot = block.slots.get_mut(unspent.slot);
            let Some(slot) = slot.filter(|slot| slot.fingerprint == place.fingerprint) else { break };
            // Lease one length of a lease before its end; others may have taken theirs as of
            // one from now.
            let since = host.now().since(unspent.until).plus(limit.lease.ttl()).plus(limit.lease.ttl());
            let ago = if slot.bucket == unspent.bucket { Span::ZERO } else { since };
            slot.bucket = slot.bucket.refund(charge, ago);
            if ago >= charge || !block.claim(limit.rate, limit.tag) {
                break;
            }
            match self.replace(place.block, &block, version, host) {
                Ok(()) => return ago.count_of(each),
                Err(StoreError::Stale) => {}
                Err(_) => break,
            }
        }
        unspent.requests
    }

    pub(super) fn place(&self, hash: u64) -> Place {
        Place::of(hash, self.block_bits)
    }

    fn point_at(&self, block: u32) {
        let mut cell = self.cell.borrow_mut();
        let digits = cell.len().saturating_sub(ANNOUNCEMENT.len());
        cell.truncate(digits);
        // Twice a request: the formatter would take longer than the decision.
        for shift in [12, 8, 4, 0] {
            cell.push(char::from_digit((block >> shift) & 0xf, 16).unwrap_or('0'));
        }
    }

    fn point_at_announcement(&self) {
        let mut cell = self.cell.borrow_mut();
        let digits = cell.len().saturating_sub(ANNOUNCEMENT.len());
        cell.truncate(digits);
        cell.push_str(ANNOUNCEMENT);
    }
}

/// Adds `n` to the counter `metric` of the limit at `limit`.
pub(super) fn count(host: &impl Host, limit: usize, metric: LimitMetric, n: u64) {
    if n > 0 {
        host.add(metrics::index(limit, metric), n);
    }
}
