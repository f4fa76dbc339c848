//! What a worker keeps of one breaker: a copy of what others know, and what it counted itself.
//!
//! A closed breaker is asked nothing but its copy. The copy is read anew when the breaker's
//! counter of transitions has moved, which all workers see at once, and with every tick. What
//! came of requests is counted in memory and told to the others at once when it is bad, within
//! 100 ms when it is good (reference 1.9). Of many targets only those that are not closed are
//! looked up, and only those that failed ever take room in the table.

use core::cell::{Cell, RefCell};

use crate::breaker::cells::index::Index;
use crate::breaker::cells::record::Record;
use crate::breaker::cells::{fingerprint, Cells, Updated};
use crate::breaker::config::Breaker;
use crate::breaker::decide::Admission;
use crate::breaker::metrics::{self, BreakerMetric};
use crate::breaker::overload;
use crate::breaker::params::BreakerParams;
use crate::breaker::report::Evidence;
use crate::breaker::state::State;
use crate::breaker::transition::Reason;
use crate::breaker::worker::entries::Entries;
use crate::breaker::worker::entry::{Answer, Context, Head, Ticket};
use crate::host::{Host, StoreError};

/// What a worker keeps of one breaker.
pub(crate) struct LocalBreaker {
    pub(crate) cells: Cells,
    /// The counter of transitions as it was when the copies were made.
    seen: Cell<Option<u64>>,
    /// Targets that this worker met. The only target of a breaker without a table is 0.
    pub(crate) entries: RefCell<Entries>,
    pub(crate) index: RefCell<Index>,
    /// The parameters that records are merged with: a soft breaker never opens.
    pub(crate) params: BreakerParams,
}

/// Most targets of one breaker that a worker keeps counts of.
pub(crate) const MAX_ENTRIES: usize = 4_096;

// === impl LocalBreaker ===

impl LocalBreaker {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        let never = BreakerParams { consecutive_failures: 0, minimum_calls: u32::MAX, ..breaker.params };
        Self {
            cells: Cells::new(breaker),
            seen: Cell::new(None),
            entries: RefCell::default(),
            index: RefCell::default(),
            params: if breaker.soft.is_some() { never } else { breaker.params },
        }
    }

    /// Whether a request may pass.
    #[inline(never)]
    pub(crate) fn admit(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<Answer, StoreError> {
        match cx.breaker.params.demanded {
            State::ForcedOpen => return Ok(Answer::Refuse { retry_after_ms: None }),
            State::Disabled => return Ok(Answer::Pass),
            _ => {}
        }
        let ticket =
            |generation| Ticket { breaker: cx.at, target, generation, probe: false, started_ms: cx.now_ms };
        let Some(head) = self.own_head(cx, target)? else { return Ok(Answer::Admit(ticket(0))) };
        match head.state {
            _ if cx.breaker.params.demanded == State::MetricsOnly => {
                Ok(Answer::Admit(ticket(head.generation)))
            }
            State::Closed | State::Open | State::HalfOpen if cx.breaker.soft.is_some() => {
                Ok(if overload::refuses(head.share, cx.draw) {
                    Answer::Refuse { retry_after_ms: Some(0) }
                } else {
                    Answer::Admit(ticket(head.generation))
                })
            }
            State::Closed | State::MetricsOnly => Ok(Answer::Admit(ticket(head.generation))),
            State::Disabled => Ok(Answer::Pass),
            State::ForcedOpen => Ok(Answer::Refuse { retry_after_ms: None }),
            State::Open if cx.now_ms < head.at_ms => {
                Ok(Answer::Refuse { retry_after_ms: Some(head.at_ms.saturating_sub(cx.now_ms)) })
            }
            State::Open | State::HalfOpen => self.ask(cx, ticket(head.generation)),
        }
    }

    /// The ticket of a request that began at `started_ms` and was known to nobody here until it
    /// failed. If it began after the breaker became half-open it was a probe, as no other passed.
    pub(crate) fn late_ticket(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        started_ms: u64,
    ) -> Result<Ticket, StoreError> {
        let head = self.head(cx, target)?;
        let most = cx.breaker.params.max_half_open_ms;
        let began = |head: Head| most > 0 && started_ms >= head.at_ms.saturating_sub(most);
        let probe = head.is_some_and(|head| head.state == State::HalfOpen && began(head));
        let generation = head.map_or(0, |head| head.generation);
        Ok(Ticket { breaker: cx.at, target, generation, probe, started_ms })
    }

    /// Whether a request to the only target would pass now. Asks for no permit.
    pub(crate) fn would_pass(&self, cx: &Context<'_, impl Host>) -> Result<bool, StoreError> {
        let Some(head) = self.own_head(cx, 0)? else { return Ok(true) };
        Ok(match head.state {
            State::Closed => !overload::refuses(head.share, cx.draw),
            State::Disabled | State::MetricsOnly => true,
            State::ForcedOpen | State::HalfOpen | State::Open => false,
        })
    }

    /// Housekeeping: copies are renewed, counts told, probes given up that did not come back.
    pub(crate) fn tick(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        self.seen.set(None);
        if cx.breaker.target.is_many() {
            let seen = cx.host.read(metrics::index(cx.at, BreakerMetric::Transitions));
            self.refresh_index(cx)?;
            self.seen.set(Some(seen));
            self.forget(cx)?;
            cx.host.set(metrics::index(cx.at, BreakerMetric::Open), self.index.borrow().len());
            return self.sweep(cx);
        }
        let head = self.head(cx, 0)?;
        let over = |h: Head| h.state == State::HalfOpen && h.at_ms != 0 && cx.now_ms >= h.at_ms;
        if head.is_some_and(|head| over(head) && head.state.suits(cx.breaker.params.demanded)) {
            self.expire(cx)?;
            self.head(cx, 0)?;
        }
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(0) else { return Ok(()) };
        if !entry.delta.slots.is_empty() {
            self.flush(cx, 0, entry, &|| 0)?;
        }
        let head = entry.head;
        let held = cx.breaker.params.demanded;
        let shown = if held == State::Closed { head.map_or(State::Closed, |head| head.state) } else { held };
        let state = shown as u64;
        cx.host.set(metrics::index(cx.at, BreakerMetric::State), state);
        let open = matches!(shown, State::Open | State::HalfOpen | State::ForcedOpen);
        cx.host.set(metrics::index(cx.at, BreakerMetric::Open), u64::from(open));
        cx.host.set(
            metrics::index(cx.at, BreakerMetric::RefusingPercent),
            head.map_or(0, Head::refusing_percent),
        );
        Ok(())
    }

    /// Takes targets off the index whose time was over long ago and whom nobody asked for since. Should
    /// one come back it is listed with its next failure.
    fn forget(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        let before_ms = cx.now_ms.saturating_sub(self.params.max_open_ms);
        if self.index.borrow().has_older(before_ms) {
            let index = self.cells.reindex(cx.host, &mut |index| index.drop_older(before_ms))?;
            *self.index.borrow_mut() = index;
        }
        Ok(())
    }

    /// Tells what is pending of many targets, and forgets those that nobody asks for.
    #[inline(never)]
    fn sweep(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        let window_ms = self.params.slot_ms.saturating_mul(self.params.slots.into());
        let mut entries = self.entries.borrow_mut();
        for (target, entry) in entries.iter_mut().filter(|(_, entry)| entry.tracked) {
            // What is listed is looked at anew: others may have died before they could tell.
            entry.seen = None;
            if !entry.delta.slots.is_empty() {
                self.flush(cx, target, entry, &|| 0)?;
            }
        }
        entries.retain(|entry| cx.now_ms.saturating_sub(entry.used_ms) < window_ms);
        Ok(())
    }

    /// The head of a target's record, once that is for these parameters. The host configures nothing
    /// anew when an operator returns to a document whose connections are not all gone: then whoever
    /// has requests finds the record held in a state that another document demanded.
    fn own_head(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<Option<Head>, StoreError> {
        let head = self.head(cx, target)?;
        let ours = cx.breaker.params.demanded != State::Closed;
        if ours || head.is_none_or(|head| head.state.suits(State::Closed)) {
            return Ok(head);
        }
        self.update(cx, target, None, |_| ())?;
        self.seen.set(None);
        if let Some(entry) = self.entries.borrow_mut().get_mut(target) {
            entry.seen = None;
        }
        self.head(cx, target)
    }

    /// The head of a target's record; `None` when it is closed and nothing is known of it.
    #[inline(never)]
    fn head(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<Option<Head>, StoreError> {
        let many = cx.breaker.target.is_many();
        let seen = cx.host.read(metrics::index(cx.at, BreakerMetric::Transitions));
        if many {
            if self.seen.get() != Some(seen) {
                self.refresh_index(cx)?;
                self.seen.set(Some(seen));
            }
            if !self.index.borrow().may_list(fingerprint(target)) {
                return Ok(None);
            }
        }
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get(target) {
            let fresh = if many { entry.seen } else { self.seen.get() };
            if fresh == Some(seen) {
                return Ok(entry.head);
            }
        }
        let record = self.cells.read(cx.breaker, target, cx.host)?;
        let head = record.as_ref().map(|record| Head::of(record, cx));
        if !many {
            self.seen.set(Some(seen));
        }
        let Some(entry) = entries.get_or_insert(target, MAX_ENTRIES) else { return Ok(head) };
        (entry.seen, entry.used_ms) = (Some(seen), cx.now_ms);
        entry.learn(cx, head);
        let over = many && self.index.borrow().is_over(fingerprint(target), cx.now_ms);
        if over && head.is_none_or(|head| head.state == cx.breaker.params.demanded) {
            // Listed although it is closed: whoever closed it did not live to say so.
            *self.index.borrow_mut() =
                self.cells.reindex(cx.host, &mut |index| index.remove(fingerprint(target)))?;
        }
        Ok(head)
    }

    #[inline(never)]
    fn refresh_index(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        *self.index.borrow_mut() = self.cells.index(cx.host)?;
        Ok(())
    }

    /// Asks the record itself, which may have to change for the answer.
    #[inline(never)]
    fn ask(&self, cx: &Context<'_, impl Host>, ticket: Ticket) -> Result<Answer, StoreError> {
        let step = |record: &mut Record| record.admit(&self.params, cx.now_ms, cx.draw);
        let Some((done, (admission, reason))) = self.update(cx, ticket.target, None, step)? else {
            return Ok(Answer::Admit(ticket));
        };
        if let Some(reason) = reason {
            let evidence = Evidence { probes: done.before.probes, ..Evidence::default() };
            // The permit is taken, whether or not everybody hears of it.
            let told = self.announce(cx, ticket.target, &done.before, &done.record, reason, &evidence);
            cx.count(BreakerMetric::Undecided, told.is_err().into());
        }
        Ok(match admission {
            Admission::Admit { generation, probe } => Answer::Admit(Ticket { generation, probe, ..ticket }),
            Admission::Refuse { retry_after_ms } => Answer::Refuse { retry_after_ms },
        })
    }

    #[inline(never)]
    fn expire(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        let step = |record: &mut Record| record.expire(&self.params, cx.now_ms, cx.draw);
        match self.update(cx, 0, None, step)? {
            Some((done, true)) => {
                let evidence = Evidence { probes: done.before.probes, ..Evidence::default() };
                self.announce(cx, 0, &done.before, &done.record, Reason::Expired, &evidence)
            }
            _ => Ok(()),
        }
    }

    /// Changes the record of a target, which is for these parameters then.
    pub(crate) fn update<T>(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        insert: Option<u64>,
        mut step: impl FnMut(&mut Record) -> T,
    ) -> Result<Option<(Updated, T)>, StoreError> {
        let (mut lost, mut said) = (0, None);
        let params = &cx.breaker.params;
        let step = &mut |record: &mut Record| {
            if params.demanded == State::Closed && !record.state.suits(State::Closed) {
                record.take_over(params, cx.now_ms);
            }
            said = Some(step(record));
        };
        let done = self.cells.update(cx.breaker, target, insert, cx.host, &mut lost, step);
        cx.count(BreakerMetric::Contended, lost);
        Ok(done?.zip(said))
    }
}
