//! Where an HTTP/1.1 message ends.
//!
//! The client, the load generator and the upstream each read from a socket into a buffer and ask
//! here whether a whole message has arrived. Nothing is allocated but the caller's body buffer.

use std::io;

use httparse::{Header, Status};

/// Most headers a message may have; above Envoy's own limit in any test.
pub(crate) const MAX_HEADERS: usize = 2_100;

/// How a head says the message goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
    pub(crate) body: Body,
    /// Whether the sender closes after this message.
    pub(crate) close: bool,
}

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Chunked,
    Length(usize),
    UntilClose,
}

/// The head of a response and its status, once all of it is in `bytes`.
pub(crate) fn response<'b>(
    bytes: &'b [u8],
    headers: &mut [Header<'b>],
) -> io::Result<Option<(u16, Head, usize)>> {
    let mut parsed = httparse::Response::new(headers);
    let Status::Complete(len) = parsed.parse(bytes).map_err(invalid)? else { return Ok(None) };
    let status = parsed.code.unwrap_or_default();
    let mut head = head(len, parsed.headers, Body::UntilClose)?;
    if matches!(status, 100..=199 | 204 | 304) {
        head.body = Body::Length(0);
    }
    Ok(Some((status, head, parsed.headers.len())))
}

/// The head of a request, its method and path, once all of it is in `bytes`.
pub(crate) fn request<'b>(
    bytes: &'b [u8],
    headers: &mut [Header<'b>],
) -> io::Result<Option<(&'b str, &'b str, Head, usize)>> {
    let mut parsed = httparse::Request::new(headers);
    let Status::Complete(len) = parsed.parse(bytes).map_err(invalid)? else { return Ok(None) };
    let head = head(len, parsed.headers, Body::Length(0))?;
    Ok(Some((parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default(), head, parsed.headers.len())))
}

/// Copies the body at the start of `bytes` into `out` and returns how many bytes it took.
///
/// `None` until it is complete; `ended` says that no more bytes will come.
pub(crate) fn body(bytes: &[u8], body: Body, ended: bool, out: &mut Vec<u8>) -> io::Result<Option<usize>> {
    out.clear();
    match body {
        Body::Chunked => chunks(bytes, out),
        Body::Length(length) => Ok(bytes.get(..length).map(|all| {
            out.extend_from_slice(all);
            length
        })),
        Body::UntilClose if ended => {
            out.extend_from_slice(bytes);
            Ok(Some(bytes.len()))
        }
        Body::UntilClose => Ok(None),
    }
}

/// The headers as owned pairs, names in lower case.
pub(crate) fn owned(headers: &[Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec())).collect()
}

fn head(len: usize, headers: &[Header<'_>], default: Body) -> io::Result<Head> {
    let mut head = Head { len, body: default, close: false };
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            head.body = Body::Length(length.ok_or_else(|| invalid("content-length is not a number"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(head)
}

fn chunks(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let size = httparse::parse_chunk_size(rest).map_err(|_| invalid("chunk size is not a number"))?;
        let Status::Complete((line, size)) = size else { return Ok(None) };
        let size = usize::try_from(size).map_err(invalid)?;
        if size == 0 {
            return trailers(bytes, at + line);
        }
        let Some(data) = rest.get(line..line + size + 2) else { return Ok(None) };
        out.extend_from_slice(&data[..size]);
        at += line + size + 2;
    }
}

fn trailers(bytes: &[u8], at: usize) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    match httparse::parse_headers(&bytes[at..], &mut headers).map_err(invalid)? {
        Status::Complete((len, _)) => Ok(Some(at + len)),
        Status::Partial => Ok(None),
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
