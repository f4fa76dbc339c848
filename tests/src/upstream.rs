//! A server behind Envoy that counts what reached it, and answers as a test likes at the time.

mod answer;
mod port;
pub(crate) mod server;
pub(crate) mod switch;

use std::fmt;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::answer::Answer;
pub use self::port::{DeadPort, Port};
use self::server::{loopback, Server};
use self::switch::Switch;
use crate::http1;

/// An HTTP/1.1 server on loopback, one thread per connection. Dropping it stops it.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    shared: Arc<Shared>,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

/// How long a request may be held without a look at whether its caller has left.
const LOOK: Duration = Duration::from_millis(10);
/// Headers a request has at most where none is remembered.
const FEW_HEADERS: usize = 64;

struct Shared {
    act: Switch<Act>,
    count: AtomicUsize,
    /// Nothing, where requests are only counted.
    seen: Option<Mutex<Vec<Seen>>>,
}

type Act = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

// === impl Upstream ===

impl Upstream {
    /// A server that answers every request with `status` and `body`.
    pub fn fixed(status: u16, body: &str) -> Self {
        Self::new(always(Answer::new(status, body)))
    }

    /// A server that answers as `answer` says, which may take its time: each connection waits
    /// for itself only.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn new(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(loopback(), Arc::new(answer), Some(Mutex::default()))
    }

    /// A server for millions of requests: it counts them and forgets them.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn counting(answer: Answer) -> Self {
        Self::start(loopback(), Arc::new(always(answer)), None)
    }

    /// A server at a reserved port. Once it is dropped, connections are refused again.
    ///
    /// # Panics
    ///
    /// If it cannot listen there.
    pub fn at(port: &Port, answer: Answer) -> Self {
        Self::start(port.listen(), Arc::new(always(answer)), Some(Mutex::default()))
    }

    /// A server at this address, which nobody else has: of IPv6, say.
    ///
    /// # Panics
    ///
    /// If it cannot listen there.
    pub fn on(addr: impl Into<SocketAddr>, answer: Answer) -> Self {
        let listener = TcpListener::bind(addr.into()).expect("a free address");
        Self::start(listener, Arc::new(always(answer)), Some(Mutex::default()))
    }

    /// A server at a reserved port that answers as `answer` says.
    pub(crate) fn new_at(port: &Port, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(port.listen(), Arc::new(answer), Some(Mutex::default()))
    }

    fn start(listener: TcpListener, act: Act, seen: Option<Mutex<Vec<Seen>>>) -> Self {
        let shared = Arc::new(Shared { act: Switch::new(act), count: AtomicUsize::new(0), seen });
        let state = Arc::clone(&shared);
        Self { server: Server::start(listener, move |stream| serve(stream, &state)), shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Answers like this from now on: requests yet to come, and those held by [`Answer::silence`].
    pub fn switch(&self, answer: Answer) {
        self.switch_to(always(answer));
    }

    pub(crate) fn switch_to(&self, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        self.shared.act.set(Arc::new(answer));
    }

    /// Requests so far, in the order they were complete; none where they are only counted.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.as_ref().map(|seen| lock(seen).clone()).unwrap_or_default()
    }

    /// Requests since the last call; a server that runs for long forgets them this way.
    pub fn take_seen(&self) -> Vec<Seen> {
        self.shared.seen.as_ref().map(|seen| std::mem::take(&mut *lock(seen))).unwrap_or_default()
    }

    /// Number of requests so far.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Number of the requests [`seen`](Self::seen) that `which` is true for.
    pub fn count_where(&self, which: impl Fn(&Seen) -> bool) -> usize {
        let seen = self.shared.seen.as_ref();
        seen.map_or(0, |seen| lock(seen).iter().filter(|seen| which(seen)).count())
    }

    /// Requests held by [`Answer::silence`] now. One whose caller leaves is held no longer.
    pub fn held(&self) -> usize {
        self.shared.act.held()
    }
}

fn always(answer: Answer) -> impl Fn(&Seen) -> Answer + Send + Sync {
    move |_| answer.clone()
}

/// Answers requests until either side is done.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut input = Vec::new();
    while let Ok(Some(seen)) = next(&mut stream, &mut input, shared.seen.is_some()) {
        if let Some(all) = &shared.seen {
            lock(all).push(seen.clone());
        }
        shared.count.fetch_add(1, Ordering::SeqCst);
        let Some(answer) = shared.answer(&seen, &stream) else { return };
        let Ok(true) = answer.write(&mut stream, seen.method == "HEAD") else { return };
    }
}

/// The next whole request; `None` when the other side is done.
fn next(stream: &mut TcpStream, input: &mut Vec<u8>, whole: bool) -> io::Result<Option<Seen>> {
    let mut chunk = [0; 16 << 10];
    loop {
        let found = if whole {
            Seen::parse(input, &mut [httparse::EMPTY_HEADER; http1::MAX_HEADERS], true)
        } else {
            Seen::parse(input, &mut [httparse::EMPTY_HEADER; FEW_HEADERS], false)
        };
        if let Some((seen, len)) = found? {
            input.drain(..len);
            return Ok(Some(seen));
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            count => input.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Whether the other side has closed.
fn left(stream: &TcpStream) -> bool {
    let peek = || {
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        peeked
    };
    match peek() {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Seen ===

impl Seen {
    /// The first value of a header, lossily as text. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    }

    /// The request at the start of `input` and its length; without its headers unless `whole`.
    fn parse<'b>(
        input: &'b [u8],
        headers: &mut [httparse::Header<'b>],
        whole: bool,
    ) -> io::Result<Option<(Self, usize)>> {
        let Some((method, path, head, count)) = http1::request(input, headers)? else { return Ok(None) };
        let mut body = Vec::new();
        let Some(len) = http1::body(&input[head.len..], head.body, false, &mut body)? else {
            return Ok(None);
        };
        let headers = http1::owned(&headers[..if whole { count } else { 0 }]);
        Ok(Some((Self { method: method.to_owned(), path: path.to_owned(), headers, body }, head.len + len)))
    }
}

// === impl Shared ===

impl Shared {
    /// What to answer; `None` if the caller left before that was known.
    fn answer(&self, seen: &Seen, stream: &TcpStream) -> Option<Answer> {
        loop {
            let (act, turn) = self.act.now();
            let answer = act(seen);
            if !answer.is_silence() {
                return Some(answer);
            }
            let _held = self.act.hold();
            while !self.act.changes(turn, LOOK) {
                if left(stream) {
                    return None;
                }
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("count", &self.count).finish_non_exhaustive()
    }
}
