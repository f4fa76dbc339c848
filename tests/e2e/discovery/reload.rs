//! Other endpoints while requests come in, and VMs that end.

use serde_json::{json, Value};
use tidegate_tests::paths::probe;
use tidegate_tests::{
    eventually, Answer, Bootstrap, Client, Envoy, FileLds, Options, Update, Upstream, WasmFilter,
};

use super::setup::{
    answers, around, assert_all_answered, assert_calm, assert_metrics, both_places, counts, metrics,
    numbered, orders_of, start, storm, three, SOON,
};
use crate::setup::with;

fn update(envoy: &mut FileLds, config: &Value) {
    assert_eq!(envoy.update(&both_places(config).listener()), Update::Accepted, "{config}");
}

#[test]
fn endpoints_may_change_under_load() {
    let upstreams = numbered::<4>();
    let of = |which: &[usize], fields: &Value| {
        let all: Vec<Value> = which.iter().map(|n| super::setup::endpoint(upstreams[*n].addr())).collect();
        super::setup::orders(&all, &with(three(), fields))
    };
    let mut envoy = FileLds::start(&both_places(&of(&[0, 1], &json!({}))), &Options::workers(2)).unwrap();
    let (addr, changes) = (
        envoy.addr(),
        [
            (vec![0, 1, 2], json!({})),
            (vec![2, 3], json!({})),
            (vec![3], json!({"balance": "least_request"})),
            (vec![0, 1, 2, 3], json!({"balance": "rendezvous"})),
            (vec![1, 2], json!({"attempts": 2})),
        ],
    );
    let reports = super::setup::load_while(addr, || {
        for (which, fields) in &changes {
            update(&mut envoy, &of(which, fields));
            let mut client = Client::connect(envoy.addr());
            let mut got: Vec<char> = answers(&mut client, 40).chars().collect();
            got.sort_unstable();
            got.dedup();
            let all: Vec<char> =
                which.iter().filter_map(|n| char::from_digit(u32::try_from(*n).ok()?, 10)).collect();
            let hashed = fields["balance"] == "rendezvous";
            assert!(if hashed { got.len() == 1 } else { got == all }, "{which:?} {fields}: {got:?}");
        }
    });
    assert_all_answered(&reports);
    // Those of the last document, once the listeners before it are gone.
    eventually("the old listeners to go", SOON, || {
        envoy.stat("listener_manager.total_listeners_draining") == 0
            && envoy.stat("listener_manager.total_filter_chains_draining") == 0
    });
    let before = counts(&upstreams);
    assert_eq!(storm(&envoy, 100).count(200), 100);
    let after = counts(&upstreams);
    assert_eq!((after[0], after[3]), (before[0], before[3]));
    // Gauges of the earlier documents are gone.
    assert_metrics(&envoy, &[("endpoints", 2), ("healthy", 2)]);
    assert_calm(&envoy);
}

/// An ejected endpoint stays ejected: a document with another reply readmits none.
#[test]
fn an_ejection_outlives_a_reload() {
    let upstreams = numbered::<3>();
    upstreams[1].switch(Answer::new(503, "sick"));
    let titled = |title: &str| {
        let reply = json!({"reply": {"headers": {"x-title": title}}});
        with(orders_of(&upstreams, &json!({})), &reply)
    };
    let mut envoy = FileLds::start(&both_places(&titled("first")), &Options::workers(2)).unwrap();
    let mut client = Client::connect(envoy.addr());
    assert_eq!(answers(&mut client, 30).matches("sick").count(), 5);
    update(&mut envoy, &titled("second"));
    assert_eq!(storm(&envoy, 200).count(200), 200);
    assert_eq!(upstreams[1].count(), 5);
    assert_metrics(&envoy, &[("healthy", 2), ("ejections", 1)]);
    assert_calm(&envoy);
}

#[test]
fn a_bad_document_leaves_the_good_one_in_force() {
    let upstreams = numbered::<2>();
    let good = orders_of(&upstreams, &json!({}));
    let mut envoy = FileLds::start(&both_places(&good), &Options::workers(2)).unwrap();
    let bad = with(orders_of(&upstreams, &json!({"attempts": 99})), &json!({"steer": "guess"}));
    let Update::Rejected(log) = envoy.update(&both_places(&bad).listener()) else {
        panic!("{}", envoy.log())
    };
    for problem in ["services[0].attempts: 99 attempts is out of range", "steer: found \"guess\""] {
        assert!(log.contains(problem), "{problem}: {log}");
    }
    assert_eq!(storm(&envoy, 100).count(200), 100);
    update(&mut envoy, &orders_of(&upstreams[..1], &json!({})));
    assert_eq!(answers(&mut Client::connect(envoy.addr()), 5), "00000");
}

/// A filter of another module, in front of ours or behind it, that traps on demand.
fn beside(config: &Value, in_front: bool, workers: u32) -> Envoy {
    let trap = WasmFilter::new(probe("trap"));
    let ours = super::setup::filter(config);
    let filters = if in_front { [&trap, &ours] } else { [&ours, &trap] };
    let bootstrap = filters.into_iter().fold(Bootstrap::new().balanced(), Bootstrap::wasm);
    let attempt = ours.clone().root_id("attempt").name("attempt");
    start(&bootstrap.around_attempts(&attempt).original_dst_cluster("to").forward("/", "to"), workers)
}

#[test]
fn a_trap_of_another_filter_blames_no_endpoint() {
    for (in_front, at) in [(true, "request"), (true, "response"), (false, "request"), (false, "response")] {
        let upstreams = numbered::<2>();
        let rules = json!({"outlier_detection": {"consecutive_5xx": 1}});
        let envoy = beside(&orders_of(&upstreams, &with(three(), &rules)), in_front, 2);
        let mut client = Client::connect(envoy.addr());
        assert_eq!(client.get("/", &[("x-trap", at)]).status, 503, "{in_front} {at}");
        eventually("the reload", SOON, || client.get("/", &[]).status == 200);
        assert_eq!(storm(&envoy, 100).count(200), 100, "{in_front} {at}");
        assert_metrics(&envoy, &[("failures", 0), ("ejections", 0), ("healthy", 2)]);
        assert_eq!(envoy.stat("wasm.tidegate-discovery.vm_reload_success"), 0);
        assert_eq!(envoy.stat("wasm.trap.vm_reload_success"), 1, "{in_front} {at}");
    }
}

/// Attempts may come and go: a document that drops the filter around attempts, or adds it.
#[test]
fn the_attempt_placement_may_come_later() {
    let upstreams: [Upstream; 2] = numbered();
    let config = orders_of(&upstreams, &json!({"outlier_detection": false}));
    let tried = orders_of(&upstreams, &with(three(), &json!({"outlier_detection": false})));
    let listener = |config: &Value, attempts| around(config, attempts).forward("/", "to").listener();
    let bootstrap = around(&config, false).forward("/", "to");
    let mut envoy = FileLds::start(&bootstrap, &Options::workers(2)).unwrap();
    assert_eq!(storm(&envoy, 50).count(200), 50);
    assert_metrics(&envoy, &[("attempts", 50), ("requests", 50)]);
    assert_eq!(envoy.update(&listener(&tried, true)), Update::Accepted);
    upstreams[0].switch(Answer::new(503, "sick"));
    assert_eq!(storm(&envoy, 50).count(200), 50);
    upstreams[0].switch(Answer::new(200, "0"));
    assert_eq!(envoy.update(&listener(&config, false)), Update::Accepted);
    assert_eq!(storm(&envoy, 50).count(200), 50);
    // Half of those in between were tried twice.
    eventually("all to be counted", SOON, || {
        let all = metrics(&envoy);
        all["requests"] == 150 && (174..=176).contains(&all["attempts"])
    });
    assert_calm(&envoy);
}
