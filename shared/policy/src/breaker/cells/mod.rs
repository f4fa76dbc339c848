//! A breaker's cells: where its records lie, and how they change.
//!
//! A breaker with one target has one cell, the record itself. One with many targets has a table
//! of blocks and the index of those targets that are not closed. The layout of the window is part
//! of the names, so that a record is only ever read with the slots that it was written with.

pub mod block;
pub mod index;
pub mod record;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::breaker::cells::index::Index;
use crate::breaker::cells::record::Record;
use crate::breaker::config::Breaker;
use crate::hash::xxh64::xxh64;
use crate::host::{rewrite, Store, StoreError, Version, TRIES};
use crate::http::{CellSpec, Seed};

/// The cells of one breaker.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    /// The name of the only cell, of the index, or the part that names of blocks have in common.
    name: String,
    /// Blocks as a power of two; `None` when there is one target.
    block_bits: Option<u32>,
}

/// Where the record of a target lies in its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Way(usize),
    Whole,
}

/// A record as it was read, with the rest of its cell.
struct Loaded {
    name: String,
    bytes: Vec<u8>,
    version: Version,
    place: Place,
    record: Record,
}

/// What became of an update.
pub(crate) struct Updated {
    /// The record before.
    pub(crate) before: Record,
    /// The record now.
    pub(crate) record: Record,
}

/// Set in every fingerprint, so that none is 0.
const FINGERPRINT: u64 = 1 << 48;

// === impl Cells ===

impl Cells {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        let (slots, slot_ms) = (breaker.params.slots, breaker.params.slot_ms);
        let block_bits = breaker.target.is_many().then_some(breaker.block_bits);
        let words = [u64::from(slots), slot_ms, block_bits.map_or(u64::MAX, u64::from)];
        let layout = words.iter().fold(0, |seed, word| xxh64(&word.to_le_bytes(), seed)) >> 32;
        Self { name: format!("tidegate/b1{:06x}{layout:08x}", breaker.number), block_bits }
    }

    /// All of them, one at a time.
    pub(crate) fn specs<'a>(&'a self, breaker: &'a Breaker) -> impl Iterator<Item = CellSpec> + 'a {
        let slots = breaker.params.slots;
        let first = match self.block_bits {
            Some(_) => index::BYTES,
            None => Record::size(slots),
        };
        let first = CellSpec { name: self.name.clone(), seed: Seed::Zeros(first) };
        let blocks = self
            .blocks()
            .map(move |block| CellSpec { name: self.block(block), seed: Seed::Zeros(block::size(slots)) });
        core::iter::once(first).chain(blocks)
    }

    /// Makes records that were written for other parameters records of these.
    pub(crate) fn adopt(&self, breaker: &Breaker, store: &dyn Store) -> Result<(), StoreError> {
        let params = &breaker.params;
        if self.block_bits.is_none() {
            return rewrite(store, &self.name, &mut |bytes| {
                let mut record = Record::decode(bytes, params);
                record.adopt(params, 0).then(|| record.encode())
            });
        }
        let tag = params.tag();
        let mut anew = false;
        for block in self.blocks() {
            rewrite(store, &self.block(block), &mut |bytes| {
                let other = block::tag(bytes, params.slots) != tag;
                anew |= other;
                other.then(|| block::empty(params.slots, tag))
            })?;
        }
        if anew {
            rewrite(store, &self.name, &mut |_| Some(Index::default().encode()))?;
        }
        Ok(())
    }

    /// The record of a target, if it has one.
    pub(crate) fn read(
        &self,
        breaker: &Breaker,
        target: u64,
        store: &dyn Store,
    ) -> Result<Option<Record>, StoreError> {
        let loaded = self.load(breaker, target, store)?;
        Ok((loaded.place != Place::Nowhere).then_some(loaded.record))
    }

    /// Runs `step` on the record of a target and writes it back if it changed; tries again while
    /// other workers are faster, which `lost` counts. A target without a record gets one if `insert`
    /// and if there is room, else `None` is the answer.
    #[inline(never)]
    pub(crate) fn update(
        &self,
        breaker: &Breaker,
        target: u64,
        insert: Option<u64>,
        store: &dyn Store,
        lost: &mut u64,
        step: &mut dyn FnMut(&mut Record),
    ) -> Result<Option<Updated>, StoreError> {
        for _ in 0..TRIES {
            let mut loaded = self.load(breaker, target, store)?;
            if let (Place::Nowhere, Some(now_ms)) = (loaded.place, insert) {
                loaded.make_room(breaker, now_ms);
            }
            if loaded.place == Place::Nowhere {
                return Ok(None);
            }
            let before = loaded.record.clone();
            step(&mut loaded.record);
            if loaded.record == before {
                return Ok(Some(Updated { record: loaded.record, before }));
            }
            match loaded.write(breaker, target, store) {
                Ok(()) => return Ok(Some(Updated { record: loaded.record, before })),
                Err(StoreError::Stale) => *lost = lost.saturating_add(1),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Contended)
    }

    /// The index of a table.
    pub(crate) fn index(&self, store: &dyn Store) -> Result<Index, StoreError> {
        let (bytes, _) = store.load(&self.name)?.ok_or(StoreError::Unavailable)?;
        Ok(Index::decode(&bytes))
    }

    /// Changes the index of a table; the index as it is then.
    #[inline(never)]
    pub(crate) fn reindex(
        &self,
        store: &dyn Store,
        change: &mut dyn FnMut(&mut Index),
    ) -> Result<Index, StoreError> {
        let mut now = Index::default();
        rewrite(store, &self.name, &mut |bytes| {
            let before = Index::decode(bytes);
            now = before.clone();
            change(&mut now);
            (now != before).then(|| now.encode())
        })?;
        Ok(now)
    }

    #[inline(never)]
    fn load(&self, breaker: &Breaker, target: u64, store: &dyn Store) -> Result<Loaded, StoreError> {
        let name = match self.block_bits {
            Some(bits) => self.block(target.checked_shr(64_u32.saturating_sub(bits)).unwrap_or(0)),
            None => self.name.clone(),
        };
        let (bytes, version) = store.load(&name)?.ok_or(StoreError::Unavailable)?;
        let params = &breaker.params;
        let (place, record) = match self.block_bits {
            None => (Place::Whole, Record::decode(&bytes, params)),
            Some(_) => match block::find(&bytes, fingerprint(target), params) {
                Some(way) => (Place::Way(way), block::record(&bytes, way, params)),
                None => (Place::Nowhere, Record::new(params)),
            },
        };
        Ok(Loaded { name, bytes, version, place, record })
    }

    fn blocks(&self) -> impl Iterator<Item = u64> {
        0..self.block_bits.map_or(0, |bits| 1_u64.checked_shl(bits).unwrap_or(0))
    }

    fn block(&self, block: u64) -> String {
        format!("{}{block:04x}", self.name)
    }
}

/// What names a target within its block and in the index: the low bits of its hash.
pub(crate) fn fingerprint(target: u64) -> u64 {
    (target & (FINGERPRINT - 1)) | FINGERPRINT
}

// === impl Loaded ===

impl Loaded {
    /// Finds a way for a target that has none. Its record begins in a generation of its own: the
    /// target may have had a record before, and outcomes of that may still be under way.
    fn make_room(&mut self, breaker: &Breaker, now_ms: u64) {
        if let Some(way) = block::room(&self.bytes, &breaker.params, now_ms) {
            self.place = Place::Way(way);
            self.record.state = breaker.params.demanded;
            self.record.generation = u32::try_from(now_ms & u64::from(u32::MAX)).unwrap_or(0);
        }
    }

    fn write(&mut self, breaker: &Breaker, target: u64, store: &dyn Store) -> Result<(), StoreError> {
        match self.place {
            Place::Nowhere => return Ok(()),
            Place::Way(way) => {
                block::put(&mut self.bytes, way, fingerprint(target), &self.record, &breaker.params);
            }
            Place::Whole => self.bytes = self.record.encode(),
        }
        store.replace(&self.name, &self.bytes, self.version)
    }
}
