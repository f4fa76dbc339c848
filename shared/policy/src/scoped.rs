//! A host for one stage among several of one module.

use alloc::format;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

use crate::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use crate::time::Timestamp;

/// A host on which a stage numbers its metrics from 0, though those of others come before them,
/// whose log lines begin with the stage's name, and whose clock is read once in a callback, however
/// many stages ask for the time. Everything else is the host's own: its cells, whose names are each
/// policy's own, and its questions, whose answers all stages get.
#[derive(Clone, Copy, Debug)]
pub struct Scoped<'a, H> {
    host: &'a H,
    /// How many metrics come before the stage's.
    base: usize,
    name: &'static str,
    moment: &'a Moment,
}

/// What stages share in one callback: the time, once one asks for it, and whether one told all workers
/// something.
#[derive(Debug, Default)]
pub struct Moment {
    now: OnceCell<Timestamp>,
    raised: Cell<bool>,
}

// === impl Moment ===

impl Moment {
    /// Whether a stage raised a counter for all workers to see.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.get()
    }
}

// === impl Scoped ===

impl<'a, H> Scoped<'a, H> {
    /// The host for the stage `name`, before whose metrics there are `base` of others.
    #[must_use]
    pub fn new(host: &'a H, base: usize, name: &'static str, moment: &'a Moment) -> Self {
        Self { host, base, name, moment }
    }
}

impl<H: Clock> Clock for Scoped<'_, H> {
    fn now(&self) -> Timestamp {
        *self.moment.now.get_or_init(|| self.host.now())
    }

    fn wall(&self) -> Timestamp {
        self.host.wall()
    }
}

impl<H: Store> Store for Scoped<'_, H> {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.host.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        self.host.replace(cell, bytes, version)
    }
}

impl<H: Callout> Callout for Scoped<'_, H> {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        self.host.ask(question)
    }
}

impl<H: Meter> Meter for Scoped<'_, H> {
    fn add(&self, index: usize, n: u64) {
        self.host.add(self.base.saturating_add(index), n);
    }

    fn raise(&self, index: usize) {
        self.moment.raised.set(true);
        self.host.raise(self.base.saturating_add(index));
    }

    fn read(&self, index: usize) -> u64 {
        self.host.read(self.base.saturating_add(index))
    }

    fn set(&self, index: usize, value: u64) {
        self.host.set(self.base.saturating_add(index), value);
    }
}

impl<H: Journal> Journal for Scoped<'_, H> {
    fn note(&self, line: &str) {
        self.host.note(&format!("{}: {line}", self.name));
    }
}
