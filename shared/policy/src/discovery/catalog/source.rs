//! One source of a service's endpoints, as one worker reads it.

use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell};
use core::ops::Deref;

use crate::discovery::cells::question::Question;
use crate::discovery::cells::snapshot::{self, Entry, Snapshot, State};
use crate::discovery::endpoint::Endpoint;
use crate::host::{Store, StoreError};

/// Where endpoints come from.
#[derive(Debug)]
pub enum Source {
    /// From a registry, through the cells that one worker writes for all.
    Asked {
        /// The question to the registry.
        question: Question,
        /// The version of the snapshot that was read last.
        version: Cell<Option<u32>>,
        /// That snapshot.
        snapshot: RefCell<Snapshot>,
    },
    /// From the configuration.
    Fixed(Vec<Entry>),
}

/// The entries of a source, as long as they are looked at.
#[derive(Debug)]
pub enum Entries<'a> {
    /// Of a snapshot.
    Asked(Ref<'a, Snapshot>),
    /// Of the configuration.
    Fixed(&'a [Entry]),
}

// === impl Source ===

impl Source {
    /// The source with this question; without one, the `fixed` endpoints of the configuration.
    #[must_use]
    pub fn new(question: Option<&Question>, fixed: &[Endpoint]) -> Self {
        match question {
            Some(question) => Self::Asked {
                question: question.clone(),
                version: Cell::default(),
                snapshot: RefCell::default(),
            },
            None => {
                let entry = |endpoint: &Endpoint| Entry::new(endpoint.clone(), 0);
                Self::Fixed(fixed.iter().map(entry).collect())
            }
        }
    }

    /// Reads the snapshot if there is a new one; whether its endpoints changed.
    ///
    /// # Errors
    /// The cells cannot be read.
    pub fn read(&self, host: &dyn Store) -> Result<bool, StoreError> {
        let Self::Asked { question, version, snapshot } = self else { return Ok(false) };
        let Some((new, bytes)) = question.cells.read(version.get(), host)? else { return Ok(false) };
        version.set(Some(new));
        let Some(read) = snapshot::decode(&bytes, question.cells.question) else { return Ok(false) };
        let changed = *snapshot.borrow() != read;
        snapshot.replace(read);
        Ok(changed)
    }

    /// Forgets the snapshot, which is read again when it is needed.
    pub fn forget(&self) {
        if let Self::Asked { version, snapshot, .. } = self {
            version.take();
            snapshot.take();
        }
    }

    /// How much is known.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Asked { snapshot, .. } => snapshot.borrow().state,
            Self::Fixed(_) => State::Known,
        }
    }

    /// The endpoints.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        match self {
            Self::Asked { snapshot, .. } => Entries::Asked(snapshot.borrow()),
            Self::Fixed(entries) => Entries::Fixed(entries),
        }
    }
}

// === impl Entries ===

impl Deref for Entries<'_> {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        match self {
            Self::Asked(snapshot) => &snapshot.entries,
            Self::Fixed(entries) => entries,
        }
    }
}
