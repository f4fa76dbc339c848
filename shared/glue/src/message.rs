//! A request and a response as the host holds them.

use std::cell::OnceCell;
use std::net::IpAddr;

use tidegate_policy::http::{Attribute, Header, Request, Response};
use tidegate_policy::key::address;

use crate::abi;
use crate::pairs;

/// A request whose headers were read, all in one call or none.
pub struct EnvoyRequest<'a> {
    headers: Vec<Header<'a>>,
    /// Asked once: it costs as much as reading all headers.
    peer: OnceCell<Option<IpAddr>>,
}

/// A response, its trailers, or the end of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyResponse {
    /// Where its headers are, if they can be read.
    map: Option<u32>,
}

/// A list of headers without headers: what is left of one request for the next.
pub(crate) type Spare = Vec<Header<'static>>;

// === impl EnvoyRequest ===

impl<'a> EnvoyRequest<'a> {
    /// The request with the headers in `bytes`, in the host's encoding.
    #[must_use]
    pub fn new(bytes: &'a [u8], spare: Vec<Header<'a>>) -> Self {
        let mut headers = spare;
        pairs::decode(bytes, &mut headers);
        Self { headers, peer: OnceCell::new() }
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
    pub(crate) const END: Self = Self { map: None };
    /// The response that is about to leave.
    pub(crate) const HEADERS: Self = Self { map: Some(abi::RESPONSE_HEADERS) };
    /// Its trailers.
    pub(crate) const TRAILERS: Self = Self { map: Some(abi::RESPONSE_TRAILERS) };
}

impl Response for EnvoyResponse {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(self.map?, name).ok()
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        attribute(which)
    }
}

fn attribute(which: Attribute) -> Option<Vec<u8>> {
    abi::property(path(which)?).ok()
}

/// Where the host keeps an attribute; `None` for one that this glue does not know.
fn path(which: Attribute) -> Option<&'static str> {
    Some(match which {
        // Filter state that the routing filter wrote; Envoy puts `wasm.` before it.
        Attribute::Chosen => "tidegate.routing",
        Attribute::Cluster => "xds\0cluster_name",
        Attribute::Details => "response\0code_details",
        Attribute::Endpoint => "upstream\0address",
        Attribute::Endpoints => "upstream\0num_endpoints",
        Attribute::Flags => "response\0flags",
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
        let bytes = pairs::encode(&[("a".into(), "1".into()), ("b".into(), "2".into())]);
        let first = EnvoyRequest::new(&bytes, Spare::new());
        assert_eq!(first.headers(), [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
        let memory = first.headers().as_ptr() as usize;
        let spare = first.into_spare();
        assert!(spare.is_empty());
        let second = EnvoyRequest::new(&bytes, spare);
        assert_eq!(second.headers().as_ptr() as usize, memory);
        assert_eq!(second.headers().len(), 2);
    }
}
