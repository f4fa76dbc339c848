//! What clients gain by headers that steer, with all four filters in every order and every way in
//! which Envoy can be told where to: nothing.

use serde_json::{json, Value};
use tidegate_tests::paths::module;
use tidegate_tests::{Bootstrap, Client, Envoy, Options, Upstream, WasmFilter};

/// Each way to steer, below a prefix of its own, and what a client has to forge for it.
const WAYS: [(&str, &str, &str); 6] = [
    ("/cluster-header", "x-tidegate-cluster", "other"),
    ("/match", "x-tidegate-cluster", "other"),
    ("/variant", "x-variant", "other"),
    ("/header-name", "x-random", "4000000000"),
    ("/original-dst", "x-envoy-original-dst-host", "127.0.0.1:9"),
    ("/override-host", "x-tidegate-endpoints", "127.0.0.1:9"),
];

/// A limit, routing and discovery that have nothing to do with the requests, and a breaker of the
/// cluster `guarded` that is open.
fn filters() -> [WasmFilter; 4] {
    let of = |name: &str, config: &Value| WasmFilter::new(module(name)).config(config);
    let limit = json!({"name": "l", "key": [{"constant": "x"}], "requests": 1_000_000, "per_ms": 1000});
    let nowhere = json!({"path": {"exact": "/nowhere"}});
    let route = json!({"name": "r", "match": nowhere, "variants": [{"name": "v", "cluster": "other"}]});
    let names = json!({"variant": "x-variant", "random": "x-random"});
    let discovery = json!({
        "registries": {"local": {"static": {"services": {"s": [{"address": "127.0.0.1", "port": 9}]}}}},
        "services": [{"name": "s", "registry": "local", "match": nowhere}],
        "allow": ["127.0.0.0/8:1-65535"],
    });
    let guarded = json!({"name": "guarded", "target": {"cluster": "guarded"}, "state": "forced_open"});
    [
        of("ratelimit", &json!({"limits": [limit]})),
        of("routing", &json!({"headers": names, "routes": [route]})),
        of("discovery", &discovery),
        of("breaker", &json!({"breakers": [guarded]})),
    ]
}

/// Every order of four.
fn orders() -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..4 {
        let longer = |order: &Vec<usize>| {
            let free = (0..4).filter(|next| !order.contains(next));
            free.map(|next| order.iter().copied().chain([next]).collect()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

fn behind(filters: &[WasmFilter], guarded: &Upstream, other: &Upstream) -> Bootstrap {
    let having = |header: &str| json!([{"name": header, "present_match": true}]);
    let saying = |header: &str| json!([{"name": header, "string_match": {"exact": "other"}}]);
    let route = |prefix: &str, headers: Value, action: Value| json!({"match": {"prefix": prefix, "headers": headers}, "route": action});
    let to = |cluster: &str| json!({"cluster": cluster});
    // Envoy draws when there is no such header: all weight but for the high numbers is on `guarded`.
    let drawn = json!({"weighted_clusters": {
        "header_name": "x-random",
        "clusters": [{"name": "guarded", "weight": 4_000_000_000_u32}, {"name": "other", "weight": 1}],
    }});
    filters
        .iter()
        .fold(Bootstrap::new(), Bootstrap::wasm)
        .route(route(
            "/cluster-header",
            having("x-tidegate-cluster"),
            json!({"cluster_header": "x-tidegate-cluster"}),
        ))
        .route(route("/match", saying("x-tidegate-cluster"), to("other")))
        .route(route("/variant", saying("x-variant"), to("other")))
        .route(route("/header-name", json!([]), drawn))
        .route(route("/original-dst", having("x-envoy-original-dst-host"), to("discovered")))
        .route(route("/override-host", having("x-tidegate-endpoints"), to("other")))
        .forward("/", "guarded")
        .cluster("guarded", &[guarded.addr()])
        .cluster("other", &[other.addr()])
        .original_dst_cluster("discovered")
}

#[test]
fn no_forged_header_passes_an_open_breaker_in_any_order_of_the_filters() {
    let [guarded, other] = ["guarded", "other"].map(|name| Upstream::fixed(200, name));
    let all = filters();
    let chain = |order: &[usize]| order.iter().map(|at| all[*at].clone()).collect::<Vec<_>>();
    let behind = |order: &[usize]| behind(&chain(order), &guarded, &other).name(&format!("{order:?}"));
    // A listener for each order, so that the modules are compiled once.
    let mut config: Value = serde_json::from_str(&behind(&[]).json()).unwrap();
    let listeners = orders().iter().map(|order| behind(order).listener()).collect::<Vec<_>>();
    config["static_resources"]["listeners"] = json!(listeners);
    let envoy = Envoy::start(&config.to_string(), &Options::workers(1)).unwrap();
    for order in orders() {
        let mut client = Client::connect(envoy.addr_of(&format!("{order:?}")));
        for (path, header, value) in WAYS {
            let one = (header, value);
            let two = if header == "x-variant" { ("x-random", "9") } else { ("x-variant", "forged") };
            let three = ("x-envoy-original-dst-host", "127.0.0.1:9");
            let lists: [&[(&str, &str)]; 6] =
                [&[], &[one], &[one, one], &[one, two], &[two, one, three], &[one, one, one]];
            for headers in lists {
                let answer = client.get(path, headers);
                assert_eq!(answer.status, 503, "order {order:?}, {path}, {headers:?}: {}", answer.text());
            }
        }
        assert_eq!((guarded.count(), other.count()), (0, 0), "order {order:?}");
    }
    assert_eq!(envoy.log(), "");
}

/// What operations.md advises: without the headers there is nothing to doubt.
#[test]
fn headers_that_are_removed_before_the_first_route_refuse_nobody() {
    let [guarded, other] = ["guarded", "other"].map(|name| Upstream::fixed(200, name));
    let open = |early: bool| {
        let kind = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
        let removed = json!([{"remove": "x-tidegate-cluster"}, {"remove": "x-envoy-original-dst-host"}]);
        let extension = json!({
            "name": "envoy.http.early_header_mutation.header_mutation",
            "typed_config": {"@type": kind, "mutations": removed},
        });
        let chain = filters().into_iter().fold(Bootstrap::new(), |chain, filter| chain.wasm(&filter));
        let named = json!({
            "match": {"prefix": "/", "headers": [{"name": "x-tidegate-cluster", "present_match": true}]},
            "route": {"cluster_header": "x-tidegate-cluster"},
        });
        let chain = chain.route(named).forward("/guarded", "guarded").forward("/", "other");
        let chain = chain.cluster("guarded", &[guarded.addr()]).cluster("other", &[other.addr()]);
        if early {
            chain.hcm("early_header_mutation_extensions", json!([extension]))
        } else {
            chain
        }
    };
    for (early, status) in [(false, 503), (true, 200)] {
        let envoy = Envoy::start(&open(early).json(), &Options::workers(1)).unwrap();
        let mut client = Client::connect(envoy.addr());
        let forged = [("x-tidegate-cluster", "other"), ("x-envoy-original-dst-host", "127.0.0.1:9")];
        let statuses = [&[][..], &forged[..1], &forged].map(|headers| client.get("/", headers).status);
        assert_eq!(statuses, [200, status, status], "early: {early}");
        let statuses = [&[][..], &forged[..1], &forged].map(|headers| client.get("/guarded", headers).status);
        assert_eq!(statuses, [503; 3], "early: {early}");
    }
    assert_eq!(guarded.count(), 0);
}
