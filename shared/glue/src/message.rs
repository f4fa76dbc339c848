//! A request as the host holds it.

use std::net::IpAddr;

use tidegate_policy::http::{Header, Request};
use tidegate_policy::key::address;

use crate::abi;

/// A request whose headers were read, all in one call.
pub struct EnvoyRequest<'a> {
    headers: Vec<Header<'a>>,
}

impl<'a> EnvoyRequest<'a> {
    /// The request with these headers, in the host's encoding.
    #[must_use]
    pub fn new(pairs: &'a [u8]) -> Self {
        Self { headers: crate::pairs::decode(pairs) }
    }
}

impl Request for EnvoyRequest<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        address::parse(&abi::property("source\0address").ok()?)
    }
}
