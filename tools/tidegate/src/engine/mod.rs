//! The filters of a chain on the simulator: the real stages, one worker, a clock that we move.

mod link;
mod request;
mod router;

use std::cell::Cell;
use std::sync::Arc;

use tidegate_policy::http::Placement;
use tidegate_policy::time::Span;
use tidegate_sim::SimStore;

pub use link::{Attending, Link, Stop};
pub use request::{Passing, Seen};
pub use router::Router;

use crate::find::{Chain, Plugin};

/// The filters of a chain.
pub struct Engine {
    /// In order.
    pub links: Vec<Box<dyn Link>>,
    now: Cell<Span>,
    ticked: Cell<Span>,
}

/// How often filters keep house.
const TICK: Span = Span::from_millis(250);
/// The most ticks of a pause: what happens in a longer one happens in this many steps.
const TICKS: u64 = 20_000;

// === impl Engine ===

impl Engine {
    /// The filters of a chain around exchanges.
    ///
    /// # Errors
    /// A document is wrong, in the filter's own words.
    pub fn new(chain: &Chain) -> Result<Self, String> {
        let store = Arc::new(SimStore::default());
        let around = chain.plugins.iter().filter(|plugin| plugin.placement == Placement::Downstream);
        let links = around.map(|plugin| link(plugin, &store)).collect::<Result<_, _>>()?;
        let engine = Self { links, now: Cell::new(Span::ZERO), ticked: Cell::new(Span::ZERO) };
        // What is in the configuration is known from the first ticks on.
        for _ in 0..4 {
            engine.advance(engine.now().plus(TICK));
        }
        Ok(engine)
    }

    /// When it is, since the start.
    #[must_use]
    pub fn now(&self) -> Span {
        self.now.get()
    }

    /// Lets time pass until `at`; nothing if it has.
    pub fn advance(&self, at: Span) {
        if at <= self.now.get() {
            return;
        }
        let due = at.as_millis().saturating_sub(self.ticked.get().as_millis()) / TICK.as_millis();
        let step = TICK.as_millis().max(TICK.as_millis() * due / TICKS);
        while self.ticked.get().as_millis() + step <= at.as_millis() {
            let ticked = self.ticked.get().plus(Span::from_millis(step));
            self.ticked.set(ticked);
            for link in &self.links {
                link.set(ticked);
                link.tick();
            }
        }
        self.now.set(at);
        self.links.iter().for_each(|link| link.set(at));
    }
}

fn link(plugin: &Plugin, store: &Arc<SimStore>) -> Result<Box<dyn Link>, String> {
    let json = String::from_utf8_lossy(&plugin.document.json);
    link::of(plugin.filter, &json, store)
}
