//! A cluster without a healthy endpoint (Envoy's flag UH), where requests have elsewhere to go.
//!
//! Nothing has to be found out by counting: no request can be answered until an endpoint comes back.
//! So a breaker with a fallback opens at the first such answer, and again at the first such probe.
//! The open time does not grow: a probe costs an upstream that is not there nothing, and a long open
//! time would keep requests from endpoints that are back.

use super::params::BreakerParams;
use super::state::State;
use super::transition;
use crate::breaker::cells::record::Record;
use crate::breaker::worker::context::Ticket;

/// The flag: no healthy upstream.
pub(super) const FLAG: u64 = 1 << 1;

/// Opens the breaker if it is still in the state that admitted the request of this ticket; whether it
/// did.
pub(crate) fn open(
    record: &mut Record,
    params: &BreakerParams,
    ticket: &Ticket,
    now_ms: u64,
    draw: u64,
) -> bool {
    let streak = match record.state {
        State::Closed if ticket.started_ms >= record.at_ms => {
            transition::decayed_streak(record, params, now_ms)
        }
        State::HalfOpen if ticket.probe && ticket.generation == record.generation => record.streak,
        _ => return false,
    };
    transition::open(record, params, streak.max(1), now_ms, draw);
    true
}
