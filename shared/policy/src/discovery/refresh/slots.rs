//! How many queries that are not held one worker has in flight at each registry.
//!
//! Those that failed last time have slots of their own: services that never answer, say of a datacenter that
//! cannot be reached, delay no others.

use alloc::vec::Vec;

/// The slots taken at each registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots(Vec<[usize; 2]>);

// === impl Slots ===

impl Slots {
    /// All free, for this many registries.
    #[must_use]
    pub fn new(registries: usize) -> Self {
        Self(alloc::vec![[0; 2]; registries])
    }

    /// Takes a slot of the queries that failed last time, or of the others.
    pub fn take(&mut self, registry: usize, failing: bool) {
        if let Some(taken) = self.0.get_mut(registry).and_then(|both| both.get_mut(usize::from(failing))) {
            *taken = taken.saturating_add(1);
        }
    }

    /// Whether fewer than `most` of such slots are taken.
    #[must_use]
    pub fn has_room(&self, registry: usize, failing: bool, most: usize) -> bool {
        let taken = self.0.get(registry).and_then(|both| both.get(usize::from(failing)));
        taken.is_some_and(|taken| *taken < most)
    }
}
