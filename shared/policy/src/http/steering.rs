//! Headers that steer us, which a client must not send.
//!
//! Filters of ours hand choices to Envoy and to each other in `x-tidegate-*` headers. One
//! that arrives from outside is removed on entry, look-alikes with underscores included
//! (many servers fold `_` to `-`; Envoy's `headers_with_underscores_action` exists for that).

use alloc::string::String;
use alloc::vec::Vec;

use super::message::Request;
use super::verdict::Edit;

const PREFIX: &[u8] = b"x-tidegate-";

/// Headers by which Envoy sends a request more than once, or gives each try less time.
pub const RETRIES: [&str; 7] = [
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-upstream-rq-per-try-timeout-ms",
];

/// One removal for each of [`RETRIES`] that the client sent: for requests to endpoints that a filter of
/// ours chooses, whose load only that filter may multiply.
pub fn retries(request: &impl Request) -> Vec<Edit> {
    removed(request, |name| RETRIES.iter().any(|own| is_like(name, own)))
}

/// One removal for each steering header that the client sent.
pub fn removals(request: &impl Request) -> Vec<Edit> {
    removed(request, |name| name.len() >= PREFIX.len() && begins_like(name, PREFIX))
}

/// One removal for each header that looks like `name` to a server that folds `_` to `-`, and is not
/// it. For a filter behind others of ours, whose headers it must leave alone.
pub fn look_alikes<'a>(request: &'a impl Request, name: &'a str) -> Vec<Edit> {
    removed(request, move |sent| sent != name.as_bytes() && is_like(sent, name))
}

fn removed(request: &impl Request, which: impl Fn(&[u8]) -> bool) -> Vec<Edit> {
    let names = request.headers().iter().map(|(name, _)| *name).filter(|name| which(name));
    names.map(|name| Edit::RemoveRequestHeader(String::from_utf8_lossy(name).into_owned())).collect()
}

/// Whether a server that folds `_` to `-` takes the header `name` for `expected`, which is lower case.
#[must_use]
pub fn is_like(name: &[u8], expected: &str) -> bool {
    name.len() == expected.len() && begins_like(name, expected.as_bytes())
}

fn begins_like(name: &[u8], expected: &[u8]) -> bool {
    name.iter().zip(expected).all(|(byte, expected)| match byte {
        b'_' => *expected == b'-',
        _ => byte.eq_ignore_ascii_case(expected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_steer_too() {
        let cases = [
            ("x-tidegate-cluster", true),
            ("x_tidegate_cluster", true),
            ("X-Tidegate-", true),
            ("x-tidegate", false),
            ("x-tidegates-x", false),
            ("x-request-id", false),
        ];
        for (name, expected) in cases {
            let steers = name.len() >= PREFIX.len() && begins_like(name.as_bytes(), PREFIX);
            assert_eq!(steers, expected, "{name}");
        }
    }
}
