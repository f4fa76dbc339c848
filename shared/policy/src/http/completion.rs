//! How an exchange completed, as the host shows it: read once, for every policy the same.
//!
//! The HTTP status is in the response's headers. The status of a gRPC call stands in the
//! headers if it failed at once, else in the trailers; a call whose stream broke has none.
//! Why Envoy sent what it sent (response-code details, response flags) costs two more calls
//! of the host and is read when someone asks, once.
//!
//! A stage takes one [`Completion`] from whichever of its callbacks comes first with an answer:
//! [`Completion::of_headers`], [`Completion::of_trailers`], [`Completion::of_end`].

use alloc::vec::Vec;
use core::cell::OnceCell;

use super::classify::{Class, Outcome, Rules};
use super::{grpc, Attribute, Response, ResponseExt};

/// What one exchange ended with.
///
/// ```
/// use tidegate_policy::http::classify::{Class, Rules};
/// use tidegate_policy::http::completion::Completion;
/// use tidegate_policy::http::{Attribute, Response};
///
/// struct Headers;
/// impl Response for Headers {
///     fn header(&self, name: &str) -> Option<Vec<u8>> {
///         match name {
///             ":status" => Some(b"200".to_vec()),
///             "grpc-status" => Some(b"14".to_vec()),
///             _ => None,
///         }
///     }
///     fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
///         (which == Attribute::Details).then(|| b"via_upstream".to_vec())
///     }
/// }
///
/// let completion = Completion::of_headers(&Headers, true).unwrap();
/// assert_eq!((completion.status, completion.grpc_status), (200, Some(14)));
/// assert_eq!(completion.http_status(), 503);
/// assert_eq!(Rules::default().classify(&completion.outcome()), Class::Failure);
/// ```
#[derive(Debug)]
pub struct Completion<'a, R> {
    /// HTTP status; 0 when there was no response.
    pub status: u32,
    /// gRPC status, when it is known.
    pub grpc_status: Option<u32>,
    response: &'a R,
    cause: OnceCell<Cause>,
}

/// How far an exchange had come when it ended, or when its response began.
///
/// ```
/// use tidegate_policy::http::completion::Reached;
///
/// let (uf, uc) = (1 << 5, 1 << 6);
/// let upload = Reached::default();
/// assert_eq!(upload.blaming(uf | uc), uf, "the server may have given up on its client");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Whether all of the request had arrived, or a gRPC response has begun: a stream may be answered, or
    /// break, long before its client has said all. What the request says of itself is no evidence: any
    /// client can say gRPC.
    pub request_complete: bool,
    /// Whether response headers had come by.
    pub response_began: bool,
    /// Whether the request says that it is gRPC, and is younger than any server's patience.
    pub fresh_call: bool,
    /// Whether the deadline is over that the client of a gRPC request set itself.
    pub deadline_passed: bool,
}

/// Why a response is what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Envoy's response-code details.
    pub details: Vec<u8>,
    /// Envoy's response flags.
    pub flags: u64,
}

/// UH, UF, UO, NC: the request was not sent, whatever its client did.
const NOT_SENT: u64 = (1 << 1) | (1 << 5) | (1 << 7) | (1 << 24);
/// UT: the upstream took too long.
const TIMED_OUT: u64 = 1 << 2;
/// UR, UC, UPE: the upstream broke the exchange off.
const RESETS: u64 = (1 << 4) | (1 << 6) | (1 << 23);
/// UT, UR, UMSDR, DT: how a call can end whose deadline is over.
const DEADLINES: u64 = (1 << 2) | (1 << 4) | (1 << 19) | (1 << 22);
/// No server gives up on a request body so soon: common read timeouts are 5 to 60 s.
const PATIENCE_MS: u64 = 1_000;
/// SI: nothing came or went for too long.
const IDLE: u64 = 1 << 16;
/// So much of a body passes whether or not its client reads: the host reads it in such parts.
const UNHELD: u64 = 16 << 10;

/// Envoy's flags of an exchange that ended within its response. A client that does not read holds a large
/// body back, until some timeout ends it: its flag tells nothing of the upstream, and is left out.
pub fn cut_flags(end: &impl Response) -> u64 {
    let flags = end.number(Attribute::Flags);
    let may_be_held = flags & (TIMED_OUT | IDLE) != 0 && end.number(Attribute::ResponseSize) > UNHELD;
    flags & !(if may_be_held { TIMED_OUT | IDLE } else { 0 })
}

// === impl Reached ===

impl Reached {
    /// Those of Envoy's response flags by which the upstream failed an exchange that had come so far,
    /// where `flags` are those that count at all. A server that gives up on a request that is not
    /// complete has waited for the client. Where timeouts count, so does silence within a response.
    #[must_use]
    pub const fn blaming(self, flags: u64) -> u64 {
        match self {
            Self { request_complete: false, .. } => flags & NOT_SENT,
            Self { response_began: true, .. } if flags & TIMED_OUT != 0 => flags | IDLE,
            Self { .. } => flags,
        }
    }

    /// Whether a request of that age is younger than any server's patience with its body.
    #[must_use]
    pub const fn is_fresh(age_ms: u64) -> bool {
        age_ms < PATIENCE_MS
    }

    /// What an outcome says of the target of an exchange that had come so far.
    ///
    /// The reset of a call that its client has not finished is the upstream's doing, or the end of its
    /// patience with a body that does not come. Only time tells them apart: whoever resets within a second
    /// has waited for nobody. A client that drips its body can stretch anything but that. What it sends may
    /// still be the cause, a large body that a server does not want among it, so such a reset is
    /// [`Class::Early`]: enough of them open a breaker or abort a ramp, five in a row of one client do not.
    #[must_use]
    pub fn classify(self, rules: &Rules, outcome: &Outcome<'_>) -> Class {
        match rules.classify_by(self.blaming(rules.flags), outcome) {
            Class::Ignored if outcome.flags & self.resets(rules.flags) != 0 => {
                self.at_deadline(Class::Early, outcome.grpc_status, outcome.flags)
            }
            Class::Failure if outcome.flags & self.blaming(rules.flags) != 0 => {
                self.at_deadline(Class::Failure, outcome.grpc_status, outcome.flags)
            }
            class => self.answered(class, outcome.grpc_status),
        }
    }

    /// What an answer of the upstream itself says that says `class` of a request which is complete. A server
    /// may turn its lost patience with a client into a 500. A gRPC status says more: it answers streams.
    #[must_use]
    pub fn answered(self, class: Class, grpc_status: Option<u32>) -> Class {
        match class {
            Class::Failure if !self.request_complete && grpc_status.is_none() => Class::Early,
            class => self.at_deadline(class, grpc_status, 0),
        }
    }

    /// What a failure is at or after the deadline that its client set: the client as good as left. A
    /// server that obeys the deadline says so, or resets the stream, and a client may set one that no
    /// server can meet.
    #[must_use]
    pub fn at_deadline(self, class: Class, grpc_status: Option<u32>, flags: u64) -> Class {
        let timed_out = grpc_status == Some(grpc::DEADLINE_EXCEEDED) || flags & DEADLINES != 0;
        let spared = self.deadline_passed && timed_out && flags & NOT_SENT == 0;
        match class {
            Class::Early | Class::Failure if spared => Class::Left,
            class => class,
        }
    }

    /// The resets that say something of a call which its client has not finished.
    pub(crate) const fn resets(self, flags: u64) -> u64 {
        match self {
            Self { request_complete: false, response_began: false, fresh_call: true, .. } => flags & RESETS,
            Self { .. } => 0,
        }
    }
}

// === impl Completion ===

impl<'a, R: Response> Completion<'a, R> {
    /// Reads the headers of a response; `None` when the exchange is gRPC and its status comes with
    /// the trailers.
    pub fn of_headers(response: &'a R, grpc: bool) -> Option<Self> {
        let status = response.status();
        let calls = grpc && status == 200;
        let grpc_status = if calls { Some(grpc_status(response)?) } else { None };
        Some(Self::new(response, status, grpc_status))
    }

    /// Reads the trailers of a gRPC response with status 200; `None` when they have no status.
    pub fn of_trailers(trailers: &'a R) -> Option<Self> {
        Some(Self::new(trailers, 200, Some(grpc_status(trailers)?)))
    }

    /// The end of an exchange that had no status of its own: `status` is that of the headers that
    /// came by, 0 when none did.
    pub fn of_end(end: &'a R, status: u32) -> Self {
        Self::new(end, status, None)
    }

    fn new(response: &'a R, status: u32, grpc_status: Option<u32>) -> Self {
        Self { status, grpc_status, response, cause: OnceCell::new() }
    }

    /// What was read.
    pub fn response(&self) -> &'a R {
        self.response
    }

    /// Why the response is what it is. Asked of the host once, and only if this is called.
    pub fn cause(&self) -> &Cause {
        self.cause.get_or_init(|| Cause {
            details: self.response.attribute(Attribute::Details).unwrap_or_default(),
            flags: self.response.number(Attribute::Flags),
        })
    }

    /// Everything that a classification may go by.
    pub fn outcome(&self) -> Outcome<'_> {
        let Cause { details, flags } = self.cause();
        Outcome { status: self.status, grpc_status: self.grpc_status, details, flags: *flags }
    }

    /// The HTTP status that says the same: that of a gRPC status, if there is one.
    pub fn http_status(&self) -> u32 {
        self.grpc_status.map_or(self.status, grpc::to_http)
    }
}

/// Whether the headers of a response say that it is gRPC.
pub(crate) fn is_grpc(response: &impl Response) -> bool {
    response.header("content-type").is_some_and(|value| grpc::is_media_type(&value))
}

/// The gRPC status in headers or trailers.
fn grpc_status(response: &impl Response) -> Option<u32> {
    response.header("grpc-status").map(|text| grpc::number(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// A response with these headers or trailers, which counts how often the host was asked for
    /// attributes.
    #[derive(Default)]
    struct Seen {
        headers: Vec<(&'static str, &'static str)>,
        asked: Cell<u32>,
    }

    impl Response for Seen {
        fn header(&self, name: &str) -> Option<Vec<u8>> {
            self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_bytes().to_vec())
        }

        fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
            self.asked.set(self.asked.get() + 1);
            (which == Attribute::Flags).then(|| 4_u64.to_le_bytes().to_vec())
        }
    }

    fn seen(headers: &[(&'static str, &'static str)]) -> Seen {
        Seen { headers: headers.to_vec(), asked: Cell::new(0) }
    }

    #[test]
    fn a_grpc_status_is_read_where_it_stands() {
        let (ok, failed) = ((":status", "200"), ("grpc-status", "14"));
        #[rustfmt::skip]
        let cases = [
            // name                        headers                            grpc   status, gRPC status
            ("plain",                       seen(&[ok]),                      false, Some((200, None))),
            ("plain with a gRPC status",    seen(&[ok, failed]),              false, Some((200, None))),
            ("failed at once",              seen(&[ok, failed]),              true,  Some((200, Some(14)))),
            ("status in the trailers",      seen(&[ok]),                      true,  None),
            ("no gRPC response",            seen(&[(":status", "503")]),      true,  Some((503, None))),
            ("nonsense",                    seen(&[ok, ("grpc-status", "x")]), true, Some((200, Some(2)))),
        ];
        for (name, response, grpc, expected) in cases {
            let got = Completion::of_headers(&response, grpc);
            assert_eq!(got.map(|c| (c.status, c.grpc_status)), expected, "{name}");
        }
        let trailers = seen(&[failed]);
        assert_eq!(Completion::of_trailers(&trailers).map(|c| c.grpc_status), Some(Some(14)));
        assert!(Completion::of_trailers(&seen(&[])).is_none());
    }

    #[test]
    fn flags_blame_the_upstream_by_how_far_an_exchange_had_come() {
        let (ut, uf, uc, si) = (1 << 2, 1 << 5, 1 << 6, 1 << 16);
        #[rustfmt::skip]
        let cases = [
            // name                            complete  began  of            blaming
            ("before the end of the request",  false,    false, ut | uf | uc, uf),
            ("an answer before its end",       false,    true,  ut | uf | uc, uf),
            ("before the response",            true,     false, ut | uf | uc, ut | uf | uc),
            ("within the response",            true,     true,  ut | uf | uc, ut | uf | uc | si),
            ("timeouts do not count",          true,     true,  uf | uc,      uf | uc),
            ("nothing counts",                 true,     true,  0,            0),
        ];
        for (name, request_complete, response_began, flags, expected) in cases {
            let reached =
                Reached { request_complete, response_began, fresh_call: true, ..Reached::default() };
            assert_eq!(reached.blaming(flags), expected, "{name}");
        }
    }

    #[test]
    fn a_timeout_within_a_large_body_blames_nobody() {
        struct End(u64, u64);
        impl Response for End {
            fn header(&self, _: &str) -> Option<Vec<u8>> {
                None
            }

            fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
                let number = match which {
                    Attribute::Flags => self.0,
                    Attribute::ResponseSize => self.1,
                    _ => return None,
                };
                Some(number.to_le_bytes().to_vec())
            }
        }
        let (ut, uc, si) = (1 << 2, 1 << 6, 1 << 16);
        #[rustfmt::skip]
        let cases = [
            // flags  bytes sent  left
            (ut,      16_384,     ut),
            (ut,      16_385,     0),
            (si,      16_385,     0),
            (uc,      16_385,     uc),
            (ut | uc, 16_385,     uc),
        ];
        for (flags, size, left) in cases {
            assert_eq!(cut_flags(&End(flags, size)), left, "{flags:#x} after {size} bytes");
        }
    }

    #[test]
    fn the_host_is_asked_why_once_and_only_if_someone_wants_to_know() {
        let response = seen(&[(":status", "200")]);
        let completion = Completion::of_headers(&response, false).unwrap();
        assert_eq!((completion.http_status(), response.asked.get()), (200, 0));
        assert_eq!(completion.cause(), &Cause { details: Vec::new(), flags: 4 });
        assert_eq!((completion.outcome().flags, response.asked.get()), (4, 2));
    }
}
