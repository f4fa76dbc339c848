//! A request as earlier stages of the same module left it.
//!
//! Edits are made when all stages have decided, and facts are told to the host then, so a later
//! stage that asked the host would see the request as it came. An overlay answers from what the
//! earlier stages returned. Nothing is copied, and nothing allocated, unless a request header was
//! edited and all are asked for; then the list of headers is, and not their texts. When any stage
//! reads the headers, the host is asked for none by itself.

use alloc::vec::Vec;
use core::cell::OnceCell;
use core::net::IpAddr;

use super::message::{Attribute, Header, Request, RequestExt};
use super::steering;
use super::verdict::Edit;

/// A request with the edits and the facts of earlier stages.
pub struct Overlay<'a, R> {
    request: &'a R,
    edits: &'a [Edit],
    edited: bool,
    /// All headers after the edits, once they are asked for.
    headers: OnceCell<Vec<Header<'a>>>,
    facts: &'a Facts<'a>,
}

/// What earlier stages tell, as [`super::Stage::facts`] does.
pub type Facts<'a> = dyn Fn(&mut dyn FnMut(&'static str, &str)) + 'a;

// === impl Overlay ===

impl<'a, R: Request> Overlay<'a, R> {
    /// `request` after `edits`, with `facts` told.
    #[must_use]
    pub fn new(request: &'a R, edits: &'a [Edit], facts: &'a Facts<'a>) -> Self {
        let edited = edits.iter().any(|edit| edited(edit).is_some());
        Self { request, edits, edited, headers: OnceCell::new(), facts }
    }

    /// What an earlier stage told under this name.
    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        steering::told(name, self.facts)
    }
}

impl<R: Request> Request for Overlay<'_, R> {
    fn headers(&self) -> &[Header<'_>] {
        if !self.edited {
            return self.request.headers();
        }
        self.headers.get_or_init(|| applied(self.request.headers(), self.edits))
    }

    fn peer(&self) -> Option<IpAddr> {
        self.request.peer()
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        let edits = || self.edits.iter().filter_map(edited).filter(|(own, _)| is(own, name));
        let kept = edits().all(|(_, change)| matches!(change, Change::Add(_)));
        let own = kept.then(|| match self.request.headers() {
            [] => self.request.lone_header(name),
            _ => self.request.header(name).map(<[u8]>::to_vec),
        });
        let edited = || {
            edits().fold(None, |first: Option<&str>, (_, change)| match change {
                Change::Add(value) => first.or(Some(value)),
                Change::Remove => None,
                Change::Set(value) => Some(value),
            })
        };
        own.flatten().or_else(|| edited().map(|value| value.as_bytes().to_vec()))
    }

    fn end_of_stream(&self) -> bool {
        self.request.end_of_stream()
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        let fact = which.fact().and_then(|name| self.fact(name));
        fact.or_else(|| self.request.attribute(which))
    }

    fn parsed_cookies(&self) -> Option<&[Header<'_>]> {
        let kept = !self.edits.iter().filter_map(edited).any(|(own, _)| is(own, "cookie"));
        kept.then(|| self.request.parsed_cookies()).flatten()
    }

    fn metadata(&self, path: &[alloc::string::String]) -> Option<Vec<u8>> {
        self.request.metadata(path)
    }
}

/// What an edit does to a request header.
#[derive(Clone, Copy)]
enum Change<'e> {
    Add(&'e str),
    Remove,
    Set(&'e str),
}

impl<'e> Change<'e> {
    fn value(self) -> Option<&'e str> {
        match self {
            Self::Add(value) | Self::Set(value) => Some(value),
            Self::Remove => None,
        }
    }
}

/// The request header that an edit is about.
fn edited(edit: &Edit) -> Option<(&str, Change<'_>)> {
    match edit {
        Edit::AddRequestHeader(name, value) => Some((name, Change::Add(value))),
        Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => Some((name, Change::Remove)),
        Edit::SetRequestHeader(name, value) => Some((name, Change::Set(value))),
        Edit::AddResponseHeader(..) | Edit::SetResponseHeader(..) => None,
    }
}

fn applied<'a>(headers: &'a [Header<'a>], edits: &'a [Edit]) -> Vec<Header<'a>> {
    let mut list = headers.to_vec();
    for (name, change) in edits.iter().filter_map(edited) {
        if !matches!(change, Change::Add(_)) {
            list.retain(|(own, _)| !own.eq_ignore_ascii_case(name.as_bytes()));
        }
        list.extend(change.value().map(|value| (name.as_bytes(), value.as_bytes())));
    }
    list
}

fn is(own: &str, name: &str) -> bool {
    own.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::steering::{self, Note};
    use crate::http::Parsed;
    use alloc::string::ToString;

    struct Plain;

    impl Request for Plain {
        fn headers(&self) -> &[Header<'_>] {
            &[(b":path", b"/"), (b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"3")]
        }

        fn peer(&self) -> Option<IpAddr> {
            None
        }

        fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
            self.header(name).map(<[u8]>::to_vec)
        }

        fn attribute(&self, _which: Attribute) -> Option<Vec<u8>> {
            Some(b"host".to_vec())
        }
    }

    fn pairs(request: &impl Request) -> alloc::string::String {
        let text = |bytes: &[u8]| alloc::string::String::from_utf8_lossy(bytes).into_owned();
        let list = request.headers().iter().map(|(name, value)| text(name) + "=" + &text(value));
        list.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_request_is_seen_as_edited() {
        let set = |name: &str, value: &str| Edit::SetRequestHeader(name.into(), value.into());
        let remove = |name: &str| Edit::RemoveRequestHeader(name.to_string());
        let add = |name: &str, value: &str| Edit::AddRequestHeader(name.into(), value.into());
        let cases = [
            (alloc::vec![add("x-a", "9")], ":path=/ x-a=1 x-a=2 x-b=3 x-a=9", Some("1")),
            (
                alloc::vec![remove("x-a"), add("x-a", "8"), add("x-a", "9")],
                ":path=/ x-b=3 x-a=8 x-a=9",
                Some("8"),
            ),
            (alloc::vec![set("x-a", "8"), add("x-a", "9")], ":path=/ x-b=3 x-a=8 x-a=9", Some("8")),
            (alloc::vec![add("x-a", "8"), remove("x-a")], ":path=/ x-b=3", None),
            (alloc::vec![], ":path=/ x-a=1 x-a=2 x-b=3", Some("1")),
            (
                alloc::vec![Edit::AddResponseHeader("x-a".into(), "9".into())],
                ":path=/ x-a=1 x-a=2 x-b=3",
                Some("1"),
            ),
            (alloc::vec![remove("X-A")], ":path=/ x-b=3", None),
            (alloc::vec![set("x-a", "9")], ":path=/ x-b=3 x-a=9", Some("9")),
            (alloc::vec![remove("x-a"), set("x-a", "8"), remove("x-b")], ":path=/ x-a=8", Some("8")),
            (alloc::vec![set("x-a", "8"), remove("x-a")], ":path=/ x-b=3", None),
        ];
        for (edits, expected, lone) in cases {
            let overlay = Overlay::new(&Plain, &edits, &|_| ());
            assert_eq!(pairs(&overlay), expected, "{edits:?}");
            assert_eq!(overlay.lone_header("x-a").as_deref(), lone.map(str::as_bytes), "{edits:?}");
        }
    }

    #[test]
    fn a_list_without_edits_is_the_requests_own() {
        let overlay = Overlay::new(&Plain, &[], &|_| ());
        assert_eq!(overlay.headers().as_ptr(), Plain.headers().as_ptr());
    }

    #[test]
    fn facts_of_earlier_stages_come_before_the_hosts() {
        let facts = |tell: &mut dyn FnMut(&'static str, &str)| tell("tidegate.routing", "stable r v drawn 7");
        let overlay = Overlay::new(&Plain, &[], &facts);
        assert_eq!(overlay.attribute(Attribute::Chosen).as_deref(), Some(&b"stable r v drawn 7"[..]));
        assert_eq!(overlay.attribute(Attribute::Discovered).as_deref(), Some(&b"host"[..]));
        assert_eq!(overlay.attribute(Attribute::Cluster).as_deref(), Some(&b"host"[..]));
    }

    #[test]
    fn the_last_of_several_notes_is_the_one_that_counts() {
        let facts = |tell: &mut dyn FnMut(&'static str, &str)| {
            Note::Passed("b").tell(tell);
            Note::Forged.tell(tell);
        };
        let overlay = Overlay::new(&Plain, &[], &facts);
        assert!(steering::is_forged(overlay.attribute(Attribute::Steering)));
        let overlay = Overlay::new(&Plain, &[], &|_| ());
        assert!(!steering::is_forged(overlay.attribute(Attribute::Steering)));
    }

    /// A request of which each header costs a call of the host.
    struct Dear<'a>(&'a [Header<'a>]);

    impl Request for Dear<'_> {
        fn headers(&self) -> &[Header<'_>] {
            self.0
        }

        fn peer(&self) -> Option<IpAddr> {
            None
        }

        fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
            Some(b"dear".to_vec())
        }

        fn attribute(&self, _: Attribute) -> Option<Vec<u8>> {
            None
        }
    }

    #[test]
    fn the_host_is_asked_for_a_header_only_when_none_were_read() {
        let (read, not_read) = (Dear(&[(b":path", b"/"), (b"te", b"trailers")]), Dear(&[]));
        let of = |request: &Dear<'_>, name: &str| Overlay::new(request, &[], &|_| ()).lone_header(name);
        assert_eq!(of(&read, "te").as_deref(), Some(&b"trailers"[..]));
        assert_eq!(of(&read, "grpc-timeout"), None);
        assert_eq!(of(&not_read, "te").as_deref(), Some(&b"dear"[..]));
    }

    #[test]
    fn cookies_are_parsed_once_for_all_stages_unless_one_edits_them() {
        let dear = Dear(&[(b":path", b"/"), (b"cookie", b"a=1; b=2")]);
        let parsed = Parsed::new(&dear);
        let set = [Edit::SetRequestHeader("cookie".into(), "a=3".into())];
        let (plain, edited) = (Overlay::new(&parsed, &[], &|_| ()), Overlay::new(&parsed, &set, &|_| ()));
        assert_eq!(plain.parsed_cookies().map(<[_]>::as_ptr), parsed.parsed_cookies().map(<[_]>::as_ptr));
        assert!(edited.parsed_cookies().is_none());
        let value = |request: &Parsed<'_, _>| request.cookies("a").next().map(<[u8]>::to_vec);
        assert_eq!(value(&Parsed::new(&edited)).as_deref(), Some(&b"3"[..]));
    }
}
