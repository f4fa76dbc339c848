//! The two cells of a question, and all that workers do with them.
//!
//! The status cell ([`crate::watch::status`]) says who asks and how it went; the answer cell has an
//! [`Origin`] and then what the user says. Both are named by a hash of all that makes the answer. A change
//! of leader fences: a worker that lost the lease publishes nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::host::{rewrite, Store, StoreError};
use crate::time::Timestamp;
use crate::watch::leader::Leader;
use crate::watch::origin::Origin;
use crate::watch::status::Status;

/// The cells of one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// The question: a hash of all that makes its answer.
    pub question: u64,
    /// The name of the cell with who asks, and when.
    pub status: String,
    /// The name of the cell with the answer.
    pub answer: String,
}

/// A worker at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its number among all that ever were, by [`enlist`].
    pub id: u64,
    /// Its configuration.
    pub config: u64,
    /// The instant.
    pub now: Timestamp,
}

/// Bytes of the cell that numbers workers.
pub const WORKERS_BYTES: usize = 8;
/// A worker that does not lead looks at the status once a second, or when the lease ends if that is
/// sooner: a leader that died is replaced at the next tick.
const LOOK_MS: u64 = 1_000;

/// Takes the next number of a worker from the cell `workers`.
///
/// # Errors
/// The cell cannot be written.
pub fn enlist(workers: &str, store: &dyn Store) -> Result<u64, StoreError> {
    let mut id = 0;
    rewrite(store, workers, &mut |bytes| {
        let last = bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        id = last.wrapping_add(1).max(1);
        Some(id.to_le_bytes().to_vec())
    })?;
    Ok(id)
}

// === impl Cells ===

impl Cells {
    /// The cells of a question; `prefix` is the user's own.
    #[must_use]
    pub fn new(prefix: &str, question: u64) -> Self {
        let name = |kind: &str| format!("{prefix}{kind}{question:016x}");
        Self { question, status: name("w"), answer: name("s") }
    }

    /// Has the workers of this configuration ask from now on.
    ///
    /// # Errors
    /// The status cell cannot be written.
    pub fn register(&self, config: u64, store: &dyn Store) -> Result<(), StoreError> {
        rewrite(store, &self.status, &mut |bytes| {
            let status = self.decode(bytes);
            (status.config != config).then(|| Status { config, ..status }.encode(self.question))
        })
    }

    /// Ends what `worker` has of the question: others need not wait for its lease, or for workers of its
    /// configuration.
    pub fn retire(&self, id: u64, config: u64, store: &dyn Store) {
        let _ = rewrite(store, &self.status, &mut |bytes| {
            let mut status = self.decode(bytes);
            let ours = status.config == config || status.lease.holder == id;
            if status.lease.holder == id {
                status.lease.expires_ms = 0;
            }
            if status.config == config {
                status.config = 0;
            }
            ours.then(|| status.encode(self.question))
        });
    }

    /// Takes the lease if it is free. The leader if so, and the millisecond at which to look again
    /// if not.
    pub fn lead(&self, worker: &Worker, store: &dyn Store) -> (Option<Leader>, u64) {
        let (mut found, mut taken) = (Status::default(), None);
        let result = rewrite(store, &self.status, &mut |bytes| {
            found = self.decode(bytes);
            let may = found.is_for(worker.config, worker.now);
            taken = found.taken(worker.id, self.question, worker.now).filter(|_| may);
            taken.map(|status| Status { config: worker.config, ..status }.encode(self.question))
        });
        let now_ms = worker.now.as_millis();
        let look_ms =
            now_ms.saturating_add(LOOK_MS).min(found.lease.expires_ms.max(now_ms.saturating_add(1)));
        (taken.filter(|_| result.is_ok()).map(|status| Leader::new(&status)), look_ms)
    }

    /// Renews the lease and notes what the leader knows; whether it still leads.
    pub fn renew(&self, leader: &mut Leader, worker: &Worker, store: &dyn Store) -> bool {
        let mut kept = None;
        let result = rewrite(store, &self.status, &mut |bytes| {
            let status = self.decode(bytes);
            let ours = status.lease.holder == worker.id && status.lease.term == leader.term;
            let for_us = status.config == 0 || status.config == worker.config;
            kept = status.taken(worker.id, self.question, worker.now).filter(|_| ours && for_us);
            kept.map(|status| leader.note(status).encode(self.question))
        });
        let kept = kept.filter(|_| result.is_ok());
        leader.expires_ms = kept.map_or(leader.expires_ms, |status| status.lease.expires_ms);
        kept.is_some()
    }

    /// Gives the lease back, to workers of the configuration that is in force, or of any after too many
    /// failures. The millisecond at which to look again.
    pub fn release(&self, leader: &Leader, worker: &Worker, store: &dyn Store) -> u64 {
        let _ = rewrite(store, &self.status, &mut |bytes| {
            let mut status = self.decode(bytes);
            let ours = status.lease.holder == worker.id && status.lease.term == leader.term;
            status.lease = status.lease.release(worker.id, worker.now)?;
            if leader.hands_on() {
                status.config = 0;
            }
            ours.then(|| leader.note(status).encode(self.question))
        });
        worker.now.as_millis().saturating_add(LOOK_MS)
    }

    /// Writes an answer of `leader`, which begins with its [`Origin`]; whether all workers will read it. If
    /// not, the leader leads no more.
    pub fn publish(&self, leader: &Leader, answer: &[u8], worker: &Worker, store: &dyn Store) -> bool {
        let holds = |status: &Status| status.lease.holds(worker.id, leader.term, worker.now);
        let status = store.load(&self.status).ok().flatten();
        if !status.is_some_and(|(bytes, _)| holds(&self.decode(&bytes))) {
            return false;
        }
        let mut fenced = false;
        let written = rewrite(store, &self.answer, &mut |bytes| {
            let later = |origin: Origin| origin.question == self.question && origin.term > leader.term;
            fenced = Origin::decode(bytes).is_some_and(later);
            (!fenced).then(|| answer.to_vec())
        });
        let mut ours = false;
        let noted = rewrite(store, &self.status, &mut |bytes| {
            let status = self.decode(bytes);
            let next = Status { version: status.version.wrapping_add(1), ..leader.note(status) };
            ours = !fenced && holds(&status);
            ours.then(|| next.encode(self.question))
        });
        ours && written.is_ok() && noted.is_ok()
    }

    /// The answer cell, if it was written since version `seen`, with its version.
    ///
    /// # Errors
    /// A cell cannot be read.
    pub fn read(&self, seen: Option<u32>, store: &dyn Store) -> Result<Option<(u32, Vec<u8>)>, StoreError> {
        let (bytes, _) = store.load(&self.status)?.ok_or(StoreError::Unavailable)?;
        let version = self.decode(&bytes).version;
        if seen == Some(version) {
            return Ok(None);
        }
        let (bytes, _) = store.load(&self.answer)?.ok_or(StoreError::Unavailable)?;
        Ok(Some((version, bytes)))
    }

    fn decode(&self, status: &[u8]) -> Status {
        Status::decode(status, self.question)
    }
}
