//! The requests in flight of one worker, as the two placements of the filter share them.
//!
//! The placement around the exchange begins a flight; the one around each attempt finds it by its
//! ticket, which travels in filter state where no client can write it.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::discovery::request::flight::Flight;
use crate::discovery::request::ticket::Ticket;
use crate::draws::Draws;
use crate::time::Timestamp;

/// The requests in flight of one worker: of all configurations, for both placements.
#[derive(Debug, Default)]
pub struct Memory {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    taken: Cell<Option<u32>>,
    sees_attempts: Cell<bool>,
    /// Requests that began in another VM, an attempt of which failed here.
    kept: RefCell<Vec<Option<Rc<Flight>>>>,
}

/// As many requests of other VMs are kept until their next attempt. What is lost of more than these is how
/// the attempt before ended.
const MOST_KEPT: usize = 512;

#[derive(Debug)]
struct Slot {
    number: u32,
    flight: Option<Rc<Flight>>,
}

// === impl Memory ===

impl Memory {
    /// A request begins. The first number is a draw of the clock, so that the tickets of two VMs differ.
    pub fn begin(&self, flight: Rc<Flight>, now: Timestamp) -> Ticket {
        let first = || Draws::default().next(now) >> 32;
        let taken = self.taken.get().unwrap_or_else(|| u32::try_from(first()).unwrap_or(0));
        let number = taken.wrapping_add(1);
        self.taken.set(Some(number));
        let mut slots = self.slots.borrow_mut();
        let free = self.free.borrow_mut().pop();
        let known = free.and_then(|slot| Some((slot, slots.get_mut(usize::try_from(slot).ok()?)?)));
        let new = Slot { number, flight: Some(flight) };
        if let Some((slot, place)) = known {
            *place = new;
            return Ticket { slot, number };
        }
        slots.push(new);
        Ticket { slot: u32::try_from(slots.len().saturating_sub(1)).unwrap_or(u32::MAX), number }
    }

    /// The request with this ticket, if it is still in flight.
    #[must_use]
    pub fn find(&self, ticket: Ticket) -> Option<Rc<Flight>> {
        let slots = self.slots.borrow();
        let slot = slots.get(usize::try_from(ticket.slot).ok()?)?;
        slot.flight.clone().filter(|_| slot.number == ticket.number)
    }

    /// A request is over.
    pub fn end(&self, ticket: Ticket) -> Option<Rc<Flight>> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(usize::try_from(ticket.slot).ok()?)?;
        if slot.number != ticket.number {
            return None;
        }
        let flight = slot.flight.take()?;
        self.free.borrow_mut().push(ticket.slot);
        Some(flight)
    }

    /// Keeps a request of another VM until its next attempt.
    pub fn keep(&self, flight: &Rc<Flight>) {
        let Some(report) = &flight.report else { return };
        let mut kept = self.kept.borrow_mut();
        if kept.is_empty() {
            kept.resize_with(MOST_KEPT, Option::default);
        }
        if let Some(place) = kept.get_mut(place(report.ticket)) {
            *place = Some(Rc::clone(flight));
        }
    }

    /// Takes back a request of another VM.
    #[must_use]
    pub fn take_kept(&self, ticket: Ticket) -> Option<Rc<Flight>> {
        let mut kept = self.kept.borrow_mut();
        let place = kept.get_mut(place(ticket))?;
        let is_it = |flight: &Rc<Flight>| flight.report.as_ref().is_some_and(|own| own.ticket == ticket);
        place.as_ref().is_some_and(is_it).then(|| place.take()).flatten()
    }

    /// From now on there is a placement around attempts.
    pub fn see_attempts(&self) {
        self.sees_attempts.set(true);
    }

    /// Whether there is, or was, a placement around attempts.
    #[must_use]
    pub fn sees_attempts(&self) -> bool {
        self.sees_attempts.get()
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.borrow().len().saturating_sub(self.free.borrow().len())
    }
}

/// Where the request with a ticket of another VM is kept.
fn place(ticket: Ticket) -> usize {
    usize::try_from(ticket.number).unwrap_or(0).checked_rem(MOST_KEPT).unwrap_or(0)
}
