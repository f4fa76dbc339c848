//! Retries, as the `x-envoy-*` request headers that Envoy's router obeys.

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::verdict::Edit;

/// The conditions that Envoy knows in `x-envoy-retry-on`.
pub const RETRY_ON: [&str; 11] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
];

/// The conditions that Envoy knows in `x-envoy-retry-grpc-on`.
pub const RETRY_GRPC_ON: [&str; 5] =
    ["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"];

/// Any request may be sent again after these failures: no endpoint has seen a byte of it.
const UNSENT: &str = "connect-failure,refused-stream";

/// The retry headers of one service with their values, made once: setting them on a request
/// allocates nothing but the list of edits.
///
/// ```
/// use tidegate_policy::http::retry::RetryHeaders;
///
/// let headers = RetryHeaders::new(3, "reset,gateway-error", 250);
/// let mut edits = Vec::new();
/// headers.set(true, &mut edits);
/// assert_eq!(edits.len(), 3, "on which failures, how often, how long one attempt may take");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryHeaders {
    on: Rc<str>,
    repeatable: Rc<str>,
    unsent: Rc<str>,
    max: Rc<str>,
    retries: Rc<str>,
    per_try: Rc<str>,
    per_try_ms: Option<Rc<str>>,
}

// === impl RetryHeaders ===

impl RetryHeaders {
    /// Headers for at most `attempts` attempts, the first included, each of which may take
    /// `per_try_timeout_ms`; 0 for no limit. A request that is safe to repeat is retried `on` these
    /// conditions.
    #[must_use]
    pub fn new(attempts: u32, on: &str, per_try_timeout_ms: u64) -> Self {
        Self {
            on: "x-envoy-retry-on".into(),
            repeatable: on.into(),
            unsent: UNSENT.into(),
            max: "x-envoy-max-retries".into(),
            retries: attempts.saturating_sub(1).to_string().into(),
            per_try: "x-envoy-upstream-rq-per-try-timeout-ms".into(),
            per_try_ms: (per_try_timeout_ms > 0).then(|| per_try_timeout_ms.to_string().into()),
        }
    }

    /// Adds the edits that have Envoy retry a request; one that is not `repeatable` only while no
    /// byte of it was sent.
    pub fn set(&self, repeatable: bool, edits: &mut Vec<Edit>) {
        let mut set = |name: &Rc<str>, value: &Rc<str>| {
            edits.push(Edit::SetRequestHeader(Rc::clone(name), Rc::clone(value)));
        };
        set(&self.on, if repeatable { &self.repeatable } else { &self.unsent });
        set(&self.max, &self.retries);
        if let Some(ms) = &self.per_try_ms {
            set(&self.per_try, ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn set(headers: &RetryHeaders, repeatable: bool) -> Vec<String> {
        let mut edits = Vec::new();
        headers.set(repeatable, &mut edits);
        let text = |edit: &Edit| match edit {
            Edit::SetRequestHeader(name, value) => std::format!("{name}: {value}"),
            other => std::format!("{other:?}"),
        };
        edits.iter().map(text).collect()
    }

    #[test]
    fn a_request_that_must_not_repeat_is_retried_only_while_unsent() {
        let headers = RetryHeaders::new(3, "reset", 250);
        let more = ["x-envoy-max-retries: 2", "x-envoy-upstream-rq-per-try-timeout-ms: 250"];
        assert_eq!(set(&headers, true), ["x-envoy-retry-on: reset", more[0], more[1]]);
        assert_eq!(
            set(&headers, false),
            ["x-envoy-retry-on: connect-failure,refused-stream", more[0], more[1]]
        );
        let untimed = RetryHeaders::new(1, "5xx", 0);
        assert_eq!(set(&untimed, true), ["x-envoy-retry-on: 5xx", "x-envoy-max-retries: 0"]);
    }
}
