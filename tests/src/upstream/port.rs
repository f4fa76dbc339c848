//! An address that refuses connections until something listens there.

use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A port on loopback that nobody else gets while this exists.
///
/// Connections are refused, except while an [`Upstream::at`](super::Upstream::at) is there.
#[derive(Debug)]
pub struct Port {
    addr: SocketAddr,
    /// Bound and never listening: enough to have the port, too little to take connections.
    _socket: Socket,
}

/// A port as of a host that is off: what asks for a connection gets no answer.
#[derive(Debug)]
pub struct DeadPort {
    addr: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

/// An answer on loopback comes sooner.
const NO_ANSWER: Duration = Duration::from_millis(200);

// === impl DeadPort ===

impl DeadPort {
    /// A port of the kernel's choice. Nobody accepts there, and the queue is full.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn new() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into());
        let addr = socket.local_addr().expect("the port").as_socket().expect("an address of IP");
        socket.listen(0).expect("to listen");
        let queue = iter::from_fn(|| TcpStream::connect_timeout(&addr, NO_ANSWER).ok()).collect();
        Self { addr, _listener: socket, _queue: queue }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Default for DeadPort {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Port ===

impl Port {
    /// A port of the kernel's choice.
    ///
    /// # Panics
    ///
    /// If loopback has no free port.
    pub fn reserve() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into());
        let addr = socket.local_addr().expect("the port").as_socket().expect("an address of IP");
        Self { addr, _socket: socket }
    }

    /// A port whose number is free for datagrams, too. These it cannot keep from others: a socket
    /// that is bound for them gets them.
    pub(crate) fn reserve_with_udp() -> Self {
        let mut ports = iter::repeat_with(Self::reserve).take(100);
        ports.find(|port| UdpSocket::bind(port.addr).is_ok()).expect("a port free for both")
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn listen(&self) -> TcpListener {
        let socket = bound(self.addr);
        socket.listen(1024).expect("to listen");
        socket.into()
    }
}

/// Sockets that all say so may share a port; the kernel still gives it to no one who lets it choose.
fn bound(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a socket that takes a port just left");
    socket.set_reuse_port(true).expect("a socket that shares its port");
    socket.bind(&addr.into()).expect("a free port");
    socket
}
