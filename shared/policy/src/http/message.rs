//! What a stage sees of a request.

use core::net::IpAddr;

/// A header: its lower-case name and its value, which may be any bytes.
pub type Header<'a> = (&'a [u8], &'a [u8]);

/// A read-only view of a request's headers and of who sent it.
pub trait Request {
    /// All headers in the order of the wire, pseudo headers (`:path`, …) among them.
    /// Repeated headers appear repeatedly.
    fn headers(&self) -> &[Header<'_>];

    /// The address of the client as the host sees it. Asked only when a policy needs it.
    fn peer(&self) -> Option<IpAddr>;
}

/// What can be asked of any request.
pub trait RequestExt: Request {
    /// The first value of the header `name` (lower case).
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// Every value of the header `name` (lower case), in order.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers().iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// The request target without query and fragment; empty when there is none.
    fn path(&self) -> &[u8] {
        super::path::without_query(self.header(":path").unwrap_or_default())
    }

    /// The authority as sent, port included; empty when there is none.
    fn authority(&self) -> &[u8] {
        self.header(":authority").unwrap_or_default()
    }

    /// Whether the request is gRPC by its content type, as Envoy decides it.
    fn is_grpc(&self) -> bool {
        let Some(rest) = self.header("content-type").and_then(|v| v.strip_prefix(b"application/grpc")) else {
            return false;
        };
        matches!(rest.first(), None | Some(b'+' | b';'))
    }
}

impl<T: Request + ?Sized> RequestExt for T {}
