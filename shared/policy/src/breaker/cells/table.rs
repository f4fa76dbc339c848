//! The cells of a breaker with many targets: blocks of records, and the index of those targets that
//! are not closed.
//!
//! A target's hash chooses its block by its high bits; its fingerprint, the low bits, finds the
//! record within the block and the entry of the index.

use alloc::format;
use alloc::string::String;

use crate::breaker::cells::index::{self, Index};
use crate::breaker::cells::record::Record;
use crate::breaker::cells::{block, name, rewrite, Updated};
use crate::breaker::config::Breaker;
use crate::breaker::params::BreakerParams;
use crate::host::{self, Store, StoreError};
use crate::http::{CellSpec, Seed};

/// The blocks and the index.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The name of the index, and the part that names of blocks have in common.
    name: String,
    /// Blocks as a power of two.
    block_bits: u32,
}

/// Set in every fingerprint, so that none is 0, which is how a block marks a free way.
const FINGERPRINT: u64 = 1 << 48;

// === impl Table ===

impl Table {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        Self { name: name(breaker, Some(breaker.block_bits)), block_bits: breaker.block_bits }
    }

    /// What the host has to create: the index, and each block.
    pub(crate) fn specs(&self, params: &BreakerParams) -> impl Iterator<Item = CellSpec> + '_ {
        let size = block::size(params.slots);
        let index = CellSpec { name: self.name.clone(), seed: Seed::Zeros(index::BYTES) };
        let block = move |block| CellSpec { name: self.block(block), seed: Seed::Zeros(size) };
        core::iter::once(index).chain(self.blocks().map(block))
    }

    /// Empties blocks that were written for other parameters, and with them the index.
    pub(crate) fn adopt(&self, params: &BreakerParams, store: &dyn Store) -> Result<(), StoreError> {
        let tag = params.tag();
        let mut emptied = false;
        for block in self.blocks() {
            host::rewrite(store, &self.block(block), &mut |bytes| {
                let other = block::tag(bytes, params.slots) != tag;
                emptied |= other;
                other.then(|| block::empty(params.slots, tag))
            })?;
        }
        if emptied {
            host::rewrite(store, &self.name, &mut |_| Some(Index::default().encode()))?;
        }
        Ok(())
    }

    /// The record of a target, if it has one.
    #[inline(never)]
    pub(crate) fn read(
        &self,
        params: &BreakerParams,
        target: u64,
        store: &dyn Store,
    ) -> Result<Option<Record>, StoreError> {
        let (bytes, _) = store.load(&self.block_of(target))?.ok_or(StoreError::Unavailable)?;
        let way = block::find(&bytes, fingerprint(target), params);
        Ok(way.map(|way| block::record(&bytes, way, params)))
    }

    /// Runs `step` on the record of a target and writes it back if it changed; tries again while
    /// other workers are faster, which `lost` counts. `None` when the target has no record, unless
    /// it gets one: it does if `insert`, the time, is given and its block has room. `step` learns
    /// whether the record is new.
    #[inline(never)]
    pub(crate) fn update(
        &self,
        params: &BreakerParams,
        target: u64,
        insert: Option<u64>,
        store: &dyn Store,
        lost: &mut u64,
        step: &mut dyn FnMut(&mut Record, bool),
    ) -> Result<Option<Updated>, StoreError> {
        let mut done = None;
        rewrite(store, &self.block_of(target), lost, &mut |mut bytes| {
            done = None;
            let found = block::find(&bytes, fingerprint(target), params);
            let (way, before) = match (found, insert) {
                (Some(way), _) => (way, block::record(&bytes, way, params)),
                (None, Some(now_ms)) => match block::room(&bytes, params, now_ms) {
                    Some(way) => (way, newcomer(params, now_ms)),
                    None => return block::shorten(&mut bytes, params, now_ms).then_some(bytes),
                },
                (None, None) => return None,
            };
            let mut record = before.clone();
            step(&mut record, found.is_none());
            let changed = record != before;
            if changed {
                block::put(&mut bytes, way, fingerprint(target), &record, params);
            }
            done = Some(Updated { before, record });
            changed.then_some(bytes)
        })?;
        Ok(done)
    }

    /// The index.
    pub(crate) fn index(&self, store: &dyn Store) -> Result<Index, StoreError> {
        let (bytes, _) = store.load(&self.name)?.ok_or(StoreError::Unavailable)?;
        Ok(Index::decode(&bytes))
    }

    /// Changes the index; the index as it is then.
    #[inline(never)]
    pub(crate) fn reindex(
        &self,
        store: &dyn Store,
        change: &mut dyn FnMut(&mut Index),
    ) -> Result<Index, StoreError> {
        let mut now = Index::default();
        host::rewrite(store, &self.name, &mut |bytes| {
            let before = Index::decode(bytes);
            now = before.clone();
            change(&mut now);
            (now != before).then(|| now.encode())
        })?;
        Ok(now)
    }

    fn blocks(&self) -> impl Iterator<Item = u64> {
        0..1_u64.checked_shl(self.block_bits).unwrap_or(0)
    }

    fn block(&self, block: u64) -> String {
        format!("{}{block:04x}", self.name)
    }

    fn block_of(&self, target: u64) -> String {
        let shift = 64_u32.saturating_sub(self.block_bits);
        self.block(target.checked_shr(shift).unwrap_or(0))
    }
}

/// The record of a target that had none. It begins in a generation of its own: the target may have
/// had a record before, and outcomes of that may still be in flight.
fn newcomer(params: &BreakerParams, now_ms: u64) -> Record {
    let generation = u32::try_from(now_ms & u64::from(u32::MAX)).unwrap_or(0);
    Record { state: params.demanded, generation, ..Record::new(params) }
}

/// What names a target within its block and in the index: the low bits of its hash.
pub(crate) fn fingerprint(target: u64) -> u64 {
    (target & (FINGERPRINT - 1)) | FINGERPRINT
}
