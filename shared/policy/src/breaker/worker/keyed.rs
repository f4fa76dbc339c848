//! A breaker with many targets that show at run time: the endpoints of a cluster, or the values of
//! a key.
//!
//! Of many targets only those that are not closed are looked up, and only those that failed ever
//! take room in the table. The index says which targets are not closed; the worker's copy of it is
//! read again when the counter of transitions moved, and with every tick. So a request whose target
//! is closed costs no store call, however many targets there are.
//!
//! A worker may die between the two writes that a transition takes, the record's and the index's.
//! The record is the truth: the next worker that meets a record that is open and not listed lists it,
//! and one that finds a listed target closed takes it off.

use core::cell::{Cell, RefCell};

use crate::balance::outlier;
use crate::breaker::cells::index::Index;
use crate::breaker::cells::record::Record;
use crate::breaker::cells::table::{fingerprint, Table};
use crate::breaker::cells::Updated;
use crate::breaker::config::target::Target;
use crate::breaker::config::Breaker;
use crate::breaker::decide;
use crate::breaker::metrics::BreakerMetric;
use crate::breaker::report::Evidence;
use crate::breaker::transition::Reason;
use crate::breaker::worker::context::{Context, Ticket};
use crate::breaker::worker::entries::Entries;
use crate::breaker::worker::entry::{Entry, Head};
use crate::host::{Host, StoreError};
use crate::http::classify::Class;

/// The table, and what this worker keeps of it.
pub(crate) struct Keyed {
    pub(crate) table: Table,
    /// Targets that this worker met.
    entries: RefCell<Entries>,
    index: RefCell<Index>,
    /// The counter of transitions as it was when the index was read.
    seen: Cell<Option<u64>>,
}

/// Most targets of one breaker that a worker keeps counts of, so that memory is bounded whatever
/// keys clients make up.
const MAX_ENTRIES: usize = 4_096;

// === impl Keyed ===

impl Keyed {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        Self {
            table: Table::new(breaker),
            entries: RefCell::default(),
            index: RefCell::default(),
            seen: Cell::new(None),
        }
    }

    /// The head of a target's record; `None` when the target is closed and has no record, or none
    /// that the index lists.
    #[inline(never)]
    pub(crate) fn head(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<Option<Head>, StoreError> {
        let seen = self.renew_index(cx)?;
        let listed = fingerprint(target);
        if !self.index.borrow().may_list(listed) {
            return Ok(None);
        }
        let mut entries = self.entries.borrow_mut();
        if let Some(head) = entries.get(target).and_then(|entry| entry.fresh(seen)) {
            return Ok(head);
        }
        let record = self.table.read(&cx.breaker.params, target, cx.host)?;
        let head = record.as_ref().map(|record| Head::of(record, cx));
        let Some(entry) = entries.get_or_insert(target, MAX_ENTRIES) else { return Ok(head) };
        entry.learn(head, seen, cx.now_ms);
        let over = self.index.borrow().is_over(listed, cx.now_ms);
        if over && head.is_none_or(|head| head.state == cx.demanded()) {
            // Listed although it is closed: the worker that closed it died before it took it off.
            *self.index.borrow_mut() = self.table.reindex(cx.host, &mut |index| index.remove(listed))?;
        }
        Ok(head)
    }

    /// Whether no target is open or half-open.
    pub(crate) fn are_all_closed(&self, cx: &Context<'_, impl Host>) -> Result<bool, StoreError> {
        self.renew_index(cx)?;
        Ok(self.index.borrow().is_empty())
    }

    /// Makes the next request read the head of a target again.
    pub(crate) fn forget_head(&self, target: u64) {
        self.seen.set(None);
        if let Some(entry) = self.entries.borrow_mut().get_mut(target) {
            entry.seen = None;
        }
    }

    /// Counts the outcome of a request, and merges what is counted of its target if that is due.
    /// `hosts` is asked only when an endpoint is about to be ejected.
    pub(crate) fn count(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: &Ticket,
        class: Class,
        slow: bool,
        hosts: &dyn Fn() -> u64,
    ) -> Result<(), StoreError> {
        let mut entries = self.entries.borrow_mut();
        let entry = if class == Class::Success && !slow {
            entries.get_or_insert(ticket.target, MAX_ENTRIES)
        } else {
            entries.get_or_replace(ticket.target, MAX_ENTRIES)
        };
        let Some(entry) = entry else {
            cx.count(BreakerMetric::Untracked, 1);
            return Ok(());
        };
        if entry.count(cx, ticket, class, slow) {
            return self.flush(cx, ticket.target, entry, hosts);
        }
        Ok(())
    }

    pub(crate) fn is_troubled(&self, target: u64) -> bool {
        self.entries.borrow().get(target).is_some_and(Entry::is_troubled)
    }

    /// Reads the index again, merges what is counted, and forgets targets without requests.
    pub(crate) fn tick(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        self.seen.set(None);
        self.refresh_index(cx, cx.transitions())?;
        self.drop_listings(cx)?;
        cx.show(BreakerMetric::Open, self.index.borrow().len());
        self.sweep(cx)
    }

    /// Changes the record of a target, once it is for these parameters. A target without a record
    /// gets one if `insert`, the time, is given; `step` learns whether it did.
    #[inline(never)]
    pub(crate) fn update(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        insert: Option<u64>,
        step: &mut dyn FnMut(&mut Record, bool),
    ) -> Result<Option<Updated>, StoreError> {
        let mut lost = 0;
        let params = &cx.breaker.params;
        let done = self.table.update(params, target, insert, cx.host, &mut lost, &mut |record, new| {
            cx.release(record);
            step(record, new);
        });
        cx.count(BreakerMetric::Contended, lost);
        done
    }

    /// Publishes a transition that this worker made.
    #[inline(never)]
    pub(crate) fn announce(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        done: &Updated,
        reason: Reason,
        evidence: &Evidence,
    ) -> Result<(), StoreError> {
        cx.note(done, reason, evidence);
        let listed = self.list(cx, target, &done.record, !done.before.state.is_tripped());
        cx.raise_transitions();
        listed
    }

    /// Reads the index again if a breaker changed its state; the counter of transitions.
    fn renew_index(&self, cx: &Context<'_, impl Host>) -> Result<u64, StoreError> {
        let seen = cx.transitions();
        if self.seen.get() != Some(seen) {
            self.refresh_index(cx, seen)?;
        }
        Ok(seen)
    }

    #[inline(never)]
    fn refresh_index(&self, cx: &Context<'_, impl Host>, seen: u64) -> Result<(), StoreError> {
        *self.index.borrow_mut() = self.table.index(cx.host)?;
        self.seen.set(Some(seen));
        Ok(())
    }

    /// Takes targets off the index whose time was over long ago and that had no request since.
    /// Should one come back it is listed with its next failure.
    fn drop_listings(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        let before_ms = cx.now_ms.saturating_sub(cx.params.max_open_ms);
        if self.index.borrow().has_older(before_ms) {
            let index = self.table.reindex(cx.host, &mut |index| index.drop_older(before_ms))?;
            *self.index.borrow_mut() = index;
        }
        Ok(())
    }

    /// Merges what is counted of all targets, and forgets those without requests for a window.
    #[inline(never)]
    fn sweep(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        let window_ms = cx.params.window_ms();
        let mut entries = self.entries.borrow_mut();
        for (target, entry) in entries.iter_mut().filter(|(_, entry)| entry.tracked) {
            // A listed record is read again: its worker may have died before it raised the counter.
            entry.seen = None;
            if !entry.delta.slots.is_empty() {
                self.flush(cx, target, entry, &|| 0)?;
            }
        }
        entries.retain(|entry| cx.now_ms.saturating_sub(entry.used_ms) < window_ms);
        Ok(())
    }

    /// Merges what is counted of a target into its record. A target gets a record with its first
    /// failure, not before.
    #[inline(never)]
    fn flush(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        entry: &mut Entry,
        hosts: &dyn Fn() -> u64,
    ) -> Result<(), StoreError> {
        let insert = entry.delta.has_trouble().then_some(cx.now_ms);
        entry.forget_old(cx.params, cx.now_ms);
        let mut merged = None;
        let done = self.update(cx, target, insert, &mut |record, new| {
            if record.is_idle(cx.params, cx.now_ms) {
                // As good as absent, so it has no run either: successes of others are not merged.
                record.consecutive = 0;
            }
            let mut delta = if new { entry.all() } else { entry.delta.clone() };
            // Requests from before the state began do not count for it.
            let ours = record.state == cx.demanded() && entry.since_ms >= record.at_ms;
            if ours && !new {
                let run = entry.own_run(record.window(cx.params, cx.now_ms), record.at_ms);
                record.consecutive = record.consecutive.max(run);
            }
            delta.generation = record.generation.wrapping_sub(u32::from(!ours));
            let untouched = record.clone();
            let outcome = decide::merge(record, cx.params, &delta, cx.now_ms, cx.draw);
            let capped = outcome.reason.is_some() && !self.may_open(cx, target, hosts);
            if capped {
                *record = untouched;
                let _ = delta.merge_into(record);
            }
            merged = Some((outcome, capped, ours));
        })?;
        (entry.flushed_ms, entry.tracked) = (cx.now_ms, done.is_some());
        let Some((done, (merged, capped, ours))) = done.zip(merged) else {
            if insert.is_some() {
                cx.count(BreakerMetric::Untracked, entry.delta.total().into());
            }
            entry.remember();
            return Ok(());
        };
        if ours {
            entry.remember();
        }
        entry.merged(cx, &done.record, merged.left.total());
        cx.count(BreakerMetric::Capped, u64::from(capped && hosts() > 0));
        if let (Some(reason), false) = (merged.reason, capped) {
            return self.announce(cx, target, &done, reason, &Evidence::of_window(merged.window, merged.run));
        }
        if done.record.state.is_tripped() && !self.index.borrow().may_list(fingerprint(target)) {
            // Open and not listed: the worker that opened it died before it listed it, or does so now.
            return self.list(cx, target, &done.record, true);
        }
        Ok(())
    }

    /// Whether a target may open: an endpoint only if enough others stay. An endpoint is listed
    /// before its record says so: of two that fail at once, the second counts the first.
    #[inline(never)]
    fn may_open(&self, cx: &Context<'_, impl Host>, target: u64, hosts: &dyn Fn() -> u64) -> bool {
        if !matches!(cx.breaker.target, Target::Endpoint(_)) {
            return true;
        }
        let hosts = u32::try_from(hosts()).unwrap_or(u32::MAX);
        let (listed, percent) = (fingerprint(target), cx.breaker.max_ejection_percent);
        let until = cx.now_ms.saturating_add(cx.params.base_open_ms);
        let mut may = false;
        let index = self.table.reindex(cx.host, &mut |index| {
            let ejected = index.others(listed, cx.now_ms);
            may = ejected.saturating_add(1) < hosts && outlier::may_eject(hosts, ejected, percent, true);
            if may {
                index.insert(listed, until, cx.now_ms, true);
            }
        });
        may && index.is_ok()
    }

    /// Lists a target that is not closed, or takes it off. `newly` is one that was closed before.
    #[inline(never)]
    fn list(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        record: &Record,
        newly: bool,
    ) -> Result<(), StoreError> {
        let listed = fingerprint(target);
        let until = if record.at_ms == 0 { u64::MAX } else { record.at_ms };
        let index = self.table.reindex(cx.host, &mut |index| {
            if record.state.is_tripped() {
                index.insert(listed, until, cx.now_ms, newly);
            } else {
                index.remove(listed);
            }
        })?;
        *self.index.borrow_mut() = index;
        Ok(())
    }
}
