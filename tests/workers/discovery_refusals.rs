//! Endpoints that refuse connections, and take them again.

use tidegate_sim::{SimRequest, SimResponse};

use crate::discovery::{answer, fixed, polled, sent, word, Workers};
use crate::discovery_both::flags;
use crate::discovery_trust::{names, texts, World};

/// Of two or three that were all stopped some are back: half of the requests went to one that was not, for as long
/// as the refusals of all were remembered.
#[test]
fn one_that_answers_again_is_preferred_to_one_that_refuses() {
    // Each is dead from a second to another.
    #[rustfmt::skip]
    let cases = [
        // endpoints   dead                              from  to   most errors
        (2, &[(0, 0, 20), (1, 22, 60)][..],              0,    45,  12),
        (3, &[(0, 1, 9), (1, 1, 9), (2, 1, 60)][..],     10,   45,  10),
    ];
    for (endpoints, dead, from, to, most) in cases {
        let names = names(1..=endpoints);
        let json = fixed(&texts(&names), r#""attempts": 1"#);
        let mut world = World::new(&json, 1);
        let mut errors = 0;
        for ms in (0..to * 1_000_u64).step_by(25) {
            world.at(ms);
            let is = |(_, from, to): &&(usize, u64, u64)| (from * 1_000..to * 1_000).contains(&ms);
            world.dead = dead.iter().filter(is).map(|(at, ..)| names[*at].clone()).collect();
            errors += usize::from(!world.request(&|_| false) && ms >= from * 1_000);
        }
        assert!(errors <= most, "{errors} errors with {dead:?}");
    }
}

/// A server that stops answers what is in flight, but takes no connection any more.
#[test]
fn an_answer_to_an_older_request_ends_no_refusal() {
    let mut world = World::new(&fixed(&["10.0.0.1:80", "10.0.0.2:80"], r#""attempts": 1"#), 1);
    let (one, mut other) = (world.both.begin(), world.both.begin());
    let stopping = other.next.clone();
    let in_flight = world.both.attempt(&mut other);
    world.dead.insert(stopping.clone());
    while world.request(&|_| false) {}
    world.both.answered(in_flight, 200);
    world.both.end(other, 200);
    world.both.end(one, 200);
    world.tried.clear();
    assert!((0..20).all(|_| world.request(&|_| false)), "{:?}", world.tried);
}

/// Without a placement around attempts, too.
#[test]
fn the_end_of_a_request_ends_a_refusal_where_no_attempts_are_seen() {
    let workers = Workers::new(2, &fixed(&["10.0.0.1:80", "10.0.0.2:80"], ""));
    let worker = &workers.all[0];
    for _ in 0..2 {
        let (_, exchange) = worker.begin(&SimRequest::get("/"));
        worker.abort(exchange, &flags(1 << 5));
    }
    let changes = workers.changes();
    let (_, exchange) = worker.begin(&SimRequest::get("/"));
    worker.end(exchange, &SimResponse::local(200, "direct_response", 0));
    assert_eq!(workers.changes(), changes, "that was not the endpoint");
    let (verdict, exchange) = worker.begin(&SimRequest::get("/"));
    let back = word(&verdict);
    worker.end(exchange, &SimResponse::upstream(200));
    for worker in &workers.all {
        assert!((0..20).all(|_| sent(worker) == back), "all workers know");
    }
    assert_eq!(workers.changes(), changes + 1, "and it is written once");
}

/// Two plugins with a service of one name and other registries: what one of them had dropped the other took back with
/// each change, because its own registry did not hold it.
#[test]
fn a_configuration_that_does_not_know_an_endpoint_takes_it_back_for_no_other() {
    let mut world = World::new(&polled(r#""ttl_ms": 1000, "flap_damping": false"#, r#""attempts": 1"#), 1);
    let other = Workers::on(&world.both.edge.store, 1, &fixed(&["10.0.9.1:80"], ""));
    let all = names(1..=4);
    for ms in (0..6_000).step_by(100) {
        world.at(ms);
        let list = if ms < 1_000 { texts(&all) } else { Vec::new() };
        world.tick(&mut |question| Some(answer(question, 10, &list)));
        if ms == 3_000 {
            world.dead = all.iter().cloned().collect();
            world.tried.clear();
        }
        world.request(&|_| false);
        assert_eq!(sent(&other.all[0]), "10.0.9.1:80");
    }
    world.tried.sort();
    assert_eq!(world.tried, all, "each was tried once");
}
