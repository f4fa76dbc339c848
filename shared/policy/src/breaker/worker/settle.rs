//! What comes of a request: counted in memory, told to the others, announced when it matters.

use crate::balance::outlier;
use crate::breaker::cells::fingerprint;
use crate::breaker::cells::record::Record;
use crate::breaker::config::target::Target;
use crate::breaker::metrics::{self, BreakerMetric};
use crate::breaker::report::{self, Evidence};
use crate::breaker::transition::Reason;
use crate::breaker::worker::entry::{Context, Entry, Head, Ticket};
use crate::breaker::worker::local::{LocalBreaker, MAX_ENTRIES};
use crate::host::{Host, StoreError};
use crate::http::classify::Class;

/// How often ticks tell good outcomes. A request does when no tick did for twice as long.
const FLUSH_MS: u64 = 100;
// === impl LocalBreaker ===

impl LocalBreaker {
    /// Takes the outcome of a request that passed. `hosts` is asked only when an endpoint is
    /// about to be ejected.
    pub(crate) fn settle(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: Ticket,
        class: Class,
        slow: bool,
        hosts: &dyn Fn() -> u64,
    ) -> Result<(), StoreError> {
        cx.count_outcome(class, slow);
        if ticket.probe {
            return self.settle_probe(cx, ticket, class, slow);
        }
        if class == Class::Ignored {
            return Ok(());
        }
        let many = cx.breaker.target.is_many();
        let mut entries = self.entries.borrow_mut();
        // In a full map a failure is told at once and leaves no trace here.
        let mut passing = Entry::default();
        if class != Class::Success && entries.is_full_without(ticket.target, MAX_ENTRIES) {
            entries.retain(|entry| entry.tracked);
        }
        let entry = match entries.get_or_insert(ticket.target, MAX_ENTRIES) {
            Some(entry) => entry,
            None if class == Class::Success => {
                cx.count(BreakerMetric::Untracked, 1);
                return Ok(());
            }
            None => &mut passing,
        };
        if !many && entry.delta.generation != ticket.generation {
            cx.count(BreakerMetric::Stale, 1);
            return Ok(());
        }
        if entry.delta.slots.is_empty() {
            entry.since_ms = ticket.started_ms;
        }
        entry.since_ms = entry.since_ms.min(ticket.started_ms);
        entry.used_ms = cx.now_ms;
        entry.delta.count(&self.params, cx.now_ms, class, slow);
        let ends_run = class == Class::Success && entry.head.is_some_and(|head| head.run > 0);
        let due = cx.now_ms.saturating_sub(entry.flushed_ms) >= FLUSH_MS.saturating_mul(2)
            || entry.head.is_some_and(|head| head.troubled)
                && entry.delta.total() >= cx.breaker.params.minimum_calls;
        if class != Class::Success || slow || (ends_run || due) && (entry.tracked || !many) {
            return self.flush(cx, ticket.target, entry, hosts);
        }
        if entry.delta.slots.len() > usize::try_from(self.params.slots).unwrap_or(1) {
            entry.delta.prune(&self.params, cx.now_ms);
        }
        Ok(())
    }

    /// Whether the target fails in a row, or half as often as opens it, so that what a success means
    /// must be known exactly.
    pub(crate) fn is_troubled(&self, ticket: &Ticket) -> bool {
        let entries = self.entries.borrow();
        let troubled = |entry: &Entry| {
            entry.tracked && entry.delta.has_trouble()
                || entry.head.is_some_and(|head| head.run > 0 || head.nearly)
        };
        ticket.probe || entries.get(ticket.target).is_some_and(troubled)
    }

    #[inline(never)]
    fn settle_probe(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: Ticket,
        class: Class,
        slow: bool,
    ) -> Result<(), StoreError> {
        let step = |record: &mut Record| {
            record.probed(&self.params, ticket.generation, class, slow, cx.now_ms, cx.draw)
        };
        let done = self.update(cx, ticket.target, None, step)?;
        let Some((done, Some(reason))) = done else {
            cx.count(BreakerMetric::Stale, 1);
            return Ok(());
        };
        if let Some(reason) = reason {
            let probes = done.before.probes.with(class, slow);
            let evidence = Evidence { probes, ..Evidence::default() };
            self.announce(cx, ticket.target, &done.before, &done.record, reason, &evidence)?;
        }
        Ok(())
    }

    /// Merges what was counted of a target into its record.
    #[inline(never)]
    pub(crate) fn flush(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        entry: &mut Entry,
        hosts: &dyn Fn() -> u64,
    ) -> Result<(), StoreError> {
        let many = cx.breaker.target.is_many();
        let insert = (many && entry.delta.has_trouble()).then_some(cx.now_ms);
        let since_ms = entry.since_ms;
        let delta = &mut entry.delta;
        let done = self.update(cx, target, insert, |record| {
            if many {
                if record.is_idle(&self.params, cx.now_ms) {
                    // As good as absent, so it has no run either: successes of others are not told.
                    record.consecutive = 0;
                }
                // What was admitted before the state began is not for it.
                let ours = record.state == cx.breaker.params.demanded && since_ms >= record.at_ms;
                delta.generation = record.generation.wrapping_sub(u32::from(!ours));
            }
            let untouched = record.clone();
            let told = record.merge(&self.params, delta, cx.now_ms, cx.draw);
            let capped = told.reason.is_some() && many && !self.may_open(cx, target, hosts);
            if capped {
                *record = untouched;
                let _ = delta.merge_into(record);
            }
            (told, capped)
        })?;
        (entry.flushed_ms, entry.tracked) = (cx.now_ms, done.is_some());
        let Some((done, (told, capped))) = done else {
            if insert.is_some() {
                cx.count(BreakerMetric::Untracked, entry.delta.total().into());
                entry.delta.restart(0);
            }
            return Ok(());
        };
        cx.count(BreakerMetric::Stale, told.left.discarded.saturating_add(told.left.dropped).into());
        cx.count(BreakerMetric::Capped, u64::from(capped && hosts() > 0));
        entry.delta.restart(done.record.generation);
        entry.head = Some(Head::of(&done.record, cx));
        match told.reason.filter(|_| !capped) {
            Some(reason) => {
                let evidence = Evidence { window: told.window, run: told.run, ..Evidence::default() };
                self.announce(cx, target, &done.before, &done.record, reason, &evidence)
            }
            // Open and not listed: whoever opened it did not live to say so, or does so now.
            None if many
                && done.record.state.is_tripped()
                && !self.index.borrow().may_list(fingerprint(target)) =>
            {
                self.list(cx, target, &done.record, true)
            }
            None => Ok(()),
        }
    }

    /// Whether an endpoint may be ejected, or any other target opened. An endpoint is listed before
    /// its record says so: of two that fail at once, one sees the other.
    #[inline(never)]
    fn may_open(&self, cx: &Context<'_, impl Host>, target: u64, hosts: &dyn Fn() -> u64) -> bool {
        if !matches!(cx.breaker.target, Target::Endpoint(_)) {
            return true;
        }
        let hosts = u32::try_from(hosts()).unwrap_or(u32::MAX);
        let (listed, percent) = (fingerprint(target), cx.breaker.max_ejection_percent);
        let until = cx.now_ms.saturating_add(self.params.base_open_ms);
        let mut may = false;
        let index = self.cells.reindex(cx.host, &mut |index| {
            let out = index.others(listed, cx.now_ms);
            may = out.saturating_add(1) < hosts && outlier::may_eject(hosts, out, percent, true);
            if may {
                index.insert(listed, until, cx.now_ms, true);
            }
        });
        may && index.is_ok()
    }

    /// Tells everybody about a change of state that this worker made.
    #[inline(never)]
    pub(crate) fn announce(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        before: &Record,
        record: &Record,
        reason: Reason,
        evidence: &Evidence,
    ) -> Result<(), StoreError> {
        let (breaker, host) = (cx.breaker, cx.host);
        cx.count_reason(reason);
        host.note(&report::line(
            &breaker.name,
            &breaker.params,
            before.state,
            record,
            reason,
            evidence,
            cx.now_ms,
        ));
        if !breaker.target.is_many() {
            host.set(metrics::index(cx.at, BreakerMetric::State), record.state as u64);
            host.raise(metrics::index(cx.at, BreakerMetric::Transitions));
            return Ok(());
        }
        let listed = self.list(cx, target, record, !before.state.is_tripped());
        host.raise(metrics::index(cx.at, BreakerMetric::Transitions));
        listed
    }

    /// Lists a target that is not closed, or takes it off.
    fn list(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        record: &Record,
        anew: bool,
    ) -> Result<(), StoreError> {
        let listed = fingerprint(target);
        let until = if record.at_ms == 0 { u64::MAX } else { record.at_ms };
        let index = self.cells.reindex(cx.host, &mut |index| {
            if record.state.is_tripped() {
                index.insert(listed, until, cx.now_ms, anew);
            } else {
                index.remove(listed);
            }
        })?;
        *self.index.borrow_mut() = index;
        Ok(())
    }
}
