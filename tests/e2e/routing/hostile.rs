//! Requests that nobody would send by accident. None may hurt the VM.

use serde_json::{json, Value};
use tidegate_tests::{eventually, grpc, Client, Envoy, Load, Options, Request};

use super::setup::{assert_calm, metrics, ramping, Pair, SOON};

/// Routes that look at every part of a request, and one for all that they do not take.
fn curious() -> Value {
    let path =
        json!({"path": {"template": "/{one}/**"}, "host": "*.test", "not": [{"cookies": [{"name": "no"}]}]});
    let parts = json!({
        "headers": [{"name": "x-key", "contains": "zz"}], "query": [{"name": "k", "suffix": "z"}],
        "cookies": [{"name": "sid", "prefix": "z"}], "client_address": {"in": ["10.0.0.0/8"], "trusted_hops": 2},
        "metadata": [{"filter": "a", "path": ["b", "c"]}],
    });
    let by = json!([{"header": "x-key"}, {"cookie": "sid"}, {"query_parameter": "k"}, {"client_address": {"trusted_hops": 1}}]);
    let variants = ramping(&json!({"steps": [{"weight": 50, "hold_ms": 500}]}), &json!({}));
    let rest = json!({
        "name": "rest", "variants": variants, "sticky": {"experiment": "e", "by": by, "cookie": {"name": "tg"}},
        "mirror": {"cluster": "stable", "percent": 10}, "retry": {"retry_on": ["reset"]},
    });
    let one = |name: &str, matches: &Value| json!({"name": name, "match": matches, "variants": variants});
    json!({
        "routes": [one("path", &path), one("parts", &parts), rest],
        "headers": {"random": "x-random", "variant": "x-variant", "bucket": "x-bucket", "response": "x-told"},
        "force": {"secret": "0123456789abcdef", "from": ["10.0.0.0/8"]},
    })
}

fn envoy(pair: &Pair) -> Envoy {
    let bootstrap = pair.behind(&curious()).large_headers().access_log("%RESPONSE_CODE_DETAILS%");
    Envoy::start(&bootstrap.json(), &Options::workers(2)).unwrap()
}

fn cases() -> Vec<(&'static str, Request)> {
    let get = Request::get;
    let numbered = |count: usize| (0..count).fold(get("/"), |all, n| all.header(&format!("x-{n}"), "v"));
    let many = |name: &str, count: usize| (0..count).fold(get("/"), |all, n| all.header(name, n.to_string()));
    let forged =
        |count: usize| (0..count).fold(get("/"), |all, n| all.header(&format!("x-tidegate-{n}"), "v"));
    let kilobytes = |count: usize| "k".repeat(count << 10);
    let any_byte: Vec<u8> = (0x20..=0xff).filter(|byte| *byte != 0x7f).collect();
    #[rustfmt::skip]
    let cases = vec![
        ("not UTF-8",             get("/").header("x-key", b"\xff\xfe\x80")),
        ("every byte",            get("/").header("x-key", &any_byte).header("cookie", &any_byte)),
        ("a cookie not UTF-8",    get("/").header("cookie", b"sid=\xff; tg=\xff; \xff=\xff;;=;sid")),
        ("half a cookie",         get("/").header("cookie", "tg")),
        ("only quotes",           get("/").header("cookie", "tg=\"; sid=\"")),
        ("a cookie of semicolons", get("/").header("cookie", ";".repeat(60 << 10))),
        ("a 60 kB cookie",        get("/").header("cookie", format!("{}; tg={}", kilobytes(30), kilobytes(30)))),
        ("addresses not UTF-8",   get("/").header("x-forwarded-for", b"\xff, \xff,,\xff")),
        ("60 kB of addresses",    get("/").header("x-forwarded-for", "1.1.1.1,".repeat(7_500))),
        ("60 kB",                 get("/").header("x-key", kilobytes(60))),
        ("a 60 kB wish",          get("/").header("x-force-variant", kilobytes(30)).header("x-force-secret", kilobytes(30))),
        ("a wish not UTF-8",      get("/").header("x-force-variant", b"\xff").header("x-force-secret", b"0123456789abcde\xff")),
        ("an id not UTF-8",       get("/").header("x-request-id", b"\xff")),
        ("a 60 kB path",          get(&format!("/{}", "a/".repeat(30 << 10)))),
        ("a 60 kB query",         get(&format!("/?{}", "k=&".repeat(20 << 10)))),
        ("2,000 headers",         numbered(1_980)),
        ("1,000 forged headers",  forged(1_000)),
        ("1,000 keys",            many("x-key", 1_000)),
        ("1,000 cookies",         many("cookie", 1_000)),
        ("1,000 wishes",          many("x-force-variant", 1_000)),
        ("an empty key",          get("/").header("x-key", "")),
        ("empty values",          get("/").header("cookie", "").header("x-forwarded-for", "").header("host", "")),
        ("strange paths",         get("//..//%00/%ff/%2e%2e/;a=b?&&=&k&k=%zz?k=1")),
        ("not ASCII",             get("/\u{e9}/\u{1f600}?k=\u{fffd}")),
        ("an address of IPv6",    get("/").header("host", "[::1]:80").header("x-forwarded-for", "[::1]:1, ::ffff:1.2.3.4")),
        ("a host of colons",      get("/").header("host", "::::")),
        ("a method of its own",   Request::new("M-SEARCH", "/")),
        ("a query alone",         get("/?")),
        ("a body",                Request::new("POST", "/a/b").body(kilobytes(100))),
        ("gRPC, or not",          get("/").header("content-type", b"application/grpc\xff")),
    ];
    cases
}

#[test]
fn no_request_hurts_the_vm() {
    let pair = Pair::new();
    let envoy = envoy(&pair);
    let mut clients = [0, 1].map(|_| Client::connect(envoy.addr()));
    let cases = cases();
    let mut passed = 0;
    for (name, request) in &cases {
        for client in &mut clients {
            let status = client.send(request).status;
            // Some are more than Envoy itself lets in.
            assert!(matches!(status, 200 | 400), "{name}: {status}");
            passed += usize::from(status == 200);
            assert_eq!(client.get("/", &[]).status, 200, "after {name}");
        }
    }
    println!("{passed} of {} passed on", 2 * cases.len());
    assert!(passed >= 2 * cases.len() * 3 / 4, "{passed} of {}", 2 * cases.len());
    let lines = 2 * 2 * cases.len();
    eventually("the access log", SOON, || envoy.access_log().lines().count() == lines);
    assert!(!envoy.access_log().contains("wasm_fail_stream"), "{}", envoy.access_log());
    assert_calm(&envoy);
}

#[test]
fn thousands_of_identities_hurt_nobody() {
    let pair = Pair::new();
    let envoy = envoy(&pair);
    let report = Load::new(envoy.addr()).connections(8).threads(2).requests(20_000).run(|_, number, out| {
        let request = Request::get("/").header("x-key", (number % 251 * 257).to_le_bytes().map(|b| b | 0x80));
        out.extend_from_slice(&request.header("cookie", format!("tg={number}; sid=")).bytes());
    });
    assert_eq!((report.count(200), report.lost), (20_000, 0));
    eventually("the counters", SOON, || metrics(&envoy, "rest")["sticky"] == 20_000);
    assert_calm(&envoy);
}

/// An upstream that answers with rubbish does not hurt the VM that judges it.
#[test]
fn no_answer_hurts_the_vm() {
    let pair = Pair::new();
    let envoy = envoy(&pair);
    let answers = [b"\xff".as_slice(), b"", b"99999999999999999999", b"-1", b" 14 "];
    for answer in answers {
        let answer = String::from_utf8_lossy(answer).into_owned();
        for upstream in [&pair.stable, &pair.canary] {
            let rubbish = tidegate_tests::Answer::new(200, "").header("content-type", "application/grpc");
            upstream.switch(rubbish.header("grpc-status", &answer));
        }
        let reply = grpc::try_unary(envoy.addr(), "/a.B/C", &[("x-key", b"\xff")]);
        assert!(reply.is_ok(), "{reply:?}");
    }
    assert_eq!(Client::connect(envoy.addr()).get("/", &[]).status, 200);
    assert_calm(&envoy);
}
