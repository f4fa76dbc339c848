//! What is measured: the rows of the table.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{json, Value};
use tidegate_tests::{paths, Bootstrap, Request, WasmFilter};

use crate::{discovery, hops};

/// One row: an Envoy with a filter, and the requests it gets.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in the JSON and for `--only`.
    pub id: String,
    /// Its name in the table.
    pub title: String,
    /// The heading it stands under.
    pub group: &'static str,
    /// What stands before the route.
    pub filter: Filter,
    /// Which keys the requests have.
    pub keys: Keys,
    /// Where the requests end.
    pub route: Route,
    /// Worker threads of its Envoy.
    pub workers: u32,
    /// The row that costs nothing, by definition.
    pub base: String,
    /// The row to be a multiple of.
    pub unit: String,
    /// What it should cost at most.
    pub target: Option<Target>,
    /// The status that nearly all answers have.
    pub status: u16,
    /// Headers of each request besides the usual ones.
    pub further: usize,
}

/// Where requests end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In Envoy itself.
    Direct,
    /// At an upstream whose address is in a header: the filter's, or without one the client's.
    Addressed,
    /// At an upstream, a hop away.
    Proxied,
}

/// The filter before the route.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Several modules in this order, each with its document.
    Chain(Vec<(PathBuf, Value)>),
    /// A script that reads one header.
    Lua,
    /// Envoy's own rate limit.
    Native,
    /// No filter.
    None,
    /// A module, and its document if it has one.
    Wasm(PathBuf, Option<Value>),
    /// Around the exchange, and around each attempt as well.
    WasmTwice(PathBuf, Value),
}

/// The keys that requests have.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// So many, all of which the table has seen before.
    Known(u64),
    /// So many in turn.
    Many(u64),
    /// The same each time.
    One,
}

/// At most so many times what another row costs.
#[derive(Clone, Debug)]
pub struct Target {
    /// The multiple.
    pub most: f64,
    /// The other row.
    pub of: String,
}

/// More keys than come again within a lease's time, fewer than the table has room for.
const COLD: u64 = 30_000;
/// By which a breaker names its fallback.
const STEER: &str = "x-tidegate-cluster";
const MILLION: u64 = 1_000_000;
/// Reads one header and does nothing with it.
const LUA: &str = r#"function envoy_on_request(handle) local key = handle:headers():get("x-api-key") end"#;

/// Every row, in the table's order.
pub fn all(against: &[(String, PathBuf)]) -> Vec<Row> {
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
    rows.extend(hops::breakers());
    rows.extend(hops::routes());
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

/// The rows with these ids, or with `id/module`, and those they are compared with.
pub fn only(rows: Vec<Row>, words: &[String]) -> Vec<Row> {
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
pub(crate) const ROUTED: &str = "routing, a hop";
const FLAT: &str = "flat in keys";
const WORKERS: &str = "workers";
const AGAINST: &str = "other modules";

/// So many a minute that nothing is refused. With a limit by the minute a lease may last
/// its 100 ms; with one by the second it ends after 8.
pub const FAST: u64 = 100_000_000;
/// One a minute, for all but the first to be refused.
const SLOW: u64 = 1;

/// So many limits of this many requests a minute, each by another header.
#[must_use]
pub fn limits(count: usize, requests: u64) -> Value {
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

/// A limit that takes no leases.
#[must_use]
pub fn unleased() -> Value {
    let mut config = limits(1, FAST);
    config["leases"] = json!({"units": 0});
    config
}

/// A row of one key on a direct response, compared with such rows.
#[must_use]
pub fn row(id: &str, title: &str, filter: Filter) -> Row {
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
        further: 0,
    }
}

// === impl Row ===

impl Row {
    /// So many keys in turn.
    #[must_use]
    pub fn keys(self, count: u64) -> Self {
        Self { keys: Keys::Many(count), ..self }
    }

    /// So many keys, after a request with each.
    #[must_use]
    pub fn known(self, count: u64) -> Self {
        Self { keys: Keys::Known(count), ..self }
    }

    /// Through to the upstream, and compared with rows that are, too.
    #[must_use]
    pub fn proxied(self) -> Self {
        let (base, unit) = ("hop".to_owned(), "hop-empty".to_owned());
        Self { route: Route::Proxied, group: HOP, base, unit, ..self }
    }

    /// Through to the upstream that a header names, and compared with rows that are, too.
    #[must_use]
    pub fn addressed(self) -> Self {
        let (base, unit) = ("dst".to_owned(), "dst-empty".to_owned());
        Self { route: Route::Addressed, group: FOUND, base, unit, ..self }
    }

    /// At most so many times the row `of`.
    #[must_use]
    pub fn most(self, most: f64, of: &str) -> Self {
        Self { target: Some(Target { most, of: of.to_owned() }), ..self }
    }

    /// Measured on so many workers, and compared with rows that are, too.
    fn on(self, workers: u32) -> Self {
        let with = |id: &str| format!("{id}@{workers}");
        let title = format!("{workers} workers: {}", self.title);
        Self { id: with(&self.id), base: with(&self.base), unit: with(&self.unit), title, workers, ..self }
    }

    /// Another status of the answers.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Another heading.
    #[must_use]
    pub fn under(self, group: &'static str) -> Self {
        Self { group, ..self }
    }

    /// Compared with these rows: the one that costs nothing, and the unit.
    #[must_use]
    pub fn against(self, base: &str, unit: &str) -> Self {
        Self { base: base.to_owned(), unit: unit.to_owned(), ..self }
    }

    /// So many headers more in each request.
    #[must_use]
    pub fn headers(self, further: usize) -> Self {
        Self { further, ..self }
    }

    /// The configuration of its Envoy.
    #[must_use]
    pub fn bootstrap(&self, upstream: SocketAddr) -> String {
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
            Filter::Chain(modules) => modules.iter().fold(start, |start, (module, config)| {
                start.wasm(&wasm(module, Some(&discovery::at(config, upstream))))
            }),
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
        let part = |config: &Value| config.get("discovery").is_some();
        let finds = match &self.filter {
            Filter::Chain(modules) => modules.iter().any(|(module, _)| *module == ours),
            Filter::Wasm(module, config) => *module == ours || config.as_ref().is_some_and(part),
            Filter::WasmTwice(module, _) => *module == ours,
            _ => false,
        };
        self.route == Route::Addressed && !finds
    }

    /// Requests that bring its Envoy to the state that is measured.
    #[must_use]
    pub fn warm_up(&self) -> u64 {
        match self.keys {
            Keys::Known(count) => count,
            Keys::Many(count) => count.min(50_000),
            Keys::One => 3_000,
        }
    }

    /// Appends the request of this number.
    pub fn request(&self, number: u64, upstream: SocketAddr, out: &mut Vec<u8>) {
        let key = match self.keys {
            Keys::Known(count) | Keys::Many(count) => number % count,
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
        let further = (0..self.further).map(|n| (format!("x-further-{n:02}"), format!("value-{n:02}")));
        let request = further.fold(request, |request, (name, value)| request.header(&name, value));
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
