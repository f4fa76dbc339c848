//! Which service a request is for.
//!
//! The first service of the document counts one of whose matchers holds. There may be hundreds, and
//! nearly all of them name a host or a path; so these are looked up, by the host that the request
//! asks for and by each beginning of its path, and only what was found is checked. Matchers that
//! name neither are checked one by one, as are those that name what many others name, too.

use alloc::vec::Vec;

use super::policy::Service;
use crate::http::matcher::PathKey;
use crate::http::{path, Matcher, Request, RequestExt};

/// An index of the services' matchers.
#[derive(Clone, Debug, Default)]
pub struct Finder {
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

/// Hashes of a host and of a path or its beginning; [`ANY`] for none. What hashes alike is only
/// checked in vain.
type Key = (u64, u64);

const ANY: u64 = 0;
/// Slashes in a beginning of a path that is looked up.
const MOST_SLASHES: usize = 32;
/// Longest host that is looked up: no matcher has a longer one.
const MOST_HOST: usize = 256;

// === impl Finder ===

impl Finder {
    /// An index of these services.
    #[must_use]
    pub fn new(services: &[Service]) -> Self {
        let mut finder = Self::default();
        for (service, of) in (0_u16..).zip(services) {
            for (matcher, one) in (0_u16..).zip(&of.matches) {
                finder.add(one, service, matcher);
            }
        }
        finder.entries.sort_unstable();
        finder
    }

    fn add(&mut self, one: &Matcher, service: u16, matcher: u16) {
        let path = match one.path_key() {
            Some(PathKey::Exact(text)) => Some((text, Hash::exact as fn(Hash) -> u64)),
            Some(PathKey::Prefix(text)) if slashes(text) <= MOST_SLASHES => {
                Some((text, Hash::beginning as fn(Hash) -> u64))
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

    /// The first of these services, which are those of the index, that the request is for.
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

    /// Whatever part of a path a key may have, hashed.
    fn paths(&self, path: &[u8], look: &mut dyn FnMut(u64)) {
        let mut hash = Hash::new();
        let mut slashes = 0_usize;
        for byte in path.iter().take(self.longest.saturating_add(1)) {
            if *byte == b'/' {
                if slashes <= MOST_SLASHES {
                    look(hash.beginning());
                }
                slashes = slashes.saturating_add(1);
            }
            hash = hash.with(*byte);
        }
        if path.len() <= self.longest {
            look(hash.beginning());
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

fn slashes(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'/').count()
}

/// Hosts are the same in any case.
fn of_host(host: &[u8]) -> u64 {
    host.iter().fold(Hash::new(), |hash, byte| hash.with(byte.to_ascii_lowercase())).exact()
}

// === impl Hash ===

/// FNV-1a, which goes on where it stopped: all beginnings of a path are hashed in one go. Whoever
/// finds paths that hash alike has some matchers checked in vain, which are in the configuration.
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

    fn beginning(self) -> u64 {
        self.with(1).0
    }
}
