//! What one worker remembers of an endpoint.

use alloc::format;
use alloc::rc::Rc;
use core::cell::Cell;

use crate::balance::outlier::Runs;
use crate::balance::{LastResort, Load, ServiceLoad};
use crate::discovery::endpoint::Key;
use crate::hash::sip::{SipHash13, SipKey};
use crate::time::Timestamp;

/// What a worker remembers of an endpoint from one table to the next. Requests in flight hold it, too,
/// and nothing else of their table: a request that ends after its table was replaced still counts, and a
/// stream that lasts for days costs no more than this.
#[derive(Debug)]
pub struct EndpointStats {
    /// Its address and port.
    pub key: Key,
    /// The same as text: `10.0.0.1:80`, `[2001:db8::1]:80`.
    pub text: Rc<str>,
    /// The hash by which other workers know it.
    pub hash: u64,
    /// Its load.
    pub load: Rc<Load>,
    /// Its consecutive failures.
    pub runs: Cell<Runs>,
    /// When a table first lacked it; `None` while the newest has it.
    pub gone: Cell<Option<Timestamp>>,
    /// When it was last logged that it refused a connection.
    pub noted: Cell<Option<Timestamp>>,
}

/// The hash by which other workers know an endpoint, or a service.
#[must_use]
pub fn hash_of(text: &str) -> u64 {
    let mut sip = SipHash13::new(SipKey::from_bytes(*b"tidegate/d1 rest"));
    sip.write(text.as_bytes());
    sip.finish()
}

/// The address and port in text, as [`EndpointStats::text`] has them.
#[must_use]
pub fn key_of(text: &str) -> Option<Key> {
    let at: core::net::SocketAddr = text.parse().ok()?;
    Some((at.ip().to_canonical(), at.port()))
}

// === impl EndpointStats ===

impl EndpointStats {
    /// Nothing, of an endpoint of the service with these requests.
    #[must_use]
    pub fn new(key: Key, requests: &Rc<ServiceLoad>) -> Rc<Self> {
        let text: Rc<str> = format!("{}", core::net::SocketAddr::new(key.0, key.1)).into();
        Rc::new(Self {
            key,
            hash: hash_of(&text),
            text,
            load: Load::new(requests),
            runs: Cell::default(),
            gone: Cell::default(),
            noted: Cell::default(),
        })
    }

    /// Whether it counts as refusing connections. If so when a request is sent, an answer to that proves that it
    /// takes them again. One to a request that was on its way before proves nothing: a server that stops still
    /// answers those.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        self.load.last_resort() == Some(LastResort::Refusing)
    }
}
