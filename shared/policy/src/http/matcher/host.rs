//! Conditions on the host that was asked for.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::config::{Form, Misfit};
use crate::http::path;

/// What a host must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostMatch {
    Exact(String),
    /// `*.example.com`, kept as `.example.com`.
    Suffix(String),
}

/// A host without a port, or `*.` and a domain.
pub(super) static HOST: Form = Form::new(
    |text| {
        let misfit = Misfit { found: "is no host", expected: "a host without a port, or `*.` and a domain" };
        HostMatch::parse(text).is_none().then_some(misfit)
    },
    "^(\\*\\.)?[-A-Za-z0-9._\\[\\]:]+$",
    false,
);

impl HostMatch {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (suffix, rest) = match text.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        let has_port = path::host(rest.as_bytes()).len() < rest.len();
        if has_port || !rest.bytes().all(is_host) || (suffix && !(rest.starts_with('.') && rest.len() > 1)) {
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
