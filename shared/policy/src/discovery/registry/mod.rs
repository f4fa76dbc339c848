//! What is asked of a registry, and what its answer says.
//!
//! One module a registry, each with the request's path and a `read` that turns an answer into
//! [`Found`]. Nothing is sent here.

pub mod consul;
pub mod dns;
pub mod etcd;
pub mod eureka;
pub mod kubernetes;
pub mod nacos;
pub mod static_list;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::endpoint::{self, Endpoint};
use super::json;

/// An HTTP answer of a registry.
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// The value of a header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// Its body.
    pub body: &'a [u8],
}

/// The endpoints of a service, in normal form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Sorted, each once.
    pub endpoints: Vec<Endpoint>,
    /// Entries that nobody can connect to, a name instead of an address, say, and what was beyond
    /// [`endpoint::MAX_ENDPOINTS`].
    pub skipped: usize,
}

/// Why an answer says nothing of a service's endpoints. What was known before stays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The registry reports an error of its own by this number, under HTTP status 200.
    Code(u64),
    /// The answer does not show what the token may not see, which may be all of it.
    Filtered,
    /// It has no leader to ask, and knows of nothing.
    Leaderless,
    /// A body that is no JSON, or of another shape.
    Malformed(json::Malformed),
    /// A DNS message that is none.
    Message(dns::message::Malformed),
    /// The DNS server answered with this code, which is neither success nor "no such name".
    Rcode(u8),
    /// An HTTP status other than success.
    Status(u16),
    /// The answer is cut short.
    Truncated,
    /// The registry knows no such service. Not an error, and not an empty service either.
    Unknown,
    /// It has entries, and none of them has an IP address and a port.
    Unusable {
        /// How many there are.
        entries: usize,
    },
}

/// Entries on their way to a [`Found`].
#[derive(Default)]
struct Entries {
    found: Found,
    /// How often what came so far was put in order.
    tidied: u32,
}

/// Entries beyond as many are put in order, and cut, this often.
const MAX_TIDIED: u32 = 16;
/// Largest body that is looked at, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// Appends `text`, percent-encoded but for the unreserved characters of RFC 3986, section 2.3.
pub fn encode(path: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or('0');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// Appends `name=value` to the query of a path, `value` percent-encoded.
fn parameter(path: &mut String, name: &str, value: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str(name);
    path.push('=');
    encode(path, value);
}

/// What `shape` wants of a successful answer.
fn body(reply: &Reply<'_>, shape: &'static json::Shape) -> Result<json::Node, Problem> {
    match reply.status {
        200 if reply.body.len() > MAX_BODY => Err(Problem::Truncated),
        200 => json::read(reply.body, shape).map_err(Problem::Malformed),
        404 => Err(Problem::Unknown),
        status => Err(Problem::Status(status)),
    }
}

// === impl Entries ===

impl Entries {
    /// Counts an entry that is no endpoint.
    fn take(&mut self, entry: Option<Endpoint>) {
        match entry {
            Some(endpoint) if !self.is_full() => self.found.endpoints.push(endpoint),
            _ => self.found.skipped = self.found.skipped.saturating_add(1),
        }
        if self.found.endpoints.len() >= 2 * endpoint::MAX_ENDPOINTS {
            // One answer may say the same again and again, and must not cost the more memory.
            self.tidied = self.tidied.saturating_add(1);
            let beyond = endpoint::normalize(&mut self.found.endpoints);
            self.found.skipped = self.found.skipped.saturating_add(beyond);
        }
    }

    /// Whether so much came that the rest is not looked at.
    fn is_full(&self) -> bool {
        self.tidied >= MAX_TIDIED
    }

    /// All of them; a problem when there were some and none can be used, because that is no empty
    /// service but one that we cannot read.
    fn finish(mut self) -> Result<Found, Problem> {
        if self.found.endpoints.is_empty() && self.found.skipped > 0 {
            return Err(Problem::Unusable { entries: self.found.skipped });
        }
        let beyond = endpoint::normalize(&mut self.found.endpoints);
        self.found.skipped = self.found.skipped.saturating_add(beyond);
        Ok(self.found)
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "the registry answered with error {code}"),
            Self::Filtered => f.write_str("the token may not see all of the answer"),
            Self::Leaderless => f.write_str("the registry has no leader"),
            Self::Malformed(malformed) => write!(f, "malformed answer: {malformed}"),
            Self::Message(malformed) => write!(f, "malformed DNS message: {malformed}"),
            Self::Rcode(rcode) => write!(f, "the DNS server answered with code {rcode}"),
            Self::Status(status) => write!(f, "the registry answered with status {status}"),
            Self::Truncated => f.write_str("the answer is cut short"),
            Self::Unknown => f.write_str("the registry knows no such service"),
            Self::Unusable { entries } => {
                write!(f, "none of {entries} entries has an IP address and a port")
            }
        }
    }
}

impl core::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_place_in_a_path() {
        let mut path = String::from("/x");
        parameter(&mut path, "a", "b&c=d/e?f#g h\r\nü~._-9Z");
        parameter(&mut path, "b", "");
        assert_eq!(path, "/x?a=b%26c%3Dd%2Fe%3Ff%23g%20h%0D%0A%C3%BC~._-9Z&b=");
    }
}
