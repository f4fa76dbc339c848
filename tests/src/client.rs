//! One caller on one keep-alive connection, HTTP/1.1.
//!
//! It writes exactly the bytes it is told to, so header values need not be UTF-8 and several
//! headers may share a name. It can take any loopback address as its own, so one machine looks
//! like many callers.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::http1;

/// How long to wait for a connection, or for the next bytes of a response.
const PATIENCE: Duration = Duration::from_secs(10);

/// A keep-alive connection that is opened again when the server has closed it.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    source: Option<IpAddr>,
    stream: Option<TcpStream>,
    opened: usize,
}

/// A request that has been sent and not yet answered, on a connection of its own.
///
/// Dropping it closes the connection: the caller leaves.
#[derive(Debug)]
#[must_use]
pub struct Call {
    client: Client,
    stream: TcpStream,
    bodiless: bool,
}

/// A request, head and body, as bytes.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    head: Vec<u8>,
    body: Vec<u8>,
    host: bool,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

// === impl Client ===

impl Client {
    /// A caller at 127.0.0.1. Connects with the first request.
    pub fn connect(server: SocketAddr) -> Self {
        Self { server, source: None, stream: None, opened: 0 }
    }

    /// A caller at `source`, for example 127.0.0.7.
    pub fn from_source(server: SocketAddr, source: impl Into<IpAddr>) -> Self {
        Self { source: Some(source.into()), ..Self::connect(server) }
    }

    /// Sends a GET.
    ///
    /// # Panics
    ///
    /// If no whole response arrives.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = headers.iter().fold(Request::get(path), |all, (name, value)| all.header(name, value));
        self.send(&request)
    }

    /// Sends any request.
    ///
    /// # Panics
    ///
    /// If no whole response arrives.
    pub fn send(&mut self, request: &Request) -> Response {
        self.try_send(request).unwrap_or_else(|error| panic!("no response from {}: {error}", self.server))
    }

    /// Sends any request; an error when the server hangs up or stays silent for ten seconds.
    ///
    /// If the server closed a kept connection before the first byte of a response, the request is
    /// sent once more on a new one, as HTTP allows.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        let bytes = request.bytes();
        let bodiless = request.method == "HEAD";
        if let Some(kept) = self.stream.take() {
            if let Some(response) = self.exchange(kept, &bytes, bodiless)? {
                return Ok(response);
            }
        }
        let fresh = connect(self.server, self.source)?;
        self.opened += 1;
        let response = self.exchange(fresh, &bytes, bodiless)?;
        response.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a response"))
    }

    /// Sends a request without waiting for the answer, on another connection from the same address.
    ///
    /// # Panics
    ///
    /// If it cannot be sent.
    pub fn begin(&self, request: &Request) -> Call {
        let client = Self { stream: None, ..*self };
        let send = || {
            let mut stream = connect(self.server, self.source)?;
            stream.write_all(&request.bytes())?;
            Ok(stream)
        };
        let stream = send().unwrap_or_else(|e: io::Error| panic!("no request to {}: {e}", self.server));
        Call { client, stream, bodiless: request.method == "HEAD" }
    }

    /// Connections opened so far.
    pub fn opened(&self) -> usize {
        self.opened
    }

    /// One request and its response; `None` if the server had closed.
    fn exchange(
        &mut self,
        mut stream: TcpStream,
        bytes: &[u8],
        bodiless: bool,
    ) -> io::Result<Option<Response>> {
        // A server may answer and close before it has read everything, so a failed write still reads.
        let written = stream.write_all(bytes);
        self.receive(stream, written, bodiless)
    }

    /// The response to what was `written`; `None` if the server had closed.
    fn receive(
        &mut self,
        mut stream: TcpStream,
        written: io::Result<()>,
        bodiless: bool,
    ) -> io::Result<Option<Response>> {
        let mut input = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = match stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                other => other?,
            };
            input.extend_from_slice(&chunk[..count]);
            if let Some((response, keep)) = Response::parse(&mut input, count == 0, bodiless)? {
                self.stream = keep.then_some(stream);
                return Ok(Some(response));
            }
            match (count, input.is_empty()) {
                (0, true) => return Ok(None),
                (0, false) => {
                    written?;
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed within a response"));
                }
                _ => {}
            }
        }
    }
}

/// A connection without delays, from `source` if given.
pub(crate) fn connect(server: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&server.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

// === impl Call ===

impl Call {
    /// Waits for the answer; an error when the server hangs up or stays silent for ten seconds.
    pub fn answer(mut self) -> io::Result<Response> {
        let response = self.client.receive(self.stream, Ok(()), self.bodiless)?;
        response.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a response"))
    }

    /// Leaves without the answer.
    pub fn leave(self) {}
}

// === impl Request ===

impl Request {
    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Any method.
    pub fn new(method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        Self { method: method.to_owned(), head, body: Vec::new(), host: false }
    }

    /// Adds a header; its value may be any bytes. Without `host`, one is added.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.host |= name.eq_ignore_ascii_case("host");
        for part in [name.as_bytes(), b": ", value.as_ref(), b"\r\n"] {
            self.head.extend_from_slice(part);
        }
        self
    }

    /// Sets the body and its `content-length`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }

    /// What goes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let host: &[u8] = if self.host { b"\r\n" } else { b"host: tidegate.test\r\n\r\n" };
        [self.head.as_slice(), host, &self.body].concat()
    }
}

// === impl Response ===

impl Response {
    /// The first value of a header, lossily as text. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    }

    /// The body, lossily as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The final response at the start of `input`, and whether the connection may be kept.
    fn parse(input: &mut Vec<u8>, ended: bool, bodiless: bool) -> io::Result<Option<(Self, bool)>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; http1::MAX_HEADERS];
            let Some((status, head, count)) = http1::response(input, &mut headers)? else { return Ok(None) };
            if (100..=199).contains(&status) {
                input.drain(..head.len);
                continue;
            }
            let framing = if bodiless { http1::Body::Length(0) } else { head.body };
            let mut body = Vec::new();
            if http1::body(&input[head.len..], framing, ended, &mut body)?.is_none() {
                return Ok(None);
            }
            let keep = !head.close && !ended && framing != http1::Body::UntilClose;
            return Ok(Some((Self { status, headers: http1::owned(&headers[..count]), body }, keep)));
        }
    }
}
