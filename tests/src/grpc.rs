//! A gRPC caller over HTTP/2 without TLS, and a service.

mod upstream;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::{client, RecvStream};
use http::{HeaderMap, HeaderValue, Request};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

pub use self::upstream::{Answer, Upstream};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An empty message: not compressed, four bytes of length.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// What a gRPC client sees of a call.
#[derive(Clone, Debug)]
pub struct GrpcReply {
    /// The status of the HTTP response.
    pub http_status: u16,
    /// `grpc-status`, from the trailers or from a response of headers only.
    pub grpc_status: Option<u32>,
    /// `grpc-message`, percent-encoded as received.
    pub grpc_message: Option<String>,
    /// The response headers.
    pub headers: HeaderMap,
    /// The trailers, if any.
    pub trailers: HeaderMap,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls `path`, for example `/package.Service/Method`, with an empty message.
///
/// # Panics
///
/// If no whole response arrives within ten seconds.
pub fn unary(server: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> GrpcReply {
    try_unary(server, path, headers).unwrap_or_else(|error| panic!("gRPC call of {path}: {error}"))
}

/// [`unary`] for calls that may fail: the error says what happened `after headers: `, or before.
pub fn try_unary(server: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<GrpcReply, String> {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let reply = runtime.block_on(async { timeout(PATIENCE, call(server, path, headers)).await? });
    reply.map_err(|error| error.to_string())
}

async fn call(server: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<GrpcReply, Failure> {
    let (sender, connection) = client::handshake(TcpStream::connect(server).await?).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://tidegate.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value)?);
    }
    let (response, mut body) = sender.ready().await?.send_request(request.body(())?, false)?;
    body.send_data(Bytes::from_static(&EMPTY_MESSAGE), true)?;
    let (head, stream) = response.await?.into_parts();
    let trailers = trailers(stream).await.map_err(|error| format!("after headers: {error}"))?;
    connection.abort();
    let find = |name: &str| {
        let value = trailers.get(name).or_else(|| head.headers.get(name))?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(GrpcReply {
        http_status: head.status.as_u16(),
        grpc_status: find("grpc-status").and_then(|status| status.parse().ok()),
        grpc_message: find("grpc-message"),
        headers: head.headers,
        trailers,
    })
}

/// Reads past the body.
async fn trailers(mut stream: RecvStream) -> Result<HeaderMap, Failure> {
    while let Some(data) = stream.data().await {
        let length = data?.len();
        stream.flow_control().release_capacity(length)?;
    }
    Ok(poll_fn(|context| stream.poll_trailers(context)).await?.unwrap_or_default())
}
