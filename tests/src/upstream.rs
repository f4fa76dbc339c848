//! A server behind Envoy that remembers what reached it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::http1;

/// An HTTP/1.1 server on loopback, one thread per connection. Dropping it stops it.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
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

/// What to answer.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Chunked,
    Close,
    HangUp,
    Length,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

// === impl Upstream ===

impl Upstream {
    /// A server that answers every request with `status` and `body`.
    pub fn fixed(status: u16, body: &str) -> Self {
        let answer = Answer::new(status, body);
        Self::new(move |_| answer.clone())
    }

    /// A server that answers as `answer` says, which may take its time: each connection waits
    /// for itself only.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn new(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let addr = listener.local_addr().expect("the port");
        let shared = Arc::new(Shared::default());
        let (state, answer) = (Arc::clone(&shared), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if state.stopped.load(Ordering::SeqCst) {
                    return;
                }
                lock(&state.open).extend(stream.try_clone());
                let (state, answer) = (Arc::clone(&state), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &state, &*answer));
            }
        });
        Self { addr, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Requests so far, in the order they were complete.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Requests since the last call; a server that runs for long forgets them this way.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.shared.seen))
    }

    /// Number of requests so far.
    pub fn count(&self) -> usize {
        lock(&self.shared.seen).len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr); // Wakes the listening thread, which sees the flag.
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers requests until either side closes.
fn serve(mut stream: TcpStream, shared: &Shared, answer: &dyn Fn(&Seen) -> Answer) {
    let _ = stream.set_nodelay(true);
    let mut input = Vec::new();
    while let Ok(Some(seen)) = next(&mut stream, &mut input) {
        lock(&shared.seen).push(seen.clone());
        let answer = answer(&seen);
        let written = stream.write_all(&answer.bytes(seen.method == "HEAD"));
        if written.is_err() || matches!(answer.ending, Ending::Close | Ending::HangUp) {
            break;
        }
    }
    // The listening side keeps a handle, so dropping this one would not close the connection.
    let _ = stream.shutdown(Shutdown::Both);
}

/// The next whole request; `None` when the other side is done.
fn next(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some((seen, len)) = Seen::parse(input)? {
            input.drain(..len);
            return Ok(Some(seen));
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            count => input.extend_from_slice(&chunk[..count]),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Seen ===

impl Seen {
    /// The first value of a header, lossily as text. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    }

    /// The request at the start of `input` and its length.
    fn parse(input: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; http1::MAX_HEADERS];
        let Some((method, path, head, count)) = http1::request(input, &mut headers)? else { return Ok(None) };
        let mut body = Vec::new();
        let Some(len) = http1::body(&input[head.len..], head.body, false, &mut body)? else {
            return Ok(None);
        };
        let headers = http1::owned(&headers[..count]);
        Ok(Some((Self { method: method.to_owned(), path: path.to_owned(), headers, body }, head.len + len)))
    }
}

// === impl Answer ===

impl Answer {
    /// A body with its `content-length`.
    pub fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        Self { status, headers: Vec::new(), body, ending: Ending::Length }
    }

    /// Closes the connection instead of answering.
    pub fn hang_up() -> Self {
        Self { ending: Ending::HangUp, ..Self::new(0, "") }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends the body in chunks of at most 1,000 bytes.
    pub fn chunked(self) -> Self {
        Self { ending: Ending::Chunked, ..self }
    }

    /// Ends the body by closing the connection.
    pub fn until_close(self) -> Self {
        Self { ending: Ending::Close, ..self }
    }

    fn bytes(&self, bodiless: bool) -> Vec<u8> {
        if self.ending == Ending::HangUp {
            return Vec::new();
        }
        let framing = match self.ending {
            Ending::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Ending::Length => format!("content-length: {}\r\n", self.body.len()),
            Ending::Close | Ending::HangUp => "connection: close\r\n".to_owned(),
        };
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut out = format!("HTTP/1.1 {} Status\r\n{headers}{framing}\r\n", self.status).into_bytes();
        match self.ending {
            _ if bodiless => {}
            Ending::Chunked => {
                for part in self.body.chunks(1000) {
                    out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    out.extend_from_slice(part);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
            _ => out.extend_from_slice(&self.body),
        }
        out
    }
}
