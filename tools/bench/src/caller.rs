//! Connections that stay open from round to round.
//!
//! A [`Load`](tidegate_tests::Load) opens its own, and for a few hundred requests that
//! would be a good part of what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Connections to one Envoy, asked all at once and then read in turn.
pub struct Caller {
    connections: Vec<TcpStream>,
    output: Vec<u8>,
    input: Vec<u8>,
    /// Bytes of the answer to [`Caller::send`] so far.
    filled: usize,
}

const PATIENCE: Duration = Duration::from_secs(10);

// === impl Caller ===

impl Caller {
    /// So many connections to `server`.
    ///
    /// # Panics
    ///
    /// If it takes none.
    pub fn connect(server: SocketAddr, connections: usize) -> Self {
        let connection = |_| {
            let stream = TcpStream::connect(server).expect("a connection to Envoy");
            stream.set_nodelay(true).expect("a socket without delay");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket with a time limit");
            stream
        };
        Self {
            connections: (0..connections).map(connection).collect(),
            output: Vec::new(),
            input: vec![0; 16 << 10],
            filled: 0,
        }
    }

    /// Sends one request on the first connection and does not wait.
    ///
    /// # Panics
    ///
    /// If Envoy does not take it.
    pub fn send(&mut self, request: &[u8]) {
        self.filled = 0;
        for connection in self.connections.iter_mut().take(1) {
            connection.write_all(request).expect("Envoy takes a request");
        }
    }

    /// The status of the answer to [`Caller::send`], if all of it is here.
    ///
    /// # Panics
    ///
    /// If Envoy closed the connection.
    pub fn received(&mut self) -> Option<u16> {
        let connection = self.connections.first_mut()?;
        connection.set_nonblocking(true).expect("a socket that does not wait");
        while let Ok(count) = connection.read(&mut self.input[self.filled..]) {
            assert!(count > 0, "Envoy closed the connection");
            self.filled += count;
        }
        connection.set_nonblocking(false).expect("a socket that waits");
        whole(&self.input[..self.filled])
    }

    /// Sends `count` requests, each as `plan(number, out)` writes it; how many answers had
    /// `status`.
    pub fn ask(&mut self, count: u64, status: u16, plan: impl Fn(u64, &mut Vec<u8>)) -> u64 {
        let mut numbers = 0..count;
        let mut right = 0;
        while !numbers.is_empty() {
            let mut asked = 0;
            for (connection, number) in self.connections.iter_mut().zip(&mut numbers) {
                self.output.clear();
                plan(number, &mut self.output);
                connection.write_all(&self.output).expect("Envoy takes a request");
                asked += 1;
            }
            for connection in self.connections.iter_mut().take(asked) {
                right += u64::from(answer(connection, &mut self.input) == status);
            }
        }
        right
    }
}

/// Reads one response with a `content-length`; its status.
fn answer(connection: &mut TcpStream, input: &mut [u8]) -> u16 {
    let mut filled = 0;
    loop {
        let count = connection.read(&mut input[filled..]).expect("Envoy answers");
        assert!(count > 0, "Envoy closed: {}", String::from_utf8_lossy(&input[..filled]));
        filled += count;
        if let Some(status) = whole(&input[..filled]) {
            return status;
        }
    }
}

/// The status of the response with a `content-length` that these bytes are, if they are all of it.
///
/// # Panics
///
/// If they are no response in HTTP/1.1.
pub fn whole(bytes: &[u8]) -> Option<u16> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head = response.parse(bytes).expect("a response in HTTP/1.1");
    let (httparse::Status::Complete(head), Some(status)) = (head, response.code) else { return None };
    let length = response.headers.iter().find(|header| header.name == "content-length");
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    (bytes.len() >= head + length.unwrap_or(0)).then_some(status)
}
