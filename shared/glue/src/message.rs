//! A request and a response as the host holds them.

use std::cell::OnceCell;
use std::net::IpAddr;

use tidegate_policy::host::{Answer, Token};
use tidegate_policy::http::{Attribute, Header, Request, Response};
use tidegate_policy::net::address;

use crate::abi;
use crate::pairs;

/// A request whose headers were read, all in one call or none.
pub struct EnvoyRequest<'a> {
    headers: Vec<Header<'a>>,
    end_of_stream: bool,
    /// Asked once: it costs as much as reading all headers.
    peer: OnceCell<Option<IpAddr>>,
}

/// A response, its trailers, or the end of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyResponse {
    /// Where its headers are, if they can be read.
    map: Option<u32>,
    end_of_stream: bool,
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyAnswer {
    token: Token,
    /// Whether there are headers. When there was no response, the host has no map of them either.
    has_headers: bool,
    size: usize,
    /// The body of an answer that came too early: the host has forgotten it by now.
    kept: Option<Vec<u8>>,
}

/// A list of headers without headers: what is left of one request for the next.
pub(crate) type Spare = Vec<Header<'static>>;

// === impl EnvoyRequest ===

impl<'a> EnvoyRequest<'a> {
    /// The request with the headers in `bytes`, in the host's encoding.
    #[must_use]
    pub fn new(bytes: &'a [u8], end_of_stream: bool, spare: Vec<Header<'a>>) -> Self {
        let mut headers = spare;
        pairs::decode(bytes, &mut headers);
        Self { headers, end_of_stream, peer: OnceCell::new() }
    }

    /// Gives back the memory of the list of headers.
    pub(crate) fn into_spare(self) -> Spare {
        let mut headers = self.headers;
        headers.clear();
        // Collects in place: no allocation, and no loop either.
        headers.into_iter().map(|_| -> Header<'static> { (&[], &[]) }).collect()
    }
}

impl Request for EnvoyRequest<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        *self.peer.get_or_init(|| address::parse(&abi::property("source\0address").ok()?))
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(abi::REQUEST_HEADERS, name).ok()
    }

    fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        attribute(which)
    }

    fn metadata(&self, path: &[String]) -> Option<Vec<u8>> {
        let path = path.iter().fold("metadata\0filter_metadata".to_string(), |all, key| all + "\0" + key);
        abi::property(&path).ok()
    }
}

// === impl EnvoyResponse ===

impl EnvoyResponse {
    /// The end of an exchange: no headers can be read any more.
    pub(crate) const END: Self = Self { map: None, end_of_stream: true };
    /// Its trailers.
    pub(crate) const TRAILERS: Self = Self { map: Some(abi::RESPONSE_TRAILERS), end_of_stream: true };

    /// The response that is about to leave.
    pub(crate) fn headers(end_of_stream: bool) -> Self {
        Self { map: Some(abi::RESPONSE_HEADERS), end_of_stream }
    }
}

impl Response for EnvoyResponse {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(self.map?, name).ok()
    }

    fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        attribute(which)
    }
}

// === impl EnvoyAnswer ===

impl EnvoyAnswer {
    /// The answer to an HTTP question. No headers mean that there was no response: the transport
    /// broke after its headers, or it was larger than the host takes.
    #[must_use]
    pub fn http(token: u32, headers: usize, size: usize) -> Self {
        Self { token: Token::Http(token), has_headers: headers > 0, size, kept: None }
    }

    /// The answer to a name.
    #[must_use]
    pub fn name(token: u32, size: usize) -> Self {
        Self { token: Token::Name(token), has_headers: false, size, kept: None }
    }

    /// The same, to be read after the callback that brought it.
    #[must_use]
    pub(crate) fn kept(self) -> Self {
        Self { kept: Some(self.body(usize::MAX)), ..self }
    }
}

impl Answer for EnvoyAnswer {
    fn token(&self) -> Token {
        self.token
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.has_headers.then(|| abi::header(abi::ANSWER_HEADERS, name).ok()).flatten()
    }

    fn size(&self) -> usize {
        self.size
    }

    fn body(&self, most: usize) -> Vec<u8> {
        let buffer = match (&self.kept, self.token) {
            (Some(bytes), _) => return bytes.iter().take(most).copied().collect(),
            (None, Token::Http(_)) => abi::ANSWER_BODY,
            (None, Token::Name(_)) => abi::CALL_DATA,
        };
        if self.size == 0 {
            return Vec::new();
        }
        abi::buffer(buffer, most).unwrap_or_default()
    }
}

fn attribute(which: Attribute) -> Option<Vec<u8>> {
    abi::property(path(which)?).ok()
}

/// Where the host keeps an attribute; `None` for one that this glue does not know.
fn path(which: Attribute) -> Option<&'static str> {
    Some(match which {
        Attribute::AttemptCount => "upstream\0request_attempt_count",
        // Filter state that the routing filter wrote; Envoy puts `wasm.` before it.
        Attribute::Chosen => "tidegate.routing",
        Attribute::Cluster => "xds\0cluster_name",
        // Filter state of the discovery filter.
        Attribute::Discovered => "tidegate.discovery",
        Attribute::Details => "response\0code_details",
        Attribute::Endpoint => "upstream\0address",
        Attribute::Endpoints => "upstream\0num_endpoints",
        Attribute::Flags => "response\0flags",
        Attribute::LocalZone => "xds\0node\0locality\0zone",
        Attribute::Route => "xds\0route_name",
        Attribute::TransportFailure => "upstream\0transport_failure_reason",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_headers_is_made_once() {
        let bytes = pairs::encode(&[("a", "1"), ("b", "2")]);
        let first = EnvoyRequest::new(&bytes, false, Spare::new());
        assert_eq!(first.headers(), [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
        let memory = first.headers().as_ptr() as usize;
        let spare = first.into_spare();
        assert!(spare.is_empty());
        let second = EnvoyRequest::new(&bytes, false, spare);
        assert_eq!(second.headers().as_ptr() as usize, memory);
        assert_eq!(second.headers().len(), 2);
    }
}
