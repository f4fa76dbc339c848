//! To which requests something applies: path, method, host, headers, query, cookies, client.
//!
//! The fields of one [`Matcher`] must all hold; of several matchers, one is enough. A
//! matcher without fields holds for every request. Names and meaning follow the Gateway
//! API's `HTTPRouteMatch`, templates follow Envoy's `uri_template` paths.
//!
//! There are no regular expressions: the smallest linear-time engine costs a module more
//! than all policies together may grow. Templates, `contains` and `suffix` are there instead.

mod client;
mod host;
mod path;
mod value;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

pub use client::ClientMatch;
use host::HostMatch;
pub use path::PathKey;
use path::PathMatch;
pub use value::NamedMatch;

use super::message::{Request, RequestExt};
use super::path as target;
use crate::config::{Object, Reader};

/// A condition on a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    path: Option<PathMatch>,
    methods: Vec<String>,
    hosts: Vec<HostMatch>,
    headers: Vec<NamedMatch>,
    query: Vec<NamedMatch>,
    cookies: Vec<NamedMatch>,
    client: Option<ClientMatch>,
    not: Vec<Matcher>,
}

/// How narrow a matcher is, apart from its hosts, in the order of the Gateway API: what is
/// greater comes first. What the Gateway API does not have comes after what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Narrowness {
    path: (bool, usize),
    method: bool,
    headers: usize,
    query: usize,
    cookies: usize,
    client: bool,
    not: usize,
}

/// Longest text that a matcher compares with.
const MAX_TEXT: usize = 1024;
/// Most conditions of a kind in one matcher.
const MAX_LIST: usize = 16;
/// The fields of a matcher; `not`, the last, has the others.
const FIELDS: [&str; 8] = ["path", "method", "host", "headers", "query", "cookies", "client_address", "not"];

// === impl Matcher ===

impl Matcher {
    /// Reads one matcher or a list of them, of which one must hold.
    #[must_use]
    pub fn read_any(reader: &Reader<'_>) -> Option<Vec<Self>> {
        one_or_more(reader, "matches", |r| Self::of(&r.object(&FIELDS)?))
    }

    /// Reads a matcher out of an object that may have `more` fields than its own; whoever
    /// calls reads those.
    #[must_use]
    pub fn read_with<'a>(reader: &Reader<'a>, more: &[&str]) -> Option<(Self, Object<'a>)> {
        let known: Vec<&str> = FIELDS.iter().chain(more).copied().collect();
        let object = reader.object(&known)?;
        Self::of(&object).map(|matcher| (matcher, object))
    }

    #[inline(never)]
    fn of(object: &Object<'_>) -> Option<Self> {
        let path = object.or("path", None, |r| PathMatch::read(r).map(Some));
        let methods = object.or("method", Vec::new(), |r| {
            one_or_more(r, "methods", |method| method.text(256).map(str::to_ascii_uppercase))
        });
        let hosts = object.or("host", Vec::new(), |r| one_or_more(r, "hosts", HostMatch::read));
        let headers = named(object, "headers", "the name of a header", header_name);
        let plain: fn(&Reader<'_>) -> Option<String> = |r| r.text(256).map(ToOwned::to_owned);
        let query = named(object, "query", "the name of a query parameter", plain);
        let cookies = named(object, "cookies", "the name of a cookie", plain);
        let client = object.or("client_address", None, |r| ClientMatch::read(r).map(Some));
        let not = object.or("not", Vec::new(), |r| {
            one_or_more(r, "matches", |one| {
                let others = FIELDS.split_last().map_or(&[][..], |(_not, others)| others);
                Self::of(&one.object(others)?)
            })
        });
        Some(Self {
            path: path?,
            methods: methods?,
            hosts: hosts?,
            headers: headers?,
            query: query?,
            cookies: cookies?,
            client: client?,
            not: not?,
        })
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn holds(&self, request: &impl Request) -> bool {
        let host = || target::host(request.authority());
        (self.hosts.is_empty() || self.hosts.iter().any(|h| h.holds(host())))
            && self.holds_on_any_host(request)
    }

    /// Whether the condition holds for the `index`th of [`Matcher::hosts`].
    #[must_use]
    pub fn holds_on(&self, index: usize, request: &impl Request) -> bool {
        let host = || target::host(request.authority());
        self.hosts.get(index).is_none_or(|h| h.holds(host())) && self.holds_on_any_host(request)
    }

    fn holds_on_any_host(&self, request: &impl Request) -> bool {
        let whole = || request.header(":path").unwrap_or_default();
        self.path.as_ref().is_none_or(|p| p.holds(request.path()))
            && (self.methods.is_empty() || {
                let method = request.header(":method").unwrap_or_default();
                self.methods.iter().any(|m| m.as_bytes() == method)
            })
            // A repeated header holds when any of its values does; of a repeated parameter
            // or cookie the first counts.
            && self.headers.iter().all(|h| h.holds(request.values(h.name())))
            && self.query.iter().all(|q| q.holds(target::query_parameter(whole(), q.name()).into_iter()))
            && self.cookies.iter().all(|c| c.holds(request.cookies(c.name()).take(1)))
            && self.client.as_ref().is_none_or(|c| c.holds(request))
            && !self.not.iter().any(|m| m.holds(request))
    }

    /// How narrow each host is that it names, one after the other: whether it is a single
    /// one, and its characters. None when it holds for every host.
    pub fn hosts(&self) -> impl Iterator<Item = (bool, usize)> + '_ {
        self.hosts.iter().map(HostMatch::specificity)
    }

    /// The hosts that it names when it holds for these alone; `None` when it holds for others, too.
    #[must_use]
    pub fn exact_hosts(&self) -> Option<Vec<&str>> {
        let hosts = self.hosts.iter().map(HostMatch::exact).collect::<Option<Vec<_>>>()?;
        (!hosts.is_empty()).then_some(hosts)
    }

    /// What an index finds its path by, if it has one that an index can find.
    #[must_use]
    pub fn path_key(&self) -> Option<PathKey<'_>> {
        self.path.as_ref().and_then(PathMatch::key)
    }

    /// How narrow it is, apart from its hosts.
    #[must_use]
    pub fn narrowness(&self) -> Narrowness {
        Narrowness {
            // Without a path any is meant, as with the prefix `/`.
            path: self.path.as_ref().map_or((false, 1), PathMatch::specificity),
            method: !self.methods.is_empty(),
            headers: self.headers.len(),
            query: self.query.len(),
            cookies: self.cookies.len(),
            client: self.client.is_some(),
            not: self.not.len(),
        }
    }
}

/// Reads a value or a list of 1 to 16.
#[inline(never)]
fn one_or_more<T>(reader: &Reader<'_>, of: &str, read: fn(&Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    if reader.is_array() {
        let items = reader.items(1..=MAX_LIST, of)?;
        items.iter().map(read).fold(Some(Vec::new()), collect)
    } else {
        read(reader).map(|one| alloc::vec![one])
    }
}

/// Reports a regular expression, naming what there is `instead`; whether there was one.
fn no_regex(reader: &Reader<'_>, instead: &str) -> bool {
    let entries = if reader.is_object() { reader.entries(usize::MAX) } else { None };
    let found = entries.into_iter().flatten().find(|(field, _)| *field == "regex");
    if let Some((_, value)) = &found {
        value.report(alloc::format!("regular expressions are not supported, expected {instead}"));
    }
    found.is_some()
}

#[inline(never)]
fn named(
    object: &Object<'_>,
    field: &str,
    what: &str,
    name: fn(&Reader<'_>) -> Option<String>,
) -> Option<Vec<NamedMatch>> {
    object.or(field, Vec::new(), |r| {
        let items = r.items(1..=MAX_LIST, field)?;
        items.iter().map(|item| NamedMatch::read(item, what, name)).fold(Some(Vec::new()), collect)
    })
}

/// Reads the name of a request header: a token (RFC 9110, 5.1), made lower case. `host` is
/// none, because HTTP/2 and Envoy have it as the authority: it would never be found.
#[must_use]
#[inline(never)]
pub fn header_name(reader: &Reader<'_>) -> Option<String> {
    let name = header_named(reader.text(256)?, reader)?;
    if name == "host" {
        reader.report("`host` is not among the headers, expected `host` in place of a header".to_owned());
        return None;
    }
    Some(name)
}

/// Checks a header name that stands elsewhere than in a value; reports it at `reader`.
#[must_use]
#[inline(never)]
pub fn header_named(text: &str, reader: &Reader<'_>) -> Option<String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.is_empty() && text.bytes().all(is_token) {
        Some(text.to_ascii_lowercase())
    } else {
        reader.report(alloc::format!("{text:?} is not a header name, expected letters, digits and `-`"));
        None
    }
}

/// Collects what was read, going through all items so that each reports its problems.
pub fn collect<T>(list: Option<Vec<T>>, item: Option<T>) -> Option<Vec<T>> {
    match (list, item) {
        (Some(mut list), Some(item)) => {
            list.push(item);
            Some(list)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;
    use crate::http::Header;
    use core::net::IpAddr;
    use std::string::ToString;

    struct Fixed<'a>(Vec<Header<'a>>);

    impl Request for Fixed<'_> {
        fn headers(&self) -> &[Header<'_>] {
            &self.0
        }
        fn peer(&self) -> Option<IpAddr> {
            None
        }
        fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
            None
        }
        fn attribute(&self, _: crate::http::Attribute) -> Option<Vec<u8>> {
            None
        }
    }

    fn holds(json: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let matchers = document(json.as_bytes(), Matcher::read_any).unwrap();
        let mut all = std::vec![
            (&b":method"[..], method.as_bytes()),
            (&b":path"[..], path.as_bytes()),
            (&b":authority"[..], &b"Shop.example.com:80"[..]),
        ];
        all.extend(headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        let request = Fixed(all);
        matchers.iter().any(|m| m.holds(&request))
    }

    #[test]
    fn all_fields_of_a_match_must_hold() {
        type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], bool);
        #[rustfmt::skip]
        let cases: &[Case] = &[
            // match                                          method  path          headers            holds
            (r#"{}"#,                                          "GET",  "/",          &[],               true),
            (r#"{"path": {"exact": "/a"}}"#,                   "GET",  "/a?x=1",     &[],               true),
            (r#"{"path": {"exact": "/a"}}"#,                   "GET",  "/a/",        &[],               false),
            (r#"{"path": {"prefix": "/a"}}"#,                  "GET",  "/a/b",       &[],               true),
            (r#"{"path": {"exact": "/Login/", "ignore_case": true, "path_parameters": "ignore", "trailing_slash": "ignore"}}"#, "GET", "/LOGIN;v=1/;x?y", &[], true),
            (r#"{"path": {"prefix": "/a"}}"#,                  "GET",  "/ab",        &[],               false),
            (r#"{"path": {"template": "/u/{id}/o"}}"#,         "GET",  "/u/7/o",     &[],               true),
            (r#"{"path": {"template": "/u/{id}/o"}}"#,         "GET",  "/u//o",      &[],               false),
            (r#"{"path": {"template": "/u/*"}}"#,              "GET",  "/u/7/o",     &[],               false),
            (r#"{"path": {"template": "/u/**"}}"#,             "GET",  "/u/7/o",     &[],               true),
            (r#"{"path": {"template": "/u/**"}}"#,             "GET",  "/v",         &[],               false),
            (r#"{"method": "post"}"#,                          "POST", "/",          &[],               true),
            (r#"{"method": ["PUT", "POST"]}"#,                 "GET",  "/",          &[],               false),
            (r#"{"host": "*.example.com"}"#,                   "GET",  "/",          &[],               true),
            (r#"{"host": ["a.b", "shop.example.com"]}"#,       "GET",  "/",          &[],               true),
            (r#"{"host": "*.shop.example.com"}"#,              "GET",  "/",          &[],               false),
            (r#"{"headers": [{"name": "X-T", "exact": "a"}]}"#, "GET", "/",          &[("x-t", "b"), ("x-t", "a")], true),
            (r#"{"headers": [{"name": "x-t", "prefix": "a"}]}"#, "GET", "/",         &[("x-t", "ab")],  true),
            (r#"{"headers": [{"name": "x-t"}]}"#,              "GET",  "/",          &[],               false),
            (r#"{"headers": [{"name": "x-t", "present": false}]}"#, "GET", "/",      &[],               true),
            (r#"{"headers": [{"name": "x-t", "exact": "a", "invert": true}]}"#, "GET", "/", &[],        true),
            (r#"[{"method": "PUT"}, {"path": {"prefix": "/"}}]"#, "GET", "/x",       &[],               true),
        ];
        for (json, method, path, headers, expected) in cases {
            assert_eq!(holds(json, method, path, headers), *expected, "{json} {method} {path} {headers:?}");
        }
    }

    #[test]
    fn a_bad_match_says_what_would_be_right() {
        let json = r#"[{"path": {"exact": "a"}}, {"path": {"template": "/x/**/y"}},
                       {"headers": [{"name": "a b", "exact": "x", "prefix": "y"}], "methd": "GET"},
                       {"host": ["*", "a.b:80", "*a.b", "a/b"]}]"#;
        let error = document(json.as_bytes(), Matcher::read_any).unwrap_err();
        let got: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            got,
            [
                "[0].path.exact: \"a\" is not a path, expected one that starts with `/`",
                "[1].path.template: \"**\" is not a template segment, expected a literal, `*`, `{name}`, or `**` at the end",
                "[2].methd: unknown field `methd`, expected one of `path`, `method`, `host`, `headers`, `query`, `cookies`, `client_address`, `not`",
                "[2].headers[0].name: \"a b\" is not a header name, expected letters, digits and `-`",
                "[2].headers[0]: found several of `exact`, `prefix`, `suffix`, `contains`, `present`, expected at most one",
                "[3].host[0]: \"*\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[1]: \"a.b:80\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[2]: \"*a.b\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[3]: \"a/b\" is no host, expected a host without a port, or `*.` and a domain",
            ]
        );
    }
}
