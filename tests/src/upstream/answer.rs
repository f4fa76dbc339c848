//! What an upstream does with one request.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// What to answer, and when.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
    /// The length in the head where it is not the body's.
    claimed: Option<usize>,
    after: Duration,
    body_after: Duration,
    between: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Chunked,
    Close,
    /// After so many bytes of the body.
    Cut(usize),
    HangUp,
    Length,
    /// The body alone: it is the whole message.
    Raw,
    Silence,
}

// === impl Answer ===

impl Answer {
    /// A body with its `content-length`.
    pub fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let at_once = Duration::ZERO;
        Self {
            status,
            headers: Vec::new(),
            body,
            ending: Ending::Length,
            claimed: None,
            after: at_once,
            body_after: at_once,
            between: at_once,
        }
    }

    /// Sends these bytes, HTTP or not, and closes the connection.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self { ending: Ending::Raw, ..Self::new(0, bytes) }
    }

    /// Closes the connection instead of answering.
    pub fn hang_up() -> Self {
        Self { ending: Ending::HangUp, ..Self::new(0, "") }
    }

    /// Says nothing until the upstream is [switched](super::Upstream::switch), and then what the
    /// new answer says.
    pub fn silence() -> Self {
        Self { ending: Ending::Silence, ..Self::new(0, "") }
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

    /// Closes the connection after the headers; the body they promise never comes.
    pub fn cut(self) -> Self {
        self.cut_after(0)
    }

    /// Closes the connection after so many bytes of the body; the rest that the headers promise
    /// never comes.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { ending: Ending::Cut(bytes), ..self }
    }

    /// Says in `content-length` what is not so. The connection stays open, so a caller waits for
    /// the bytes that are missing, and takes those that are too many for the next message.
    pub fn claim(self, length: usize) -> Self {
        Self { claimed: Some(length), ..self }
    }

    /// Does nothing for so long.
    pub fn after(self, delay: Duration) -> Self {
        Self { after: delay, ..self }
    }

    /// Waits so long between headers and body.
    pub fn body_after(self, delay: Duration) -> Self {
        Self { body_after: delay, ..self }
    }

    /// Sends the body byte by byte and waits so long after each.
    pub fn drip(self, between: Duration) -> Self {
        Self { between, ..self }
    }

    pub(super) fn is_silence(&self) -> bool {
        self.ending == Ending::Silence
    }

    /// Answers on `stream`; whether it takes another request.
    pub(super) fn write(&self, stream: &mut TcpStream, bodiless: bool) -> io::Result<bool> {
        thread::sleep(self.after);
        let mut out = self.head();
        if !self.body_after.is_zero() || !self.between.is_zero() {
            stream.write_all(&out)?;
            thread::sleep(self.body_after);
            out.clear();
        }
        if !bodiless {
            self.append_body(&mut out);
        }
        let step = if self.between.is_zero() { out.len().max(1) } else { 1 };
        for part in out.chunks(step) {
            stream.write_all(part)?;
            thread::sleep(self.between);
        }
        Ok(matches!(self.ending, Ending::Chunked | Ending::Length))
    }

    fn head(&self) -> Vec<u8> {
        let length = |own: usize| format!("content-length: {}\r\n", self.claimed.unwrap_or(own));
        let framing = match self.ending {
            Ending::HangUp | Ending::Raw | Ending::Silence => return Vec::new(),
            Ending::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Ending::Close => "connection: close\r\n".to_owned(),
            Ending::Cut(_) => length(self.body.len().max(1)),
            Ending::Length => length(self.body.len()),
        };
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {} Status\r\n{headers}{framing}\r\n", self.status).into_bytes()
    }

    fn append_body(&self, out: &mut Vec<u8>) {
        match self.ending {
            Ending::HangUp | Ending::Silence => {}
            Ending::Close | Ending::Length | Ending::Raw => out.extend_from_slice(&self.body),
            Ending::Cut(bytes) => out.extend(self.body.iter().take(bytes)),
            Ending::Chunked => {
                for part in self.body.chunks(1000) {
                    out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    out.extend_from_slice(part);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
    }
}
