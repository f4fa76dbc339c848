//! A request as the host holds it.

use std::cell::OnceCell;
use std::net::IpAddr;

use tidegate_policy::http::{Header, Request};
use tidegate_policy::key::address;

use crate::abi;

/// A request whose headers were read, all in one call.
pub struct EnvoyRequest<'a> {
    headers: Vec<Header<'a>>,
    /// Asked once: it costs as much as reading all headers.
    peer: OnceCell<Option<IpAddr>>,
}

impl<'a> EnvoyRequest<'a> {
    /// The request with these headers, in the host's encoding.
    #[must_use]
    pub fn new(pairs: &'a [u8]) -> Self {
        Self { headers: crate::pairs::decode(pairs), peer: OnceCell::new() }
    }
}

impl Request for EnvoyRequest<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        *self.peer.get_or_init(|| address::parse(&abi::property("source\0address").ok()?))
    }
}
