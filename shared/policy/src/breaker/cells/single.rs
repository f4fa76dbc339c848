//! The cell of a breaker with one target: its record and nothing else.

use alloc::string::String;

use crate::breaker::cells::record::Record;
use crate::breaker::cells::{name, rewrite, Updated};
use crate::breaker::config::Breaker;
use crate::breaker::params::BreakerParams;
use crate::breaker::transition;
use crate::host::{self, Store, StoreError};
use crate::http::{CellSpec, Seed};

/// One cell with one record.
#[derive(Clone, Debug)]
pub(crate) struct RecordCell {
    name: String,
}

// === impl RecordCell ===

impl RecordCell {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        Self { name: name(breaker, None) }
    }

    /// What the host has to create.
    pub(crate) fn spec(&self, params: &BreakerParams) -> CellSpec {
        CellSpec { name: self.name.clone(), seed: Seed::Zeros(Record::size(params.slots)) }
    }

    /// Makes a record that was written for other parameters one of these.
    pub(crate) fn adopt(&self, params: &BreakerParams, store: &dyn Store) -> Result<(), StoreError> {
        host::rewrite(store, &self.name, &mut |bytes| {
            let mut record = Record::decode(bytes, params);
            transition::adopt(&mut record, params, 0).then(|| record.encode())
        })
    }

    /// The record.
    pub(crate) fn read(&self, params: &BreakerParams, store: &dyn Store) -> Result<Record, StoreError> {
        let (bytes, _) = store.load(&self.name)?.ok_or(StoreError::Unavailable)?;
        Ok(Record::decode(&bytes, params))
    }

    /// Runs `step` on the record and writes it back if it changed; tries again while other workers
    /// are faster, which `lost` counts.
    #[inline(never)]
    pub(crate) fn update(
        &self,
        params: &BreakerParams,
        store: &dyn Store,
        lost: &mut u64,
        step: &mut dyn FnMut(&mut Record),
    ) -> Result<Updated, StoreError> {
        let mut done = None;
        rewrite(store, &self.name, lost, &mut |bytes| {
            let before = Record::decode(&bytes, params);
            let mut record = before.clone();
            step(&mut record);
            let changed = (record != before).then(|| record.encode());
            done = Some(Updated { before, record });
            changed
        })?;
        done.ok_or(StoreError::Unavailable)
    }
}
