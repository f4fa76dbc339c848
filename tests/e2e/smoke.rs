//! The harness against a real Envoy, without any module.

use std::net::Ipv4Addr;
use std::time::Duration;

use tidegate_tests::{
    eventually, grpc, stats, Answer, Bootstrap, Client, Envoy, FileLds, Load, Options, Request, Update,
    Upstream,
};

/// Adds what the downstream address looks like to Envoy.
const TELL_PEER: &str = r#"
function envoy_on_request(handle)
  local peer = handle:streamInfo():downstreamDirectRemoteAddress()
  handle:respond({[":status"] = "200", ["x-peer"] = peer}, "")
end"#;

#[test]
fn direct_responses_are_counted_exactly() {
    let bootstrap = Bootstrap::new().balanced().access_log("%REQ(:PATH)% %RESPONSE_CODE%");
    let config = bootstrap.direct_response("/", 200, "ok").json();
    let envoy = Envoy::start(&config, &Options::workers(2)).unwrap();
    assert_eq!(Client::connect(envoy.addr()).get("/hello", &[]).text(), "ok");

    let report = Load::new(envoy.addr()).connections(8).requests(5_000).repeat(&Request::get("/load"));
    assert_eq!((report.count(200), report.lost), (5_000, 0));

    assert_eq!(envoy.stat("http.main.downstream_rq_total"), 5_001);
    let samples = stats::family(&envoy.prometheus(), "envoy_http_downstream_rq_total");
    let main = samples.iter().find(|sample| sample.labels.values().any(|value| value == "main"));
    assert_eq!(main.map(|sample| sample.value), Some(5_001.0));
    assert_eq!(envoy.addr_of("main"), envoy.addr());
    let workers = envoy.stats(r"^listener\..*worker_\d\.downstream_cx_total$");
    assert!(workers.len() == 2 && workers.values().all(|connections| *connections >= 4), "{workers:?}");
    eventually("the access log", Duration::from_secs(5), || {
        let log = envoy.access_log();
        (log.starts_with("/hello 200\n") && log.lines().count() == 5_001).then_some(())
    });
    assert!(envoy.cpu() > Duration::ZERO && envoy.rss_bytes() > 1 << 20 && envoy.is_running());
    assert_eq!(envoy.log(), "");
}

#[test]
fn lua_sees_each_client_by_its_own_address() {
    let envoy = Envoy::start(&Bootstrap::new().lua(TELL_PEER).json(), &Options::default()).unwrap();
    for last in [1, 2, 9] {
        let source = Ipv4Addr::new(127, 0, 0, last);
        let peer = Client::from_source(envoy.addr(), source).get("/", &[]).header("x-peer").unwrap();
        assert!(peer.starts_with(&format!("{source}:")), "{peer}");
    }
}

#[test]
fn requests_reach_the_upstream_byte_by_byte() {
    let upstream = Upstream::new(|seen| Answer::new(200, &seen.body).chunked());
    let config = Bootstrap::new().large_headers().cluster("up", &[upstream.addr()]).forward("/", "up").json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    let big = "b".repeat(60_000);
    let mut request = Request::new("POST", "/echo").header("x-raw", b"a\xffb").header("x-big", &big);
    for number in 0..1_500 {
        request = request.header("x-many", number.to_string());
    }
    let response = Client::connect(envoy.addr()).send(&request.body("body"));
    assert_eq!((response.status, response.text().as_str()), (200, "body"));
    let seen = upstream.seen().remove(0);
    assert!(seen.headers.contains(&("x-raw".to_owned(), b"a\xffb".to_vec())));
    assert_eq!(seen.header("x-big"), Some(big));
}

#[test]
fn grpc_callers_get_envoys_local_reply_as_a_status() {
    let config = Bootstrap::new().direct_response("/", 429, "slow down").json();
    let envoy = Envoy::start(&config, &Options::default()).unwrap();
    let reply = grpc::unary(envoy.addr(), "/a.B/C", &[("x-raw", b"\xff")]);
    assert_eq!((reply.http_status, reply.grpc_status), (200, Some(14)));
    assert_eq!(reply.grpc_message.as_deref(), Some("slow down"));
}

#[test]
fn listener_file_changes_what_is_served() {
    let version = |text| Bootstrap::new().direct_response("/", 200, text);
    let mut envoy = FileLds::start(&version("one"), &Options::workers(2)).unwrap();
    let addr = envoy.addr();
    let ask = || Client::connect(addr).get("/", &[]).text();
    assert_eq!(ask(), "one");

    for text in ["two", "three", "three"] {
        assert_eq!(envoy.update(&version(text).listener()), Update::Accepted, "{text}");
        assert_eq!((envoy.addr(), ask().as_str()), (addr, text));
    }

    let bad = [
        ("bad code", version("four").lua("no Lua at all"), "no Lua at all"),
        ("unknown field", version("four").hcm("no_such_field", true.into()), "no_such_field"),
        ("unknown value", version("four").hcm("codec_type", "HTTP9".into()), "HTTP9"),
    ];
    for (name, bootstrap, reason) in bad {
        let Update::Rejected(log) = envoy.update(&bootstrap.listener()) else {
            panic!("{name} was accepted")
        };
        assert!(log.contains(reason), "{name}: {log}");
    }
    assert_eq!(ask(), "three");
    assert!(FileLds::start(&version("five").lua("no Lua at all"), &Options::default()).is_err());
}

#[test]
fn bad_configuration_is_refused_with_its_reason() {
    let good = Bootstrap::new().direct_response("/", 200, "ok");
    let bad = good.clone().hcm("no_such_field", true.into()).json();
    assert_eq!(Envoy::validate(&good.json()), Ok(()));
    let reason = Envoy::validate(&bad).unwrap_err();
    assert!(reason.contains("no_such_field"), "{reason}");
    let failure = Envoy::start(&bad, &Options::default()).unwrap_err();
    assert!(failure.log.contains("no_such_field") && failure.log.contains("exit status: 1"), "{failure}");
}
