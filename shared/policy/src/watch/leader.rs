//! What the worker that asks a question knows: when to ask again, and how long its answer serves.
//!
//! Pure: the time and the draws are arguments. What an answer says is the user's.

use crate::hash::sip::{SipHash13, SipKey};
use crate::time::{Span, Timestamp};
use crate::watch::freshness::{error_wait, negative_ttl, next_fetch};
use crate::watch::status::Status;

/// What the leader of one question knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The term of its lease.
    pub term: u32,
    /// When the lease ends, unless it is renewed.
    pub expires_ms: u64,
    /// When the question was asked last.
    pub asked: Timestamp,
    /// When to ask next.
    pub next_ms: u64,
    /// Consecutive failures.
    pub failures: u32,
    /// When the answer was last known to hold; 0 for never.
    fetched_ms: u64,
    /// Consecutive answers that there is no such thing.
    absent: u32,
    /// What was wrong with the last answer, as a hash; 0 for nothing.
    trouble: u64,
    /// How long the last good answer holds by itself; `None` when a change of it is waited for.
    holds: Option<Span>,
}

/// The lease, of 3 s, is renewed when it ends sooner than this: at each second tick or so.
const RENEW: Span = Span::from_secs(2);
/// The longest that one leader binds the next to wait.
pub const LONGEST_WAIT: Span = Span::from_secs(60);
/// After this many failures the lease changes hands: the worker, or its configuration, may be at fault.
/// Fewer would hand it on for a restart of the server.
const HANDS_ON: u32 = 3;

// === impl Leader ===

impl Leader {
    /// Begins where the leader before stopped.
    #[must_use]
    pub fn new(status: &Status) -> Self {
        Self {
            term: status.lease.term,
            expires_ms: status.lease.expires_ms,
            asked: Timestamp::ZERO,
            next_ms: status.next_ms,
            failures: status.failures,
            fetched_ms: status.fetched_ms,
            absent: 0,
            trouble: status.trouble,
            holds: Some(Span::ZERO),
        }
    }

    /// The status with what is known by now.
    #[must_use]
    pub fn note(&self, status: Status) -> Status {
        let (failures, fetched_ms, next_ms) = (self.failures, self.fetched_ms, self.next_ms);
        Status { failures, fetched_ms, next_ms, trouble: self.trouble, ..status }
    }

    /// Whether to ask.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        now.as_millis() >= self.next_ms
    }

    /// Whether to renew the lease.
    #[must_use]
    pub fn must_renew(&self, now: Timestamp) -> bool {
        self.expires_ms.saturating_sub(now.as_millis()) < RENEW.as_millis()
    }

    /// Whether another worker should try.
    #[must_use]
    pub fn hands_on(&self) -> bool {
        self.failures >= HANDS_ON
    }

    /// How old the answer is.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Span {
        Span::from_millis(now.as_millis().saturating_sub(self.fetched_ms))
    }

    /// Asks next at `at`.
    pub fn ask_at(&mut self, at: Timestamp) {
        self.next_ms = at.as_millis();
    }

    /// Asks at the latest after `wait`, whatever the leader before planned.
    pub fn wait_at_most(&mut self, wait: Span, now: Timestamp) {
        self.next_ms = self.next_ms.min(now.plus(wait).as_millis());
    }

    /// Takes a good answer, which holds for a while by itself; `None` when a change of it is waited for.
    /// When to ask next is the user's to say.
    pub fn succeeded(&mut self, holds: Option<Span>, now: Timestamp) {
        (self.failures, self.absent, self.fetched_ms) = (0, 0, now.as_millis());
        self.holds = holds;
    }

    /// Takes the answer that there is no such thing, which is no failure. It holds for `first`, then
    /// twice as long and so on, up to `longest`.
    pub fn absent(&mut self, first: Span, longest: Span, now: Timestamp, draw: u64) {
        self.absent = self.absent.saturating_add(1);
        (self.failures, self.fetched_ms) = (0, now.as_millis());
        self.ask_at(now.plus(next_fetch(negative_ttl(first, self.absent, longest), draw)));
    }

    /// Takes a failure, and backs off, for `longest` at most. `answered` says that the server did answer.
    pub fn failed(&mut self, answered: bool, longest: Span, now: Timestamp, draw: u64) {
        if self.failures == 0 && self.fetched_ms > 0 {
            // While a change was waited for all was well; until the server answered, if it did.
            let well = match self.holds {
                Some(holds) => Span::from_millis(self.fetched_ms).plus(holds).as_millis(),
                None if answered => now.as_millis(),
                None => self.asked.as_millis(),
            };
            self.fetched_ms = self.fetched_ms.max(well.min(now.as_millis()));
        }
        self.failures = self.failures.saturating_add(1);
        self.ask_at(now.plus(error_wait(self.failures, longest, draw)));
    }

    /// Remembers what is wrong; whether that is new. The next leader knows it too.
    pub fn is_new_trouble(&mut self, reason: &str) -> bool {
        let mut sip = SipHash13::new(SipKey::from_bytes([0; 16]));
        sip.write(reason.as_bytes());
        let trouble = sip.finish().max(1);
        core::mem::replace(&mut self.trouble, trouble) != trouble
    }

    /// Remembers that nothing is wrong; whether something was.
    pub fn ends_trouble(&mut self) -> bool {
        core::mem::take(&mut self.trouble) != 0
    }
}
