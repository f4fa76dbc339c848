//! Request targets: path, segments, query parameters, cookies, hosts.
//!
//! Everything here compares bytes as they were sent. Percent-decoding, dot segments and
//! double slashes are the proxy's business (`normalize_path`, `merge_slashes`,
//! `path_with_escaped_slashes_action` in Envoy), because routing and limits must look at
//! the same path.

/// The part of a request target before `?` and `#`.
#[must_use]
pub fn without_query(target: &[u8]) -> &[u8] {
    split_at_any(target, b"?#").0
}

/// The value of the first query parameter `name`, undecoded; `None` when absent.
#[must_use]
pub fn query_parameter<'a>(target: &'a [u8], name: &str) -> Option<&'a [u8]> {
    query_parameters(target, name).next()
}

/// The values of all query parameters `name`, undecoded, in order.
pub fn query_parameters<'a, 'n>(
    target: &'a [u8],
    name: &'n str,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    let (_, query) = split_at_any(target, b"?");
    let (query, _) = split_at_any(query, b"#");
    query.split(|b| *b == b'&').filter_map(move |pair| {
        let (key, value) = split_at_any(pair, b"=");
        (key == name.as_bytes()).then_some(value)
    })
}

/// The segment at `index`, counted from 0: `/a/b` has `a` and `b`.
#[must_use]
pub fn segment(path: &[u8], index: usize) -> Option<&[u8]> {
    segments(path).nth(index)
}

/// The segments of a path, without the empty one before the first slash.
pub fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").unwrap_or(path).split(|b| *b == b'/')
}

/// Whether `path` is `prefix` or lies below it, by whole segments, as the Gateway API's
/// `PathPrefix`: `/api` holds `/api` and `/api/x`, not `/apix`.
#[must_use]
pub fn has_prefix(path: &[u8], prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/').as_bytes();
    path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Name and value of each cookie in one `cookie` header (RFC 6265), in order.
pub fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|b| *b == b';').filter_map(|pair| {
        let (name, value) = split_at_any(pair.trim_ascii(), b"=");
        let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        (!name.is_empty()).then_some((name, value))
    })
}

/// The value of the first cookie `name` in one `cookie` header.
#[must_use]
pub fn cookie<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    cookies(header).find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
}

/// The host of an authority, without the port.
#[must_use]
pub fn host(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|b| *b == b':') {
        // In `[::1]` the last colon belongs to the address.
        Some(at) if !authority.ends_with(b"]") => authority.get(..at).unwrap_or(authority),
        _ => authority,
    }
}

/// What stands before and after the first of `marks`, the mark itself left out.
fn split_at_any<'a>(bytes: &'a [u8], marks: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.iter().position(|b| marks.contains(b)) {
        Some(at) => {
            let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
            (before, after.split_first().map_or(&[], |(_, rest)| rest))
        }
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_whole_segments() {
        let cases = [
            ("/api", "/api", true),
            ("/api/x", "/api", true),
            ("/apix", "/api", false),
            ("/api/x", "/api/", true),
            ("/api", "/api/", true),
            ("/anything", "/", true),
            ("", "/", true),
            ("/ap", "/api", false),
        ];
        for (path, prefix, expected) in cases {
            assert_eq!(has_prefix(path.as_bytes(), prefix), expected, "{path} below {prefix}");
        }
    }

    #[test]
    fn parts_of_a_target_are_found() {
        let target = b"/a/b?x=1&y=&x=2&z#f?x=3";
        assert_eq!(without_query(target), b"/a/b");
        assert_eq!(query_parameter(target, "x"), Some(&b"1"[..]));
        assert_eq!(query_parameter(target, "y"), Some(&b""[..]));
        assert_eq!(query_parameter(target, "z"), Some(&b""[..]));
        assert_eq!(query_parameter(target, "f"), None);
        assert_eq!(query_parameter(b"/a", "x"), None);
        assert_eq!(segment(b"/a/b", 1), Some(&b"b"[..]));
        assert_eq!(segment(b"/a/b", 2), None);
        assert_eq!(segment(b"*", 0), Some(&b"*"[..]));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let header = b"a=1; sid=\"x y\";b; tg=2";
        assert_eq!(cookie(header, "sid"), Some(&b"x y"[..]));
        assert_eq!(cookie(header, "tg"), Some(&b"2"[..]));
        assert_eq!(cookie(header, "b"), Some(&b""[..]));
        assert_eq!(cookie(header, "id"), None);
    }

    #[test]
    fn the_port_is_not_part_of_the_host() {
        for (authority, expected) in
            [("a.b:80", "a.b"), ("a.b", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")]
        {
            assert_eq!(host(authority.as_bytes()), expected.as_bytes(), "{authority}");
        }
    }
}
