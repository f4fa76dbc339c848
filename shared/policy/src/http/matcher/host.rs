//! Conditions on the host that was asked for.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::config::Reader;
use crate::http::path;

/// What a host must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostMatch {
    Exact(String),
    /// `*.example.com`, kept as `.example.com`.
    Suffix(String),
}

impl HostMatch {
    pub(super) fn read(reader: &Reader<'_>) -> Option<Self> {
        let text = reader.text(256)?;
        let (suffix, rest) = match text.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        let has_port = path::host(rest.as_bytes()).len() < rest.len();
        if has_port || !rest.bytes().all(is_host) || (suffix && !(rest.starts_with('.') && rest.len() > 1)) {
            let right = "a host without a port, or `*.` and a domain";
            reader.report(alloc::format!("{text:?} is no host, expected {right}"));
            return None;
        }
        Some(if suffix { Self::Suffix(rest.to_owned()) } else { Self::Exact(rest.to_owned()) })
    }

    pub(super) fn holds(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => host.eq_ignore_ascii_case(exact.as_bytes()),
            Self::Suffix(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|rest| *rest > 0)
                .and_then(|rest| host.get(rest..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
        }
    }

    pub(super) fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(host) => Some(host),
            Self::Suffix(_) => None,
        }
    }

    /// Whether only one host is meant, and how many characters of it are given.
    pub(super) fn specificity(&self) -> (bool, usize) {
        match self {
            Self::Exact(host) => (true, host.len()),
            Self::Suffix(host) => (false, host.len()),
        }
    }
}
