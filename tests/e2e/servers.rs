//! The real registries, without any module: that they do what other tests rely on.

mod consul;
mod coredns;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tidegate_tests::Request;

/// How long a change may take to show.
const SOON: Duration = Duration::from_secs(5);

/// Whether a request is taken at `addr` and not answered for a fifth of a second.
fn is_silent(addr: SocketAddr, request: &Request) -> bool {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(&request.bytes()).unwrap();
    let read = stream.read(&mut [0]);
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}
