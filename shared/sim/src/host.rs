//! A host whose clock a test moves.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tidegate_policy::host::{Clock, Meter, Store, StoreError, Version};
use tidegate_policy::time::{Span, Timestamp};

use crate::store::SimStore;

/// One worker's view of the host.
#[derive(Debug)]
pub struct SimHost {
    store: Arc<SimStore>,
    now: Cell<Timestamp>,
    counts: RefCell<Vec<u64>>,
}

/// When a simulation starts: an hour after the clock's origin.
pub const START: Timestamp = Timestamp::from_nanos(3_600_000_000_000);

impl SimHost {
    /// A host with these cells, at [`START`].
    #[must_use]
    pub fn new(store: Arc<SimStore>) -> Self {
        Self { store, now: Cell::new(START), counts: RefCell::default() }
    }

    /// Moves the clock to `offset` after [`START`].
    pub fn set(&self, offset: Span) {
        self.now.set(START.plus(offset));
    }

    /// What the counter at `index` stands at.
    #[must_use]
    pub fn count(&self, index: usize) -> u64 {
        self.counts.borrow().get(index).copied().unwrap_or(0)
    }

    /// The cells.
    #[must_use]
    pub fn store(&self) -> &Arc<SimStore> {
        &self.store
    }
}

impl Clock for SimHost {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
}

impl Meter for SimHost {
    fn add(&self, index: usize, n: u64) {
        let mut counts = self.counts.borrow_mut();
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        counts[index] += n;
    }
}

impl Store for SimHost {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.store.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        self.store.replace(cell, bytes, version)
    }

    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.store.create(cell, bytes)
    }
}
