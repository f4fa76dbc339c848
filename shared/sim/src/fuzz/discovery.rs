//! Bodies for what discovery reads.

use tidegate_policy::discovery::cells::{ejection, snapshot};
use tidegate_policy::discovery::endpoint;
use tidegate_policy::discovery::registry::dns::message::Kind;
use tidegate_policy::discovery::registry::dns::resolver as host;
use tidegate_policy::discovery::registry::dns::{self, json as doh_json, Question};
use tidegate_policy::discovery::registry::{
    consul, etcd, eureka, kubernetes, nacos, AnswerError, Found, Reply,
};
use tidegate_policy::discovery::request::handover::{reported, Handover, Report};
use tidegate_policy::discovery::Policy;
use tidegate_policy::time::{Span, Timestamp};
use tidegate_policy::watch::lease::Lease;
use tidegate_policy::watch::origin::Origin;

const SRV: Question<'static> = Question { name: "svc.x", kind: Kind::Srv };

/// An answer is a normal set or a problem that says something.
fn check(result: Result<Found, AnswerError>) {
    match result {
        Ok(found) => {
            let mut again = found.endpoints.clone();
            assert_eq!(endpoint::normalize(&mut again), 0);
            assert_eq!(endpoint::hash(&again), endpoint::hash(&found.endpoints));
            assert!(again.iter().all(|endpoint| endpoint.port > 0 && endpoint.weight > 0));
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
}

/// A configuration is a policy or at least one problem.
pub fn config(bytes: &[u8]) {
    match Policy::parse(bytes) {
        Ok(policy) => assert!(!policy.services.is_empty()),
        Err(error) => assert!(error.problems.iter().any(|problem| !problem.found.is_empty())),
    }
}

/// Reading an answer is total, in the JSON of every registry.
pub fn registry_json(bytes: &[u8]) {
    let reply = Reply { status: 200, header: &|_| None, body: bytes };
    check(consul::read(&consul::Query::new("pay"), &reply));
    check(etcd::read(&reply));
    check(eureka::read(&reply).and_then(eureka::Apps::found));
    check(kubernetes::read("http", &reply).map(|page| page.found));
    check(nacos::read(&reply));
    check(doh_json::read(SRV, &reply).and_then(|answer| answer.found(80)));
}

/// Reading a DNS message is total, and an answer merged with itself misses what it missed.
pub fn dns_message(bytes: &[u8]) {
    for kind in [Kind::Srv, Kind::A, Kind::Aaaa] {
        let question = Question { kind, ..SRV };
        let Ok(mut answer) = dns::read(question, bytes) else { continue };
        assert!((dns::MIN_TTL..=dns::MAX_TTL).contains(&answer.ttl));
        let other = answer.clone();
        answer.merge(&other);
        assert_eq!(answer.missing(), other.missing());
        check(answer.found(80));
    }
}

/// Reading what the host resolved is total.
pub fn resolver(bytes: &[u8]) {
    check(host::read(bytes).and_then(|resolved| resolved.found(80)));
}

/// Any bytes are a lease, what was decoded survives the round trip, and somebody can have it within
/// a minute.
pub fn lease(bytes: &[u8]) {
    let lease = Lease::decode(bytes);
    assert_eq!(Lease::decode(&lease.encode()), lease);
    for now in [0, 1 << 40, u64::MAX / 2].map(Timestamp::from_nanos) {
        let later = now.plus(Span::from_secs(60));
        let free = |at| lease.take(1, 7, at, Span::from_secs(3)).is_some();
        assert!(free(now) || free(later));
        assert!(!(lease.holds(1, lease.term, now) && lease.holds(2, lease.term, now)));
    }
}

/// Decoding what workers share of endpoints and of ejections is total and bounded, and what was decoded survives
/// the round trip. So does what two VMs tell each other of attempts.
pub fn cells(bytes: &[u8]) {
    let origin = Origin::decode(bytes).unwrap_or_default();
    if let Some(snapshot) = snapshot::decode(bytes, origin.question) {
        assert!(snapshot.entries.len() <= snapshot::MAX_ENTRIES.min(bytes.len() / 20));
        let again = snapshot::encode(origin, &snapshot);
        assert_eq!(again.len(), bytes.len());
        assert_eq!(snapshot::decode(&again, origin.question), Some(snapshot));
    }
    let list = ejection::decode(bytes);
    assert!(list.len() <= ejection::MAX);
    assert_eq!(ejection::decode(&ejection::encode(&list)), list);
    if let Some(handover) = Handover::read(bytes) {
        let report = Report::new(handover.ticket);
        reported(bytes).for_each(|(endpoint, outcome)| report.add(endpoint, outcome));
        let text = report.text();
        assert!(text.len() <= 2 * bytes.len());
        assert!(reported(text.as_bytes()).zip(reported(bytes)).all(|(one, other)| one == other));
    }
}
