//! A host whose clock a test moves.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tidegate_policy::host::{Clock, Journal, Meter, Store, StoreError, Version};
use tidegate_policy::time::{Span, Timestamp};

use crate::store::SimStore;

/// One worker's view of the host.
#[derive(Debug)]
pub struct SimHost {
    store: Arc<SimStore>,
    now: Cell<Timestamp>,
    counts: RefCell<Vec<u64>>,
    notes: RefCell<Vec<String>>,
}

/// When a simulation starts: an hour after the clock's origin.
pub const START: Timestamp = Timestamp::from_nanos(3_600_000_000_000);

impl SimHost {
    /// A host with these cells, at [`START`].
    #[must_use]
    pub fn new(store: Arc<SimStore>) -> Self {
        Self { store, now: Cell::new(START), counts: RefCell::default(), notes: RefCell::default() }
    }

    /// Moves the clock to `offset` after [`START`].
    pub fn set(&self, offset: Span) {
        self.now.set(START.plus(offset));
    }

    /// What this worker counted at `index`, or set a gauge to.
    #[must_use]
    pub fn count(&self, index: usize) -> u64 {
        self.counts.borrow().get(index).copied().unwrap_or(0)
    }

    /// The lines noted since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    fn with_count(&self, index: usize, change: impl FnOnce(&mut u64)) {
        let mut counts = self.counts.borrow_mut();
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        change(&mut counts[index]);
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

    /// As if the host had started in 1970.
    fn wall(&self) -> Timestamp {
        self.now()
    }
}

impl Meter for SimHost {
    fn add(&self, index: usize, n: u64) {
        self.with_count(index, |count| *count += n);
    }

    fn raise(&self, index: usize) {
        self.add(index, 1);
        self.store.raise(index);
    }

    fn read(&self, index: usize) -> u64 {
        self.store.raised(index)
    }

    fn set(&self, index: usize, value: u64) {
        self.with_count(index, |count| *count = value);
    }
}

impl Journal for SimHost {
    fn note(&self, line: &str) {
        self.notes.borrow_mut().push(line.to_owned());
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
