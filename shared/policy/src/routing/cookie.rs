//! The cookie of a sticky route: it identifies clients that nothing else does.
//!
//! A client gets it with its first response, and that first request carries it to all that comes
//! after the filter, too. Discovery, a limit or Envoy itself may choose by the hash of the cookie,
//! and the upstream may store something under it: without it in the first request, what was chosen
//! for that one is not what is chosen from the second on.
//!
//! Clients drop a cookie when its age has passed, so it is sent again while it is used. With each
//! response would be the simplest, and a cache in front of Envoy stores no response that sets a
//! cookie. The time of the last renewal must then be known, and it cannot stand in the value, by
//! which others hash. So a second cookie, the *marker*, is sent with it and lives a tenth as long:
//! a client that sends the cookie without the marker gets both again. No clock is compared, and a
//! client that ignores the marker gets the cookie with each response.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::http::{Edit, Request, RequestExt};

/// A cookie for clients that nothing else identifies.
///
/// ```
/// use tidegate_policy::routing::cookie::Generated;
///
/// let cookie = Generated::new("tg".to_owned(), "; Path=/", 60, "; Secure");
/// let set: Vec<String> = cookie.set_cookies(&Generated::value(0xab)).collect();
/// assert_eq!(set, [
///     "tg=000000000000000000000000000000ab; Path=/; Max-Age=60; Secure",
///     "tg-renewed=1; Path=/; Max-Age=6; Secure",
/// ]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    name: String,
    /// What follows the value in `set-cookie`, `; Path=/; …`.
    attributes: String,
    /// Whether clients drop it when it gets old.
    ages: bool,
    /// Says that the cookie is young; none when it would live less than a second.
    marker: Option<Marker>,
}

/// A cookie that tells by being there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marker {
    name: String,
    set_cookie: String,
}

/// A marker lives so many times less than its cookie.
const RENEWALS: u64 = 10;
/// Digits of a value.
const DIGITS: usize = 32;

// === impl Generated ===

impl Generated {
    /// A cookie that clients keep for `max_age_s` seconds, or with 0 until they are closed; `scope`
    /// are the attributes before its age, `flags` those behind it.
    #[must_use]
    pub fn new(name: String, scope: &str, max_age_s: u64, flags: &str) -> Self {
        let attributes = |age: u64| match age {
            0 => format!("{scope}{flags}"),
            age => format!("{scope}; Max-Age={age}{flags}"),
        };
        let marker = match max_age_s.checked_div(RENEWALS).unwrap_or(0) {
            0 => None,
            age => {
                let name = format!("{name}-renewed");
                let set_cookie = format!("{name}=1{}", attributes(age));
                Some(Marker { name, set_cookie })
            }
        };
        Self { attributes: attributes(max_age_s), ages: max_age_s > 0, marker, name }
    }

    /// Whether another has this one's name, and clients keep it otherwise.
    #[must_use]
    pub fn disagrees(&self, other: &Self) -> bool {
        self.name == other.name && self != other
    }

    /// The value that a request already carries: the first that is not empty, as in a key.
    #[must_use]
    pub fn find<'r>(&self, request: &'r impl Request) -> Option<&'r [u8]> {
        request.cookies(&self.name).find(|value| !value.is_empty())
    }

    /// The value that the client's cookie gets once more: the `identity` of the request, if that is
    /// the cookie, was made here, and was not renewed lately.
    #[must_use]
    pub fn due(&self, identity: &[u8], request: &impl Request) -> Option<String> {
        let made =
            identity.len() == DIGITS && identity.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !self.ages || !made || self.find(request) != Some(identity) {
            return None;
        }
        let young = |marker: &Marker| request.cookies(&marker.name).next().is_some();
        let due = !self.marker.as_ref().is_some_and(young);
        due.then(|| String::from_utf8_lossy(identity).into_owned())
    }

    /// A new value of 128 random bits.
    #[must_use]
    pub fn value(random: u128) -> String {
        format!("{random:032x}")
    }

    /// The values of `set-cookie` that make a client keep `value`.
    pub fn set_cookies(&self, value: &str) -> impl Iterator<Item = String> + '_ {
        let own = format!("{}={value}{}", self.name, self.attributes);
        core::iter::once(own).chain(self.marker.iter().map(|marker| marker.set_cookie.clone()))
    }

    /// What lets a request carry `value` as if the client had sent it, behind its other cookies.
    pub fn attach(&self, request: &impl Request, value: &str) -> Edit {
        let name: Rc<str> = "cookie".into();
        let own = format!("{}={value}", self.name);
        let sent = request.values("cookie").filter(|sent| !sent.trim_ascii().is_empty());
        let all: Vec<&[u8]> = sent.chain([own.as_bytes()]).collect();
        // A request of HTTP/1 has one such header. Bytes that are no text are left as they are.
        match String::from_utf8(all.join(&b"; "[..])) {
            Ok(all) => Edit::SetRequestHeader(name, all.into()),
            Err(_) => Edit::AddRequestHeader(name, own.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Sent;
    use std::borrow::ToOwned;

    fn cookies<'a>(values: &[&'a [u8]]) -> Sent<'a> {
        let headers = values.iter().map(|value| (&b"cookie"[..], *value)).collect();
        Sent { headers, peer: None }
    }

    fn cookie(max_age_s: u64) -> Generated {
        Generated::new("tg".to_owned(), "; Path=/", max_age_s, "; Secure")
    }

    const OURS: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_cookie_is_renewed_when_its_marker_is_gone() {
        #[rustfmt::skip]
        let cases = [
            // max age  the client sends                                         renewed
            (60,        "tg=0123456789abcdef0123456789abcdef",                   true),
            (60,        "a=b; tg=0123456789abcdef0123456789abcdef",              true),
            (60,        "tg=; tg=0123456789abcdef0123456789abcdef",              true),
            (60,        "tg=0123456789abcdef0123456789abcdef; tg-renewed=1",     false),
            (60,        "tg-renewed=; tg=0123456789abcdef0123456789abcdef",      false),
            // Too short for a marker: each response renews it.
            (3,         "tg=0123456789abcdef0123456789abcdef; tg-renewed=1",     true),
            // A cookie that does not age, others' values, another identity.
            (0,         "tg=0123456789abcdef0123456789abcdef",                   false),
            (60,        "tg=0123456789ABCDEF0123456789ABCDEF",                   false),
            (60,        "tg=alice",                                              false),
            (60,        "tg=00000000000000000000000000000000",                   false),
            (60,        "uid=0123456789abcdef0123456789abcdef",                  false),
        ];
        for (max_age_s, sent, renewed) in cases {
            let request = cookies(&[sent.as_bytes()]);
            let identity = if sent.contains("alice") { "alice" } else { OURS };
            let due = cookie(max_age_s).due(identity.as_bytes(), &request);
            assert_eq!(due.as_deref(), renewed.then_some(OURS), "{max_age_s} s, {sent}");
        }
    }

    #[test]
    fn a_marker_has_a_tenth_of_the_age_or_is_not() {
        for (max_age_s, marker) in [(0, None), (9, None), (10, Some(1)), (86_400, Some(8_640))] {
            let second = cookie(max_age_s).set_cookies("v").nth(1);
            let expected = marker.map(|age| format!("tg-renewed=1; Path=/; Max-Age={age}; Secure"));
            assert_eq!(second, expected, "{max_age_s} s");
        }
        assert_eq!(cookie(0).set_cookies("v").next().unwrap(), "tg=v; Path=/; Secure");
    }

    #[test]
    fn a_first_request_carries_the_cookie_behind_those_of_the_client() {
        let set = |value: &str| Edit::SetRequestHeader("cookie".into(), value.into());
        #[rustfmt::skip]
        let cases: [(&[&[u8]], Edit); 6] = [
            (&[],                        set("tg=v")),
            (&[b""],                     set("tg=v")),
            (&[b"a=b"],                  set("a=b; tg=v")),
            (&[b"a=b; c", b" ", b"d=e"], set("a=b; c; d=e; tg=v")),
            (&[b"tg="],                  set("tg=; tg=v")),
            (&[b"a=\xff"],               Edit::AddRequestHeader("cookie".into(), "tg=v".into())),
        ];
        for (sent, expected) in cases {
            assert_eq!(cookie(60).attach(&cookies(sent), "v"), expected, "{sent:?}");
        }
    }
}
