//! A proxy in front of a server that gives up on requests after a time of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crate::upstream::server::{loopback, Server};

/// An HTTP/1.1 proxy on loopback, for requests without a body, one a connection. Dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    cuts: Arc<AtomicUsize>,
}

// === impl Gateway ===

impl Gateway {
    /// Answers with 504 what `server` has not begun to answer within `limit`.
    pub fn new(server: SocketAddr, limit: Duration) -> Self {
        let cuts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cuts);
        let serve = move |client: TcpStream| {
            if pass(client, server, limit).is_ok_and(|cut| cut) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        Self { server: Server::start(loopback(), serve), cuts }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// How many requests it gave up on.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Passes one request on and its answer back; whether that took too long.
fn pass(mut client: TcpStream, server: SocketAddr, limit: Duration) -> io::Result<bool> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let line = head.windows(2).position(|two| two == b"\r\n").unwrap_or(0) + 2;
    let mut behind = TcpStream::connect(server)?;
    behind.write_all(&[&head[..line], b"connection: close\r\n", &head[line..]].concat())?;
    behind.set_read_timeout(Some(limit))?;
    let begun = behind.read_exact(&mut byte);
    if begun.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
        client
            .write_all(b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        return Ok(true);
    }
    behind.set_read_timeout(None)?;
    client.write_all(&byte)?;
    io::copy(&mut behind, &mut client)?;
    Ok(false)
}
