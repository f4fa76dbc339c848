//! Requests under way, as the two placements of the filter on one worker share them.
//!
//! The placement around the exchange chooses the first endpoint and takes a flight; the one around
//! each attempt finds it by its number, which travels in filter state where no client can write it,
//! counts what came of the attempt, and chooses the endpoint of the next one. Without that placement a
//! flight has no attempts, and the first placement counts for itself.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::balance::Pool;
use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::Table;
use crate::time::Span;

/// What all configurations and both placements share on one worker.
#[derive(Debug, Default)]
pub struct Memory {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    taken: Cell<u32>,
    sees_attempts: Cell<bool>,
}

#[derive(Debug)]
struct Slot {
    number: u32,
    flight: Option<Rc<Flight>>,
}

/// A request under way.
#[derive(Debug)]
pub struct Flight {
    /// Its service.
    pub view: Rc<ServiceView>,
    /// The endpoints among which it chooses.
    pub table: Rc<Table>,
    /// The subset of them that it is for.
    pub pool: Rc<Pool>,
    /// What it is told apart from others by, when the choice is by hash.
    pub hash: Option<u64>,
    /// The endpoints that it was sent to or will be, in order.
    pub picks: RefCell<Picks>,
    /// Attempts that began.
    pub attempts: Cell<u32>,
    /// An attempt that ended without a response, nobody knows yet why.
    pub suspect: Cell<Option<Suspect>>,
}

/// The endpoints of one request, without memory of its own to allocate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picks {
    list: [u32; MOST],
    count: usize,
}

/// An attempt of which nobody knows yet why it has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The endpoint's place in the table.
    pub endpoint: u32,
    /// How long it took.
    pub took: Span,
}

/// Names a flight: its slot, and a number that no flight of that slot had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    number: u32,
}

/// Most endpoints that one request tries.
pub const MOST: usize = 10;

// === impl Memory ===

impl Memory {
    /// A request begins.
    pub fn begin(&self, flight: Rc<Flight>) -> Ticket {
        let number = self.taken.get().wrapping_add(1);
        self.taken.set(number);
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

    /// The request with this ticket, if it is still under way.
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

    /// From now on there is a placement around attempts.
    pub fn see_attempts(&self) {
        self.sees_attempts.set(true);
    }

    /// Whether there is, or was, a placement around attempts.
    #[must_use]
    pub fn sees_attempts(&self) -> bool {
        self.sees_attempts.get()
    }

    /// How many requests are under way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.borrow().len().saturating_sub(self.free.borrow().len())
    }
}

// === impl Ticket ===

impl Ticket {
    /// As text that stands in filter state.
    pub fn write(self, out: &mut alloc::string::String) {
        let _ = core::fmt::Write::write_fmt(out, format_args!("{}.{}", self.slot, self.number));
    }

    /// The last word of what the first placement left in filter state.
    #[must_use]
    pub fn read(state: &[u8]) -> Option<Self> {
        let word = state.rsplit(|byte| *byte == b' ').next()?;
        let (slot, number) = core::str::from_utf8(word).ok()?.split_once('.')?;
        Some(Self { slot: slot.parse().ok()?, number: number.parse().ok()? })
    }
}

// === impl Picks ===

impl Picks {
    /// Adds one, if there is room.
    pub fn add(&mut self, endpoint: u32) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = endpoint;
            self.count = self.count.saturating_add(1);
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        self.list.get(..self.count).unwrap_or(&[])
    }

    /// The one of the `attempt`th attempt, counted from 0: the last one is tried again when there is
    /// no other.
    #[must_use]
    pub fn of(&self, attempt: u32) -> Option<u32> {
        let all = self.all();
        let at = usize::try_from(attempt).unwrap_or(usize::MAX);
        all.get(at).or(all.last()).copied()
    }
}
