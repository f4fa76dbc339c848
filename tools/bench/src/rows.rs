//! What is measured: the rows of the table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tidegate_tests::{paths, Bootstrap, Request, WasmFilter};

use crate::discovery;

/// One row: an Envoy with a filter, and the requests it gets.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name in the JSON and for `--only`.
    pub(crate) id: String,
    /// Its name in the table.
    pub(crate) title: String,
    /// The heading it stands under.
    pub(crate) group: &'static str,
    pub(crate) filter: Filter,
    pub(crate) keys: Keys,
    pub(crate) route: Route,
    pub(crate) workers: u32,
    /// The row that costs nothing, by definition.
    pub(crate) base: String,
    /// The row to be a multiple of.
    pub(crate) unit: String,
    pub(crate) target: Option<Target>,
    /// The status that nearly all answers have.
    pub(crate) status: u16,
}

/// Where requests end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// In Envoy itself.
    Direct,
    /// At an upstream whose address is in a header: the filter's, or without one the client's.
    Addressed,
    /// At an upstream, a hop away.
    Proxied,
}

/// The filter before the route.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Lua,
    Native,
    None,
    Wasm(PathBuf, Option<Value>),
    /// Around the exchange, and around each attempt as well.
    WasmTwice(PathBuf, Value),
}

/// The keys that requests have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// So many in turn.
    Many(u64),
    /// The same each time.
    One,
}

/// At most so many times what another row costs.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) most: f64,
    pub(crate) of: String,
}

/// More keys than come again within a lease's time, fewer than the table has room for.
const COLD: u64 = 30_000;
/// By which a breaker names its fallback.
const STEER: &str = "x-tidegate-cluster";
const MILLION: u64 = 1_000_000;
/// Reads one header and does nothing with it.
const LUA: &str = r#"function envoy_on_request(handle) local key = handle:headers():get("x-api-key") end"#;

/// Every row, in the table's order.
pub(crate) fn all(against: &[(String, PathBuf)]) -> Vec<Row> {
    let ours = paths::module("ratelimit");
    let with = |config| Filter::Wasm(ours.clone(), Some(config));
    let empty = || Filter::Wasm(paths::probe("empty"), None);
    let mut rows = vec![
        row("none", "no filter", Filter::None).under(WHAT),
        row("empty", "empty SDK filter", empty()).under(WHAT),
        row("native", "native local_ratelimit", Filter::Native).under(WHAT),
        row("lua", "Lua, reads one header", Filter::Lua).under(WHAT),
        row("hot", "hot key", with(limits(1, FAST))).under(OURS).most(1.2, "empty"),
        row("cold", "cold keys, 30,000 in turn", with(limits(1, FAST)))
            .keys(COLD)
            .under(OURS)
            .most(1.6, "empty"),
        row("refused", "hot key, refused", with(limits(1, SLOW))).status(429).under(OURS),
        row("four", "four limits, four hot keys", with(limits(4, FAST))).under(OURS),
        row("logged", "hot key, log_admitted", with(logged())).under(OURS),
        row(
            "told",
            "hot key, headers_on_admitted",
            Filter::Wasm(paths::module("ratelimit-headers"), Some(told())),
        )
        .under(OURS),
        row("one-key", "1 key, leases off", with(unleased())).under(FLAT),
        row("million", "1,000,000 keys in turn", with(unleased()))
            .keys(MILLION)
            .under(FLAT)
            .most(1.1, "one-key"),
    ];
    rows.extend(breakers());
    rows.extend(routes());
    rows.extend(discovery::rows());
    for workers in [2, 4] {
        let on = |row: Row| row.on(workers).under(WORKERS);
        rows.extend([
            on(row("none", "no filter", Filter::None)),
            on(row("empty", "empty SDK filter", empty())),
            on(row("hot", "hot key", with(limits(1, FAST)))),
            on(row("cold", "cold keys, 30,000 in turn", with(limits(1, FAST))).keys(COLD)),
        ]);
    }
    for (name, module) in against {
        let other = || Filter::Wasm(module.clone(), Some(limits(1, FAST)));
        rows.push(row(&format!("hot/{name}"), &format!("hot key, {name}"), other()).under(AGAINST));
        rows.push(
            row(&format!("cold/{name}"), &format!("cold keys, {name}"), other()).keys(COLD).under(AGAINST),
        );
    }
    rows
}

/// A proxied hop, with and without a breaker.
fn breakers() -> Vec<Row> {
    let ours = paths::module("breaker");
    let with = |config| Filter::Wasm(ours.clone(), Some(config));
    let empty = Filter::Wasm(paths::probe("empty"), None);
    let cluster = json!({"name": "a", "target": {"cluster": "upstream"}});
    let ten: Vec<_> = (0..9)
        .map(|n| json!({"name": format!("b{n}"), "target": {"cluster": format!("other-{n}")}}))
        .chain([cluster.clone()])
        .collect();
    let key = json!({"name": "k", "target": {"key": [{"header": "x-tenant"}]}});
    let open = json!({"name": "a", "target": {"cluster": "upstream"}, "state": "forced_open"});
    let away = json!({"name": "a", "target": {"cluster": "upstream"}, "state": "forced_open",
                      "fallback": [{"cluster": "other"}]});
    let config = |list: Value| with(json!({"breakers": list}));
    let hop = |id: &str, title: &str, filter| row(id, title, filter).proxied();
    vec![
        hop("hop", "no filter", Filter::None),
        hop("hop-empty", "empty SDK filter", empty),
        hop("closed", "closed", config(json!([cluster]))).most(1.3, "hop-empty"),
        hop("closed-ten", "closed, the last of ten", config(json!(ten))),
        hop("closed-key", "closed, by a header", config(json!([key]))),
        hop("open", "open, refused", config(json!([open]))).status(503),
        hop("open-away", "open, to its fallback", config(json!([away]))),
    ]
}

/// Routed within Envoy, so that a row is the filter and the route that is chosen anew.
fn routes() -> Vec<Row> {
    let ours = paths::module("routing");
    let with = |config| Filter::Wasm(ours.clone(), Some(config));
    let variants = json!([{"name": "stable", "cluster": "upstream", "weight": 90},
                          {"name": "canary", "cluster": "other", "weight": 10}]);
    let route = |rest: Value| {
        let mut route = json!({"name": "a", "match": [{"path": {"prefix": "/api"}}], "variants": variants});
        for (name, value) in rest.as_object().into_iter().flatten() {
            route[name] = value.clone();
        }
        with(json!({"routes": [route]}))
    };
    let sticky = json!({"sticky": {"experiment": "e", "by": [{"header": "x-user-id"}]}});
    let ramped = json!([{"name": "stable", "cluster": "upstream", "weight": 90},
                        {"name": "canary", "cluster": "other", "weight": 10,
                         "ramp": {"steps": [{"weight": 25, "hold_ms": 86_400_000}]}}]);
    let many: Vec<_> = (0..31)
        .map(|n| {
            json!({"name": format!("r{n}"), "match": [{"path": {"prefix": format!("/other/{n}")}}],
                   "variants": [{"name": "v", "cluster": "upstream"}]})
        })
        .chain([json!({"name": "a", "match": [{"path": {"prefix": "/api"}}], "variants": variants})])
        .collect();
    let hop = |id: &str, title: &str, filter| row(id, title, filter).proxied().under(ROUTED);
    vec![
        hop("sticky", "one match on path, a sticky header", route(sticky)).most(1.4, "hop-empty"),
        hop("drawn", "one match on path, by weight", route(json!({}))),
        hop("ramp", "by weight, with a ramp", route(json!({"variants": ramped}))),
        hop("routes", "by weight, the last of 32 routes", with(json!({"routes": many}))),
    ]
}

/// The rows with these ids, or with `id/module`, and those they are compared with.
pub(crate) fn only(rows: Vec<Row>, words: &[String]) -> Vec<Row> {
    let wanted = |row: &Row| {
        words.is_empty()
            || words.iter().any(|word| row.id == *word || row.id.starts_with(&format!("{word}/")))
    };
    let mut needed: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| wanted(row)) {
        needed.extend([row.id.clone(), row.base.clone(), row.unit.clone()]);
        needed.extend(row.target.iter().map(|target| target.of.clone()));
    }
    rows.into_iter().filter(|row| needed.contains(&row.id)).collect()
}

pub(crate) const FOUND: &str = "discovery, a hop";
const WHAT: &str = "to compare with";
const OURS: &str = "ratelimit";
const HOP: &str = "breaker, a hop";
const ROUTED: &str = "routing, a hop";
const FLAT: &str = "flat in keys";
const WORKERS: &str = "workers";
const AGAINST: &str = "other modules";

/// So many a minute that nothing is refused. With a limit by the minute a lease may last
/// its 100 ms; with one by the second it ends after 8.
const FAST: u64 = 100_000_000;
/// One a minute, for all but the first to be refused.
const SLOW: u64 = 1;

fn limits(count: usize, requests: u64) -> Value {
    let limit = |(name, header): (&str, &str)| json!({"name": name, "key": [{"header": header}], "requests": requests, "per_ms": 60_000});
    let all = [("key", "x-api-key"), ("user", "x-user-id"), ("tenant", "x-tenant"), ("agent", "user-agent")];
    json!({"limits": all.into_iter().take(count).map(limit).collect::<Vec<_>>()})
}

fn told() -> Value {
    let mut config = limits(1, FAST);
    config["headers_on_admitted"] = json!(true);
    config
}

fn logged() -> Value {
    let mut config = limits(1, FAST);
    config["log_admitted"] = json!(true);
    config
}

fn unleased() -> Value {
    let mut config = limits(1, FAST);
    config["leases"] = json!({"units": 0});
    config
}

pub(crate) fn row(id: &str, title: &str, filter: Filter) -> Row {
    Row {
        id: id.to_owned(),
        title: title.to_owned(),
        group: OURS,
        filter,
        keys: Keys::One,
        route: Route::Direct,
        workers: 1,
        base: "none".to_owned(),
        unit: "empty".to_owned(),
        target: None,
        status: 200,
    }
}

// === impl Row ===

impl Row {
    fn keys(self, count: u64) -> Self {
        Self { keys: Keys::Many(count), ..self }
    }

    /// Through to the upstream, and compared with rows that are, too.
    fn proxied(self) -> Self {
        let (base, unit) = ("hop".to_owned(), "hop-empty".to_owned());
        Self { route: Route::Proxied, group: HOP, base, unit, ..self }
    }

    /// Through to the upstream that a header names, and compared with rows that are, too.
    pub(crate) fn addressed(self) -> Self {
        let (base, unit) = ("dst".to_owned(), "dst-empty".to_owned());
        Self { route: Route::Addressed, group: FOUND, base, unit, ..self }
    }

    pub(crate) fn most(self, most: f64, of: &str) -> Self {
        Self { target: Some(Target { most, of: of.to_owned() }), ..self }
    }

    /// Measured on so many workers, and compared with rows that are, too.
    fn on(self, workers: u32) -> Self {
        let with = |id: &str| format!("{id}@{workers}");
        let title = format!("{workers} workers: {}", self.title);
        Self { id: with(&self.id), base: with(&self.base), unit: with(&self.unit), title, workers, ..self }
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn under(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// The configuration of its Envoy.
    pub(crate) fn bootstrap(&self, upstream: SocketAddr) -> String {
        let start = Bootstrap::new().balanced();
        let start = match self.route {
            Route::Direct => start.direct_response("/", 200, "ok"),
            Route::Addressed => start.original_dst_cluster("to").forward("/", "to"),
            Route::Proxied => {
                let steered = json!({"prefix": "/", "headers": [{"name": STEER, "present_match": true}]});
                let steered = json!({"match": steered, "route": {"cluster_header": STEER}});
                let start = start.route(steered).forward("/", "upstream");
                start.cluster("upstream", &[upstream]).cluster("other", &[upstream])
            }
        };
        match &self.filter {
            Filter::Lua => start.lua(LUA),
            Filter::Native => start.local_rate_limit(u32::MAX, "1s"),
            Filter::None => start,
            Filter::Wasm(module, config) => {
                start.wasm(&wasm(module, config.as_ref().map(|c| discovery::at(c, upstream)).as_ref()))
            }
            Filter::WasmTwice(module, config) => {
                let filter = wasm(module, Some(&discovery::at(config, upstream)));
                let attempt = filter.clone().root_id("attempt").name("attempt");
                start.wasm(&filter).around_attempts(&attempt)
            }
        }
        .json()
    }

    /// Whether the client says where the upstream is, as the filter does not.
    fn names_upstream(&self) -> bool {
        let ours = paths::module("discovery");
        let finds =
            matches!(&self.filter, Filter::Wasm(module, _) | Filter::WasmTwice(module, _) if *module == ours);
        self.route == Route::Addressed && !finds
    }

    /// Requests that bring its Envoy to the state that is measured.
    pub(crate) fn warm_up(&self) -> u64 {
        match self.keys {
            Keys::Many(count) => count.min(50_000),
            Keys::One => 3_000,
        }
    }

    /// Appends the request of this number.
    pub(crate) fn request(&self, number: u64, upstream: SocketAddr, out: &mut Vec<u8>) {
        let key = match self.keys {
            Keys::Many(count) => number % count,
            Keys::One => 0,
        };
        let request = Request::get("/api/v1/orders/8812?fields=id,total,currency&page=2")
            .header("host", "shop.example.com")
            .header("user-agent", "okhttp/4.12.0 (Android 15; shop/7.31.2)")
            .header("accept", "application/json")
            .header("accept-language", "en-GB,en;q=0.8")
            .header("content-type", "application/json")
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .header("x-api-key", format!("7b1e5c90-aa41-4f0e-9d6b-{key:012x}"))
            .header("x-user-id", "u-20318844")
            .header("x-tenant", "acme");
        let request = if self.names_upstream() {
            request.header("x-envoy-original-dst-host", upstream.to_string())
        } else {
            request
        };
        out.extend_from_slice(&request.bytes());
    }
}

fn wasm(module: &Path, config: Option<&Value>) -> WasmFilter {
    let filter = WasmFilter::new(module).name("filter");
    match config {
        Some(config) => filter.config(config),
        None => filter,
    }
}
