//! To which requests something applies: path, method, host, headers.
//!
//! The fields of one [`Matcher`] must all hold; of several matchers, one is enough. A
//! matcher without fields holds for every request. Names and meaning follow the Gateway
//! API's `HTTPRouteMatch`, templates follow Envoy's `uri_template` paths.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Request, RequestExt};
use super::path;
use crate::config::Reader;

/// A condition on a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    path: Option<PathMatch>,
    methods: Vec<String>,
    hosts: Vec<HostMatch>,
    headers: Vec<HeaderMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathMatch {
    Exact(String),
    Prefix(String),
    Template(Vec<Segment>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `*` or `{name}`: exactly one segment that is not empty.
    One,
    /// `**`, at the end only: any number of segments, none included.
    Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostMatch {
    Exact(String),
    /// `*.example.com`, kept as `.example.com`.
    Suffix(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderMatch {
    name: String,
    value: ValueMatch,
    invert: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ValueMatch {
    Exact(String),
    Prefix(String),
    Present(bool),
}

/// Longest text that a matcher compares with.
const MAX_TEXT: usize = 1024;
/// Most conditions of a kind in one matcher.
const MAX_LIST: usize = 16;

// === impl Matcher ===

impl Matcher {
    /// Reads one matcher or a list of them, of which one must hold.
    #[must_use]
    pub fn read_any(reader: &Reader<'_>) -> Option<Vec<Self>> {
        if reader.is_array() {
            let items = reader.items(1..=MAX_LIST, "matches")?;
            items.iter().map(Self::read).fold(Some(Vec::new()), collect)
        } else {
            Self::read(reader).map(|one| alloc::vec![one])
        }
    }

    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["path", "method", "host", "headers"])?;
        let path = object.or("path", None, |r| PathMatch::read(r).map(Some));
        let methods = object.or("method", Vec::new(), |r| {
            texts(r, "methods").map(|methods| methods.into_iter().map(str::to_ascii_uppercase).collect())
        });
        let hosts = object.or("host", Vec::new(), |r| {
            let given = if r.is_array() { r.items(1..=MAX_LIST, "hosts")? } else { alloc::vec![r.clone()] };
            given.iter().map(HostMatch::read).fold(Some(Vec::new()), collect)
        });
        let headers = object.or("headers", Vec::new(), |r| {
            let items = r.items(1..=MAX_LIST, "headers")?;
            items.iter().map(HeaderMatch::read).fold(Some(Vec::new()), collect)
        });
        Some(Self { path: path?, methods: methods?, hosts: hosts?, headers: headers? })
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn holds(&self, request: &impl Request) -> bool {
        self.path.as_ref().is_none_or(|p| p.holds(request.path()))
            && (self.methods.is_empty() || {
                let method = request.header(":method").unwrap_or_default();
                self.methods.iter().any(|m| m.as_bytes() == method)
            })
            && (self.hosts.is_empty() || {
                let host = path::host(request.authority());
                self.hosts.iter().any(|h| h.holds(host))
            })
            && self.headers.iter().all(|h| h.holds(request))
    }
}

impl PathMatch {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let (kind, value) = reader.tagged(&["exact", "prefix", "template"])?;
        let text = value.text(MAX_TEXT)?;
        if !text.starts_with('/') {
            value.report(alloc::format!("{text:?} is not a path, expected one that starts with `/`"));
            return None;
        }
        if text.contains(['?', '#']) {
            value.report(alloc::format!("{text:?} has a query, expected a path without `?` and `#`"));
            return None;
        }
        match kind {
            "exact" => Some(Self::Exact(text.to_owned())),
            "prefix" => Some(Self::Prefix(text.to_owned())),
            _ => template(text, &value).map(Self::Template),
        }
    }

    fn holds(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => path == exact.as_bytes(),
            Self::Prefix(prefix) => path::has_prefix(path, prefix),
            Self::Template(segments) => template_holds(segments, path),
        }
    }
}

fn template(text: &str, value: &Reader<'_>) -> Option<Vec<Segment>> {
    let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
    let last = parts.len().saturating_sub(1);
    let mut segments = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        let segment = match (part, name) {
            ("**", _) if index == last => Segment::Rest,
            ("*", _) => Segment::One,
            (_, Some(name)) if is_name(name) => Segment::One,
            (_, None) if !part.contains(['*', '{', '}']) => Segment::Literal(part.to_owned()),
            _ => {
                let right = "a literal, `*`, `{name}`, or `**` at the end";
                value.report(alloc::format!("{part:?} is not a template segment, expected {right}"));
                return None;
            }
        };
        segments.push(segment);
    }
    Some(segments)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn template_holds(segments: &[Segment], path: &[u8]) -> bool {
    let mut parts = path::segments(path);
    for segment in segments {
        let holds = match segment {
            Segment::Rest => return true,
            Segment::One => parts.next().is_some_and(|part| !part.is_empty()),
            Segment::Literal(text) => parts.next() == Some(text.as_bytes()),
        };
        if !holds {
            return false;
        }
    }
    parts.next().is_none()
}

impl HostMatch {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let text = reader.text(256)?;
        let (suffix, rest) = match text.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        let has_port = path::host(rest.as_bytes()).len() < rest.len();
        if has_port || !rest.bytes().all(is_host) || (suffix && !(rest.starts_with('.') && rest.len() > 1)) {
            let right = "a host without a port, or `*.` and a domain";
            reader.report(alloc::format!("{text:?} is no host, expected {right}"));
            return None;
        }
        Some(if suffix { Self::Suffix(rest.to_owned()) } else { Self::Exact(rest.to_owned()) })
    }

    fn holds(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => host.eq_ignore_ascii_case(exact.as_bytes()),
            Self::Suffix(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|rest| *rest > 0)
                .and_then(|rest| host.get(rest..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
        }
    }
}

impl HeaderMatch {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["name", "exact", "prefix", "present", "invert"])?;
        let name = object.required("name", "the name of a header").and_then(|r| header_name(&r));
        let invert = object.or("invert", false, Reader::boolean);
        let exact =
            object.optional("exact").map(|r| r.text(MAX_TEXT).map(|t| ValueMatch::Exact(t.to_owned())));
        let prefix =
            object.optional("prefix").map(|r| r.text(MAX_TEXT).map(|t| ValueMatch::Prefix(t.to_owned())));
        let present = object.optional("present").map(|r| r.boolean().map(ValueMatch::Present));
        let mut given = [exact, prefix, present].into_iter().flatten();
        let value = match (given.next(), given.next()) {
            (None, _) => Some(ValueMatch::Present(true)),
            (Some(one), None) => one,
            _ => {
                reader
                    .report("found several of `exact`, `prefix`, `present`, expected at most one".to_owned());
                None
            }
        };
        Some(Self { name: name?, value: value?, invert: invert? })
    }

    /// A repeated header holds when any of its values does.
    fn holds(&self, request: &impl Request) -> bool {
        let mut values = request.values(&self.name);
        let holds = match &self.value {
            ValueMatch::Exact(exact) => values.any(|v| v == exact.as_bytes()),
            ValueMatch::Prefix(prefix) => values.any(|v| v.starts_with(prefix.as_bytes())),
            ValueMatch::Present(present) => values.next().is_some() == *present,
        };
        holds != self.invert
    }
}

/// Reads the name of a request header: a token (RFC 9110, 5.1), made lower case. `host` is
/// none, because HTTP/2 and Envoy have it as the authority: it would never be found.
#[must_use]
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

fn texts<'a>(reader: &Reader<'a>, of: &str) -> Option<Vec<&'a str>> {
    if reader.is_array() {
        let items = reader.items(1..=MAX_LIST, of)?;
        items.iter().map(|item| item.text(256)).fold(Some(Vec::new()), collect)
    } else {
        reader.text(256).map(|one| alloc::vec![one])
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
                "[2].methd: unknown field `methd`, expected one of `path`, `method`, `host`, `headers`",
                "[2].headers[0].name: \"a b\" is not a header name, expected letters, digits and `-`",
                "[2].headers[0]: found several of `exact`, `prefix`, `present`, expected at most one",
                "[3].host[0]: \"*\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[1]: \"a.b:80\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[2]: \"*a.b\" is no host, expected a host without a port, or `*.` and a domain",
                "[3].host[3]: \"a/b\" is no host, expected a host without a port, or `*.` and a domain",
            ]
        );
    }
}
