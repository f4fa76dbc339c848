//! A filter around attempts with a document that has nothing for it: that is said once for all workers.

use core::cell::Cell;

use crate::host::Host;
use crate::http::CellSpec;
use crate::usage::Usage;

/// Such a filter, as long as nobody was told; nothing of any other.
pub(super) struct Misplaced(Cell<Option<Usage>>);

/// The line for the log.
const LINE: &str =
    "nothing of the document is for a filter around attempts, as the root id `attempt` says of this one: only \
     `breaker` and `discovery` are; at a listener, give it another root id (Istio: pluginName)";

// === impl Misplaced ===

impl Misplaced {
    /// Of a document with this fingerprint: of each it is said.
    pub(super) fn new(nothing: bool, document: u64) -> Self {
        Self(Cell::new(nothing.then(|| Usage::of("f1", 0, document))))
    }

    /// The cell that the host has to create.
    pub(super) fn spec(&self) -> Option<CellSpec> {
        let usage = self.0.take();
        let spec = usage.as_ref().map(Usage::spec);
        self.0.set(usage);
        spec
    }

    /// Says it.
    pub(super) fn tell(&self, host: &impl Host) {
        if self.0.take().is_some_and(|usage| usage.is_first_misplaced(host)) {
            host.note(LINE);
        }
    }
}
