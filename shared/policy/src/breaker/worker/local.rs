//! One breaker as one worker sees it: how a request and an outcome meet its record.
//!
//! A closed breaker is decided from the worker's copy alone. Outcomes are counted in memory and
//! merged into the shared record: bad ones at once, good ones within 100 ms. An open
//! breaker whose time is over, and a half-open one, are decided by the record itself, because the
//! answer may take a permit.
//!
//! Whether there is one target or many is asked once, when a [`LocalBreaker`] is made. What the two
//! have in common stands here; what differs is in [`Single`] and [`Keyed`].

use crate::breaker::cells::record::Record;
use crate::breaker::cells::Updated;
use crate::breaker::config::Breaker;
use crate::breaker::decide::{self, Admission, Probe};
use crate::breaker::metrics::BreakerMetric;
use crate::breaker::no_endpoint;
use crate::breaker::overload;
use crate::breaker::params::BreakerParams;
use crate::breaker::report::Evidence;
use crate::breaker::state::State;
use crate::breaker::transition::Reason;
use crate::breaker::worker::context::{Answer, Context, Ticket};
use crate::breaker::worker::entry::Head;
use crate::breaker::worker::keyed::Keyed;
use crate::breaker::worker::single::Single;
use crate::draws::Draws;
use crate::host::{Host, Store, StoreError};
use crate::http::classify::Class;
use crate::http::CellSpec;
use crate::key::Hashes;
use alloc::vec::Vec;

/// What a worker keeps of one breaker.
pub(crate) struct LocalBreaker {
    /// The parameters that transitions are decided with. A soft breaker gets ones that no count of
    /// outcomes fulfils: it refuses a share of the requests and stays closed.
    pub(crate) params: BreakerParams,
    /// Its own, so that a look at whether it would refuse a request sees the draw of the request's check, whatever
    /// other breakers draw in between, and uses up none.
    pub(crate) draws: Draws,
    targets: Targets,
}

/// One target, or many that show at run time.
enum Targets {
    Keyed(Keyed),
    Single(Single),
}

// === impl LocalBreaker ===

impl LocalBreaker {
    pub(crate) fn new(breaker: &Breaker) -> Self {
        let never = BreakerParams { consecutive_failures: 0, minimum_calls: u32::MAX, ..breaker.params };
        Self {
            params: if breaker.soft.is_some() { never } else { breaker.params },
            draws: Draws::default(),
            targets: if breaker.target.is_many() {
                Targets::Keyed(Keyed::new(breaker))
            } else {
                Targets::Single(Single::new(breaker))
            },
        }
    }

    /// What the host has to create for it.
    pub(crate) fn specs(&self, params: &BreakerParams) -> Vec<CellSpec> {
        match &self.targets {
            Targets::Keyed(keyed) => keyed.table.specs(params).collect(),
            Targets::Single(single) => alloc::vec![single.cell.spec(params)],
        }
    }

    /// Makes cells that were written for other parameters cells for these.
    pub(crate) fn adopt(&self, params: &BreakerParams, store: &dyn Store) -> Result<(), StoreError> {
        match &self.targets {
            Targets::Keyed(keyed) => keyed.table.adopt(params, store),
            Targets::Single(single) => single.cell.adopt(params, store),
        }
    }

    /// Whether a request may pass.
    #[inline(never)]
    pub(crate) fn admit(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        upload: bool,
    ) -> Result<Answer, StoreError> {
        match cx.demanded() {
            State::ForcedOpen => return Ok(Answer::Refuse { retry_after_ms: None }),
            State::Disabled => return Ok(Answer::Pass),
            _ => {}
        }
        let (breaker, started_ms) = (cx.at, cx.now_ms);
        let ticket = |generation| Ticket {
            breaker,
            target,
            generation,
            probe: false,
            upload,
            late: false,
            started_ms,
        };
        let Some(head) = self.own_head(cx, target)? else { return Ok(Answer::Admit(ticket(0))) };
        let admit = Answer::Admit(ticket(head.generation));
        match head.state {
            _ if cx.demanded() == State::MetricsOnly => Ok(admit),
            State::Closed | State::Open | State::HalfOpen if cx.breaker.soft.is_some() => {
                let refuses = overload::refuses(head.share, cx.draw);
                Ok(if refuses { Answer::Refuse { retry_after_ms: Some(0) } } else { admit })
            }
            State::Closed | State::MetricsOnly => Ok(admit),
            State::Disabled => Ok(Answer::Pass),
            State::ForcedOpen => Ok(Answer::Refuse { retry_after_ms: None }),
            State::Open if cx.now_ms < head.at_ms => {
                Ok(Answer::Refuse { retry_after_ms: Some(head.at_ms.saturating_sub(cx.now_ms)) })
            }
            State::Open | State::HalfOpen => self.ask(cx, ticket(head.generation)),
        }
    }

    /// The ticket of a request that began at `started_ms` and passed without one. If it began after
    /// the breaker became half-open it was a probe, as no other passed.
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
        Ok(Ticket { breaker: cx.at, target, generation, probe, upload: false, late: true, started_ms })
    }

    /// Whether a request may pass that is for any of several targets, or for any at all (`None`): if it
    /// needs no permit of any. Whose outcome it has is not known, so it is nobody's.
    #[inline(never)]
    pub(crate) fn admit_several(
        &self,
        cx: &Context<'_, impl Host>,
        targets: Option<&Hashes>,
    ) -> Result<Answer, StoreError> {
        let passes = match (cx.demanded(), targets, &self.targets) {
            (State::ForcedOpen, ..) => false,
            (State::Disabled | State::MetricsOnly, ..) => true,
            (_, None, Targets::Keyed(keyed)) => keyed.are_all_closed(cx)?,
            (_, None, Targets::Single(_)) => self.would_pass(cx, 0)?,
            (_, Some(targets), _) => {
                let mut all = true;
                for target in targets.iter() {
                    all = all && self.would_pass(cx, target)?;
                }
                all
            }
        };
        Ok(if passes { Answer::Pass } else { Answer::Refuse { retry_after_ms: None } })
    }

    /// Whether a request to a target would pass now. Takes no permit.
    pub(crate) fn would_pass(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<bool, StoreError> {
        let Some(head) = self.own_head(cx, target)? else { return Ok(true) };
        Ok(match head.state {
            State::Closed => !overload::refuses(head.share, cx.draw),
            State::Disabled | State::MetricsOnly => true,
            State::ForcedOpen | State::HalfOpen | State::Open => false,
        })
    }

    /// Whether a request to the only target would be refused now, also for want of a permit. Takes none, and
    /// knows of no other reason than the state.
    pub(crate) fn would_refuse(&self, cx: &Context<'_, impl Host>, upload: bool) -> Result<bool, StoreError> {
        let Targets::Single(single) = &self.targets else { return Ok(false) };
        match cx.demanded() {
            State::Closed => {}
            demanded => return Ok(demanded == State::ForcedOpen),
        }
        let Some(head) = self.own_head(cx, 0)? else { return Ok(false) };
        match head.state {
            State::Open => Ok(cx.now_ms < head.at_ms),
            State::HalfOpen => single.would_refuse(cx, upload),
            _ => Ok(false),
        }
    }

    /// Whether a request to the only target may not pass now, by the worker's copy alone; `None` when
    /// there is no copy yet.
    pub(crate) fn blocks(&self, params: &BreakerParams) -> Option<bool> {
        match (&self.targets, params.demanded) {
            (_, State::Disabled | State::MetricsOnly) | (Targets::Keyed(_), _) => Some(false),
            (_, State::ForcedOpen) => Some(true),
            (Targets::Single(single), _) => single.blocks(),
        }
    }

    /// Takes the outcome of a request that passed. `hosts`, the endpoints of the cluster, is asked
    /// only when one is about to be ejected.
    pub(crate) fn settle(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: Ticket,
        class: Class,
        slow: bool,
        hosts: &dyn Fn() -> u64,
    ) -> Result<(), StoreError> {
        cx.count_outcome(class, slow);
        // Throttling asks one client for less. It is no evidence about a target that others share, of
        // a probe neither: whoever is throttled could close or reopen the breaker for all.
        let counts = class != Class::Throttled || cx.breaker.count_throttled;
        let class = if counts { class } else { Class::Ignored };
        if ticket.probe {
            return self.settle_probe(cx, ticket, class, slow);
        }
        if class == Class::Ignored {
            return Ok(());
        }
        match &self.targets {
            Targets::Keyed(keyed) => keyed.count(cx, &ticket, class, slow, hosts),
            Targets::Single(single) => single.count(cx, &ticket, class, slow),
        }
    }

    /// Takes that the cluster had no healthy endpoint for the request of a ticket. Opens at once, if
    /// requests have elsewhere to go.
    #[inline(never)]
    pub(crate) fn on_no_endpoint(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: &Ticket,
    ) -> Result<(), StoreError> {
        if cx.demanded() != State::Closed || cx.breaker.soft.is_some() {
            return Ok(());
        }
        let mut opened = false;
        let done = self.update(cx, ticket.target, &mut |record| {
            opened = no_endpoint::open(record, cx.params, ticket, cx.now_ms, cx.draw);
        })?;
        match done {
            Some(done) if opened => {
                let evidence = Evidence::of_probes(done.before.probes);
                self.announce(cx, ticket.target, &done, Reason::NoHealthyUpstream, &evidence)
            }
            _ => Ok(()),
        }
    }

    /// Whether the class of a success must be known exactly, because it is a probe's or its target
    /// has failures.
    pub(crate) fn is_troubled(&self, ticket: &Ticket) -> bool {
        ticket.probe
            || match &self.targets {
                Targets::Keyed(keyed) => keyed.is_troubled(ticket.target),
                Targets::Single(single) => single.is_troubled(),
            }
    }

    /// Housekeeping: copies are renewed, counts merged, lost probes given up, gauges set.
    pub(crate) fn tick(&self, cx: &Context<'_, impl Host>) -> Result<(), StoreError> {
        match &self.targets {
            Targets::Keyed(keyed) => keyed.tick(cx),
            Targets::Single(single) => single.tick(cx),
        }
    }

    fn head(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<Option<Head>, StoreError> {
        match &self.targets {
            Targets::Keyed(keyed) => keyed.head(cx, target),
            Targets::Single(single) => single.head(cx),
        }
    }

    /// The head of a target's record, once that is for these parameters. An operator may return to a
    /// document whose connections are not all gone; the host configures nothing then, and requests
    /// find the record in a state that another document held it in.
    fn own_head(&self, cx: &Context<'_, impl Host>, target: u64) -> Result<Option<Head>, StoreError> {
        let head = self.head(cx, target)?;
        let holds = cx.demanded() != State::Closed;
        if holds || head.is_none_or(|head| head.state.suits(State::Closed)) {
            return Ok(head);
        }
        self.update(cx, target, &mut |_| ())?;
        match &self.targets {
            Targets::Keyed(keyed) => keyed.forget_head(target),
            Targets::Single(single) => single.forget_head(),
        }
        self.head(cx, target)
    }

    /// Asks the record itself, which may have to change for the answer.
    #[inline(never)]
    fn ask(&self, cx: &Context<'_, impl Host>, ticket: Ticket) -> Result<Answer, StoreError> {
        let mut said = None;
        let done = self.update(cx, ticket.target, &mut |record| {
            said = Some(decide::admit(record, cx.params, ticket.upload, cx.now_ms, cx.draw));
        })?;
        let Some((done, (admission, reason))) = done.zip(said) else {
            return Ok(Answer::Admit(ticket));
        };
        if let Some(reason) = reason {
            // The permit is taken, whether or not all workers learn of it.
            let evidence = Evidence::of_probes(done.before.probes);
            let announced = self.announce(cx, ticket.target, &done, reason, &evidence);
            cx.count(BreakerMetric::Undecided, announced.is_err().into());
        }
        Ok(match admission {
            Admission::Admit { generation, probe } => Answer::Admit(Ticket { generation, probe, ..ticket }),
            // Its probes may be back at any moment, long before its time is over.
            Admission::Refuse { .. } if done.record.state == State::HalfOpen => {
                Answer::Refuse { retry_after_ms: Some(0) }
            }
            Admission::Refuse { retry_after_ms } => Answer::Refuse { retry_after_ms },
        })
    }

    #[inline(never)]
    fn settle_probe(
        &self,
        cx: &Context<'_, impl Host>,
        ticket: Ticket,
        class: Class,
        slow: bool,
    ) -> Result<(), StoreError> {
        let (mut said, Ticket { generation, upload, late, .. }) = (None, ticket);
        let done = self.update(cx, ticket.target, &mut |record| {
            let probe = Probe { generation, upload };
            let take = if late { decide::blamed } else { decide::probed };
            said = take(record, cx.params, probe, class, slow, cx.now_ms, cx.draw);
        })?;
        let Some((done, reason)) = done.zip(said) else {
            cx.count(BreakerMetric::Stale, 1);
            return Ok(());
        };
        if let Some(reason) = reason {
            let evidence = done.before.probes.with(class, slow, upload).unwrap_or_default();
            let evidence = Evidence::of_probes(evidence);
            self.announce(cx, ticket.target, &done, reason, &evidence)?;
        }
        Ok(())
    }

    fn update(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        step: &mut dyn FnMut(&mut Record),
    ) -> Result<Option<Updated>, StoreError> {
        match &self.targets {
            Targets::Keyed(keyed) => keyed.update(cx, target, None, &mut |record, _| step(record)),
            Targets::Single(single) => single.update(cx, step).map(Some),
        }
    }

    fn announce(
        &self,
        cx: &Context<'_, impl Host>,
        target: u64,
        done: &Updated,
        reason: Reason,
        evidence: &Evidence,
    ) -> Result<(), StoreError> {
        match &self.targets {
            Targets::Keyed(keyed) => keyed.announce(cx, target, done, reason, evidence),
            Targets::Single(single) => {
                single.announce(cx, done, reason, evidence);
                Ok(())
            }
        }
    }
}
