//! Lines of access logs: Envoy's default text, Istio's, and JSON.

use serde_json::{Map, Value};
use tidegate_policy::time::Span;

use super::Arrival;
use crate::engine::Passing;

/// A request of a log.
pub struct Line {
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// The request, which arrives at no time yet.
    pub arrival: Arrival,
}

/// A word of a line, without what is around it.
enum Word<'l> {
    Bare(&'l str),
    Quoted(&'l str),
}

/// The request of a line.
#[must_use]
pub fn read_line(line: &str) -> Option<Line> {
    if line.starts_with('{') {
        return of_json(&serde_json::from_str(line).ok()?);
    }
    of_text(line)
}

/// `[time] "GET /path HTTP/1.1" 200 - … 0 154 3 2 "for" "agent" "id" "host" "upstream"`
fn of_text(line: &str) -> Option<Line> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let words = words(rest);
    let Some(Word::Quoted(target)) = words.first() else { return None };
    let mut target = target.split(' ');
    let (method, path) = (target.next()?, target.next()?);
    let Some(Word::Bare(status)) = words.get(1) else { return None };
    let quoted = words.iter().enumerate().skip(1).filter_map(|(at, word)| match word {
        Word::Quoted(text) => Some((at, *text)),
        Word::Bare(_) => None,
    });
    let quoted: Vec<(usize, &str)> = quoted.collect();
    let [.., (at, forwarded), (_, agent), (_, id), (_, host), _] = quoted.as_slice() else { return None };
    let bare = |index: usize| match words.get(index) {
        Some(Word::Bare(text)) => text.parse().ok(),
        _ => None,
    };
    let took = at.checked_sub(2).and_then(bare).unwrap_or(0);
    let mut request = Passing::new(method, path, given(host).unwrap_or("-"), last_address(forwarded));
    for (name, value) in [("user-agent", agent), ("x-request-id", id), ("x-forwarded-for", forwarded)] {
        if let Some(value) = given(value) {
            request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        }
    }
    let arrival = Arrival {
        at: Span::ZERO,
        request,
        status: status_of(status.parse().ok()?),
        took: Span::from_millis(took),
    };
    Some(Line { at_ms: millis(time)?, arrival })
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::with_capacity(16);
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(inside) => {
                let (text, behind) = inside.split_once('"').unwrap_or((inside, ""));
                (Word::Quoted(text), behind)
            }
            None => {
                let (text, behind) = rest.split_once(' ').unwrap_or((rest, ""));
                (Word::Bare(text), behind)
            }
        };
        words.push(word);
        rest = behind.trim_start();
    }
    words
}

/// Fields by their usual names; all others are headers.
fn of_json(line: &Map<String, Value>) -> Option<Line> {
    let first = |names: &[&str]| names.iter().find_map(|name| line.get(*name));
    let text = |names: &[&str]| first(names).and_then(Value::as_str).and_then(given);
    let number = |names: &[&str]| match first(names)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64().map(|value| value as u64),
    };
    const TIME: [&str; 4] = ["start_time", "time", "timestamp", "@timestamp"];
    const METHOD: [&str; 3] = ["method", "request_method", ":method"];
    const PATH: [&str; 4] = ["path", "request_path", "uri", ":path"];
    const HOST: [&str; 3] = ["authority", "host", ":authority"];
    const STATUS: [&str; 4] = ["response_code", "status", "response_status", "code"];
    const TOOK: [&str; 2] = ["duration", "duration_ms"];
    const FROM: [&str; 5] = [
        "downstream_remote_address",
        "downstream_direct_remote_address",
        "client_ip",
        "remote_addr",
        "source_address",
    ];
    let forwarded = text(&["x_forwarded_for", "x-forwarded-for"]);
    let from = text(&FROM).and_then(address).or_else(|| forwarded.and_then(last_address));
    let (method, path) = (text(&METHOD).unwrap_or("GET"), text(&PATH)?);
    let mut request = Passing::new(method, path, text(&HOST).unwrap_or("-"), from);
    let known = [&TIME[..], &METHOD, &PATH, &HOST, &STATUS, &TOOK, &FROM].concat();
    for (name, value) in line.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        if let Some(value) = value.as_str().and_then(given) {
            request.headers.push((name.replace('_', "-").to_ascii_lowercase(), value.as_bytes().to_vec()));
        }
    }
    let status = status_of(u32::try_from(number(&STATUS)?).ok()?);
    let took = Span::from_millis(number(&TOOK).unwrap_or(0));
    let at_ms = match first(&TIME)? {
        Value::String(text) => millis(text)?,
        value => (value.as_f64()? * 1_000.0) as u64,
    };
    Some(Line { at_ms, arrival: Arrival { at: Span::ZERO, request, status, took } })
}

/// 0 stands for no response.
fn status_of(status: u32) -> u32 {
    if (100..600).contains(&status) {
        status
    } else {
        503
    }
}

/// `-` stands for nothing.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty() && text != "-").then_some(text)
}

/// The last address of a list: the one that Envoy's peer had.
fn last_address(list: &str) -> Option<std::net::IpAddr> {
    address(list.rsplit(',').next()?.trim())
}

/// An address, with its port or without.
fn address(text: &str) -> Option<std::net::IpAddr> {
    let socket = || text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip());
    text.parse().ok().or_else(socket)
}

/// Milliseconds since 1970 of `2016-04-15T20:17:00.310Z`.
fn millis(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fraction = time.get(19..).and_then(|rest| rest.strip_prefix('.')).unwrap_or("0");
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).take(3).collect();
    let fraction: i64 = format!("{digits:0<3}").parse().ok()?;
    // Days since 1970 by Howard Hinnant's algorithm: a year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let zone = zone_minutes(time)?;
    u64::try_from((((days * 24 + hour) * 60 + minute - zone) * 60 + second) * 1_000 + fraction).ok()
}

/// What a time is ahead of UTC.
fn zone_minutes(time: &str) -> Option<i64> {
    let rest = time.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let sign = match rest.chars().next() {
        Some('+') => 1,
        Some('-') => -1,
        _ => return Some(0),
    };
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) =
        (digits.get(0..2)?.parse::<i64>().ok()?, digits.get(2..4).unwrap_or("0").parse::<i64>().ok()?);
    Some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_text_is_read() {
        let line = r#"[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80""#;
        let read = read_line(line).unwrap();
        assert_eq!(read.at_ms, 1_460_751_420_310);
        let Arrival { request, status, took, .. } = read.arrival;
        assert_eq!((status, took.as_millis(), request.peer), (204, 226, "10.0.35.28".parse().ok()));
        assert_eq!(request.text(":path").as_deref(), Some("/api/v1/locations"));
        assert_eq!(request.text(":authority").as_deref(), Some("locations"));
        assert_eq!(request.text("user-agent").as_deref(), Some("nsq2http"));
    }

    #[test]
    fn the_text_of_istio_is_read() {
        let line = r#"[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 3 1 "-" "curl/7.73.0-DEV" "84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "127.0.0.1:80" inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default"#;
        let read = read_line(line).unwrap();
        let Arrival { request, status, took, .. } = read.arrival;
        assert_eq!((status, took.as_millis(), request.peer), (418, 3, None));
        assert_eq!(request.text(":authority").as_deref(), Some("httpbin:8000"));
    }

    #[test]
    fn json_has_headers_beside_the_usual_fields() {
        let line = r#"{"start_time":"2024-02-29T12:00:00.5+02:00","method":"GET","path":"/x","response_code":0,"duration":7,"downstream_remote_address":"10.1.2.3:5000","authority":"a","x_api_key":"k","user_agent":"-"}"#;
        let read = read_line(line).unwrap();
        assert_eq!(read.at_ms, 1_709_200_800_500);
        let Arrival { request, status, took, .. } = read.arrival;
        assert_eq!((status, took.as_millis(), request.peer), (503, 7, "10.1.2.3".parse().ok()));
        assert_eq!((request.text("x-api-key").as_deref(), request.text("user-agent")), (Some("k"), None));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            "",
            "x",
            "[",
            "[2020-11-25T21:26:18.409Z] x",
            "{}",
            r#"{"path": 1}"#,
            "[é] \"é\" é",
            "[1] \"G P\" 1 \"\" \"\" \"\" \"\" \"\"",
        ] {
            assert!(read_line(line).is_none(), "{line}");
        }
    }
}
