//! One module of all filters beside a chain of four, in one Envoy, on documents that nobody wrote: the same
//! answers, from the same places, with the same headers, and the same metrics. What chance and time decide is
//! left out (`Chance::No`), and so are documents in which the module may pass over a variant, as no chain does;
//! `tests/workers/equality.rs` has both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidegate_tests::corpus::{Ask, Chance, Drawn};
use tidegate_tests::paths::module;
use tidegate_tests::{eventually, Answer, Bootstrap, Client, Envoy, Options, Upstream, WasmFilter};

/// Documents that are compared; each has two listeners.
const DOCUMENTS: usize = 120;
/// Requests to each.
const ASKS: usize = 12;
/// Where seeds begin: others than those of the simulator.
const FIRST: u64 = 5_000;
/// How long metrics may take to arrive.
const TOLD: Duration = Duration::from_secs(5);
/// Clusters with a server of their own; the last has the discovered endpoint.
const CLUSTERS: [&str; 4] = ["up", "spare", "fallback", "discovered"];
/// The request header by which a server knows what to answer.
const ANSWERS: &str = "x-answers";

/// A server that says who it is and what it was sent.
fn server(name: &'static str) -> Upstream {
    Upstream::new(move |seen| {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let mut headers: Vec<_> =
            seen.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        // Envoy's, which differ each time.
        headers.retain(|(name, _)| !["x-request-id", "x-envoy-expected-rq-timeout-ms"].contains(&&**name));
        headers.sort();
        let status =
            headers.iter().find(|(name, _)| name == ANSWERS).map_or(200, |(_, value)| value.parse().unwrap());
        Answer::new(status, format!("{name} {headers:?}"))
    })
}

/// A document of the corpus with a scope, and with the server in the place of its endpoint.
fn at(part: &Value, scope: &str, endpoint: u16) -> Value {
    let text = part
        .to_string()
        .replace(r#""address":"10.0.0.1","port":80"#, &format!(r#""address":"127.0.0.1","port":{endpoint}"#));
    let mut part: Value = serde_json::from_str(&text).unwrap();
    part["scope"] = json!(scope);
    part
}

/// The listener of a layout, in front of the routes that obey it.
fn listener(name: &str, filters: &[WasmFilter]) -> Value {
    let having = |header: &str| json!([{"name": header, "present_match": true}]);
    let chain = filters.iter().fold(Bootstrap::new().name(name), Bootstrap::wasm);
    chain
        .route(json!({"match": {"prefix": "/", "headers": having("x-envoy-original-dst-host")}, "route": {"cluster": "discovered"}}))
        .route(json!({"match": {"prefix": "/", "headers": having("x-tidegate-cluster")}, "route": {"cluster_header": "x-tidegate-cluster"}}))
        .route(json!({"name": "main", "match": {"prefix": "/"}, "route": {"cluster": "up"}}))
        .listener()
}

/// Both layouts of a document.
fn layouts(seed: u64, drawn: &Drawn, endpoint: u16) -> [Value; 2] {
    let of = |filter: &str, config: &Value| WasmFilter::new(module(filter)).config(config);
    let (chain, fused) = (format!("chain-{seed}"), format!("fused-{seed}"));
    let filters: Vec<_> = drawn
        .parts
        .iter()
        .map(|(name, part)| {
            of(if *name == "ratelimit" { "ratelimit-headers" } else { name }, &at(part, &chain, endpoint))
        })
        .collect();
    let all: Value =
        drawn.parts.iter().map(|(name, part)| ((*name).to_owned(), at(part, &fused, endpoint))).collect();
    [listener(&chain, &filters), listener(&fused, &[of("fused", &all)])]
}

/// What the client of a request gets.
fn ask(client: &mut Client, ask: &Ask) -> String {
    let status = ask.answers.to_string();
    let mut headers = ask.headers.clone();
    headers.push((ANSWERS, &status));
    let answer = client.get(ask.path, &headers);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let mut headers: Vec<_> =
        answer.headers.iter().map(|(name, value)| (name.clone(), untimed(name, text(value)))).collect();
    headers.retain(|(name, _)| !["date", "x-envoy-upstream-service-time"].contains(&name.as_str()));
    headers.sort();
    format!("{} {headers:?} {}", answer.status, answer.text())
}

/// A header without the seconds in it: the two layouts are asked one after the other.
fn untimed(name: &str, value: String) -> String {
    match name {
        "retry-after" => "some".to_owned(),
        "ratelimit" => {
            value.split(", ").filter_map(|part| part.rsplit_once(";t=")).map(|(part, _)| part).collect()
        }
        _ => value,
    }
}

/// The metrics of a layout without the name of its scope, but for `misrouted`: a sample, one each tick.
///
/// `succeeded` and `ignored` of a breaker are one number. When discovery answers a gRPC request, Envoy makes a
/// response of 200 of that, and a breaker filter in front of it takes that for a success while its target
/// has no failures: then it does not ask who answered. In one module it knows that nothing was sent.
fn metrics(envoy: &Envoy, scope: &str) -> BTreeMap<String, u64> {
    let name = format!(".scope.{scope}.");
    let all = envoy.stats(&format!(r"^wasmcustom\..*\.scope\.{scope}\."));
    let mut sums = BTreeMap::new();
    for (metric, value) in all.into_iter().filter(|(metric, _)| !metric.ends_with(".misrouted")) {
        let metric = metric.replace(&name, ".").replace(".succeeded", ".ignored");
        *sums.entry(metric).or_default() += value;
    }
    sums
}

/// Metrics that have another value in the module than in the chain.
fn differing(envoy: &Envoy, seed: u64) -> Vec<String> {
    let [chain, fused] = [format!("chain-{seed}"), format!("fused-{seed}")].map(|name| metrics(envoy, &name));
    let names: BTreeSet<&String> = chain.keys().chain(fused.keys()).collect();
    let values = names.into_iter().map(|name| (name, chain.get(name), fused.get(name)));
    let unequal = values.filter(|(_, one, other)| one != other);
    unequal.map(|(name, one, other)| format!("{seed} {name}: {one:?}, {other:?}")).collect()
}

#[test]
fn one_module_answers_as_a_chain_on_documents_made_up() {
    let servers = CLUSTERS.map(server);
    let endpoint = servers[3].addr().port();
    let drawn: Vec<(u64, Drawn)> = (FIRST..)
        .map(|seed| (seed, Drawn::new(seed, Chance::No, ASKS)))
        .filter(|(_, drawn)| !drawn.may_pass_over())
        .take(DOCUMENTS)
        .collect();
    let clusters = CLUSTERS.iter().zip(&servers).take(3);
    let config =
        clusters.fold(Bootstrap::new(), |config, (name, server)| config.cluster(name, &[server.addr()]));
    let config = config.original_dst_cluster("discovered").direct_response("/", 200, "ok");
    let mut config: Value = serde_json::from_str(&config.json()).unwrap();
    let listeners: Vec<Value> =
        drawn.iter().flat_map(|(seed, drawn)| layouts(*seed, drawn, endpoint)).collect();
    config["static_resources"]["listeners"] = json!(listeners);
    let envoy = Envoy::start(&config.to_string(), &Options::workers(1)).unwrap();

    let mut refused = 0;
    for (seed, drawn) in &drawn {
        let names = [format!("chain-{seed}"), format!("fused-{seed}")];
        let mut clients = names.clone().map(|name| Client::connect(envoy.addr_of(&name)));
        for (number, one) in drawn.asks.iter().enumerate() {
            let [chain, fused] = &mut clients;
            let (chain, fused) = (ask(chain, one), ask(fused, one));
            let plain =
                |text: &str, at: usize| text.replace(&envoy.addr_of(&names[at]).port().to_string(), "PORT");
            assert_eq!(
                plain(&chain, 0),
                plain(&fused, 1),
                "seed {seed}, request {number}: {one:?}\n{:?}",
                drawn.parts
            );
            let arrived = chain.contains("(\"x-answers\", ");
            refused += usize::from(!arrived);
        }
    }
    let start = Instant::now();
    let unequal = eventually("the metrics", 2 * TOLD, || {
        let unequal: Vec<String> = drawn.iter().flat_map(|(seed, _)| differing(&envoy, *seed)).collect();
        (unequal.is_empty() || start.elapsed() > TOLD).then_some(unequal)
    });
    assert_eq!(unequal, [""; 0]);
    let all = DOCUMENTS * ASKS;
    assert!((all / 10..all * 9 / 10).contains(&refused), "{refused} of {all} did not arrive");
}
