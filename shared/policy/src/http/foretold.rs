//! A request of which a later stage of the same module has said something in advance.
//!
//! In a module of several stages the breaker stands before discovery, which may hold a request back and
//! so must come last. The breaker needs to know for which service a request is. Discovery says so when
//! it is asked ([`super::Stage::foretell`]), by the function with which it finds the service later on: so
//! there is one name, whoever is asked.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::message::{Attribute, Header, Request};

/// A request with what later stages will tell of it.
pub struct Foretold<'a, R> {
    request: &'a R,
    later: &'a Later<'a>,
}

/// What later stages will tell, as [`super::Stage::foretell`] does. Asked only when a stage asks.
pub type Later<'a> = dyn Fn(Attribute) -> Option<Vec<u8>> + 'a;

// === impl Foretold ===

impl<'a, R: Request> Foretold<'a, R> {
    /// `request`, of which `later` says what is to come.
    #[must_use]
    pub fn new(request: &'a R, later: &'a Later<'a>) -> Self {
        Self { request, later }
    }
}

impl<R: Request> Request for Foretold<'_, R> {
    fn headers(&self) -> &[Header<'_>] {
        self.request.headers()
    }

    fn peer(&self) -> Option<IpAddr> {
        self.request.peer()
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        self.request.lone_header(name)
    }

    fn end_of_stream(&self) -> bool {
        self.request.end_of_stream()
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        (self.later)(which).or_else(|| self.request.attribute(which))
    }

    fn parsed_cookies(&self) -> Option<&[Header<'_>]> {
        self.request.parsed_cookies()
    }

    fn metadata(&self, path: &[String]) -> Option<Vec<u8>> {
        self.request.metadata(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Sent;

    #[test]
    fn what_is_foretold_comes_before_what_the_host_says() {
        let sent = Sent { headers: alloc::vec![(b"x-a", b"1")], peer: None };
        let later = |which: Attribute| (which == Attribute::Discovered).then(|| b"orders".to_vec());
        let request = Foretold::new(&sent, &later);
        assert_eq!(request.attribute(Attribute::Discovered).as_deref(), Some(&b"orders"[..]));
        assert_eq!(request.attribute(Attribute::Chosen), None);
        assert_eq!(request.headers(), [(&b"x-a"[..], &b"1"[..])]);
    }
}
