//! What the worker that asks a question does with its answers: pure, but for its session.
//!
//! An answer is distrusted when it shrinks too fast ([`crate::discovery::distrust::shrink`]), and its endpoints when
//! they come and go ([`crate::discovery::distrust::flap`]). When to ask again and how long an answer serves is
//! [`crate::watch::leader`]'s, but for registries that change all the time.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::discovery::cells::snapshot::{Doubt, Entry, Snapshot, State};
use crate::discovery::config::policy::Cache;
use crate::discovery::distrust::flap::Flaps;
use crate::discovery::distrust::shrink::{Action, Guard};
use crate::discovery::endpoint::{Endpoint, Health, Key};
use crate::discovery::refresh::changes::Changes;
use crate::discovery::refresh::session::{FetchError, Session};
use crate::discovery::registry::protocol::FetchAnswer;
use crate::discovery::registry::AnswerError;
use crate::time::{Span, Timestamp};
use crate::watch::freshness::{self, CacheParams};
use crate::watch::leader::Leader;
use crate::watch::pace::{self, Pace};
use crate::watch::wait::Cut;

/// The leader of one question of a registry.
#[derive(Debug)]
pub struct QuestionLeader {
    /// When to ask, and how it went.
    pub leader: Leader,
    /// The registry that is asked.
    pub session: Session,
    /// What all workers are served.
    pub served: Snapshot,
    /// Lines for the log, each once.
    pub lines: Vec<String>,
    /// How long the registry may hold the query in flight; `None` when it answers at once.
    pub held: Option<Span>,
    /// A query that was ended before its time, until the next one says whether the registry is well.
    pub cut: Option<(Cut, FetchError)>,
    /// What the gauge shows of a set that is held back.
    pub shown_holding: Option<u64>,
    guard: Guard,
    flaps: Flaps,
    pace: Pace,
    changes: Changes,
    /// How soon the registry is asked whether it still has the held set; `None` when that will never be served.
    confirms: Option<Span>,
    /// Whether the snapshot of the leader before has to be published again.
    resumed: bool,
}

// === impl QuestionLeader ===

impl QuestionLeader {
    /// Begins with what workers were served before.
    #[must_use]
    pub fn new(leader: Leader, served: Snapshot, session: Session) -> Self {
        let believed = served.entries.iter().map(|entry| entry.endpoint.clone()).collect();
        Self {
            leader,
            session,
            lines: Vec::new(),
            held: None,
            cut: None,
            shown_holding: None,
            guard: Guard::new(believed),
            flaps: Flaps::default(),
            pace: Pace::default(),
            changes: Changes::default(),
            confirms: None,
            resumed: served.state != State::None,
            served,
        }
    }

    /// Whether a set is held back.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.guard.is_holding()
    }

    /// Whether the registry has to be asked whether it still has the held set, whatever its answers cost: so often
    /// that the set is confirmed in time, and no more often.
    #[must_use]
    pub fn must_confirm(&self, now: Timestamp) -> bool {
        self.confirms.is_some_and(|soon| now.since(self.leader.asked) >= soon)
    }

    /// How long the registry may hold the next query; `None` for an answer at once: nothing was said yet
    /// that it can differ from, or the last query failed or was cut. What is held back has to be confirmed, so that
    /// the next answer comes soon even if nothing changes.
    #[must_use]
    pub fn next_hold(&self) -> Option<Span> {
        let at_once = self.leader.failures > 0 || self.cut.is_some() || !self.session.can_wait();
        let hold = self.session.holds_queries().filter(|_| !at_once)?;
        Some(self.confirms.map_or(hold, |soon| hold.min(soon))).filter(|hold| *hold > Span::ZERO)
    }

    /// Takes a good answer; whether workers have to be told.
    pub fn took(&mut self, answer: FetchAnswer, cache: &Cache, now: Timestamp, draw: u64) -> bool {
        self.leader.succeeded(answer.holds, now);
        match answer.found.skipped {
            0 => self.recover(answer.found.endpoints.len()),
            skipped => {
                let line = format!(
                    "{skipped} entries cannot be used: no address, one that is not allowed, or too many"
                );
                self.complain("skipped", line);
            }
        }
        let changed = self.serve(answer.found.endpoints, cache, now);
        let period = Span::from_millis(cache.ttl_ms);
        let soon = self.confirms.map(|soon| now.plus(freshness::next_fetch(soon, draw)));
        let next = match answer.holds {
            None => {
                // A wait whose time was up is no haste, however short it is configured.
                let waited = self.held.is_some_and(|wait| now.since(self.leader.asked) >= wait)
                    || self.cut.as_ref().is_some_and(|(cut, _)| cut.after >= pace::INTERVAL);
                let (pace, next) = self.pace.next(now, changed || waited);
                self.pace = pace;
                let next = next.max(self.changes.next_query(changed, now));
                soon.map_or(next, |soon| next.min(soon))
            }
            Some(_) if soon.is_some() => soon.unwrap_or(now),
            Some(Span::ZERO) => now.plus(freshness::next_fetch(period, draw)),
            // Asked again before caches on the way have forgotten it, it would say the same.
            Some(holds) if self.session.holds_queries().is_none() => {
                now.plus(holds.plus(freshness::first_fetch(holds.ceil_part(10), draw)))
            }
            Some(holds) => now.plus(holds),
        };
        self.leader.ask_at(next);
        self.cut = None;
        changed
    }

    /// Whether an error of the query in flight says nothing of the registry: something in between ended it
    /// before its time. Then the next one follows, for an answer at once.
    pub fn is_cut_by(&mut self, error: &FetchError, now: Timestamp) -> bool {
        let cut = self.cut_of(error, now).filter(|_| self.cut.is_none());
        self.cut = cut.map(|cut| (cut, error.clone()));
        if cut.is_some() {
            self.leader.ask_at(now);
        }
        cut.is_some()
    }

    fn cut_of(&self, error: &FetchError, now: Timestamp) -> Option<Cut> {
        let certain = match error {
            FetchError::Answer(AnswerError::Status(408 | 504)) => true,
            FetchError::Answer(AnswerError::Status(502 | 503) | AnswerError::NoAnswer) => false,
            _ => return None,
        };
        Cut::of(self.leader.asked, self.held, certain, now)
    }

    /// Takes a failure; whether workers have to be told.
    pub fn failed(&mut self, error: &FetchError, cache: &Cache, now: Timestamp, draw: u64) -> bool {
        if error.is_unknown() {
            return self.took_nothing(cache, now, draw);
        }
        self.leader.failed(error.is_answer(), Span::from_millis(cache.max_backoff_ms), now, draw);
        let line = format!("{error}; {}", self.meanwhile());
        self.complain(&error.reason(), line);
        false
    }

    /// Takes the answer that there is no such service.
    fn took_nothing(&mut self, cache: &Cache, now: Timestamp, draw: u64) -> bool {
        let first = Span::from_millis(cache.negative_ttl_ms);
        // One that was there is looked for as often as a registry that was.
        let longest = match self.served.state {
            State::Known | State::Expired => Span::from_millis(cache.max_backoff_ms),
            State::None | State::Unknown => freshness::LONGEST,
        };
        self.leader.absent(first, longest, now, draw);
        if !self.guard.serving().is_empty() {
            // As if it had answered with an empty set, which is not believed at once.
            return self.serve(Vec::new(), cache, now);
        }
        let unknown = Snapshot { state: State::Unknown, entries: Vec::new() };
        self.complain("unknown", "does not know the service".to_string());
        self.replace(unknown)
    }

    /// Gives up what is too old; whether workers have to be told.
    pub fn expire(&mut self, cache: &Cache, now: Timestamp) -> bool {
        if self.leader.failures == 0 || cache.serve_forever || self.served.state != State::Known {
            return false;
        }
        let params = CacheParams {
            ttl: Span::from_millis(cache.ttl_ms),
            stale_while_revalidate: Span::from_millis(cache.stale_while_revalidate_ms),
            stale_if_error: Span::from_millis(cache.stale_if_error_ms),
        };
        let age = self.leader.age(now);
        if params.freshness(age, true).serves() {
            return false;
        }
        self.lines.push(format!("the last good answer is {} s old and counts no longer", age.floor_secs()));
        self.guard = Guard::default();
        self.replace(Snapshot { state: State::Expired, entries: Vec::new() })
    }

    fn serve(&mut self, set: Vec<Endpoint>, cache: &Cache, now: Timestamp) -> bool {
        let (count, held_before) = (set.len(), self.is_holding());
        let judged = self.guard.fetched(&cache.shrink, now, set);
        // An endpoint that is only missing from a held answer did not go down.
        let served = self.guard.serving();
        let out = cache.flap.as_ref().map(|terms| self.flaps.seen(terms, now, served)).unwrap_or_default();
        match judged.action {
            Action::Hold if !held_before => {
                let missing = self.guard.missing();
                let shrank = format!("answer shrank from {} endpoints to {count}", judged.reference);
                self.lines.push(format!("{shrank}: keeping the missing {missing} until it is confirmed"));
            }
            Action::Apply | Action::ApplyConfirmed if held_before => {
                self.lines.push(format!("serving the answer as it is: {count} endpoints"));
            }
            _ => {}
        }
        let holding = self.is_holding();
        let soon = Span::from_millis(cache.ttl_ms).min(cache.shrink.hold.ceil_part(3));
        self.confirms = Some(soon).filter(|_| holding && (count > 0 || cache.shrink.allow_empty));
        let doubt = |key: Key| match key {
            _ if self.guard.is_missing(&key) => Some(Doubt::Held),
            _ if out.binary_search(&key).is_ok() => Some(Doubt::Damped),
            _ => None,
        };
        let first = self.served.state != State::Known;
        let entries = self.guard.serving().iter().map(|endpoint| {
            let doubt = doubt(endpoint.key());
            let since_ms = self.since(endpoint, doubt, first, now);
            Entry { endpoint: Endpoint { id: "".into(), ..endpoint.clone() }, since_ms, doubt }
        });
        let entries = entries.collect();
        self.replace(Snapshot { state: State::Known, entries })
    }

    /// Since when an endpoint is in good health: as far back as leaders remember, or from now on.
    fn since(&self, endpoint: &Endpoint, doubt: Option<Doubt>, first: bool, now: Timestamp) -> u64 {
        let good = |health: Health, doubt: Option<Doubt>| {
            matches!(health, Health::Healthy | Health::Degraded) && doubt != Some(Doubt::Damped)
        };
        let at = self.served.entries.binary_search_by_key(&endpoint.key(), |entry| entry.endpoint.key());
        match at.ok().and_then(|at| self.served.entries.get(at)) {
            Some(known) if good(known.endpoint.health, known.doubt) || !good(endpoint.health, doubt) => {
                known.since_ms
            }
            None if first => 0,
            _ => now.as_millis(),
        }
    }

    fn replace(&mut self, new: Snapshot) -> bool {
        // This publishes the snapshot of the leader before, too.
        let resumed = core::mem::take(&mut self.resumed);
        let changed = self.served != new || resumed;
        self.served = new;
        changed
    }

    /// Says what is wrong, once for each reason.
    fn complain(&mut self, reason: &str, line: String) {
        if self.leader.is_new_trouble(reason) {
            self.lines.push(line);
        }
    }

    /// Says that nothing is wrong any more.
    fn recover(&mut self, endpoints: usize) {
        if self.leader.ends_trouble() {
            self.lines.push(format!("answers again, with {endpoints} endpoints"));
        }
    }

    fn meanwhile(&self) -> String {
        match (self.served.state, self.served.entries.len()) {
            (State::Known, count @ 1..) => {
                format!("its last good answer is served on, with {count} endpoints")
            }
            _ => "there is no good answer yet".to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::distrust::{flap, shrink};
    use crate::discovery::registry::dns::config::{Dns, NameQuery, Record, Resolver};
    use crate::discovery::registry::dns::protocol;
    use crate::discovery::registry::Found;
    use crate::watch::status::Status;

    const DRAW: u64 = 1 << 63;

    fn cache() -> Cache {
        Cache {
            ttl_ms: 10_000,
            stale_while_revalidate_ms: 60_000,
            stale_if_error_ms: 86_400_000,
            serve_forever: false,
            negative_ttl_ms: 5_000,
            max_backoff_ms: 5_000,
            max_bytes: 16 << 20,
            shrink: shrink::ShrinkParams::default(),
            flap: None::<flap::FlapParams>,
        }
    }

    /// A leader of a name that the host resolves.
    fn leader(status: &Status) -> QuestionLeader {
        let query = NameQuery { name: "orders".into(), record: Record::Any, port: 80 };
        let dns = Dns { resolver: Resolver::Host, timeout_ms: 1_000 };
        let session = Session::new(protocol::of(&dns, &query));
        QuestionLeader::new(Leader::new(status), Snapshot::default(), session)
    }

    fn status_of(code: u16) -> FetchError {
        FetchError::Answer(AnswerError::Status(code))
    }

    /// One endpoint, and this many entries that are none.
    fn good(skipped: usize) -> FetchAnswer {
        let endpoint = Endpoint::new("", core::net::Ipv4Addr::LOCALHOST.into(), 80).unwrap();
        FetchAnswer { found: Found { endpoints: std::vec![endpoint], skipped }, holds: Some(Span::ZERO) }
    }

    /// A lease that changed hands had each holder say the same.
    #[test]
    fn a_failure_is_logged_once_whichever_worker_leads() {
        let (now, down) = (Timestamp::ZERO, status_of(500));
        let mut first = leader(&Status::default());
        assert!(!first.failed(&down, &cache(), now, DRAW) && !first.failed(&down, &cache(), now, DRAW));
        assert_eq!(first.lines, ["the registry answered with status 500; there is no good answer yet"]);

        let mut second = leader(&first.leader.note(Status::default()));
        assert!(!second.failed(&down, &cache(), now, DRAW));
        assert_eq!((second.leader.failures, second.lines.len()), (3, 0));
        assert!(!second.failed(&status_of(403), &cache(), now, DRAW));
        assert_eq!(second.lines, ["the registry answered with status 403; there is no good answer yet"]);

        let mut third = leader(&second.leader.note(Status::default()));
        assert!(third.took(good(0), &cache(), now, DRAW));
        assert_eq!(third.lines, ["answers again, with 1 endpoints"]);
        assert_eq!(
            (third.leader.note(Status::default()).failures, third.leader.note(Status::default()).trouble),
            (0, 0)
        );
    }

    /// One of two name servers does not have the zone, say.
    #[test]
    fn an_endpoint_missing_from_a_held_answer_does_not_flap() {
        let cache = Cache { flap: Some(flap::FlapParams::default()), ..cache() };
        let mut lead = leader(&Status::default());
        for n in 0..40_u64 {
            let now = Timestamp::ZERO.plus(Span::from_secs(5 * n));
            if n % 2 == 0 {
                let _ = lead.took(good(0), &cache, now, DRAW);
                assert_eq!(lead.served.entries[0].endpoint.health, Health::Healthy, "at {n}");
            } else {
                let _ = lead.failed(&FetchError::Answer(AnswerError::Unknown), &cache, now, DRAW);
                assert_eq!(lead.served.entries.len(), 1);
            }
        }
    }

    /// Each answer of that kind was announced as the end of trouble and as new trouble.
    #[test]
    fn unusable_entries_of_good_answers_are_logged_once() {
        let mut lead = leader(&Status::default());
        let mut said = |skipped: usize| {
            lead.lines.clear();
            let _ = lead.took(good(skipped), &cache(), Timestamp::ZERO, DRAW);
            lead.lines.len()
        };
        assert_eq!([4, 4, 4, 5, 0, 0, 5].map(&mut said), [1, 0, 0, 0, 1, 0, 1]);
    }
}
