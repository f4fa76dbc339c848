//! What a stage sees of a request and of what came of it.

use alloc::string::String;
use alloc::vec::Vec;
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

    /// The first value of one header, asked by itself. That an absent one is absent costs little;
    /// two present ones cost as much as all headers together.
    fn lone_header(&self, name: &str) -> Option<Vec<u8>>;

    /// Whether its headers are all of it: there is no body, and there are no trailers.
    fn end_of_stream(&self) -> bool {
        false
    }

    /// What the host knows about the request.
    fn attribute(&self, which: Attribute) -> Option<Vec<u8>>;

    /// Name and value of each cookie in order, where they are parsed once for all that ask.
    fn parsed_cookies(&self) -> Option<&[Header<'_>]> {
        None
    }

    /// What an earlier filter left in the request's metadata: the filter's name, then the keys
    /// down to a text or a number.
    fn metadata(&self, path: &[String]) -> Option<Vec<u8>> {
        let _ = path;
        None
    }
}

/// A view of a response, or of an exchange that ended without one. Nothing is read before it is
/// asked for.
pub trait Response {
    /// The first value of one header, pseudo headers (`:status`) among them; of one trailer, when
    /// this is a view of trailers.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// Whether nothing of the response follows.
    fn end_of_stream(&self) -> bool {
        false
    }

    /// What the host knows about the exchange.
    fn attribute(&self, which: Attribute) -> Option<Vec<u8>>;
}

/// A fact that the host knows, as bytes: text, or a number of 8 bytes, little end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Attribute {
    /// Which attempt this is, counted from 1.
    AttemptCount,
    /// How attempts ended, as the discovery filter around them tells the one around the exchange when they
    /// share no memory; clients cannot write it.
    Attempted,
    /// What an earlier filter of ours chose, the cluster first and then a space; clients cannot
    /// write it.
    Chosen,
    /// The cluster of the route.
    Cluster,
    /// What the discovery filter chose, for its part in the attempt placement; clients cannot
    /// write it.
    Discovered,
    /// Why the response is what it is: Envoy's response-code details.
    Details,
    /// The address of the endpoint that an attempt goes to, with its port.
    Endpoint,
    /// How many endpoints the cluster has.
    Endpoints,
    /// Envoy's response flags.
    Flags,
    /// What a breaker filter did with the request; clients cannot write it.
    Guarded,
    /// The host's own address of the connection to an endpoint; absent when there never was one.
    LocalAddress,
    /// The zone of the host's own locality.
    LocalZone,
    /// How many bytes of the response's body went to the client.
    ResponseSize,
    /// The name of the route.
    Route,
    /// What an earlier filter of ours says of the route; clients cannot write it. See
    /// [`crate::http::steering`].
    Steering,
    /// Why there was no connection to an endpoint.
    TransportFailure,
}

// === impl Attribute ===

impl Attribute {
    /// The name of the fact that this is, when a stage of ours tells it.
    #[must_use]
    pub const fn fact(self) -> Option<&'static str> {
        match self {
            Self::Attempted => Some("tidegate.attempts"),
            Self::Chosen => Some("tidegate.routing"),
            Self::Discovered => Some("tidegate.discovery"),
            Self::Guarded => Some("tidegate.breaker"),
            Self::Steering => Some("tidegate.steering"),
            _ => None,
        }
    }
}

/// What can be asked of any response.
pub trait ResponseExt: Response {
    /// The HTTP status; 0 when there is none.
    fn status(&self) -> u32 {
        let digits = |text: Vec<u8>| core::str::from_utf8(&text).ok()?.parse().ok();
        self.header(":status").and_then(digits).unwrap_or(0)
    }

    /// An attribute that is a number; 0 when there is none.
    fn number(&self, which: Attribute) -> u64 {
        self.attribute(which).map_or(0, |bytes| number(&bytes))
    }

    /// How many attempts there were, if that is known: none while a filter behind ours holds the request.
    fn attempts(&self) -> Option<u64> {
        self.attribute(Attribute::AttemptCount).map(|count| number(&count))
    }
}

impl<T: Response + ?Sized> ResponseExt for T {}

/// The number in an attribute's bytes.
#[must_use]
pub fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
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

    /// Every value of the cookie `name`, in order.
    fn cookies<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let parsed = self.parsed_cookies();
        let unparsed = parsed.is_none().then(|| self.values("cookie").flat_map(super::path::cookies));
        let all = parsed.into_iter().flatten().copied().chain(unparsed.into_iter().flatten());
        all.filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
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
        self.header("content-type").is_some_and(super::grpc::is_media_type)
    }

    /// The same of a request whose headers were not read. Every gRPC request announces that it takes
    /// trailers, and hardly any other does; that a header is absent is the cheapest question there is.
    fn says_grpc(&self) -> bool {
        self.lone_header("te").is_some()
            && self.lone_header("content-type").is_some_and(|value| super::grpc::is_media_type(&value))
    }
}

impl<T: Request + ?Sized> RequestExt for T {}

/// A request of which there are headers and an address, for tests.
#[cfg(test)]
pub(crate) struct Sent<'a> {
    pub headers: Vec<Header<'a>>,
    pub peer: Option<IpAddr>,
}

#[cfg(test)]
impl Request for Sent<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn attribute(&self, _: Attribute) -> Option<Vec<u8>> {
        None
    }
}
