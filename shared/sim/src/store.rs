//! Shared cells with the rules of Envoy's shared data.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_driver::Cells;
use tidegate_policy::host::{Store, StoreError, Version};

/// Cells that workers share, across threads too.
#[derive(Debug, Default)]
pub struct SimStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    cells: BTreeMap<String, (Vec<u8>, NonZeroU32)>,
    last: u32,
    calls: u64,
    broken: bool,
    /// Counters that are raised, by index: workers share them as they share cells.
    raised: BTreeMap<usize, u64>,
    /// The names of metrics that several stages may have, by index.
    metrics: Vec<String>,
}

impl SimStore {
    /// Store calls so far, failed ones included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Makes every later call fail, or work again.
    pub fn set_broken(&self, broken: bool) {
        self.state().broken = broken;
    }

    /// Raises a counter.
    pub fn raise(&self, index: usize) {
        *self.state().raised.entry(index).or_default() += 1;
    }

    /// Sets what a counter was raised to.
    pub fn set_raised(&self, index: usize, value: u64) {
        self.state().raised.insert(index, value);
    }

    /// The index of a metric by its name, the same for all that ask.
    #[must_use]
    pub fn place(&self, metric: &str) -> usize {
        let mut state = self.state();
        let known = state.metrics.iter().position(|name| name == metric);
        known.unwrap_or_else(|| {
            state.metrics.push(metric.to_owned());
            state.metrics.len() - 1
        })
    }

    /// What a counter was raised to.
    #[must_use]
    pub fn raised(&self, index: usize) -> u64 {
        self.state().raised.get(&index).copied().unwrap_or(0)
    }

    /// The names of all cells.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().cells.keys().cloned().collect()
    }

    /// Writes a cell whatever it holds, as nobody but a test does.
    pub fn put(&self, cell: &str, bytes: &[u8]) {
        self.state().write(cell, bytes);
    }

    /// Takes a cell away, as nobody but a test does.
    pub fn take(&self, cell: &str) {
        self.state().cells.remove(cell);
    }

    /// Another store with the same cells.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let state = self.state();
        let (cells, raised, metrics) = (state.cells.clone(), state.raised.clone(), state.metrics.clone());
        Self(Mutex::new(State { cells, raised, metrics, last: state.last, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        state.calls += 1;
        if state.broken {
            return Err(StoreError::Unavailable);
        }
        Ok(state)
    }
}

impl State {
    /// Versions are one counter for all cells, as in Envoy.
    fn write(&mut self, cell: &str, bytes: &[u8]) {
        self.last += 1;
        let version = NonZeroU32::new(self.last).unwrap_or(NonZeroU32::MIN);
        self.cells.insert(cell.to_owned(), (bytes.to_vec(), version));
    }
}

impl Store for SimStore {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let state = self.call()?;
        Ok(state.cells.get(cell).map(|(bytes, version)| (bytes.clone(), Version(*version))))
    }

    /// As in Envoy, a write to a cell that does not exist creates it, whatever the version.
    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        let mut state = self.call()?;
        match state.cells.get(cell) {
            Some((_, current)) if *current != version.0 => Err(StoreError::Stale),
            _ => {
                state.write(cell, bytes);
                Ok(())
            }
        }
    }
}

impl Cells for SimStore {
    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let mut state = self.call()?;
        let missing = !state.cells.contains_key(cell);
        if missing {
            state.write(cell, bytes);
        }
        Ok(missing)
    }
}
