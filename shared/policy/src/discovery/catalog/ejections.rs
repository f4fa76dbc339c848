//! The ejections of one service, as one worker reads and adds to them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::config::Scope;
use crate::discovery::catalog::endpoint_stats::hash_of;
use crate::discovery::catalog::table::Table;
use crate::discovery::cells::ejection::{self, Ejection, NAMED_AGAIN};
use crate::discovery::config::policy::{EjectionParams, Service};
use crate::host::{rewrite, Store, StoreError};
use crate::time::Timestamp;

/// The ejections of one service: the cell that all workers share, and what this one last read there.
#[derive(Debug)]
pub struct Ejections {
    cell: String,
    params: Option<EjectionParams>,
    list: RefCell<Vec<Ejection>>,
    /// The millisecond at which the next ejection ends.
    next_end_ms: Cell<u64>,
}

/// How long an endpoint that refuses connections is avoided at most, where no ejection time is configured.
const LONGEST_MS: u64 = 30_000;

// === impl Ejections ===

impl Ejections {
    /// The ejections of a service. Also of one whose endpoints are never ejected: that an endpoint refuses
    /// connections is noted of any.
    #[must_use]
    pub fn new(service: &Service, scope: &Scope) -> Self {
        Self {
            cell: format!("tidegate/d1e{:016x}", scope.hash(hash_of(&service.name))),
            params: service.ejection.clone(),
            list: RefCell::default(),
            next_end_ms: Cell::new(u64::MAX),
        }
    }

    /// The name of the cell.
    #[must_use]
    pub fn cell(&self) -> &str {
        &self.cell
    }

    /// When endpoints are ejected, and for how long; `None` for never.
    #[must_use]
    pub fn params(&self) -> Option<&EjectionParams> {
        self.params.as_ref()
    }

    /// Reads the cell; whether anything in it is new.
    ///
    /// # Errors
    /// The cell cannot be read.
    pub fn read(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let (bytes, _) = store.load(&self.cell)?.ok_or(StoreError::Unavailable)?;
        let read = ejection::decode(&bytes);
        let changed = *self.list.borrow() != read;
        self.list.replace(read);
        Ok(changed)
    }

    /// Whether an ejection ended since they were last applied to a table.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.next_end_ms.get()
    }

    /// Takes the ejected endpoints out of a table's pools, and the others back.
    pub fn apply(&self, table: &Table, now: Timestamp) {
        let next = table.settle(&self.list.borrow(), now);
        self.next_end_ms.set(next.unwrap_or(u64::MAX));
    }

    /// Ejects an endpoint of a table, for all workers. For how many milliseconds; `None` when it is
    /// ejected already, or too many would be.
    ///
    /// # Errors
    /// The cell cannot be written.
    pub fn eject(
        &self,
        table: &Table,
        hash: u64,
        now: Timestamp,
        store: &dyn Store,
    ) -> Result<Option<u64>, StoreError> {
        let (Some(params), now_ms) = (&self.params, now.as_millis()) else { return Ok(None) };
        let hosts = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let mut until_ms = None;
        rewrite(store, &self.cell, &mut |bytes| {
            // Endpoints that the registry no longer has stay ejected, and are no part of the share
            // of the others that may be.
            let all = ejection::decode(bytes).into_iter();
            let (here, gone): (Vec<Ejection>, Vec<Ejection>) = all.partition(|one| table.has(one.endpoint));
            let mut list = ejection::eject(&here, hash, hosts, now_ms, params);
            if let Some(list) = &mut list {
                list.extend(gone.into_iter().filter(|one| one.next_end_ms(now_ms).is_some()));
            }
            let until =
                |list: &Vec<Ejection>| list.iter().find(|one| one.endpoint == hash).map(|e| e.until_ms);
            until_ms = list.as_ref().and_then(until);
            list.map(|list| ejection::encode(&list))
        })?;
        Ok(until_ms.map(|until| until.saturating_sub(now_ms)))
    }

    /// Notes that an endpoint of a table refused a connection, for all workers. For how many milliseconds it
    /// is avoided, [`NAMED_AGAIN`] for as long as the registry does not name it; `None` when that is known.
    ///
    /// # Errors
    /// The cell cannot be written.
    pub fn refuse(
        &self,
        table: &Table,
        hash: u64,
        now: Timestamp,
        store: &dyn Store,
    ) -> Result<Option<u64>, StoreError> {
        let (held, now_ms) = (table.holds(hash), now.as_millis());
        let longest_ms = self.params.as_ref().map_or(LONGEST_MS, |params| params.base_ejection_time_ms);
        let mut until_ms = None;
        rewrite(store, &self.cell, &mut |bytes| {
            let list = ejection::refuse(&ejection::decode(bytes), hash, held, now_ms, longest_ms);
            let entry = list.as_ref().and_then(|list| list.iter().find(|one| one.endpoint == hash));
            until_ms = entry.map(|one| one.refuses_until_ms.min(NAMED_AGAIN));
            list.map(|list| ejection::encode(&list))
        })?;
        let span = |until: u64| if until == NAMED_AGAIN { until } else { until.saturating_sub(now_ms) };
        Ok(until_ms.map(span))
    }

    /// Notes that an endpoint which refused a connection answers again, for all workers; whether that is new.
    ///
    /// # Errors
    /// The cell cannot be written.
    pub fn accept(&self, hash: u64, now: Timestamp, store: &dyn Store) -> Result<bool, StoreError> {
        let mut accepted = false;
        rewrite(store, &self.cell, &mut |bytes| {
            let list = ejection::accept(&ejection::decode(bytes), hash, now.as_millis());
            accepted = list.is_some();
            list.map(|list| ejection::encode(&list))
        })
        .map(|_| accepted)
    }

    /// Forgets refused connections of endpoints that the registry names again. To be called with a new table.
    ///
    /// # Errors
    /// The cell cannot be written.
    pub fn forget_named(&self, table: &Table, store: &dyn Store) -> Result<(), StoreError> {
        // Of one that the table does not have another configuration knows more.
        let is_named = |hash: u64| table.has(hash) && !table.holds(hash);
        let Some(list) = ejection::named(&self.list.borrow(), &is_named) else { return Ok(()) };
        self.list.replace(list);
        rewrite(store, &self.cell, &mut |bytes| {
            ejection::named(&ejection::decode(bytes), &is_named).map(|list| ejection::encode(&list))
        })
        .map(|_| ())
    }
}
