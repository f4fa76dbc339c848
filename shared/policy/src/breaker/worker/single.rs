//! A breaker with one target, a cluster or a route: one record, which every request meets.
//!
//! The worker's copy of the record is fresh until the counter of transitions moves or a tick comes,
//! so that between ticks a closed breaker costs no store call. Only here are the state gauge and the
//! share that a soft breaker refuses; a half-open time without requests is ended by a tick.

use core::cell::RefCell;

use crate::breaker::cells::record::Record;
use crate::breaker::cells::single::RecordCell;
use crate::breaker::cells::Updated;
use crate::breaker::config::Breaker;
use crate::breaker::decide::{self, Admission};
use crate::breaker::metrics::BreakerMetric;
use crate::breaker::report::Evidence;
use crate::breaker::state::State;
use crate::breaker::transition::{self, Reason};
use crate::breaker::worker::context::{Context, Ticket};
use crate::breaker::worker::entry::{Entry, Head};
use crate::host::{Host, StoreError};
use crate::http::classify::Class;

/// The record's cell, and what this worker keeps of it.
pub(crate) struct Single {
    pub(crate) cell: RecordCell,
    entry: RefCell<Entry>,
}

// === impl Single ===

impl Single {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        Self { cell: RecordCell::new(breaker), entry: RefCell::default() }
    }

    /// The head of the record, read again when some breaker's state changed. Counts of an earlier
    /// generation are dropped: they are not for the state that is now.
    #[inline(never)]
    pub(crate) fn head(&self, cx: &Context<'_, impl Host>) -> Result<Option<Head>, StoreError> {
        let seen = cx.transitions();
        let mut entry = self.entry.borrow_mut();
        if let Some(head) = entry.fresh(seen) {
            return Ok(head);
        }
        let head = Head::of(&self.cell.read(&cx.breaker.params, cx.host)?, cx);
        entry.learn(Some(head), seen, cx.now_ms);
        if head.generation != entry.delta.generation {
            cx.count(BreakerMetric::Stale, entry.delta.total().into());
            entry.delta.restart(head.generation);
        }
        Ok(Some(head))
    }

    /// Makes the next request read the head again.
    pub(crate) fn forget_head(&self) {
        self.entry.borrow_mut().seen = None;
    }

    /// Counts the outcome of a request, and merges what is counted if that is due.
    pub(crate) fn count(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: &Ticket,
        class: Class,
        slow: bool,
    ) -> Result<(), StoreError> {
        let mut entry = self.entry.borrow_mut();
        if entry.delta.generation != ticket.generation {
            cx.count(BreakerMetric::Stale, 1);
            return Ok(());
        }
        if entry.count(cx, ticket, class, slow) {
            return self.flush(cx, &mut entry);
        }
        Ok(())
    }

    /// Whether a request may not pass, by the copy as it is.
    pub(crate) fn blocks(&self) -> Option<bool> {
        self.entry.borrow().head.map(|head| head.state != State::Closed || head.share > 0.0)
    }

    /// Whether a request would be refused now, by the record itself, which stays as it is.
    pub(crate) fn would_refuse(&self, cx: &Context<'_, impl Host>, upload: bool) -> Result<bool, StoreError> {
        let mut record = self.cell.read(&cx.breaker.params, cx.host)?;
        let (said, _) = decide::admit(&mut record, cx.params, upload, cx.now_ms, cx.draw);
        Ok(matches!(said, Admission::Refuse { .. }))
    }

    pub(crate) fn is_troubled(&self) -> bool {
        self.entry.borrow().is_troubled()
    }

    /// Reads the record again, ends a half-open time that is over, merges what is counted and sets
    /// the gauges.
    pub(crate) fn tick(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        self.forget_head();
        let head = self.head(cx)?;
        let over = |head: &Head| head.state == State::HalfOpen && head.at_ms != 0 && cx.now_ms >= head.at_ms;
        if head.is_some_and(|head| over(&head) && head.state.suits(cx.demanded())) {
            self.expire(cx)?;
            self.head(cx)?;
        }
        let mut entry = self.entry.borrow_mut();
        if !entry.delta.slots.is_empty() {
            self.flush(cx, &mut entry)?;
        }
        let state = match (cx.demanded(), entry.head) {
            (State::Closed, Some(head)) => head.shown(cx.now_ms),
            (demanded, _) => demanded,
        };
        let open = state.is_tripped() || state == State::ForcedOpen;
        cx.show(BreakerMetric::State, state as u64);
        cx.show(BreakerMetric::Open, open.into());
        cx.show(BreakerMetric::RefusingPercent, entry.head.map_or(0, Head::refusing_percent));
        Ok(())
    }

    /// Changes the record, once it is for these parameters.
    #[inline(never)]
    pub(crate) fn update(
        &self,
        cx: &Context<'_, impl Host>,
        step: &mut dyn FnMut(&mut Record),
    ) -> Result<Updated, StoreError> {
        let mut lost = 0;
        let done = self.cell.update(&cx.breaker.params, cx.host, &mut lost, &mut |record| {
            cx.release(record);
            step(record);
        });
        cx.count(BreakerMetric::Contended, lost);
        done
    }

    /// Publishes a transition that this worker made.
    #[inline(never)]
    pub(crate) fn announce(
        &self,
        cx: &Context<'_, impl Host>,
        done: &Updated,
        reason: Reason,
        evidence: &Evidence,
    ) {
        cx.note(done, reason, evidence);
        cx.show(BreakerMetric::State, done.record.state as u64);
        cx.raise_transitions();
    }

    /// Merges what is counted into the record.
    #[inline(never)]
    fn flush(&self, cx: &Context<'_, impl Host>, entry: &mut Entry) -> Result<(), StoreError> {
        let mut merged = None;
        let done = self.update(cx, &mut |record| {
            merged = Some(decide::merge(record, cx.params, &entry.delta, cx.now_ms, cx.draw));
        })?;
        entry.flushed_ms = cx.now_ms;
        let Some(merged) = merged else { return Ok(()) };
        entry.merged(cx, &done.record, merged.left.total());
        if let Some(reason) = merged.reason {
            self.announce(cx, &done, reason, &Evidence::of_window(merged.window, merged.run));
        }
        Ok(())
    }

    #[inline(never)]
    fn expire(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        let mut ended = None;
        let done = self.update(cx, &mut |record| {
            ended = transition::expire(record, cx.params, cx.now_ms, cx.draw);
        })?;
        if let Some(reason) = ended {
            self.announce(cx, &done, reason, &Evidence::of_probes(done.before.probes));
        }
        Ok(())
    }
}
