//! One connection of a load run.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::client::connect;
use crate::http1;

/// Headers of one response at most.
const MAX_HEADERS: usize = 64;

/// A connection with at most one request under way, and what it was answered so far.
///
/// Its buffers are kept, so a request allocates nothing.
pub(super) struct Connection {
    index: usize,
    server: SocketAddr,
    source: Option<IpAddr>,
    stream: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
    filled: usize,
    body: Vec<u8>,
    pending: bool,
    lost: u64,
    answers: Vec<u64>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn open(index: usize, server: SocketAddr, source: Option<IpAddr>) -> Self {
        Self {
            index,
            server,
            source,
            stream: stream(server, source),
            output: Vec::new(),
            input: vec![0; 16 << 10],
            filled: 0,
            body: Vec::new(),
            pending: false,
            lost: 0,
            answers: vec![0; 1000],
        }
    }

    /// Sends what `plan` appends to the buffer for this connection.
    pub(super) fn send(&mut self, plan: impl FnOnce(usize, &mut Vec<u8>)) {
        self.output.clear();
        plan(self.index, &mut self.output);
        self.pending = true;
        if self.stream.write_all(&self.output).is_err() {
            self.reopen();
        }
    }

    /// Reads until the request is answered or lost.
    pub(super) fn receive(&mut self) {
        while self.pending {
            if self.filled == self.input.len() {
                self.input.resize(2 * self.filled, 0);
            }
            let count = match self.stream.read(&mut self.input[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                other => other.unwrap_or_else(|error| panic!("no answer from {}: {error}", self.server)),
            };
            self.filled += count;
            let close = self.answered(count == 0).unwrap_or_else(|error| panic!("bad answer: {error}"));
            if close || count == 0 {
                self.reopen();
            }
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn by_status(&self) -> BTreeMap<u16, u64> {
        let counts = (0..).zip(self.answers.iter().copied());
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Counts the answer once it is whole; true if the server then closes.
    fn answered(&mut self, ended: bool) -> io::Result<bool> {
        let input = &self.input[..self.filled];
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let Some((status, head, _)) = http1::response(input, &mut headers)? else { return Ok(false) };
        if http1::body(&input[head.len..], head.body, ended, &mut self.body)?.is_none() {
            return Ok(false);
        }
        self.answers[usize::from(status)] += 1;
        self.pending = false;
        self.filled = 0;
        Ok(head.close)
    }

    fn reopen(&mut self) {
        self.lost += u64::from(self.pending);
        self.pending = false;
        self.filled = 0;
        self.stream = stream(self.server, self.source);
    }
}

fn stream(server: SocketAddr, source: Option<IpAddr>) -> TcpStream {
    connect(server, source).unwrap_or_else(|error| panic!("no connection to {server}: {error}"))
}
