//! Probes that have response headers and no outcome yet.
//!
//! A stream may live for hours, and a half-open breaker waits for its probes. So one that has been up
//! for long enough counts as a success, whatever its end will be. The first of the two, the end or the
//! clock, takes the ticket; the other finds none. Only probes stand here: what a closed breaker
//! remembers of a stream is in its exchange.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::exchange::Exchange;
use super::params::BreakerParams;
use crate::breaker::worker::context::Ticket;

/// Probes that wait for their outcome.
#[derive(Default)]
pub(super) struct Waiting {
    held: RefCell<Vec<Held>>,
    last: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Held {
    exchange: u64,
    ticket: Ticket,
    took_ms: u64,
    since_ms: u64,
}

/// A stream that has been up for this long is judged by its headers: four times the 15 s that
/// Envoy gives a whole response by default.
const LONG_MS: u64 = 60_000;

/// How long a response may last before its headers decide: at most half of a half-open time, so that
/// the other half is left for the decision.
pub(super) fn long_ms(params: &BreakerParams) -> u64 {
    match params.max_half_open_ms {
        0 => LONG_MS,
        most => LONG_MS.min(most / 2),
    }
}

// === impl Waiting ===

impl Waiting {
    /// Keeps the probes that an exchange still has, whose headers came at `now_ms`.
    pub(super) fn hold(&self, exchange: &mut Exchange, now_ms: u64, took_ms: u64) {
        if exchange.first.is_none() {
            return;
        }
        let probes = exchange.take_probes();
        if probes.is_empty() {
            return;
        }
        let id = self.last.get().wrapping_add(1);
        self.last.set(id);
        exchange.held = Some(id);
        let held = |ticket| Held { exchange: id, ticket, took_ms, since_ms: now_ms };
        self.held.borrow_mut().extend(probes.into_iter().map(held));
    }

    /// Gives an exchange back those of its probes that still wait.
    pub(super) fn recall(&self, exchange: &mut Exchange) {
        let Some(id) = exchange.held.take() else { return };
        self.held.borrow_mut().retain(|held| {
            if held.exchange == id {
                exchange.keep(held.ticket);
            }
            held.exchange != id
        });
    }

    /// Takes out those that have waited for as long as `long_ms` says of their breaker, each with how
    /// long its headers took.
    pub(super) fn long(&self, now_ms: u64, long_ms: impl Fn(usize) -> u64) -> Vec<(Ticket, u64)> {
        let mut long = Vec::new();
        self.held.borrow_mut().retain(|held| {
            let waits = now_ms.saturating_sub(held.since_ms) < long_ms(held.ticket.breaker);
            if !waits {
                long.push((held.ticket, held.took_ms));
            }
            waits
        });
        long
    }
}
