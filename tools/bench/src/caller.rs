//! Connections that stay open from round to round.
//!
//! A [`Load`](tidegate_tests::Load) opens its own, and for a few hundred requests that
//! would be a good part of what is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Connections to one Envoy, asked all at once and then read in turn.
pub(crate) struct Caller {
    connections: Vec<TcpStream>,
    output: Vec<u8>,
    input: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(10);

// === impl Caller ===

impl Caller {
    pub(crate) fn connect(server: SocketAddr, connections: usize) -> Self {
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
        }
    }

    /// Sends `count` requests, each as `plan(number, out)` writes it; how many answers had
    /// `status`.
    pub(crate) fn ask(&mut self, count: u64, status: u16, plan: impl Fn(u64, &mut Vec<u8>)) -> u64 {
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
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let head = response.parse(&input[..filled]).expect("a response in HTTP/1.1");
        let (httparse::Status::Complete(head), Some(status)) = (head, response.code) else { continue };
        let length = response.headers.iter().find(|header| header.name == "content-length");
        let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        if filled >= head + length.unwrap_or(0) {
            return status;
        }
    }
}
