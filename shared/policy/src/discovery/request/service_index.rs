//! Which service a request is for.
//!
//! It is the one that the routing filter chose, else the first of the document with a matcher that
//! holds. There may be hundreds of services, and nearly all matchers name a host or a path. So these are
//! looked up, by the host of the request and by each prefix of its path, and only those that were found
//! are checked. Matchers that name neither are checked one by one.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::discovery::config::policy::{Service, Subset, SubsetFallback};
use crate::http::matcher::PathKey;
use crate::http::{path, Matcher, Request, RequestExt};
use crate::sort;

/// An index of the services' matchers, so that 200 services cost a request as much as two.
///
/// ```
/// use tidegate_policy::discovery::{Policy, ServiceIndex};
/// # use std::net::IpAddr;
/// # use tidegate_policy::http::{Attribute, Header, Request};
/// # struct Get<'a>([Header<'a>; 2]);
/// # impl Request for Get<'_> {
/// #     fn headers(&self) -> &[Header<'_>] { &self.0 }
/// #     fn peer(&self) -> Option<IpAddr> { None }
/// #     fn lone_header(&self, _: &str) -> Option<Vec<u8>> { None }
/// #     fn attribute(&self, _: Attribute) -> Option<Vec<u8>> { None }
/// # }
/// # fn get<'a>(host: &'a str, path: &'a str) -> Get<'a> {
/// #     Get([(b":authority", host.as_bytes()), (b":path", path.as_bytes())])
/// # }
///
/// let json = br#"{
///     "registries": {"main": {"consul": {"cluster": "consul"}}},
///     "services": [
///         {"name": "orders", "registry": "main", "match": {"path": {"prefix": "/orders"}}},
///         {"name": "shop", "registry": "main", "match": {"host": "shop.example"}}
///     ],
///     "allow": ["10.0.0.0/8:8080"]
/// }"#;
/// let services = Policy::parse(json).unwrap().services;
/// let index = ServiceIndex::new(&services);
/// assert_eq!(index.find(&get("shop.example", "/orders/7"), &services), Some(0), "the first counts");
/// assert_eq!(index.find(&get("shop.example", "/"), &services), Some(1));
/// assert_eq!(index.find(&get("other.example", "/"), &services), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServiceIndex {
    /// By their keys, then in the order of the document.
    entries: Vec<Entry>,
    /// Bytes of the longest path that a key has.
    longest: usize,
    /// Whether any key has a host.
    hosts: bool,
}

/// A matcher, by what a request must have for it to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: Key,
    service: u16,
    matcher: u16,
}

/// Hashes of a host and of a path or a prefix of one; [`ANY`] for none. A collision costs one check in
/// vain.
type Key = (u64, u64);

const ANY: u64 = 0;
/// Most slashes in a prefix that is looked up, so that a path of slashes costs 33 look-ups and no more.
/// Matchers with more of them are checked one by one.
const MOST_SLASHES: usize = 32;
/// Longest host that is looked up, in bytes: no matcher has a longer one.
const MOST_HOST: usize = 256;

// === impl ServiceIndex ===

impl ServiceIndex {
    /// An index of these services.
    #[must_use]
    pub fn new(services: &[Service]) -> Self {
        let mut index = Self::default();
        for (service, of) in (0_u16..).zip(services) {
            for (matcher, one) in (0_u16..).zip(&of.matches) {
                index.add(one, service, matcher);
            }
        }
        sort::sort(&mut index.entries);
        index
    }

    fn add(&mut self, one: &Matcher, service: u16, matcher: u16) {
        let path = match one.path_key() {
            Some(PathKey::Exact(text)) => Some((text, Hash::exact as fn(Hash) -> u64)),
            Some(PathKey::Prefix(text)) if slashes(text) <= MOST_SLASHES => {
                Some((text, Hash::prefix as fn(Hash) -> u64))
            }
            _ => None,
        };
        let path = path.map_or(ANY, |(text, end)| {
            self.longest = self.longest.max(text.len());
            end(text.bytes().fold(Hash::new(), Hash::with))
        });
        match one.exact_hosts() {
            Some(hosts) => {
                self.hosts = true;
                let entry = |host: &str| Entry { key: (of_host(host.as_bytes()), path), service, matcher };
                self.entries.extend(hosts.into_iter().map(entry));
            }
            None => self.entries.push(Entry { key: (ANY, path), service, matcher }),
        }
    }

    /// The first service that the request is for, of the same `services` as in [`ServiceIndex::new`].
    #[must_use]
    pub fn find(&self, request: &impl Request, services: &[Service]) -> Option<usize> {
        let host = path::host(request.authority());
        let host = if self.hosts && host.len() <= MOST_HOST { of_host(host) } else { ANY };
        let mut best: Option<u16> = None;
        let mut look = |path: u64| {
            for host in [host, ANY].into_iter().take(if host == ANY { 1 } else { 2 }) {
                let found = self.among((host, path)).take_while(|e| best.is_none_or(|best| e.service < best));
                let holds = |entry: &&Entry| {
                    let service = services.get(usize::from(entry.service));
                    let matcher = service.and_then(|s| s.matches.get(usize::from(entry.matcher)));
                    matcher.is_some_and(|matcher| matcher.holds(request))
                };
                best = found.into_iter().find(holds).map(|entry| entry.service).or(best);
            }
        };
        self.paths(request.path(), &mut look);
        look(ANY);
        best.map(usize::from)
    }

    /// Looks up each part of a path that a key may have, by its hash.
    fn paths(&self, path: &[u8], look: &mut dyn FnMut(u64)) {
        let mut hash = Hash::new();
        let mut slashes = 0_usize;
        for byte in path.iter().take(self.longest.saturating_add(1)) {
            if *byte == b'/' {
                if slashes <= MOST_SLASHES {
                    look(hash.prefix());
                }
                slashes = slashes.saturating_add(1);
            }
            hash = hash.with(*byte);
        }
        if path.len() <= self.longest {
            look(hash.prefix());
            look(hash.exact());
        }
    }

    /// The entries with a key, in the order of the document.
    fn among(&self, key: Key) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|entry| entry.key < key);
        let rest = self.entries.get(from..).unwrap_or(&[]);
        rest.iter().take_while(move |entry| entry.key == key)
    }
}

/// The service that the routing filter chose and the subset of its endpoints, as filter state has them:
/// `orders;tag=v1;version=2 …`. `None` for a name that is no service: then it is one of Envoy's clusters.
#[must_use]
pub fn chosen(state: &[u8], services: &[Service]) -> Option<(usize, Option<Subset>)> {
    let word = state.split(|byte| *byte == b' ').next()?;
    let mut parts = core::str::from_utf8(word).ok()?.split(';');
    let name = parts.next()?;
    let at = services.iter().position(|service| *service.name == *name)?;
    let fallback = services.get(at).map_or(SubsetFallback::NoFallback, |s| s.subset.fallback);
    let mut subset = Subset { fallback, ..Subset::default() };
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        if key == "tag" {
            subset.tags.push(value.to_string());
        } else {
            subset.metadata.push((key.to_string(), value.to_string()));
        }
    }
    let plain = subset.tags.is_empty() && subset.metadata.is_empty();
    Some((at, (!plain).then_some(subset)))
}

fn slashes(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'/').count()
}

/// Hosts are the same in any case.
fn of_host(host: &[u8]) -> u64 {
    host.iter().fold(Hash::new(), |hash, byte| hash.with(byte.to_ascii_lowercase())).exact()
}

// === impl Hash ===

/// FNV-1a, which goes on where it stopped: all prefixes of a path are hashed in one go. A client that
/// makes paths collide has some matchers checked in vain, and no more than the configuration has.
#[derive(Clone, Copy, Debug)]
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn with(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    fn exact(self) -> u64 {
        self.with(0).0
    }

    fn prefix(self) -> u64 {
        self.with(1).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Policy;
    use crate::http::{Attribute, Header};
    use core::cell::Cell;
    use core::net::IpAddr;
    use std::format;
    use std::string::String;

    /// A request that counts how often it is looked at.
    struct Asked<'a>(Vec<Header<'a>>, Cell<usize>);

    impl Request for Asked<'_> {
        fn headers(&self) -> &[Header<'_>] {
            self.1.set(self.1.get() + 1);
            &self.0
        }
        fn peer(&self) -> Option<IpAddr> {
            None
        }
        fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
            None
        }
        fn attribute(&self, _: Attribute) -> Option<Vec<u8>> {
            None
        }
    }

    fn asked<'a>(host: &'a str, path: &'a str) -> Asked<'a> {
        Asked(
            std::vec![(&b":authority"[..], host.as_bytes()), (&b":path"[..], path.as_bytes())],
            Cell::new(0),
        )
    }

    /// Services with these matchers.
    fn services(matches: &[String]) -> Vec<Service> {
        let service = |(index, of): (usize, &String)| {
            format!(r#"{{"name": "s{index}", "registry": "r", "match": {of}}}"#)
        };
        let services: Vec<String> = matches.iter().enumerate().map(service).collect();
        let json = format!(
            r#"{{"registries": {{"r": {{"consul": {{"cluster": "c"}}}}}}, "allow": ["10.0.0.0/8:80"],
                "services": [{}]}}"#,
            services.join(", ")
        );
        Policy::parse(json.as_bytes()).unwrap().services
    }

    #[test]
    fn the_first_service_with_a_matcher_that_holds_takes_a_request() {
        let deep = "/x".repeat(33);
        let matches = [
            r#"[{"host": "A.example", "path": {"exact": "/a"}}, {"path": {"prefix": "/b/"}}]"#.into(),
            r#"{"host": ["b.example", "a.example"]}"#.into(),
            r#"{"host": ["*.d.example", "d.example"], "method": "PUT"}"#.into(),
            r#"{"path": {"prefix": "/b/c"}}"#.into(),
            r#"{"path": {"starts_with": "/st"}}"#.into(),
            r#"{"path": {"template": "/t/{id}"}, "host": "t.example"}"#.into(),
            format!(r#"{{"path": {{"prefix": "{deep}"}}}}"#),
            r#"{"path": {"prefix": "/"}, "host": "e.example"}"#.into(),
        ];
        let services = services(&matches);
        let index = ServiceIndex::new(&services);
        let deeper = format!("{deep}/y?q");
        #[rustfmt::skip]
        let cases = [
            ("a.EXAMPLE:80", "/a?q",    Some(0)),   ("a.example", "/a/",     Some(1)),
            ("b.example",    "/x",      Some(1)),   ("b.example", "/b",      Some(0)),
            ("c.example",    "/b/c/d",  Some(0)),   ("c.example", "/bc",     None),
            ("w.d.example",  "/",       None),      ("c.example", "/stone",  Some(4)),
            ("t.example",    "/t/1",    Some(5)),   ("c.example", "/t/1",    None),
            ("t.example",    "/t/1/2",  None),      ("c.example", &deeper,   Some(6)),
            ("e.example",    "/q",      Some(7)),   ("e.example", "",        Some(7)),
            ("e.example",    "*",       None),      ("",          "",        None),
        ];
        for (host, path, expected) in cases {
            assert_eq!(index.find(&asked(host, path), &services), expected, "{host} {path}");
        }
    }

    #[test]
    fn two_hundred_services_cost_as_much_as_two() {
        let reads = |count: usize| {
            let one = |n| format!(r#"{{"host": "h{n}.example", "path": {{"prefix": "/v{n}"}}}}"#);
            let services = services(&(0..count).map(one).collect::<Vec<_>>());
            let index = ServiceIndex::new(&services);
            let last = (format!("h{}.example", count - 1), format!("/v{}/x", count - 1));
            let request = asked(&last.0, &last.1);
            assert_eq!(index.find(&request, &services), Some(count - 1));
            request.1.get()
        };
        assert_eq!(reads(2), reads(200));
    }

    #[test]
    fn an_index_of_no_services_finds_none() {
        assert_eq!(ServiceIndex::new(&[]).find(&asked("a", "/"), &[]), None);
        assert_eq!(ServiceIndex::default().find(&asked("a", "/"), &[]), None);
    }
}
