//! Which queries go out and when: DNS over HTTPS, and the host's own resolver.

use tidegate_sim::{Asked, SimAnswer, SimQuestion};

use crate::discovery::{of, question, reached, sent, Sim, Workers};

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// A record of a name, its time to live in seconds and its data.
struct Record(&'static str, u16, u32, Vec<u8>);

fn name(text: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    text.split('.').map(label).chain([vec![0]]).flatten().collect()
}

fn address(owner: &'static str, text: &str, ttl: u32) -> Record {
    match text.parse().unwrap() {
        std::net::IpAddr::V4(v4) => Record(owner, A, ttl, v4.octets().to_vec()),
        std::net::IpAddr::V6(v6) => Record(owner, AAAA, ttl, v6.octets().to_vec()),
    }
}

fn service(target: &str, priority: u16, ttl: u32) -> Record {
    let numbers = [priority, 1, 80].into_iter().flat_map(u16::to_be_bytes).collect();
    Record("_orders._tcp.shop", SRV, ttl, [numbers, name(target)].concat())
}

/// The answer on the wire: the question again, then these records.
fn answer(question: &SimQuestion, rcode: u8, records: &[Record]) -> SimAnswer {
    let Asked::Http { body, .. } = &question.asked else { panic!("no question for DNS: {question:?}") };
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0, 0, 0x81, 0x80 | rcode, 0, 1, count[0], count[1], 0, 0, 0, 0];
    bytes.extend_from_slice(&body[12..]);
    for Record(owner, kind, ttl, data) in records {
        bytes.extend(name(owner));
        bytes.extend(kind.to_be_bytes().into_iter().chain([0, 1]));
        bytes.extend(ttl.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
    }
    question.answer(200).body(&bytes)
}

/// What is asked: the name and the number of the kind.
fn asked(question: &SimQuestion) -> String {
    let Asked::Http { body, .. } = &question.asked else { panic!("no question for DNS: {question:?}") };
    let (mut text, mut rest) = (String::new(), &body[12..]);
    while rest[0] > 0 {
        let (label, after) = rest[1..].split_at(rest[0].into());
        text = format!("{text}{}.", std::str::from_utf8(label).unwrap());
        rest = after;
    }
    format!("{text} {}", u16::from_be_bytes([rest[1], rest[2]]))
}

fn https(query: &str) -> String {
    of(r#""dns": {"cluster": "doh"}"#, "", &format!(r#""dns": {query}"#))
}

fn srv() -> String {
    https(r#"{"name": "_orders._tcp.shop"}"#)
}

/// The queries in flight, in order.
fn questions(worker: &Sim) -> Vec<SimQuestion> {
    let mut all = worker.host.take_questions();
    all.sort_by_key(asked);
    all
}

#[test]
fn hosts_without_addresses_are_queried_one_by_one() {
    let workers = Workers::new(2, &srv());
    let worker = &workers.all[0];
    workers.tick();
    let first = question(worker);
    assert_eq!((first.subject(), asked(&first).as_str()), ("/dns-query", "_orders._tcp.shop. 33"));
    let records = [service("a.shop", 1, 60), service("b.shop", 1, 60), address("a.shop", "10.0.0.1", 60)];
    worker.answer(&answer(&first, 0, &records));
    assert_eq!(sent(&workers.all[1]), "waits", "half an answer is none");
    let more = questions(worker);
    assert_eq!(more.iter().map(asked).collect::<Vec<_>>(), ["b.shop. 1", "b.shop. 28"]);
    // In any order.
    worker.answer(&answer(&more[1], 0, &[]));
    assert_eq!(sent(&workers.all[1]), "waits");
    worker.answer(&answer(&more[0], 0, &[address("b.shop", "10.0.0.2", 60)]));
    assert_eq!((reached(worker).as_str(), reached(&workers.all[1]).as_str()), ("1 2", "1 2"));
    assert_eq!((workers.asked("queries"), workers.asked("failures")), (1, 0));
}

#[test]
fn an_unanswered_host_fails_the_query_and_the_last_answer_serves() {
    let workers = Workers::new(1, &srv());
    let worker = &workers.all[0];
    let whole = [service("a.shop", 1, 60), address("a.shop", "10.0.0.1", 60)];
    workers.tick();
    worker.answer(&answer(&question(worker), 0, &whole));
    workers.at(70_000).tick();
    worker.answer(&answer(&question(worker), 0, &[service("b.shop", 1, 60)]));
    let more = questions(worker);
    worker.answer(&more[0].failure());
    assert_eq!((workers.asked("failures"), sent(worker).as_str()), (0, "10.0.0.1:80"));
    // The host has no other address, so its address is not known.
    worker.answer(&answer(&more[1], 0, &[]));
    assert_eq!((workers.asked("failures"), sent(worker).as_str()), (1, "10.0.0.1:80"));
}

/// A name server may give some of many addresses, and others the next time. To miss from one answer is not
/// to go down: of each eight, four were left out.
#[test]
fn addresses_that_take_turns_in_answers_all_serve() {
    let json = https(r#"{"name": "orders.shop", "record": "a", "port": 80}"#);
    let workers = Workers::new(1, &json);
    let worker = &workers.all[0];
    for n in 0..100_usize {
        workers.at(6_000 * n as u64).tick();
        let some = (0..8).map(|place| format!("10.0.0.{}", 1 + (n * 3 + place) % 20));
        let records: Vec<Record> = some.map(|text| address("orders.shop", &text, 5)).collect();
        worker.answer(&answer(&question(worker), 0, &records));
        let serving = reached(worker);
        assert_eq!(serving.split(' ').count(), 8, "answer {n}: {serving}");
    }
}

/// Some name servers fail when they are queried for records that they do not have (RFC 4074).
#[test]
fn a_failed_host_is_left_out_when_others_have_addresses() {
    for first in [0, 1] {
        let workers = Workers::new(1, &srv());
        let worker = &workers.all[0];
        workers.tick();
        worker.answer(&answer(&question(worker), 0, &[service("b.shop", 1, 60)]));
        let more = questions(worker);
        let answers = [answer(&more[0], 0, &[address("b.shop", "10.0.0.2", 60)]), more[1].failure()];
        worker.answer(&answers[first]);
        assert_eq!(sent(worker), "waits", "{first}");
        worker.answer(&answers[1 - first]);
        assert_eq!((workers.asked("failures"), sent(worker).as_str()), (0, "10.0.0.2:80"), "{first}");
    }
}

#[test]
fn ipv4_and_ipv6_addresses_are_queried_together() {
    let json = https(r#"{"name": "orders.shop", "record": "any", "port": 80}"#)
        .replace(r#"["10.0.0.0/8:1-65535"]"#, r#"["10.0.0.0/8:80", "[fd00::/8]:80"]"#);
    let workers = Workers::new(1, &json);
    let worker = &workers.all[0];
    workers.tick();
    let both = questions(worker);
    assert_eq!(both.iter().map(asked).collect::<Vec<_>>(), ["orders.shop. 1", "orders.shop. 28"]);
    worker.answer(&answer(&both[0], 0, &[address("orders.shop", "10.0.0.1", 60)]));
    assert_eq!(sent(worker), "waits");
    worker.answer(&answer(&both[1], 0, &[address("orders.shop", "fd00::1", 60)]));
    assert_eq!(reached(worker), "1 [fd00::1]:80");
}

/// The first question after an answer of this time to live.
fn next(json: &str, says: &dyn Fn(&SimQuestion) -> SimAnswer) -> u64 {
    let workers = Workers::new(1, json);
    let asked = workers.run(0, 400_000, &mut |_, question| Some(says(question)));
    asked[1]
}

#[test]
fn answers_serve_for_their_ttl_within_bounds() {
    let one = https(r#"{"name": "orders.shop", "record": "a", "port": 80}"#);
    let host = of(
        r#""dns": {"resolver": "host"}"#,
        r#""ttl_ms": 1000"#,
        r#""dns": {"name": "orders.shop", "port": 80}"#,
    );
    #[rustfmt::skip]
    let cases = [
        // TTL (s)  least    most (ms)
        (0,         5_000,   5_600),
        (1,         5_000,   5_600),
        (30,        30_000,  33_100),
        (300,       300_000, 330_100),
        (86_400,    300_000, 330_100),
    ];
    for (ttl, least, most) in cases {
        let over_https = next(&one, &|q| answer(q, 0, &[address("orders.shop", "10.0.0.1", ttl)]));
        assert!((least..=most).contains(&over_https), "{ttl} s by HTTPS: {over_https} ms");
        let by_host = next(&host, &|q| q.addresses(&[(ttl, "10.0.0.1:0")]));
        assert!((least..=most).contains(&by_host), "{ttl} s by the host: {by_host} ms");
    }
    // The shortest of all counts.
    let json = srv();
    let mixed =
        next(&json, &|q| answer(q, 0, &[service("a.shop", 1, 200), address("a.shop", "10.0.0.1", 20)]));
    assert!((20_000..=22_100).contains(&mixed), "{mixed}");
}

#[test]
fn the_hosts_resolver_is_asked_for_the_name() {
    let json = of(r#""dns": {"resolver": "host"}"#, "", r#""dns": {"name": "orders.shop", "port": 80}"#);
    let workers = Workers::new(2, &json);
    let worker = &workers.all[0];
    workers.tick();
    let first = question(worker);
    assert_eq!((&first.asked, first.subject()), (&Asked::Name("orders.shop".to_owned()), "orders.shop"));
    assert_eq!(sent(&workers.all[1]), "waits");
    worker.answer(&first.addresses(&[(30, "10.0.0.1:0"), (30, "10.0.0.2:0")]));
    assert_eq!(reached(&workers.all[1]), "1 2");
    // It fails, then knows the name no more: neither takes the endpoints away.
    workers.at(40_000).tick();
    worker.answer(&question(worker).failure());
    assert_eq!((workers.asked("failures"), reached(&workers.all[1]).as_str()), (1, "1 2"));
    let answered = workers.run(40_100, 50_000, &mut |_, question| Some(question.addresses(&[])));
    assert!(!answered.is_empty());
    assert_eq!((workers.asked("failures"), reached(&workers.all[1]).as_str()), (1, "1 2"));
}

#[test]
fn lower_priorities_serve_when_higher_ones_are_too_few() {
    let workers = Workers::new(1, &srv());
    let worker = &workers.all[0];
    workers.tick();
    let records = [
        service("a.shop", 10, 60),
        service("b.shop", 20, 60),
        address("a.shop", "10.0.0.1", 60),
        address("b.shop", "10.0.0.2", 60),
    ];
    worker.answer(&answer(&question(worker), 0, &records));
    assert_eq!(reached(worker), "1");
}
