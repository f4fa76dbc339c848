//! A request, a response and an answer as a proxy holds them.

use std::cell::OnceCell;
use std::net::IpAddr;

use tidegate_policy::host::{Answer, Token};
use tidegate_policy::http::{Attribute, Header, Request, Response};

use crate::proxy::{HeaderMap, Proxy};

/// A request whose headers were read, all in one call or none.
pub struct ProxyRequest<'a, P> {
    proxy: &'a P,
    headers: Vec<Header<'a>>,
    end_of_stream: bool,
    /// Asked once: it costs as much as reading all headers.
    peer: OnceCell<Option<IpAddr>>,
}

/// A response, its trailers, or the end of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct ProxyResponse<'a, P> {
    proxy: &'a P,
    /// Where its headers are, if they can be read.
    map: Option<HeaderMap>,
    end_of_stream: bool,
}

/// An answer to a question, as a callback brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    token: Token,
    /// Whether there are headers. When there was no response, the proxy has no map of them either.
    has_headers: bool,
    size: usize,
    /// The body of an answer that came too early: the proxy has forgotten it by now.
    kept: Option<Vec<u8>>,
}

/// An answer that can be read.
pub(crate) struct ProxyAnswer<'a, P>(pub(crate) &'a P, pub(crate) &'a Arrival);

/// A list of headers without headers: what is left of one request for the next.
pub(crate) type Spare = Vec<Header<'static>>;

// === impl ProxyRequest ===

impl<'a, P: Proxy> ProxyRequest<'a, P> {
    /// The request with these headers.
    pub(crate) fn new(
        proxy: &'a P,
        headers: &'a P::Headers,
        end_of_stream: bool,
        spare: Vec<Header<'a>>,
    ) -> Self {
        let mut list = spare;
        P::list(headers, &mut list);
        Self { proxy, headers: list, end_of_stream, peer: OnceCell::new() }
    }

    /// Gives back the memory of the list of headers.
    pub(crate) fn into_spare(self) -> Spare {
        let mut headers = self.headers;
        headers.clear();
        // Collects in place: no allocation, and no loop either.
        headers.into_iter().map(|_| -> Header<'static> { (&[], &[]) }).collect()
    }
}

impl<P: Proxy> Request for ProxyRequest<'_, P> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        *self.peer.get_or_init(|| self.proxy.peer())
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        self.proxy.header(HeaderMap::Request, name)
    }

    fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.proxy.attribute(which)
    }

    fn metadata(&self, path: &[String]) -> Option<Vec<u8>> {
        self.proxy.metadata(path)
    }
}

// === impl ProxyResponse ===

impl<'a, P> ProxyResponse<'a, P> {
    /// The end of an exchange: no headers can be read any more.
    pub(crate) fn end(proxy: &'a P) -> Self {
        Self { proxy, map: None, end_of_stream: true }
    }

    /// The response that is about to leave.
    pub(crate) fn headers(proxy: &'a P, end_of_stream: bool) -> Self {
        Self { proxy, map: Some(HeaderMap::Response), end_of_stream }
    }

    /// Its trailers.
    pub(crate) fn trailers(proxy: &'a P) -> Self {
        Self { proxy, map: Some(HeaderMap::ResponseTrailers), end_of_stream: true }
    }
}

impl<P: Proxy> Response for ProxyResponse<'_, P> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.proxy.header(self.map?, name)
    }

    fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.proxy.attribute(which)
    }
}

// === impl Arrival ===

impl Arrival {
    /// The answer to an HTTP question. No headers mean that there was no response: the transport
    /// broke after its headers, or it was larger than the proxy takes.
    #[must_use]
    pub fn http(token: u32, headers: usize, size: usize) -> Self {
        Self { token: Token::Http(token), has_headers: headers > 0, size, kept: None }
    }

    /// The answer to a name.
    #[must_use]
    pub fn name(token: u32, size: usize) -> Self {
        Self { token: Token::Name(token), has_headers: false, size, kept: None }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// The same, to be read after the callback that brought it.
    pub(crate) fn kept(self, proxy: &impl Proxy) -> Self {
        let body = ProxyAnswer(proxy, &self).body(usize::MAX);
        Self { kept: Some(body), ..self }
    }
}

impl<P: Proxy> Answer for ProxyAnswer<'_, P> {
    fn token(&self) -> Token {
        self.1.token
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.1.has_headers.then(|| self.0.answer_header(name)).flatten()
    }

    fn size(&self) -> usize {
        self.1.size
    }

    fn body(&self, most: usize) -> Vec<u8> {
        match &self.1.kept {
            Some(bytes) => bytes.iter().take(most).copied().collect(),
            None if self.1.size == 0 => Vec::new(),
            None => self.0.answer_body(self.1.token, most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn the_list_of_headers_is_made_once() {
        let headers = vec![("a", "1"), ("b", "2")];
        let first = ProxyRequest::new(&Fake, &headers, false, Spare::new());
        assert_eq!(first.headers(), [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
        let memory = first.headers().as_ptr() as usize;
        let spare = first.into_spare();
        assert!(spare.is_empty());
        let second = ProxyRequest::new(&Fake, &headers, false, spare);
        assert_eq!(second.headers().as_ptr() as usize, memory);
        assert_eq!(second.headers().len(), 2);
    }
}
