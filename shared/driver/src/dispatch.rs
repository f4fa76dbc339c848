//! Which context a callback is about. The host numbers roots (a root is one plugin
//! configuration on one worker) and exchanges alike, and names the number in every callback.
//!
//! Each request passes here three times or more. So an exchange lies in the map itself, whose
//! memory serves the next one, and the map hashes by one multiplication: the numbers are the
//! host's own, one after another, and no client has a hand in them.
//!
//! No call of a [`Proxy`] calls back before it returns, other than for memory and with
//! the answer to a name. That answer is put aside until the callback is over, for the stage is in
//! the middle of its question. If another did: a callback that finds the contexts in use, or its
//! own unknown, lets the message pass.
//!
//! Exchanges that wait are in one list for the whole VM, asked for at every tick and answer of any
//! root: configurations share a memory, so the answer to one may be what another's exchange waits
//! for, and an exchange whose root is gone needs somebody to ask for it. They are asked for only in
//! callbacks of roots. A reply sent from the callback of one request to another would hold back the
//! former: until a callback is over, the host stops the message that it is about after any reply.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tidegate_policy::host::Token;
use tidegate_policy::http::Stage;
use tidegate_policy::time::{Span, Timestamp};

use crate::exchange::Exchange;
use crate::message::{Arrival, ProxyAnswer};
use crate::proxy::{Action, Proxy};
use crate::root::Plugin;
use crate::spread::Spread;

/// All contexts of one VM, which serves one stage.
pub struct Dispatcher<S: Stage, P: Proxy> {
    proxy: P,
    /// A few: one for each configuration in use.
    roots: RefCell<Vec<Root<S, P>>>,
    exchanges: RefCell<HashMap<u32, Running<S, P>, Spread>>,
    /// The exchanges that wait, and a few that do not any more.
    waiting: RefCell<Vec<u32>>,
    /// Answers that came before their question was out, with their roots.
    early: RefCell<Vec<(u32, Arrival)>>,
    /// What all configurations share.
    memory: OnceCell<Rc<S::Memory>>,
}

struct Root<S: Stage, P: Proxy> {
    id: u32,
    /// `None` until configured.
    plugin: Option<Rc<Plugin<S, P>>>,
    /// Whether the timer runs at the pace of exchanges that wait.
    hurries: Cell<bool>,
    /// Whether the host is done with it, and it was not with the names it had asked for.
    leaves: Cell<bool>,
    /// When the stage was last told of a tick.
    housekept: Cell<Timestamp>,
}

/// An exchange in flight, with the configuration that it began under.
struct Running<S: Stage, P: Proxy> {
    plugin: Rc<Plugin<S, P>>,
    /// The root that it began under, which may be gone by now.
    root: u32,
    exchange: Exchange<S>,
}

// === impl Dispatcher ===

impl<S: Stage, P: Proxy> Dispatcher<S, P> {
    /// No contexts, in this proxy.
    #[must_use]
    pub const fn new(proxy: P) -> Self {
        Self {
            proxy,
            roots: RefCell::new(Vec::new()),
            exchanges: RefCell::new(HashMap::with_hasher(Spread(0))),
            waiting: RefCell::new(Vec::new()),
            early: RefCell::new(Vec::new()),
            memory: OnceCell::new(),
        }
    }

    /// There is a new root, or a new exchange under the root `parent`.
    pub fn context_created(&self, context: u32, parent: u32) {
        if parent == 0 {
            self.create_root(context);
        } else if let (Some(plugin), Ok(mut exchanges)) =
            (self.plugin(parent), self.exchanges.try_borrow_mut())
        {
            exchanges.insert(context, Running { plugin, root: parent, exchange: Exchange::default() });
        }
    }

    /// A root has a configuration, its first or another; `false` when it cannot be used.
    pub fn configured(&self, root: u32) -> bool {
        let memory = self.memory.get_or_init(Rc::default);
        let Some(plugin) = Plugin::configured(self.proxy.clone(), memory) else { return false };
        let Ok(mut roots) = self.roots.try_borrow_mut() else { return false };
        let Some(known) = roots.iter_mut().find(|known| known.id == root) else { return false };
        if let Some(former) = &known.plugin {
            plugin.names.set(former.names.get());
        }
        let former = known.plugin.replace(Rc::new(plugin));
        known.hurries.set(false);
        drop(roots);
        if let Some(former) = former {
            former.retire();
        }
        if S::ASKS && self.waiting.try_borrow().is_ok_and(|waiting| !waiting.is_empty()) {
            self.hurry(root);
        }
        true
    }

    /// The timer of a root fired.
    pub fn ticked(&self, root: u32) {
        let Some(plugin) = self.plugin(root) else { return };
        if !S::ASKS {
            return plugin.tick();
        }
        if self.leaves(root) {
            return;
        }
        if self.is_due(root) {
            plugin.tick();
        }
        self.deliver_early();
        self.wake(root);
        self.pace(root);
    }

    /// There is an answer to a question of a root's.
    pub fn answered(&self, root: u32, answer: Arrival) {
        if !S::ASKS {
            return;
        }
        let Some(plugin) = self.plugin(root) else { return };
        if let Token::Name(_) = answer.token() {
            plugin.names.set(plugin.names.get().saturating_sub(1));
        }
        if self.leaves(root) {
            if plugin.names.get() == 0 {
                self.proxy.release_root();
            }
            return;
        }
        if self.proxy.is_resolving() {
            if let Ok(mut early) = self.early.try_borrow_mut() {
                early.push((root, answer.kept(&self.proxy)));
            }
            return;
        }
        self.deliver(root, &answer);
        self.deliver_early();
        self.wake(root);
    }

    /// The headers of a request arrived.
    pub fn request_headers(&self, exchange: u32, end_of_stream: bool) -> Action {
        let mut held = false;
        let action = self.with(exchange, |plugin, exchange| {
            let action = plugin.request(exchange, end_of_stream);
            held = exchange.is_held();
            action
        });
        if S::ASKS {
            if held {
                self.hold(exchange);
            }
            self.deliver_early();
        }
        action
    }

    /// Part of the body of a request arrived, or its trailers, which are its end.
    pub fn request_continues(&self, exchange: u32, end_of_stream: bool) -> Action {
        self.with(exchange, |plugin, exchange| plugin.request_continues(exchange, end_of_stream))
    }

    /// The headers of a response are about to leave.
    pub fn response_headers(&self, exchange: u32, end_of_stream: bool) -> Action {
        self.with(exchange, |plugin, exchange| {
            plugin.response(exchange, end_of_stream);
            Action::Continue
        })
    }

    /// Part of the body of a response is about to leave.
    pub fn response_body(&self, exchange: u32, end_of_stream: bool) -> Action {
        self.with(exchange, |_, exchange| {
            if end_of_stream {
                exchange.response_complete();
            }
            Action::Continue
        })
    }

    /// The trailers of a response are about to leave.
    pub fn response_trailers(&self, exchange: u32) -> Action {
        self.with(exchange, |plugin, exchange| {
            plugin.trailers(exchange);
            Action::Continue
        })
    }

    /// The host is about to delete a context; `false` when it must wait for a call of ours.
    ///
    /// Envoy delivers the answer to a name to the root that asked even if it has deleted that root
    /// meanwhile, in memory that is another's by then. So a root that waits for one stays, silent,
    /// until all have come.
    pub fn is_done(&self, context: u32) -> bool {
        let Ok(roots) = self.roots.try_borrow() else { return true };
        let Some(root) = roots.iter().find(|known| known.id == context) else { return true };
        let done = root.plugin.as_ref().is_none_or(|plugin| plugin.names.get() == 0);
        if !done {
            root.leaves.set(true);
            let _ = self.proxy.set_timer(0);
        }
        done
    }

    /// A context is gone.
    pub fn deleted(&self, context: u32) {
        let Ok(mut exchanges) = self.exchanges.try_borrow_mut() else { return };
        let running = exchanges.remove(&context);
        drop(exchanges);
        match running {
            Some(Running { plugin, exchange, .. }) => plugin.end(exchange),
            None => self.delete_root(context),
        }
    }

    fn with(&self, exchange: u32, call: impl FnOnce(&Plugin<S, P>, &mut Exchange<S>) -> Action) -> Action {
        let Ok(mut exchanges) = self.exchanges.try_borrow_mut() else { return Action::Continue };
        match exchanges.get_mut(&exchange) {
            Some(running) => call(&running.plugin, &mut running.exchange),
            None => Action::Continue,
        }
    }

    fn plugin(&self, root: u32) -> Option<Rc<Plugin<S, P>>> {
        self.roots.try_borrow().ok()?.iter().find(|known| known.id == root)?.plugin.clone()
    }

    /// The host may announce a root that it announced before.
    fn create_root(&self, id: u32) {
        if let Ok(mut roots) = self.roots.try_borrow_mut() {
            if roots.iter().all(|known| known.id != id) {
                let (hurries, leaves, housekept) = (Cell::default(), Cell::default(), Cell::default());
                roots.push(Root { id, plugin: None, hurries, leaves, housekept });
            }
        }
    }

    fn delete_root(&self, id: u32) {
        let Ok(mut roots) = self.roots.try_borrow_mut() else { return };
        let Some(at) = roots.iter().position(|known| known.id == id) else { return };
        let root = roots.swap_remove(at);
        drop(roots);
        // The host would fire it for ever.
        let _ = self.proxy.set_timer(0);
        if let Some(plugin) = root.plugin {
            plugin.retire();
        }
        if S::ASKS {
            // What waits on is asked for by the ticks of other roots, if there are any.
            self.wake(id);
        }
    }
}

/// Questions, and the exchanges that wait for their answers.
impl<S: Stage, P: Proxy> Dispatcher<S, P> {
    /// Has an exchange asked for from now on. The host's callback is still about it.
    fn hold(&self, exchange: u32) {
        let (Ok(mut waiting), Ok(exchanges)) = (self.waiting.try_borrow_mut(), self.exchanges.try_borrow())
        else {
            return;
        };
        waiting.push(exchange);
        if let Some(running) = exchanges.get(&exchange) {
            self.hurry(running.root);
        }
    }

    /// Has the timer of a root run at the pace of exchanges that wait. That of a root that is gone
    /// would fire for ever.
    fn hurry(&self, root: u32) {
        let Ok(roots) = self.roots.try_borrow() else { return };
        if let Some(root) = roots.iter().find(|known| known.id == root && !known.leaves.get()) {
            if !root.hurries.replace(true) {
                let _ = self.proxy.set_timer(S::WAIT_MS);
            }
        }
    }

    /// Asks for every exchange that waits, in a callback of the root `root`.
    #[inline(never)]
    fn wake(&self, root: u32) {
        let (Ok(mut waiting), Ok(mut exchanges)) =
            (self.waiting.try_borrow_mut(), self.exchanges.try_borrow_mut())
        else {
            return;
        };
        if waiting.is_empty() {
            return;
        }
        waiting.retain(|id| match exchanges.get_mut(id) {
            Some(running) if running.exchange.is_held() && self.proxy.enter(*id) => {
                running.plugin.ask_again(&mut running.exchange);
                running.exchange.is_held()
            }
            _ => false,
        });
        drop((waiting, exchanges));
        self.proxy.enter(root);
        self.deliver_early();
    }

    /// Lets the timer of a root run as slowly as before once nothing waits.
    fn pace(&self, root: u32) {
        let (Ok(waiting), Ok(roots)) = (self.waiting.try_borrow(), self.roots.try_borrow()) else { return };
        let Some(root) = roots.iter().find(|known| known.id == root) else { return };
        if waiting.is_empty() && root.hurries.replace(false) {
            let _ = self.proxy.set_timer(S::TICK_MS);
        }
    }

    /// Whether it is time for a root's housekeeping, which is then noted as done. A timer that
    /// hurries fires more often than that; one that does not is never early.
    fn is_due(&self, root: u32) -> bool {
        let Ok(roots) = self.roots.try_borrow() else { return false };
        let Some(root) = roots.iter().find(|known| known.id == root) else { return false };
        let now = self.proxy.now();
        let due = root.housekept.get().plus(Span::from_millis(u64::from(S::TICK_MS)));
        if root.hurries.get() && now < due {
            return false;
        }
        root.housekept.set(now);
        true
    }

    fn leaves(&self, root: u32) -> bool {
        let Ok(roots) = self.roots.try_borrow() else { return false };
        roots.iter().any(|known| known.id == root && known.leaves.get())
    }

    fn deliver(&self, root: u32, answer: &Arrival) {
        if let Some(plugin) = self.plugin(root) {
            plugin.stage.on_callout(&ProxyAnswer(&self.proxy, answer), &plugin.host());
        }
    }

    /// Answers that were put aside, now that the stage is done with its questions. One that makes
    /// it ask again, and is answered at once again, is for the next callback: it could do so for
    /// ever.
    fn deliver_early(&self) {
        let Ok(mut early) = self.early.try_borrow_mut() else { return };
        let list = std::mem::take(&mut *early);
        drop(early);
        for (root, answer) in &list {
            self.deliver(*root, answer);
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;
