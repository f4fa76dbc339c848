//! The shared cells of a breaker: where its records lie, and how workers change them.
//!
//! A breaker with one target has one cell, the record itself (`single`). A breaker with many
//! targets has a table of blocks, and an index of those targets that are not closed (`table`).
//! The layout of the window is part of a cell's name, so that a record is only ever read with the
//! slots that it was written with.

pub mod block;
pub mod index;
pub mod probes;
pub mod record;
pub(crate) mod single;
pub(crate) mod table;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::breaker::cells::record::Record;
use crate::breaker::config::Breaker;
use crate::hash::xxh64::xxh64;
use crate::host::{Store, StoreError, TRIES};

/// A record before and after an update that was written, or that changed nothing.
pub(crate) struct Updated {
    /// The record before.
    pub(crate) before: Record,
    /// The record now.
    pub(crate) record: Record,
}

/// The name of a breaker's first cell, for this many blocks as a power of two.
#[inline(never)]
fn name(breaker: &Breaker, block_bits: Option<u32>) -> String {
    let words =
        [u64::from(breaker.params.slots), breaker.params.slot_ms, block_bits.map_or(u64::MAX, u64::from)];
    let layout = words.iter().fold(0, |seed, word| xxh64(&word.to_le_bytes(), seed)) >> 32;
    format!("tidegate/b1{:06x}{layout:08x}", breaker.number)
}

/// Replaces a cell by what `change` makes of its bytes, if anything; again with the new bytes
/// while other workers are faster, which `lost` counts.
#[inline(never)]
fn rewrite(
    store: &dyn Store,
    cell: &str,
    lost: &mut u64,
    change: &mut dyn FnMut(Vec<u8>) -> Option<Vec<u8>>,
) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let (bytes, version) = store.load(cell)?.ok_or(StoreError::Unavailable)?;
        let Some(new) = change(bytes) else { return Ok(()) };
        match store.replace(cell, &new, version) {
            Err(StoreError::Stale) => *lost = lost.saturating_add(1),
            done => return done,
        }
    }
    Err(StoreError::Contended)
}
