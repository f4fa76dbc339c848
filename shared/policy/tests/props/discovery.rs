//! What a registry says, and what is believed of it.

use std::net::IpAddr;

use proptest::prelude::*;
use tidegate_policy::discovery::distrust::flap::{FlapParams, Flaps};
use tidegate_policy::discovery::distrust::shrink::{Action, Guard, ShrinkParams};
use tidegate_policy::discovery::endpoint::{self, Endpoint};
use tidegate_policy::discovery::json::{self, Shape};
use tidegate_policy::discovery::registry::dns::message::{self, Kind};
use tidegate_policy::discovery::registry::dns::resolver;
use tidegate_policy::discovery::registry::dns::{self, json as doh_json, Question};
use tidegate_policy::discovery::registry::etcd::base64;
use tidegate_policy::discovery::registry::{consul, etcd, eureka, kubernetes, nacos, Found, Reply};
use tidegate_policy::time::{Span, Timestamp};
use tidegate_policy::watch::lease::{Lease, BYTES};

use crate::{cases, START};

/// Endpoints with these last bytes of their addresses, in normal form.
fn set(bytes: &[u8]) -> Vec<Endpoint> {
    let of = |n: &u8| Endpoint::new("", IpAddr::from([10, 0, 0, *n]), 80).unwrap();
    let mut set: Vec<Endpoint> = bytes.iter().map(of).collect();
    endpoint::normalize(&mut set);
    set
}

fn is_normal(found: &Found) -> bool {
    let sorted = found.endpoints.windows(2).all(|pair| pair[0].key() < pair[1].key());
    let sound = |e: &Endpoint| e.port > 0 && (1..=endpoint::MAX_WEIGHT).contains(&e.weight);
    sorted && found.endpoints.iter().all(sound)
}

/// Text of the words that registries use, so that much of it means something.
fn answers() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_string()),
        Just("true".to_string()),
        Just("\"\"".to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
        (0_u8..4).prop_map(|n| format!("\"10.0.0.{n}\"")),
        Just("\"80\"".to_string()),
        Just("\"_node_maintenance\"".to_string()),
        "[ -~]{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let names = [
        "Node",
        "Service",
        "Checks",
        "Address",
        "ID",
        "Port",
        "Weights",
        "Passing",
        "Tags",
        "Meta",
        "Status",
        "code",
        "hosts",
        "data",
        "ip",
        "port",
        "weight",
        "kvs",
        "key",
        "value",
        "items",
        "endpoints",
        "addresses",
        "ports",
        "conditions",
        "applications",
        "application",
        "instance",
        "ipAddr",
        "$",
        "Answer",
        "name",
        "type",
        "TTL",
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let field = (prop::sample::select(names.to_vec()), inner.clone());
        let object = prop::collection::vec(field, 0..6).prop_map(|fields| {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        });
        let list = prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", ")));
        prop_oneof![3 => object, 1 => list]
    })
}

/// Runs every reader of HTTP answers.
fn read_all(body: &[u8]) -> Vec<Found> {
    const SRV: Question<'static> = Question { name: "a.b", kind: Kind::Srv };
    let reply = Reply { status: 200, header: &|_| None, body };
    let all = [
        consul::read(&consul::Query::new("a"), &reply),
        etcd::read(&reply),
        eureka::read(&reply).and_then(eureka::Apps::found),
        kubernetes::read("", &reply).map(|page| page.found),
        nacos::read(&reply),
        doh_json::read(SRV, &reply).and_then(|answer| answer.found(80)),
        dns::read(SRV, body).and_then(|answer| answer.found(80)),
        resolver::read(body).and_then(|resolved| resolved.found(80)),
    ];
    all.into_iter().flatten().collect()
}

/// A name on the wire, whole.
fn name(text: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    let mut bytes: Vec<u8> = text.split('.').flat_map(label).collect();
    bytes.push(0);
    bytes
}

proptest! {
    #![proptest_config(cases(500))]

    /// Whatever bytes an answer has, it is a normal set or a problem.
    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read_all(&bytes).iter().all(is_normal));
    }

    /// Whatever follows a sound header and question, reading it ends; much of it points somewhere.
    #[test]
    fn any_records_are_a_message(
        tail in prop::collection::vec(prop_oneof![Just(0xc0), Just(0), 0_u8..64, any::<u8>()], 0..200),
        counts: [u8; 3],
    ) {
        let mut bytes = message::query("svc.x", Kind::Srv).unwrap();
        (bytes[2], bytes[7], bytes[9], bytes[11]) = (0x80, counts[0], counts[1], counts[2]);
        bytes.extend(tail);
        let question = Question { name: "svc.x", kind: Kind::Srv };
        if let Ok(answer) = dns::read(question, &bytes) {
            prop_assert!(answer.found(80).iter().all(is_normal));
        }
    }

    /// Whatever JSON an answer is, it is a normal set or a problem.
    #[test]
    fn any_json_is_an_answer(body in answers(), cut in 0_usize..2_000) {
        prop_assert!(read_all(body.as_bytes()).iter().all(is_normal));
        let short = body.as_bytes().get(..cut).unwrap_or_default();
        prop_assert!(read_all(short).iter().all(is_normal));
        prop_assert!(json::read(body.as_bytes(), &Shape::Loose).is_ok());
    }

    /// What was asked is what is understood: a query turned into a response to itself is the answer
    /// without records, in any case of letters.
    #[test]
    fn queries_survive_a_round_trip(text in "[a-z0-9_-]{1,20}(\\.[a-z0-9_-]{1,20}){0,5}", srv: bool) {
        let kind = if srv { Kind::Srv } else { Kind::Aaaa };
        let mut bytes = message::query(&text, kind).unwrap();
        bytes[2] |= 0x80;
        let upper = text.to_ascii_uppercase();
        let message = message::decode(&bytes, &upper, kind).unwrap();
        prop_assert!(message.records.is_empty());
        prop_assert!(message::decode(&bytes, &(upper + "x"), kind).is_err());
    }

    /// Records that were written are read, with names spelled out or compressed.
    #[test]
    fn records_survive_a_round_trip(
        records in prop::collection::vec((any::<u16>(), any::<u16>(), 1_u16.., "[a-z]{1,9}", any::<[u8; 4]>(), 0_u32..1 << 31), 1..9),
        compressed: bool,
    ) {
        let mut bytes = message::query("svc.x", Kind::Srv).unwrap();
        bytes[2] |= 0x80;
        bytes[7] = u8::try_from(records.len() * 2).unwrap();
        let record = |owner: &[u8], kind: u8, ttl: u32, data: &[u8]| {
            let length = u16::try_from(data.len()).unwrap();
            [owner, &[0, kind, 0, 1], &ttl.to_be_bytes(), &length.to_be_bytes(), data].concat()
        };
        for (priority, weight, port, host, address, ttl) in &records {
            let service = [priority.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
            // 12 is where the question has its name.
            let owner = if compressed { vec![0xc0, 12] } else { name("svc.x") };
            let target = bytes.len() + owner.len() + 10 + service.len();
            bytes.extend(record(&owner, 33, *ttl, &[service, name(host)].concat()));
            let to_target = vec![0xc0 | u8::try_from(target >> 8).unwrap(), u8::try_from(target & 255).unwrap()];
            let owner = if compressed { to_target } else { name(host) };
            bytes.extend(record(&owner, 1, *ttl, address));
        }
        let message = message::decode(&bytes, "svc.x", Kind::Srv).unwrap();
        prop_assert_eq!(message.records.len(), records.len() * 2);
        for (pair, (priority, weight, port, host, address, ttl)) in message.records.chunks(2).zip(&records) {
            let target = host.as_str().into();
            let service = message::Service { priority: *priority, weight: *weight, port: *port, target };
            prop_assert_eq!((&*pair[0].owner, pair[0].ttl), ("svc.x", *ttl));
            prop_assert_eq!(&pair[0].data, &message::Data::Service(service));
            prop_assert_eq!((&*pair[1].owner, pair[1].ttl), (host.as_str(), *ttl));
            prop_assert_eq!(&pair[1].data, &message::Data::Address((*address).into()));
        }
    }

    /// What was written is what is read, and nothing else is base64.
    #[test]
    fn base64_survives_a_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[A-Za-z0-9+/=]{0,12}") {
        prop_assert_eq!(base64::decode(&base64::encode(&bytes)), Some(bytes));
        if let Some(bytes) = base64::decode(&text) {
            prop_assert_eq!(base64::encode(&bytes), text);
        }
    }

    /// Until it was confirmed no set takes away more than the terms allow, whatever is fetched and
    /// whenever; and every endpoint that was fetched is served.
    #[test]
    fn shrinking_needs_confirmation(
        start in prop::collection::vec(0_u8..30, 0..20),
        fetches in prop::collection::vec((0_u64..40, prop::collection::vec(0_u8..30, 0..20)), 1..40),
        repeats in 1_usize..4,
    ) {
        let terms = ShrinkParams::default();
        let mut guard = Guard::new(set(&start));
        let mut now = START;
        let mut since: Option<(Vec<Endpoint>, Timestamp, u32)> = None;
        for (secs, bytes) in fetches.iter().flat_map(|fetch| std::iter::repeat_n(fetch, repeats)) {
            now = now.plus(Span::from_secs(*secs));
            let (fetched, before) = (set(bytes), guard.serving().to_vec());
            since = Some(match since {
                Some((same, from, times)) if same == fetched => (same, from, times + 1),
                _ => (fetched.clone(), now, 1),
            });
            let judged = guard.fetched(&terms, now, fetched.clone());
            prop_assert!(judged.reference >= before.len());
            prop_assert!(fetched.iter().all(|e| guard.serving().contains(e)));
            match judged.action {
                Action::Apply => {
                    let small = judged.reference < terms.min_size as usize;
                    prop_assert!(fetched.len() >= judged.floor || small && !fetched.is_empty());
                    prop_assert_eq!(guard.serving(), fetched);
                }
                Action::ApplyConfirmed => {
                    let (_, from, times) = since.as_ref().unwrap();
                    prop_assert!(*times >= 3 && now.since(*from) >= terms.hold && !fetched.is_empty());
                    prop_assert_eq!(guard.serving(), fetched);
                }
                Action::Hold => prop_assert!(guard.serving().len() >= judged.floor.min(before.len())),
            }
        }
    }

    /// Of those that are there at least half are left, penalties keep their bounds, and who is quiet
    /// for four half-lives is free.
    #[test]
    fn damping_leaves_half(
        seen in prop::collection::vec((0_u64..20, prop::collection::vec(0_u8..8, 0..8)), 1..60),
    ) {
        let terms = FlapParams::default();
        let mut flaps = Flaps::default();
        let mut now = START;
        for (secs, bytes) in &seen {
            now = now.plus(Span::from_secs(*secs));
            let set = set(bytes);
            let out = flaps.seen(&terms, now, &set);
            prop_assert!(out.len() * 2 <= set.len());
            prop_assert!(out.iter().all(|key| set.iter().any(|e| e.key() == *key)));
            for endpoint in &set {
                let flap = flaps.of(&endpoint.key()).unwrap();
                prop_assert!((0.0..=terms.most).contains(&flap.penalty()));
            }
        }
        let all = set(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let _ = flaps.seen(&terms, now, &all);
        prop_assert_eq!(flaps.seen(&terms, now.plus(Span::from_secs(241)), &all), []);
    }

    /// At no instant do two workers believe that they hold the lease, each by what it last wrote,
    /// and terms only grow.
    #[test]
    fn one_holds_the_lease(
        moves in prop::collection::vec((1_u64..5, 0_u64..4_000, prop::bool::weighted(0.1)), 1..80),
        junk in prop::option::of(prop::collection::vec(any::<u8>(), BYTES)),
    ) {
        let mut cell = junk.unwrap_or_default();
        let mut beliefs = [None::<Lease>; 5];
        let mut now = START;
        for (worker, ms, release) in moves {
            now = now.plus(Span::from_millis(ms));
            let lease = Lease::decode(&cell);
            let next = if release {
                lease.release(worker, now)
            } else {
                lease.take(worker, 7, now, Span::from_secs(3))
            };
            let index = usize::try_from(worker).unwrap();
            if let Some(next) = next {
                prop_assert!(next.term == lease.term || next.term == lease.term.wrapping_add(1));
                prop_assert_eq!(next.term != lease.term, next.holder != lease.holder);
                cell = next.encode();
                beliefs[index] = Some(next);
            }
            let now_hold = |(worker, lease): (u64, &Option<Lease>)| {
                lease.is_some_and(|lease| lease.holds(worker, lease.term, now))
            };
            let holders = (0..).zip(&beliefs).filter(|belief| now_hold(*belief)).count();
            prop_assert!(holders <= 1, "{holders} hold it");
        }
    }

    /// Any bytes are a lease, and what was written is what is read.
    #[test]
    fn leases_survive_a_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..2 * BYTES), first: bool) {
        let mut bytes = bytes;
        if first {
            bytes.resize(BYTES, 0);
            bytes[0] = 1;
        }
        let lease = Lease::decode(&bytes);
        prop_assert_eq!(Lease::decode(&lease.encode()), lease);
    }
}
