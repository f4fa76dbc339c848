//! Whatever the document of the discovery filter says, and whichever request is looked for.

use std::net::IpAddr;

use proptest::prelude::*;
use tidegate_policy::discovery::{Policy, ServiceIndex};
use tidegate_policy::http::{Attribute, Header, Request};

use crate::cases;

/// A document that says everything.
const EVERYTHING: &str = include_str!("../discovery.json");

struct Asked<'a>(&'a [Header<'a>]);

impl Request for Asked<'_> {
    fn headers(&self) -> &[Header<'_>] {
        self.0
    }
    fn peer(&self) -> Option<IpAddr> {
        None
    }
    fn lone_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn attribute(&self, _: Attribute) -> Option<Vec<u8>> {
        None
    }
}

/// Values that some field takes, or none.
const VALUES: [&str; 16] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "100",
    "18446744073709551615",
    r#""""#,
    r#""a""#,
    r#""host""#,
    "[]",
    "[{}]",
    "{}",
    r#"{"a": {}, "a": [1]}"#,
];

/// Paths of few segments, so that they often meet.
fn paths() -> impl Strategy<Value = String> {
    let few = prop::collection::vec(prop::sample::select(vec!["", "a", "b", "ab"]), 0..5);
    prop_oneof![9 => few, 1 => prop::collection::vec(Just("a"), 30..36)]
        .prop_map(|s| format!("/{}", s.join("/")))
}

/// A matcher's fields.
fn matchers() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec![
        "",
        r#""host": "a","#,
        r#""host": "B.a","#,
        r#""host": "*.a","#,
        r#""host": ["a", "b"],"#,
        r#""host": ["*.b", "a"],"#,
    ]);
    let kind = prop::sample::select(vec!["exact", "prefix", "prefix", "starts_with", "template"]);
    let path = (kind, paths()).prop_map(|(kind, path)| format!(r#""path": {{"{kind}": "{path}"}},"#));
    let method = prop::sample::select(vec![r#""method": "GET""#, r#""method": "PUT""#, r#""not": []"#]);
    (host, prop_oneof![Just(String::new()), path], method).prop_map(|(host, path, method)| {
        format!("{{{host} {path} {}}}", method.replace(r#""not": []"#, r#""method": ["GET", "PUT"]"#))
    })
}

proptest! {
    #![proptest_config(cases(512))]

    /// Wherever anything is replaced in a document, it is read or refused.
    #[test]
    fn no_document_is_too_strange(at in 0..10_000_usize, value in prop::sample::select(VALUES.to_vec())) {
        let places: Vec<usize> = EVERYTHING.match_indices(": ").map(|(at, _)| at + 2).collect();
        let from = places[at % places.len()];
        let rest = &EVERYTHING[from..];
        // A value ends where as many brackets were closed as opened.
        let mut depth = 0_i32;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '{' || c == '[') - i32::from(c == '}' || c == ']');
            depth < 0 || (depth == 0 && (c == ',' || c == '\n'))
        });
        let json = format!("{}{value}{}", &EVERYTHING[..from], &rest[end.unwrap_or(rest.len())..]);
        if let Err(error) = Policy::parse(json.as_bytes()) {
            prop_assert!(!error.problems.is_empty());
        }
    }

    /// Nor are bytes that are no document at all.
    #[test]
    fn bytes_are_refused(mut bytes in Just(EVERYTHING.as_bytes().to_vec()), at in any::<prop::sample::Index>(), byte: u8) {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Policy::parse(&bytes);
    }

    /// The index finds what trying one service after the other finds.
    #[test]
    fn an_index_finds_what_is_first(
        services in prop::collection::vec(prop::collection::vec(matchers(), 1..4), 1..12),
        requests in prop::collection::vec(
            (prop::sample::select(vec!["a", "A:80", "b", "b.a", "c.a", "x.b", "", "c"]), paths(), any::<bool>()), 1..12),
    ) {
        let named = services.iter().enumerate().map(|(index, of)| {
            format!(r#"{{"name": "s{index}", "registry": "r", "match": [{}]}}"#, of.join(", "))
        });
        let json = format!(
            r#"{{"registries": {{"r": {{"consul": {{"cluster": "c"}}}}}}, "allow": ["10.0.0.0/8:80"], "services": [{}]}}"#,
            named.collect::<Vec<_>>().join(", ")
        );
        let policy = Policy::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let index = ServiceIndex::new(&policy.services);
        for (host, path, put) in requests {
            let method: &[u8] = if put { b"PUT" } else { b"GET" };
            let headers: [Header<'_>; 3] =
                [(b":authority", host.as_bytes()), (b":path", path.as_bytes()), (b":method", method)];
            let asked = Asked(&headers);
            let holds = policy.services.iter().position(|s| s.matches.iter().any(|m| m.holds(&asked)));
            prop_assert_eq!(index.find(&asked, &policy.services), holds, "{} {}", host, path);
        }
    }
}
