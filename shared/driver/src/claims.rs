//! What a plugin means by its names, compared with what other plugins mean by them.

use std::cell::Cell;

use tidegate_policy::claims::{Claimant, Ledger, Step, PERIOD_MS};
use tidegate_policy::hash::xxh64::xxh64;
use tidegate_policy::host::{rewrite, Store, StoreError};
use tidegate_policy::http::Stage;
use tidegate_policy::time::Timestamp;

use crate::cells::Cells;

/// The claims of one plugin, as one worker keeps them up.
#[derive(Debug)]
pub struct Claims {
    /// The cell with those of all plugins of the stage.
    cell: String,
    by: Claimant,
    /// When the worker was configured.
    since_ms: Cell<u64>,
    /// When to show again that the plugin lives.
    next_ms: Cell<u64>,
}

// === impl Claims ===

impl Claims {
    /// The claims of a plugin of this name and root id, with a document of which `stage` was made; `None`
    /// when it has none.
    pub fn of<S: Stage>(stage: &S, (name, root_id): (&str, &str), document: &[u8]) -> Option<Self> {
        if !S::CLAIMS {
            return None;
        }
        let claims = stage.claims();
        let plugin = if root_id.is_empty() { name.to_owned() } else { format!("{name}/{root_id}") };
        (!claims.is_empty()).then(|| Self {
            cell: format!("tidegate/claims/{}", S::NAME),
            by: Claimant { plugin, document: xxh64(document, 0), claims },
            since_ms: Cell::new(0),
            next_ms: Cell::new(0),
        })
    }

    /// Leaves the claims for others, and returns what to log. A store that fails is no reason to refuse a
    /// configuration: then nothing is compared.
    pub fn configured(&self, cells: &impl Cells, now: Timestamp) -> Vec<String> {
        self.since_ms.set(now.as_millis());
        self.next_ms.set(now.as_millis().saturating_add(PERIOD_MS));
        match cells.create(&self.cell, &[0]) {
            Ok(_) => self.update(cells, Step::Configured, now),
            Err(_) => Vec::new(),
        }
    }

    /// Shows that the plugin lives, now and then, and returns what to log.
    pub fn tick(&self, store: &impl Store, now: Timestamp) -> Vec<String> {
        if now.as_millis() < self.next_ms.get() {
            return Vec::new();
        }
        self.next_ms.set(now.as_millis().saturating_add(PERIOD_MS));
        self.update(store, Step::Alive, now)
    }

    /// Withdraws them.
    pub fn stop(&self, store: &impl Store, now: Timestamp) {
        self.update(store, Step::Stopped, now);
    }

    #[inline(never)]
    fn update(&self, store: &dyn Store, step: Step, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        let done: Result<(), StoreError> = rewrite(store, &self.cell, &mut |bytes| {
            let mut ledger = Ledger::decode(bytes);
            lines = ledger.update(&self.by, step, self.since_ms.get(), now.as_millis());
            let new = ledger.encode();
            (new != bytes).then_some(new)
        });
        // A line is in the ledger, or another worker writes it.
        if done.is_err() {
            lines.clear();
        }
        lines
    }
}
