//! What one worker knows of one registry, whichever service it asked for, and says of it once.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;

use crate::discovery::config::policy::{Policy, Registry};
use crate::discovery::refresh::session::FetchError;
use crate::host::Journal;
use crate::time::{Span, Timestamp};
use crate::watch::wait::{Cut, WaitLimit};

/// What one worker knows of one registry.
#[derive(Debug)]
pub struct RegistryState {
    policy: Rc<Policy>,
    at: usize,
    limit: Cell<WaitLimit>,
    /// Whether the log has what to do about queries that are cut, and about the registry's own limits.
    said: [Cell<bool>; 2],
}

// === impl RegistryState ===

impl RegistryState {
    /// Nothing is known yet of the registry at this place.
    #[must_use]
    pub fn new(policy: &Rc<Policy>, at: usize) -> Self {
        Self { policy: Rc::clone(policy), at, limit: Cell::default(), said: Default::default() }
    }

    /// How long a query may be held that could be for `hold`; `None` for not at all.
    #[must_use]
    pub fn wait(&self, hold: Span, now: Timestamp) -> Option<Span> {
        self.limit.get().of(hold, now)
    }

    /// Takes a query that ended by `error` before its time, at a registry that is well. Queries could be held
    /// for `hold`.
    pub fn learn(&self, (cut, error): &(Cut, FetchError), hold: Span, now: Timestamp, host: &dyn Journal) {
        let mut limit = self.limit.get();
        let new = limit.learn(*cut, now);
        self.limit.set(limit);
        if new && !self.said[0].replace(true) {
            let (after, asked) = (cut.after.as_millis(), hold.as_millis());
            let least = hold.plus(hold.ceil_part(16)).as_millis();
            let from_now_on = match limit.of(hold, now) {
                Some(wait) => format!("they ask for {} ms at a time", wait.as_millis()),
                None => String::from("they are sent every `ttl_ms`"),
            };
            self.note(
                &format!(
                    "something in between ends queries after {after} ms ({error}), before their wait of {asked} ms: \
                     {from_now_on}; raise its timeout above {least} ms, or lower `wait_ms`"
                ),
                host,
            );
        }
    }

    /// Says what to do about an answer of this status, if anything.
    pub fn advise(&self, status: u16, host: &dyn Journal) {
        let advice = self.registry().and_then(|registry| registry.kind.advice(status));
        if let Some(advice) = advice.filter(|_| !self.said[1].replace(true)) {
            self.note(advice, host);
        }
    }

    /// Says how many queries are not held.
    pub fn note_polled(&self, polled: usize, host: &dyn Journal) {
        let Some(registry) = self.registry() else { return };
        let (ttl_ms, most) = (registry.cache.ttl_ms, registry.kind.max_blocking_queries().unwrap_or(0));
        let line = format!(
            "{polled} queries are sent every {ttl_ms} ms and not held until something changes: \
             `max_blocking_queries` is {most}"
        );
        self.note(&line, host);
    }

    fn registry(&self) -> Option<&Registry> {
        self.policy.registries.get(self.at)
    }

    fn note(&self, line: &str, host: &dyn Journal) {
        if let Some(registry) = self.registry() {
            host.note(&format!("registry {}: {line}", registry.name));
        }
    }
}
