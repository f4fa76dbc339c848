//! A gRPC service over HTTP/2 without TLS, that answers as a test likes at the time.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::{Failure, EMPTY_MESSAGE};
use crate::upstream::server::{loopback, Server};
use crate::upstream::switch::Switch;

/// A server whose every method answers alike, one thread per connection. Dropping it stops it.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    shared: Arc<Shared>,
}

/// What to answer to a call, and when.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Answer {
    kind: Kind,
    after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cut,
    Http(u16),
    Reset,
    Silence,
    Status(u32),
    TrailersOnly(u32),
}

/// How long a call may be held without a look at the switch.
const LOOK: Duration = Duration::from_millis(5);
/// Time for headers to be written before a reset, which drops what is not.
const WRITTEN: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Shared {
    answer: Switch<Answer>,
    count: AtomicUsize,
}

// === impl Upstream ===

impl Upstream {
    /// A server that answers every call like this.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn new(answer: Answer) -> Self {
        let shared = Arc::new(Shared { answer: Switch::new(answer), count: AtomicUsize::new(0) });
        let state = Arc::clone(&shared);
        let serve = move |stream| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            // A connection may end as it likes; what the caller made of it is for the test to say.
            let _ = runtime.block_on(serve(stream, &state));
        };
        Self { server: Server::start(loopback(), serve), shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Answers like this from now on: calls yet to come, and those held by [`Answer::silence`].
    pub fn switch(&self, answer: Answer) {
        self.shared.answer.set(answer);
    }

    /// Number of calls so far.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Calls held by [`Answer::silence`] now. One whose caller leaves is held no longer.
    pub fn held(&self) -> usize {
        self.shared.answer.held()
    }
}

async fn serve(stream: std::net::TcpStream, shared: &Arc<Shared>) -> Result<(), Failure> {
    stream.set_nonblocking(true)?;
    let mut connection = server::handshake(TcpStream::from_std(stream)?).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        let shared = Arc::clone(shared);
        tokio::spawn(async move { shared.answer(request.into_body(), respond).await });
    }
    Ok(())
}

// === impl Answer ===

impl Answer {
    /// An empty message, and this `grpc-status` in the trailers.
    pub fn status(grpc_status: u32) -> Self {
        Self::of(Kind::Status(grpc_status))
    }

    /// This `grpc-status` in a response of headers only.
    pub fn trailers_only(grpc_status: u32) -> Self {
        Self::of(Kind::TrailersOnly(grpc_status))
    }

    /// An HTTP status and no `grpc-status`, as from a proxy that knows nothing of gRPC.
    pub fn http(status: u16) -> Self {
        Self::of(Kind::Http(status))
    }

    /// Resets the stream instead of answering.
    pub fn reset() -> Self {
        Self::of(Kind::Reset)
    }

    /// Resets the stream after the headers.
    pub fn cut() -> Self {
        Self::of(Kind::Cut)
    }

    /// Says nothing until the upstream is [switched](Upstream::switch), and then what the new answer
    /// says.
    pub fn silence() -> Self {
        Self::of(Kind::Silence)
    }

    /// Does nothing for so long.
    pub fn after(self, delay: Duration) -> Self {
        Self { after: delay, ..self }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, after: Duration::ZERO }
    }

    async fn send(self, mut respond: SendResponse<Bytes>) -> Result<(), Failure> {
        sleep(self.after).await;
        let head = Response::builder().header("content-type", "application/grpc");
        match self.kind {
            Kind::Silence => {}
            Kind::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
            Kind::Http(status) => drop(respond.send_response(head.status(status).body(())?, true)?),
            Kind::TrailersOnly(status) => {
                drop(respond.send_response(head.header("grpc-status", status).body(())?, true)?);
            }
            Kind::Cut => {
                let mut stream = respond.send_response(head.body(())?, false)?;
                sleep(WRITTEN).await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
            Kind::Status(status) => {
                let mut stream = respond.send_response(head.body(())?, false)?;
                stream.send_data(Bytes::from_static(&EMPTY_MESSAGE), false)?;
                stream.send_trailers(HeaderMap::from_iter([("grpc-status".try_into()?, status.into())]))?;
            }
        }
        Ok(())
    }
}

// === impl Shared ===

impl Shared {
    async fn answer(&self, body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<(), Failure> {
        super::trailers(body).await?;
        self.count.fetch_add(1, Ordering::SeqCst);
        loop {
            let (answer, turn) = self.answer.now();
            if answer.kind != Kind::Silence {
                return answer.send(respond).await;
            }
            let _held = self.answer.hold();
            while !self.answer.changes(turn, Duration::ZERO) {
                if let Ok(left) = timeout(LOOK, poll_fn(|context| respond.poll_reset(context))).await {
                    left?;
                    return Ok(());
                }
            }
        }
    }
}
