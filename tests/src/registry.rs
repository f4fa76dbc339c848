//! A registry that answers what a test has written down, right or wrong.
//!
//! [`Answer`] has what a hostile one does: [`raw`](Answer::raw) bytes, a length that lies
//! ([`claim`](Answer::claim)), an end too early ([`cut_after`](Answer::cut_after)), a byte at a
//! time ([`drip`](Answer::drip)), late ([`after`](Answer::after)) or not at all
//! ([`silence`](Answer::silence)).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::upstream::{lock, Answer, Port, Seen, Upstream};

/// An HTTP/1.1 server on loopback that follows a script. Dropping it stops it.
#[derive(Debug)]
pub struct Registry {
    upstream: Upstream,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Answer>,
    otherwise: Answer,
}

// === impl Registry ===

impl Registry {
    /// A registry that gives this answer to every request.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn new(answer: Answer) -> Self {
        Self::at(&Port::reserve(), answer)
    }

    /// A registry at a reserved port. Once it is dropped, connections are refused again.
    ///
    /// # Panics
    ///
    /// If it cannot listen there.
    pub fn at(port: &Port, answer: Answer) -> Self {
        let script = Arc::new(Mutex::new(Script { next: VecDeque::new(), otherwise: answer }));
        let read = Arc::clone(&script);
        let upstream = Upstream::new_at(port, move |_| lock(&read).turn());
        Self { upstream, script }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.upstream.addr()
    }

    /// Gives each of these answers once, in this order, before it returns to the usual one.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.script).next.extend(answers);
    }

    /// Gives another answer from now on, also to the requests held by [`Answer::silence`]. What
    /// is left of the script is dropped.
    pub fn switch(&self, answer: Answer) {
        let script = Arc::clone(&self.script);
        *lock(&script) = Script { next: VecDeque::new(), otherwise: answer };
        self.upstream.switch_to(move |_| lock(&script).turn());
    }

    /// Number of requests so far.
    pub fn count(&self) -> usize {
        self.upstream.count()
    }

    /// Requests held by [`Answer::silence`] now.
    pub fn held(&self) -> usize {
        self.upstream.held()
    }

    /// Requests so far, in the order they were complete.
    pub fn seen(&self) -> Vec<Seen> {
        self.upstream.seen()
    }

    /// Method and path of the requests so far: `GET /v1/health/service/web?index=7`.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }
}

// === impl Script ===

impl Script {
    fn turn(&mut self) -> Answer {
        self.next.pop_front().unwrap_or_else(|| self.otherwise.clone())
    }
}
