//! Which context a callback is about. The host numbers roots (a root is one plugin
//! configuration on one worker) and exchanges alike, and names the number in every callback.
//!
//! Each request passes here three times or more. So an exchange lies in the map itself, whose
//! memory serves the next one, and the map hashes by one multiplication: the numbers are the
//! host's own, one after another, and no client has a hand in them.
//!
//! None of the calls in [`crate::abi`] calls back before it returns, other than for memory. If one
//! did: a callback that finds the contexts in use, or its own unknown, lets the message pass.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;

use tidegate_policy::http::Stage;

use crate::abi::{self, Action};
use crate::exchange::Exchange;
use crate::root::Plugin;

/// All contexts of one VM, which serves one stage.
pub struct Dispatcher<S: Stage> {
    /// A few: one for each configuration in use.
    roots: RefCell<Vec<Root<S>>>,
    exchanges: RefCell<HashMap<u32, Exchange<S>, Spread>>,
}

struct Root<S> {
    id: u32,
    /// `None` until configured.
    plugin: Option<Rc<Plugin<S>>>,
}

/// Spreads numbers that follow one another over all bits.
#[derive(Clone, Copy)]
struct Spread(u64);

// === impl Dispatcher ===

impl<S: Stage> Dispatcher<S> {
    /// No contexts.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "for statics, which need `const`")]
    pub const fn new() -> Self {
        Self { roots: RefCell::new(Vec::new()), exchanges: RefCell::new(HashMap::with_hasher(Spread(0))) }
    }

    /// There is a new root, or a new exchange under the root `parent`.
    pub fn context_created(&self, context: u32, parent: u32) {
        if parent == 0 {
            self.create_root(context);
        } else if let (Some(plugin), Ok(mut exchanges)) =
            (self.plugin(parent), self.exchanges.try_borrow_mut())
        {
            exchanges.insert(context, Exchange::new(plugin));
        }
    }

    /// A root has a configuration, its first or another; `false` when it cannot be used.
    pub fn configured(&self, root: u32) -> bool {
        let Some(plugin) = Plugin::configured() else { return false };
        let Ok(mut roots) = self.roots.try_borrow_mut() else { return false };
        let Some(root) = roots.iter_mut().find(|known| known.id == root) else { return false };
        let former = root.plugin.replace(Rc::new(plugin));
        drop(roots);
        if let Some(former) = former {
            former.retire();
        }
        true
    }

    /// The timer of a root fired.
    pub fn ticked(&self, root: u32) {
        if let Some(plugin) = self.plugin(root) {
            plugin.tick();
        }
    }

    /// The headers of a request arrived.
    pub fn request_headers(&self, exchange: u32) -> Action {
        self.with(exchange, Exchange::request_headers)
    }

    /// The headers of a response are about to leave.
    pub fn response_headers(&self, exchange: u32) -> Action {
        self.with(exchange, Exchange::response_headers)
    }

    /// The trailers of a response are about to leave.
    pub fn response_trailers(&self, exchange: u32) -> Action {
        self.with(exchange, Exchange::response_trailers)
    }

    /// A context is gone.
    pub fn deleted(&self, context: u32) {
        let Ok(mut exchanges) = self.exchanges.try_borrow_mut() else { return };
        let exchange = exchanges.remove(&context);
        drop(exchanges);
        match exchange {
            Some(exchange) => exchange.end(),
            None => self.delete_root(context),
        }
    }

    fn with(&self, exchange: u32, call: impl FnOnce(&mut Exchange<S>) -> Action) -> Action {
        match self.exchanges.try_borrow_mut() {
            Ok(mut exchanges) => exchanges.get_mut(&exchange).map_or(Action::Continue, call),
            Err(_) => Action::Continue,
        }
    }

    fn plugin(&self, root: u32) -> Option<Rc<Plugin<S>>> {
        self.roots.try_borrow().ok()?.iter().find(|known| known.id == root)?.plugin.clone()
    }

    /// The host may announce a root that it announced before.
    fn create_root(&self, id: u32) {
        if let Ok(mut roots) = self.roots.try_borrow_mut() {
            if roots.iter().all(|known| known.id != id) {
                roots.push(Root { id, plugin: None });
            }
        }
    }

    fn delete_root(&self, id: u32) {
        let Ok(mut roots) = self.roots.try_borrow_mut() else { return };
        let Some(at) = roots.iter().position(|known| known.id == id) else { return };
        let root = roots.swap_remove(at);
        drop(roots);
        // The host would fire it for ever.
        let _ = abi::set_tick_period(0);
        if let Some(plugin) = root.plugin {
            plugin.retire();
        }
    }
}

// === impl Spread ===

impl BuildHasher for Spread {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Spread {
    fn write_u32(&mut self, n: u32) {
        // 2^64 over the golden ratio, as in Fibonacci hashing. An odd factor keeps the low bits of
        // numbers in a row apart, which choose the place, and mixes the high ones.
        self.0 = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tidegate_policy::config::ConfigError;
    use tidegate_policy::host::{Host, Store, StoreError};
    use tidegate_policy::http::{
        Callback, CellSpec, Edit, Metric, Placement, Reply, Request, Response, Verdict,
    };

    use super::*;

    thread_local! {
        static CONTEXTS: Dispatcher<Tester> = const { Dispatcher::new() };
        static CALLS: RefCell<String> = const { RefCell::new(String::new()) };
        static CONFIGURED: Cell<u32> = const { Cell::new(0) };
        static NEXT: Cell<Next> = const { Cell::new(Next::GoOn) };
    }

    /// What the stage does with the next request.
    #[derive(Clone, Copy)]
    enum Next {
        GoOn,
        /// Has the host call back for everything before the stage returns.
        Reenter,
        Reply,
    }

    /// Writes down what it is asked. Its name is the number of its configuration.
    struct Tester(u32);

    impl Tester {
        fn note(&self, call: &str) {
            CALLS.with_borrow_mut(|calls| calls.push_str(&format!("{call}{} ", self.0)));
        }
    }

    impl Stage for Tester {
        const NAME: &'static str = "tester";
        const PROPERTY: &'static str = "tester";
        const CALLBACKS: &'static [Callback] = &[];

        type Exchange = u32;

        fn configure(_json: &[u8], _placement: Placement) -> Result<Self, ConfigError> {
            CONFIGURED.set(CONFIGURED.get() + 1);
            Ok(Self(CONFIGURED.get()))
        }

        fn cells(&self) -> impl Iterator<Item = CellSpec> {
            std::iter::empty()
        }

        fn start(&mut self, _store: &impl Store) -> Result<(), StoreError> {
            if CONFIGURED.get() == 3 {
                return Err(StoreError::Unavailable);
            }
            self.note("start");
            Ok(())
        }

        fn stop(&self, _store: &impl Store) {
            self.note("stop");
        }

        fn metrics(&self) -> Vec<Metric> {
            Vec::new()
        }

        fn on_request(&self, asked: &mut u32, _request: &impl Request, _host: &impl Host) -> Verdict {
            *asked += 1;
            self.note("request");
            match NEXT.replace(Next::GoOn) {
                Next::GoOn => {}
                Next::Reenter => CONTEXTS.with(|contexts| {
                    contexts.context_created(77, 1);
                    assert_eq!(contexts.request_headers(10), Action::Continue);
                    assert_eq!(contexts.response_headers(10), Action::Continue);
                    assert_eq!(contexts.response_trailers(10), Action::Continue);
                    contexts.deleted(10);
                }),
                Next::Reply => {
                    let text = String::new;
                    let (headers, body, details) = (Vec::new(), text(), text());
                    return Verdict::Reply(Reply { status: 429, grpc_status: 8, headers, body, details });
                }
            }
            Verdict::Continue(Vec::new())
        }

        fn on_response(&self, asked: &mut u32, _: &impl Response, _: &impl Host) -> Vec<Edit> {
            assert_eq!(*asked, 1);
            self.note("response");
            Vec::new()
        }

        fn on_trailers(&self, asked: &mut u32, _: &impl Response, _: &impl Host) {
            assert_eq!(*asked, 1);
            self.note("trailers");
        }

        fn on_end(&self, asked: &mut u32, _: &impl Response, _: &impl Host) {
            assert_eq!(*asked, 1);
            self.note("end");
        }

        fn on_tick(&self, _host: &impl Host) {
            self.note("tick");
        }
    }

    /// Runs callbacks: `root 1`, `configure 1`, `tick 1`, `create 10 1`, `request 10`, `reply 10`,
    /// `reenter 10`, `response 10`, `trailers 10`, `delete 10`. Says what the stage was asked.
    fn run(script: &str) -> String {
        CONTEXTS.with(|contexts| {
            for line in script.split(',') {
                let mut words = line.split_whitespace();
                let call = words.next().unwrap();
                let mut number = || words.next().map_or(0, |word| word.parse().unwrap());
                let (context, parent) = (number(), number());
                NEXT.set(match call {
                    "reenter" => Next::Reenter,
                    "reply" => Next::Reply,
                    _ => Next::GoOn,
                });
                let held = Action::Pause;
                match call {
                    "root" | "create" => contexts.context_created(context, parent),
                    "configure" => assert_eq!(contexts.configured(context), CONFIGURED.get() != 3),
                    "tick" => contexts.ticked(context),
                    "request" | "reenter" => assert_ne!(contexts.request_headers(context), held),
                    "reply" => assert_eq!(contexts.request_headers(context), held),
                    "response" => assert_ne!(contexts.response_headers(context), held),
                    "trailers" => assert_ne!(contexts.response_trailers(context), held),
                    "delete" => contexts.deleted(context),
                    _ => panic!("{call}?"),
                }
            }
        });
        CALLS.take().trim_end().to_owned()
    }

    const ONE: &str = "root 1, configure 1, create 10 1";

    #[test]
    fn an_exchange_goes_through_its_stage() {
        let all = "request 10, response 10, trailers 10, delete 10, delete 1";
        assert_eq!(run(&format!("{ONE}, {all}")), "start1 request1 response1 trailers1 end1 stop1");
    }

    #[test]
    fn a_reply_of_ours_ends_an_exchange_for_the_stage() {
        let rest = "reply 10, response 10, trailers 10, delete 10";
        assert_eq!(run(&format!("{ONE}, {rest}")), "start1 request1");
    }

    /// Envoy makes a context only to log a request that an earlier filter answered.
    #[test]
    fn an_exchange_without_a_request_is_none() {
        assert_eq!(run(&format!("{ONE}, response 10, trailers 10, delete 10")), "start1");
    }

    #[test]
    fn what_is_not_known_passes() {
        let known = "request 9, response 9, trailers 9, delete 9, tick 9, create 11 9, request 11";
        assert_eq!(run(known), "");
        let early = "root 1, create 10 1, request 10, delete 10, tick 1, delete 1";
        assert_eq!(run(early), "", "not configured yet");
        let late = "delete 10, request 10, response 10, delete 10, delete 1, tick 1, delete 1";
        assert_eq!(run(&format!("{ONE}, {late}")), "start1 stop1");
        assert!(!CONTEXTS.with(|contexts| contexts.configured(9)));
    }

    #[test]
    fn roots_stand_side_by_side() {
        let two = "root 1, configure 1, root 2, configure 2, create 10 2, create 11 1, tick 2, tick 1";
        assert_eq!(run(two), "start1 start2 tick2 tick1");
        assert_eq!(run("request 10, request 11, root 1, delete 2, tick 2"), "request2 request1 stop2");
        // What is under way keeps its configuration.
        assert_eq!(run("response 10, response 11, delete 10, tick 1"), "response2 response1 end2 tick1");
    }

    #[test]
    fn another_configuration_takes_the_place_of_the_first_if_it_is_good() {
        assert_eq!(run(&format!("{ONE}, request 10, configure 1")), "start1 request1 start2 stop1");
        assert_eq!(run("configure 1, create 11 1, request 11, response 10"), "request2 response1");
        assert_eq!(run("delete 10, delete 11, tick 1, delete 1"), "end1 end2 tick2 stop2");
    }

    #[test]
    fn a_callback_within_a_callback_does_nothing() {
        assert_eq!(run(&format!("{ONE}, reenter 10, request 77")), "start1 request1");
        assert_eq!(run("response 10, delete 10"), "response1 end1");
    }

    #[test]
    fn the_memory_of_ended_exchanges_is_used_again() {
        let capacity = || CONTEXTS.with(|contexts| contexts.exchanges.borrow().capacity());
        let rounds = |from: u32, to: u32| {
            CONTEXTS.with(|contexts| {
                for id in from..to {
                    contexts.context_created(id, 1);
                    // A hundred are under way at any time.
                    contexts.deleted(id.saturating_sub(100));
                }
            });
        };
        run("root 1, configure 1");
        rounds(200, 1_000);
        let settled = capacity();
        rounds(1_000, 100_000);
        assert_eq!(capacity(), settled);
        assert!(settled < 1_000, "{settled}");
    }

    #[test]
    fn numbers_in_a_row_take_places_of_their_own() {
        let places: std::collections::BTreeSet<_> =
            (5..1_029_u32).map(|n| Spread(0).hash_one(n) % 1_024).collect();
        assert_eq!(places.len(), 1_024);
    }
}
