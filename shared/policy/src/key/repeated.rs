//! A part of a key that is in a request several times.
//!
//! Which of several values the upstream reads is not known here: the first, the last, or all of them
//! joined. A client that may choose what counts hides a key that is used up behind another one. So by
//! default every value counts, up to a few.

use alloc::borrow::Cow;

use crate::http::{path, Request, RequestExt};

/// Which values count of a header, cookie or query parameter that is there several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Each: the request has several keys.
    Each,
    /// The first.
    First,
    /// The last.
    Last,
    /// None: a request with several is refused.
    Refuse,
}

/// Most keys of one request under one limit.
pub const MAX_KEYS: usize = 4;

/// The values of a part that count.
pub(super) struct Values<'a> {
    list: [Cow<'a, [u8]>; MAX_KEYS],
    len: usize,
    /// Whether there were more than may be.
    pub(super) excess: bool,
}

// === impl Values ===

impl<'a> Values<'a> {
    /// Of all values those that count: none that is empty, and equal ones once.
    pub(super) fn of(all: impl Iterator<Item = Cow<'a, [u8]>>, repeated: Repeated) -> Self {
        let mut values = Self { list: Default::default(), len: 0, excess: false };
        for value in all.filter(|value| !value.is_empty()) {
            let last = repeated == Repeated::Last;
            if last || !values.list.iter().take(values.len).any(|known| *known == value) {
                let at = if last { 0 } else { values.len };
                let Some(place) = values.list.get_mut(at) else {
                    values.excess = true;
                    return values;
                };
                *place = value;
                values.len = at.saturating_add(1);
            }
            if repeated == Repeated::First {
                return values;
            }
        }
        values.excess = repeated == Repeated::Refuse && values.len > 1;
        values
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        self.list.get(index).filter(|_| index < self.len).map(AsRef::as_ref)
    }
}

/// All values of a header, one after the other.
pub(super) fn header<'a>(request: &'a impl Request, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let credentials = matches!(name, "authorization" | "proxy-authorization");
    request.values(name).flat_map(move |value| {
        let joined = credentials && joins(value);
        let pieces = value.split(move |b| joined && *b == b',');
        pieces.map(move |piece| if credentials { spelled(piece.trim_ascii()) } else { Cow::Borrowed(piece) })
    })
}

/// All values of a query parameter.
pub(super) fn query<'a>(request: &'a impl Request, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let target = request.header(":path").unwrap_or_default();
    path::query_parameters(target, name).map(Cow::Borrowed)
}

/// All values of a cookie.
pub(super) fn cookie<'a>(request: &'a impl Request, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    request.cookies(name).map(Cow::Borrowed)
}

/// Whether commas in credentials join several, as Envoy may have joined them: when one is of a scheme whose
/// values have none.
fn joins(credentials: &[u8]) -> bool {
    credentials.split(|b| *b == b',').any(|piece| {
        let scheme = piece.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"basic")
    })
}

/// Credentials spelled in the one way by which they count: the case of the scheme and the blanks behind
/// it mean nothing (RFC 9110, 11.4).
fn spelled(credentials: &[u8]) -> Cow<'_, [u8]> {
    let Some(at) = credentials.iter().position(u8::is_ascii_whitespace) else {
        return Cow::Borrowed(credentials);
    };
    let (scheme, rest) = credentials.split_at_checked(at).unwrap_or((credentials, &[]));
    let mut one = scheme.to_ascii_lowercase();
    if let Some(first) = one.first_mut() {
        first.make_ascii_uppercase();
    }
    one.push(b' ');
    one.extend_from_slice(rest.trim_ascii_start());
    if one == credentials {
        Cow::Borrowed(credentials)
    } else {
        Cow::Owned(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_count_by_what_they_mean() {
        #[rustfmt::skip]
        let cases = [
            ("Bearer T",        "Bearer T"),
            ("bearer  T",       "Bearer T"),
            ("BEARER\tT",      "Bearer T"),
            ("Bearer t",        "Bearer t"),
            ("basic  dTpw",     "Basic dTpw"),
            ("T",               "T"),
        ];
        for (sent, expected) in cases {
            assert_eq!(spelled(sent.as_bytes()).as_ref(), expected.as_bytes(), "{sent:?}");
        }
    }

    #[test]
    fn credentials_are_joined_wherever_one_of_them_stands() {
        let cases = [
            ("Bearer a,Bearer b", true),
            ("junk1,Bearer K", true),
            ("junk1, bearer K", true),
            ("Digest username=\"a\", realm=\"b\"", false),
            ("a,b", false),
        ];
        for (sent, expected) in cases {
            assert_eq!(joins(sent.as_bytes()), expected, "{sent:?}");
        }
    }

    #[test]
    fn of_repeated_values_those_count_that_may() {
        use Repeated::{Each, First, Last, Refuse};
        #[rustfmt::skip]
        let cases: &[(Repeated, &[&str], &[&str], bool)] = &[
            // which   sent                        count              excess
            (Each,     &["a", "b", "a"],            &["a", "b"],       false),
            (Each,     &["", "a"],                  &["a"],            false),
            (Each,     &["a", "b", "c", "d", "e"],  &["a", "b", "c", "d"], true),
            (First,    &["", "a", "b"],             &["a"],            false),
            (Last,     &["a", "b", ""],             &["b"],            false),
            (Refuse,   &["a", "a"],                 &["a"],            false),
            (Refuse,   &["a", "b"],                 &["a", "b"],       true),
            (Each,     &[],                         &[],               false),
        ];
        for (repeated, sent, expected, excess) in cases {
            let sent = sent.iter().map(|value| Cow::Borrowed(value.as_bytes()));
            let values = Values::of(sent, *repeated);
            let got: std::vec::Vec<_> = (0..values.len()).filter_map(|at| values.get(at)).collect();
            let expected: std::vec::Vec<_> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!((got, values.excess), (expected, *excess), "{repeated:?}");
        }
    }
}
