//! A request made up by a test.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tidegate_policy::http::{Attribute, Header, Request, RequestExt};

/// A request with the headers a test wants.
#[derive(Clone, Debug)]
pub struct SimRequest<'a> {
    headers: Vec<Header<'a>>,
    peer: Option<IpAddr>,
    attributes: BTreeMap<Attribute, &'a [u8]>,
    metadata: Vec<(&'a [&'a str], &'a [u8])>,
    end_of_stream: bool,
}

impl<'a> SimRequest<'a> {
    /// `GET` of a path, sent by 192.0.2.1.
    #[must_use]
    pub fn get(path: &'a str) -> Self {
        Self::request("GET", path)
    }

    /// A request with another method, sent by 192.0.2.1.
    #[must_use]
    pub fn request(method: &'a str, path: &'a str) -> Self {
        let headers = vec![
            (&b":method"[..], method.as_bytes()),
            (b":path", path.as_bytes()),
            (b":authority", b"shop.example.com"),
        ];
        Self {
            headers,
            peer: Some(IpAddr::from([192, 0, 2, 1])),
            attributes: BTreeMap::new(),
            metadata: Vec::new(),
            end_of_stream: true,
        }
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a [u8]) -> Self {
        self.headers.push((name.as_bytes(), value));
        self
    }

    /// To another host than `shop.example.com`.
    #[must_use]
    pub fn to(mut self, authority: &'a str) -> Self {
        let named = self.headers.iter_mut().filter(|(name, _)| *name == b":authority");
        named.for_each(|(_, value)| *value = authority.as_bytes());
        self
    }

    /// Sent by another address, or by one that the host does not know.
    #[must_use]
    pub fn from(mut self, peer: Option<IpAddr>) -> Self {
        self.peer = peer;
        self
    }

    /// With a body, which is still to come.
    #[must_use]
    pub fn with_body(mut self) -> Self {
        self.end_of_stream = false;
        self
    }

    /// With something that the host knows about it.
    #[must_use]
    pub fn attribute(mut self, which: Attribute, value: &'a [u8]) -> Self {
        self.attributes.insert(which, value);
        self
    }
}

impl<'a> SimRequest<'a> {
    /// With something that an earlier filter left in its metadata.
    #[must_use]
    pub fn metadata(mut self, path: &'a [&'a str], value: &'a [u8]) -> Self {
        self.metadata.push((path, value));
        self
    }
}

impl Request for SimRequest<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        RequestExt::header(self, name).map(<[u8]>::to_vec)
    }

    fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.attributes.get(&which).map(|value| value.to_vec())
    }

    fn metadata(&self, path: &[String]) -> Option<Vec<u8>> {
        let found = self.metadata.iter().find(|(known, _)| *known == path)?;
        Some(found.1.to_vec())
    }
}
