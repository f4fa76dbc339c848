//! Headers that steer us, which a client must not send.
//!
//! Filters of ours hand choices to Envoy and to each other in `x-tidegate-*` headers. One
//! that arrives from outside is removed on entry, look-alikes with underscores included
//! (many servers fold `_` to `-`; Envoy's `headers_with_underscores_action` exists for that).
//!
//! Envoy chose the route by the headers that arrived, and chooses it anew only behind the last
//! filter: until then the route that it tells is the one that the client asked for. So filters of
//! ours tell each other in filter state, which no client can write, what to think of it: a [`Note`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Attribute, Request};
use super::verdict::{Edit, Reply};

/// What a filter of ours tells the later ones of the route that a request is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<'a> {
    /// A header by which the route may have been chosen was the client's, and is removed. The route
    /// that the host tells is not the one that the request will have.
    Forged,
    /// A breaker let the request pass because of its route; the one with this name would not have.
    Passed(&'a str),
}

/// The fact that carries a [`Note`].
pub const FACT: &str = match Attribute::Steering.fact() {
    Some(name) => name,
    None => "",
};

/// The counter of requests that had passed a breaker by a header that the filter removed, and were refused.
pub const ROUTE_FORGED: &str = "route_forged";

/// [`Note::Forged`] as text, and the beginning of [`Note::Passed`].
const FORGED: &str = "forged";
/// The beginning of the text of a [`Note::Passed`], before the breaker's name.
pub const PASSED: &str = "passed:";

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

/// How long some names are. Most headers are told from them by that alone, and each request has dozens.
///
/// ```
/// use tidegate_policy::http::steering::Lengths;
///
/// let lengths = Lengths::of(["x-a", "x-long"]);
/// assert!(lengths.has(b"x_a") && lengths.has(b"x-b"), "it may be one of them");
/// assert!(!lengths.has(b"host"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths(u64);

/// One removal for each of [`RETRIES`] that the client sent: for requests to endpoints that a filter of
/// ours chooses, whose load only that filter may multiply.
pub fn retries(request: &impl Request) -> Vec<Edit> {
    let lengths = Lengths::of(RETRIES);
    let retries = |name: &[u8]| lengths.has(name) && RETRIES.iter().any(|own| is_like(name, own));
    removed(request, retries, Edit::DropRequestHeader)
}

/// One removal for each steering header that the client sent. Behind the routing filter there is
/// none: it removed them all before it told what it chose, and what is there now is ours.
pub fn removals(request: &impl Request) -> Vec<Edit> {
    let steers = |name: &[u8]| name.len() >= PREFIX.len() && begins_like(name, PREFIX);
    let edits = removed(request, steers, Edit::RemoveRequestHeader);
    if edits.is_empty() || request.attribute(Attribute::Chosen).is_none() {
        edits
    } else {
        Vec::new()
    }
}

/// Whether one of the edits takes away a header by which the host may have chosen the route.
#[must_use]
pub fn unsteers(edits: &[Edit]) -> bool {
    edits.iter().any(|edit| matches!(edit, Edit::RemoveRequestHeader(_)))
}

/// Whether an earlier filter of ours says that the route is not to be believed.
pub fn is_forged(note: Option<Vec<u8>>) -> bool {
    note.is_some_and(|text| Note::read(&text) == Some(Note::Forged))
}

/// The text of a note among what a stage tells.
pub fn note_of(facts: impl FnOnce(&mut dyn FnMut(&'static str, &str))) -> Option<Vec<u8>> {
    told(FACT, facts)
}

/// What is told under a name: the last, if several are.
pub fn told(name: &str, facts: impl FnOnce(&mut dyn FnMut(&'static str, &str))) -> Option<Vec<u8>> {
    let mut found = None;
    facts(&mut |told, text| {
        if told == name {
            found = Some(text.as_bytes().to_vec());
        }
    });
    found
}

/// What becomes of a request from which a stage takes away a header by which the client may have
/// chosen the route, after this note: a reply, if it passed an open breaker only with that header.
#[must_use]
pub fn distrusted(note: &[u8], grpc: bool) -> Option<Reply> {
    match Note::read(note)? {
        Note::Passed(breaker) => Some(refused(breaker, grpc)),
        Note::Forged => None,
    }
}

/// The reply to a request that a breaker let pass because of a route that it did not keep.
#[must_use]
pub fn refused(breaker: &str, grpc: bool) -> Reply {
    Reply::unavailable(&format!("tidegate_route_forged:{breaker}"), grpc)
}

/// One removal for each header that looks like `name` to a server that folds `_` to `-`, and is not
/// it. For a filter behind others of ours, whose headers it must leave alone.
pub fn look_alikes<'a>(request: &'a impl Request, name: &'a str) -> Vec<Edit> {
    removed(request, move |sent| sent != name.as_bytes() && is_like(sent, name), Edit::RemoveRequestHeader)
}

fn removed(
    request: &impl Request,
    which: impl Fn(&[u8]) -> bool,
    edit: impl Fn(String) -> Edit,
) -> Vec<Edit> {
    let names = request.headers().iter().map(|(name, _)| *name).filter(|name| which(name));
    names.map(|name| edit(String::from_utf8_lossy(name).into_owned())).collect()
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

// === impl Lengths ===

impl Lengths {
    /// Those of these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().fold(0, |all, name| all | Self::bit(name.len())))
    }

    /// Whether any of the names may be like this one.
    #[must_use]
    pub fn has(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name.len()) != 0
    }

    /// Names that are 64 bytes apart have the same.
    fn bit(length: usize) -> u64 {
        1_u64.rotate_left(u32::try_from(length % 64).unwrap_or(0))
    }
}

// === impl Note ===

impl<'a> Note<'a> {
    /// The note in a fact's text.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        match text.strip_prefix(PASSED) {
            Some(breaker) => Some(Self::Passed(breaker)),
            None => (text == FORGED).then_some(Self::Forged),
        }
    }

    /// Tells it.
    pub fn tell(self, tell: &mut dyn FnMut(&'static str, &str)) {
        match self {
            Self::Forged => tell(FACT, FORGED),
            Self::Passed(breaker) => tell(FACT, &format!("{PASSED}{breaker}")),
        }
    }
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

    #[test]
    fn removing_a_header_of_the_clients_makes_the_route_doubtful() {
        let remove = |name: &str| Edit::RemoveRequestHeader(name.into());
        let drop = |name: &str| Edit::DropRequestHeader(name.into());
        let set = Edit::SetRequestHeader("x-tidegate-cluster".into(), "a".into());
        let answer = Edit::AddResponseHeader("x".into(), "y".into());
        let cases = [
            (alloc::vec![], false),
            (alloc::vec![set.clone(), answer], false),
            (alloc::vec![drop("x-envoy-retry-on"), drop("x-force-variant")], false),
            (alloc::vec![drop("x-envoy-retry-on"), remove("x-variant")], true),
            (alloc::vec![remove("x-tidegate-cluster"), set], true),
            (alloc::vec![remove("x-envoy-original-dst-host")], true),
        ];
        for (edits, expected) in cases {
            assert_eq!(unsteers(&edits), expected, "{edits:?}");
        }
    }

    #[test]
    fn notes_are_read_as_they_are_told() {
        for note in [Note::Forged, Note::Passed("checkout"), Note::Passed("")] {
            let mut told = Vec::new();
            note.tell(&mut |name, text| told.push((name, text.as_bytes().to_vec())));
            assert_eq!(told.len(), 1);
            assert_eq!(
                told.iter().map(|(name, text)| (*name, Note::read(text))).next(),
                Some((FACT, Some(note)))
            );
        }
        for other in [&b""[..], b"forge", b"forged:", b"passed", b"\xff"] {
            assert_eq!(Note::read(other), None, "{other:?}");
        }
    }
}
