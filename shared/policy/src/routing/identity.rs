//! Who is asking, for experiments: the first of several sources that says so.
//!
//! Unlike the key of a limit, an identity is one value and not all of them, because people
//! are known by different things: a user id when signed in, a cookie before that.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use crate::http::{path, Request, RequestExt};
use crate::key::Part;
use crate::net::address::{self, Network};

/// The identity that a request has by the first of `sources` that it has a value of.
#[must_use]
pub fn find<'r>(sources: &[Part], request: &'r impl Request) -> Option<Cow<'r, [u8]>> {
    sources.iter().find_map(|source| value(source, request)).filter(|value| !value.is_empty())
}

fn value<'r>(source: &Part, request: &'r impl Request) -> Option<Cow<'r, [u8]>> {
    let found: Cow<'r, [u8]> = match source {
        Part::ClientAddress { trusted_hops, peer_appended, ipv6_prefix } => {
            let hops = trusted_hops.saturating_add(usize::from(*peer_appended && *trusted_hops > 0));
            let forwarded = request.headers().iter();
            let forwarded =
                forwarded.filter(|(name, _)| *name == b"x-forwarded-for").map(|(_, value)| *value);
            let client = address::client(forwarded, request.peer()?, hops);
            Cow::Owned(format!("{}", Network::of(client, *ipv6_prefix)).into_bytes())
        }
        Part::Cookie(name) => Cow::Borrowed(request.cookies(name).find(|value| !value.is_empty())?),
        Part::Header(name) => joined(request, name)?,
        Part::QueryParameter(name) => {
            Cow::Borrowed(request.header(":path").and_then(|target| path::query_parameter(target, name))?)
        }
        _ => return None,
    };
    Some(found).filter(|value| !value.is_empty())
}

/// Repeated values are joined as Envoy joins them, so that none hides behind another.
fn joined<'r>(request: &'r impl Request, name: &str) -> Option<Cow<'r, [u8]>> {
    let mut values =
        request.headers().iter().filter(|(header, _)| *header == name.as_bytes()).map(|(_, value)| *value);
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
    let all: Vec<&[u8]> = [first, second].into_iter().chain(values).collect();
    Some(Cow::Owned(all.join(&b',')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{message::Sent, Header};
    use std::borrow::ToOwned;

    #[test]
    fn the_first_source_with_a_value_counts() {
        let address = Part::ClientAddress { trusted_hops: 0, peer_appended: false, ipv6_prefix: 64 };
        let sources = [Part::Header("x-user".to_owned()), Part::Cookie("tg".to_owned()), address];
        #[rustfmt::skip]
        let cases: [(&[Header<'_>], &str); 6] = [
            (&[(b"cookie", b"a=b; tg=c"), (b"x-user", b"alice")],    "alice"),
            (&[(b"cookie", b"a=b"), (b"cookie", b"tg=c")],           "c"),
            (&[(b"cookie", b"tg=; tg=c")],                           "c"),
            (&[(b"cookie", b"tg="), (b"x-user", b"")],               "2001:db8:0:1::/64"),
            (&[(b"x-user", b"alice"), (b"x-user", b"bob")],          "alice,bob"),
            (&[],                                                    "2001:db8:0:1::/64"),
        ];
        for (headers, expected) in cases {
            let request = Sent { headers: headers.to_vec(), peer: "2001:db8:0:1:2::3".parse().ok() };
            assert_eq!(find(&sources, &request).unwrap(), expected.as_bytes(), "{headers:?}");
        }
    }
}
