//! What the driver asks of a proxy.

use std::net::IpAddr;

use tidegate_policy::host::{Callout, Clock, Token};
use tidegate_policy::http::{Attribute, Header, MetricKind, Placement, Reply};

use crate::cells::Cells;

/// A proxy's functions. Each is one call of the proxy, for what the current callback is about;
/// what a proxy may refuse is a value. Clones are the same proxy.
pub trait Proxy: Cells + Callout + Clock + Clone {
    /// The headers of a request in the proxy's own form, as one call reads them.
    type Headers: Default;

    /// All headers of the current request; none when they cannot be read.
    fn request_headers(&self) -> Self::Headers;

    /// Appends the headers to a list, without copying their bytes.
    fn list<'a>(headers: &'a Self::Headers, list: &mut Vec<Header<'a>>);

    /// The first value of one header.
    fn header(&self, map: HeaderMap, name: &str) -> Option<Vec<u8>>;

    /// Appends a header. Refusals change nothing, here and in the next two: there is no such map now.
    fn add_header(&self, map: HeaderMap, name: &str, value: &str);

    /// Puts one value in place of all values of a header, if any.
    fn set_header(&self, map: HeaderMap, name: &str, value: &str);

    /// Removes every value of a header.
    fn remove_header(&self, map: HeaderMap, name: &str);

    /// The address of the client.
    fn peer(&self) -> Option<IpAddr>;

    /// What the proxy knows about the exchange.
    fn attribute(&self, which: Attribute) -> Option<Vec<u8>>;

    /// What an earlier filter left in the request's metadata.
    fn metadata(&self, path: &[String]) -> Option<Vec<u8>>;

    /// Writes a fact for access logs and other filters.
    fn set_fact(&self, name: &'static str, text: &str);

    /// Answers the current exchange.
    ///
    /// # Errors
    /// The proxy's status.
    fn reply(&self, reply: &Reply) -> Result<(), Status>;

    /// Has the current exchange, which was held back, go on.
    ///
    /// # Errors
    /// The proxy's status.
    fn continue_request(&self) -> Result<(), Status>;

    /// The configuration that the proxy offers now.
    fn configuration(&self) -> Vec<u8>;

    /// Where that configuration's filter stands.
    fn placement(&self) -> Placement;

    /// The name of that configuration's plugin; empty when the proxy does not say.
    fn plugin_name(&self) -> String;

    /// Its root id; empty when it has none.
    fn root_id(&self) -> String;

    /// Fills `bytes` with random ones; `false` when the proxy has none.
    fn random(&self, bytes: &mut [u8]) -> bool;

    /// Sets the period of the current root's timer; 0 stops it.
    ///
    /// # Errors
    /// The proxy's status.
    fn set_timer(&self, millis: u32) -> Result<(), Status>;

    /// Makes another context the current one; `false` when the proxy does not know it.
    fn enter(&self, context: u32) -> bool;

    /// Lets go of the current root, for which [`crate::Dispatcher::is_done`] was `false`.
    fn release_root(&self);

    /// Whether a question for a name has not returned yet, so that an answer comes too early.
    fn is_resolving(&self) -> bool;

    /// The first value of one header of the answer that the current callback brings.
    fn answer_header(&self, name: &str) -> Option<Vec<u8>>;

    /// Its body, of which at most `most` bytes are read.
    fn answer_body(&self, token: Token, most: usize) -> Vec<u8>;

    /// The number of a metric, declared if it is not yet; `None` when the proxy refuses.
    fn metric(&self, kind: MetricKind, name: String) -> Option<u32>;

    /// Adds to a counter.
    fn add_to_metric(&self, id: u32, n: u64);

    /// What a metric stands at, for all workers together; `None` when the proxy does not say.
    fn read_metric(&self, id: u32) -> Option<u64>;

    /// Sets a gauge.
    fn set_metric(&self, id: u32, value: u64);

    /// Writes a line to the proxy's log.
    fn log(&self, level: Level, line: &str);
}

/// A map of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMap {
    /// The headers of the request.
    Request,
    /// The headers of the response.
    Response,
    /// The trailers of the response.
    ResponseTrailers,
}

/// What the proxy should do with the message that a callback was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Send it on.
    Continue = 0,
    /// Hold it back.
    Pause = 1,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something does not work as it should.
    Warn = 3,
    /// Something does not work.
    Error = 4,
    /// The end of this VM.
    Critical = 5,
}

/// What a call came to, when not well: the proxy's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);
