//! To which requests something applies: path, method, host, headers, query, cookies, client.
//!
//! The fields of one [`Matcher`] must all hold; of several matchers, one is enough. A
//! matcher without fields holds for every request. Names and meaning follow the Gateway
//! API's `HTTPRouteMatch`, templates follow Envoy's `uri_template` paths.
//!
//! There are no regular expressions: the smallest linear-time engine costs a module more
//! than all policies together may grow. Templates, `contains` and `suffix` are there instead.

mod client;
pub mod header;
mod host;
mod path;
mod value;

use alloc::string::String;
use alloc::vec::Vec;

pub use client::{ClientMatch, CLIENT_KIND};
pub use header::{HeaderName, HEADER, HEADER_NAME};
use host::HostMatch;
pub use path::PathKey;
use path::PathMatch;
pub use value::NamedMatch;

use super::message::{Request, RequestExt};
use super::path as target;
use crate::config::{all, joined, Def, Either, Field, Inner, Items, Kind, List, Object, Reader, Table};

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

/// Most conditions of a kind in one matcher.
const MAX_LIST: u16 = 16;

static PATH_FIELD: Field<Inner> =
    Field::object("path", &path::TABLE).or_says("any").says("The path, without query and fragment.");
static METHOD: Field<List<str>> =
    Field::list("method", &Kind::text(256), 1, MAX_LIST, "methods").or_says("any").says(
        "The method is one of these. What is configured is made upper case; the request's method is \
     compared as sent.",
    );
static HOSTS: Field<List<str>> =
    Field::list("host", &Kind::formed("a host", 256, &host::HOST), 1, MAX_LIST, "hosts").or_says("any").says(
        "The host, without port, is one of these, in any case. `*.example.com` holds for every subdomain, \
     not for `example.com`. A port, or a `*` anywhere else, is an error.",
    );
static HEADERS: Field<Items> =
    Field::items("headers", &Kind::Object(&value::HEADER_TABLE), 1, MAX_LIST, "conditions")
        .or_says("any")
        .says("All of these hold.");
static QUERY: Field<Items> =
    Field::items("query", &Kind::Object(&value::NAMED_TABLE), 1, MAX_LIST, "conditions")
        .or_says("any")
        .says("All of these hold for the query.");
static COOKIES: Field<Items> =
    Field::items("cookies", &Kind::Object(&value::NAMED_TABLE), 1, MAX_LIST, "conditions")
        .or_says("any")
        .says("All of these hold for the cookies.");
static CLIENT: Field<Either> = Field::of("client_address", CLIENT_KIND)
    .or_says("any")
    .says("The client's address is in one of these ranges.");
static NOT: Field<Items> = Field::items("not", &Kind::Object(&NOT_TABLE), 1, MAX_LIST, "matches")
    .or_says("none")
    .says("None of these holds.");

/// One matcher, or a list of them.
pub const MATCHES: Kind =
    Kind::List { of: &Kind::Object(&MATCH_TABLE), least: 1, most: MAX_LIST, called: "matches" };
/// The fields of a matcher; `not`, the last, has the others.
pub(crate) static FIELDS: [&Def; 8] = joined(&[&OTHERS, &[NOT.def()]]);
static OTHERS: [&Def; 7] =
    [PATH_FIELD.def(), METHOD.def(), HOSTS.def(), HEADERS.def(), QUERY.def(), COOKIES.def(), CLIENT.def()];
static MATCH_TABLE: Table = Table::new("match", &FIELDS);
static NOT_TABLE: Table = Table::new("match.not", &OTHERS);

// === impl Matcher ===

impl Matcher {
    /// Reads one matcher or a list of them, of which one must hold.
    #[must_use]
    pub fn read_any(readers: &[Reader<'_>]) -> Option<Vec<Self>> {
        all(readers.iter().map(|reader| Self::read(&reader.object()?)))
    }

    /// Reads a matcher out of an object that has the fields of one, and perhaps more.
    #[inline(never)]
    #[must_use]
    pub fn read(object: &Object<'_>) -> Option<Self> {
        // Filled bit by bit, so that what is there has one place to be dropped from.
        let methods = object.list(&METHOD)?.into_iter().map(str::to_ascii_uppercase).collect();
        let mut matcher = Self { methods, ..Self::default() };
        if let Some(path) = object.maybe_inner(&PATH_FIELD)? {
            matcher.path = Some(PathMatch::read(&path)?);
        }
        for host in object.list(&HOSTS)? {
            matcher.hosts.push(HostMatch::parse(host)?);
        }
        matcher.headers = named(object, &HEADERS, |object| object.get(&value::HEADER_FIELD))?;
        let plain: fn(&Object<'_>) -> Option<String> = |object| object.get(&value::NAME);
        matcher.query = named(object, &QUERY, plain)?;
        matcher.cookies = named(object, &COOKIES, plain)?;
        if let Some(client) = object.reader(&CLIENT) {
            matcher.client = Some(ClientMatch::read(&client)?);
        }
        matcher.not = Self::read_any(&object.items(&NOT))?;
        Some(matcher)
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

/// Conditions on what has a name, which `name` reads.
#[inline(never)]
fn named(
    object: &Object<'_>,
    of: &Field<Items>,
    name: fn(&Object<'_>) -> Option<String>,
) -> Option<Vec<NamedMatch>> {
    all(object.items(of).iter().map(|reader| {
        let object = reader.object()?;
        NamedMatch::read(&object, name(&object)?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;
    use crate::http::message::Sent;
    use std::string::ToString;

    fn read(reader: &Reader<'_>) -> Option<Vec<Matcher>> {
        reader.check(&MATCHES);
        Matcher::read_any(&reader.items())
    }

    fn holds(json: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let matchers = document(json.as_bytes(), read).unwrap();
        let mut all = std::vec![
            (&b":method"[..], method.as_bytes()),
            (&b":path"[..], path.as_bytes()),
            (&b":authority"[..], &b"Shop.example.com:80"[..]),
        ];
        all.extend(headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        let request = Sent { headers: all, peer: None };
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
        let error = document(json.as_bytes(), read).unwrap_err();
        let got: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            got,
            [
                "[0].path.exact: \"a\" is not a path, expected one that starts with `/`",
                "[1].path.template: \"/x/**/y\" is not a template, expected segments that are a literal, `*`, `{name}`, or `**` at the end",
                "[2].headers[0].name: \"a b\" is not a header name, expected letters, digits and `-`",
                "[2].headers[0]: found `exact` and `prefix` together, expected only one of them",
                "[2].methd: unknown field `methd`, expected one of `path`, `method`, `host`, `headers`, `query`, `cookies`, `client_address`, `not`",
                "[3].host[0]: \"*\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[1]: \"a.b:80\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[2]: \"*a.b\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[3]: \"a/b\" is no host, expected a host without a port, or `*.` and a domain",
            ]
        );
    }
}
