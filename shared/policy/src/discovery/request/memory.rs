//! The requests in flight of one worker, as the two placements of the filter share them.
//!
//! The placement around the exchange begins a flight; the one around each attempt finds it by its
//! ticket, which travels in filter state where no client can write it.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::discovery::request::flight::Flight;
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

/// Names a flight: its slot, and a number that no flight of that slot had before.
///
/// ```
/// use tidegate_policy::discovery::request::memory::Ticket;
///
/// // What the downstream placement left in filter state: service, endpoint, ticket.
/// let ticket = Ticket::read(b"orders 10.0.0.1:8080 4.17").unwrap();
/// let mut text = String::new();
/// ticket.write(&mut text);
/// assert_eq!(text, "4.17");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    number: u32,
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
        if let Some(place) = kept.get_mut(report.ticket.place()) {
            *place = Some(Rc::clone(flight));
        }
    }

    /// Takes back a request of another VM.
    #[must_use]
    pub fn take_kept(&self, ticket: Ticket) -> Option<Rc<Flight>> {
        let mut kept = self.kept.borrow_mut();
        let place = kept.get_mut(ticket.place())?;
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

// === impl Ticket ===

impl Ticket {
    /// Where its request is kept.
    fn place(self) -> usize {
        usize::try_from(self.number).unwrap_or(0).checked_rem(MOST_KEPT).unwrap_or(0)
    }

    /// As text for filter state.
    pub fn write(self, out: &mut alloc::string::String) {
        let _ = core::fmt::Write::write_fmt(out, format_args!("{}.{}", self.slot, self.number));
    }

    /// The last word of what the downstream placement left in filter state.
    #[must_use]
    pub fn read(state: &[u8]) -> Option<Self> {
        let word = state.rsplit(|byte| *byte == b' ').next()?;
        let (slot, number) = core::str::from_utf8(word).ok()?.split_once('.')?;
        Some(Self { slot: slot.parse().ok()?, number: number.parse().ok()? })
    }
}
