//! Envoy configurations for tests, as JSON.
//!
//! One listener on a port of the kernel's choice, any HTTP filters, and routes that answer by
//! themselves or go to a cluster. What has no method here is set as raw JSON by [`Bootstrap::hcm`],
//! [`Bootstrap::filter`], [`Bootstrap::route`] and [`Bootstrap::raw_cluster`].

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{json, Map, Value};

use crate::wasm::WasmFilter;

pub(crate) const LISTENER_TYPE: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// A configuration in the making.
#[derive(Clone, Debug)]
#[must_use]
pub struct Bootstrap {
    name: String,
    filters: Vec<Value>,
    attempt_filters: Vec<Value>,
    routes: Vec<Value>,
    clusters: Vec<Value>,
    stats_tags: Vec<Value>,
    hcm: Map<String, Value>,
    listener: Map<String, Value>,
}

// === impl Bootstrap ===

impl Bootstrap {
    /// A listener `main` without filters or routes.
    ///
    /// Unlike Envoy's own default, the peer's address is the client's (`use_remote_address`), and
    /// an idle stream ends after five seconds. For a peer on loopback Envoy nevertheless writes its
    /// own address into `x-forwarded-for`; the properties of the connection are right.
    pub fn new() -> Self {
        let hcm = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "main",
            "codec_type": "AUTO",
            "use_remote_address": true,
            "stream_idle_timeout": "5s",
        });
        Self {
            name: "main".to_owned(),
            filters: Vec::new(),
            attempt_filters: Vec::new(),
            routes: Vec::new(),
            clusters: Vec::new(),
            stats_tags: Vec::new(),
            hcm: hcm.as_object().cloned().unwrap_or_default(),
            listener: Map::new(),
        }
    }

    /// Appends a Wasm filter.
    pub fn wasm(self, filter: &WasmFilter) -> Self {
        self.filter(filter.json())
    }

    /// Appends a Lua filter.
    pub fn lua(self, code: &str) -> Self {
        let lua = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
        let source = json!({"inline_string": code});
        self.filter(json!({
            "name": "envoy.filters.http.lua",
            "typed_config": {"@type": lua, "default_source_code": source},
        }))
    }

    /// Appends Envoy's own local rate limit: `tokens` each `per` (a duration such as `"1s"`).
    pub fn local_rate_limit(self, tokens: u32, per: &str) -> Self {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
        let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
        self.filter(json!({
            "name": "envoy.filters.http.local_ratelimit",
            "typed_config": {
                "@type": kind,
                "stat_prefix": "local",
                "token_bucket": {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": per},
                "filter_enabled": always,
                "filter_enforced": always,
            },
        }))
    }

    /// Appends any HTTP filter. The router is added last by itself.
    pub fn filter(mut self, filter: Value) -> Self {
        self.filters.push(filter);
        self
    }

    /// Appends a Wasm filter around each attempt that the router makes.
    pub fn around_attempts(mut self, filter: &WasmFilter) -> Self {
        self.attempt_filters.push(filter.json());
        self
    }

    /// Answers requests below `prefix` from Envoy itself.
    pub fn direct_response(self, prefix: &str, status: u16, body: &str) -> Self {
        let response = json!({"status": status, "body": {"inline_string": body}});
        self.route(json!({"match": {"prefix": prefix}, "direct_response": response}))
    }

    /// Sends requests below `prefix` to a [`cluster`](Self::cluster).
    pub fn forward(self, prefix: &str, cluster: &str) -> Self {
        self.route(json!({"match": {"prefix": prefix}, "route": {"cluster": cluster}}))
    }

    /// Appends any route.
    pub fn route(mut self, route: Value) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds a cluster of fixed addresses.
    pub fn cluster(self, name: &str, addrs: &[SocketAddr]) -> Self {
        self.raw_cluster(cluster(name, addrs))
    }

    /// Adds a cluster of fixed addresses that speak HTTP/2, as [`grpc::Upstream`] does.
    ///
    /// [`grpc::Upstream`]: crate::grpc::Upstream
    pub fn http2_cluster(self, name: &str, addrs: &[SocketAddr]) -> Self {
        let kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let options = json!({"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}});
        let mut cluster = cluster(name, addrs);
        cluster["typed_extension_protocol_options"] =
            json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options});
        self.raw_cluster(cluster)
    }

    /// Adds a cluster without addresses of its own: each request's header `x-envoy-original-dst-host`
    /// has one.
    pub fn original_dst_cluster(self, name: &str) -> Self {
        let retries = json!({"budget_percent": {"value": 100.0}, "min_retry_concurrency": 100});
        self.raw_cluster(json!({
            "name": name,
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "1s",
            "original_dst_lb_config": {"use_http_header": true},
            "circuit_breakers": {"thresholds": [{"retry_budget": retries}]},
        }))
    }

    /// Adds any cluster.
    pub fn raw_cluster(mut self, cluster: Value) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Writes a line per request to standard output: [`Envoy::access_log`](crate::Envoy::access_log).
    pub fn access_log(self, format: &str) -> Self {
        let kind = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
        let text = json!({"text_format_source": {"inline_string": format!("{format}\n")}});
        let logger = json!({
            "name": "envoy.access_loggers.stdout",
            "typed_config": {"@type": kind, "log_format": text},
        });
        self.hcm("access_log", json!([logger]))
    }

    /// Makes a label of what `regex` finds in a metric's name.
    pub fn stats_tag(mut self, name: &str, regex: &str) -> Self {
        self.stats_tags.push(json!({"tag_name": name, "regex": regex}));
        self
    }

    /// Admits 96 KiB and 2,000 of request headers, where Envoy's defaults are 60 KiB and 100.
    pub fn large_headers(self) -> Self {
        let options = json!({"max_headers_count": 2000});
        self.hcm("max_request_headers_kb", json!(96)).hcm("common_http_protocol_options", options)
    }

    /// Sets any field of the HTTP connection manager.
    pub fn hcm(mut self, field: &str, value: Value) -> Self {
        self.hcm.insert(field.to_owned(), value);
        self
    }

    /// Spreads connections evenly over the workers. Otherwise the kernel does as it likes, and a
    /// few connections may all end up at one worker.
    pub fn balanced(self) -> Self {
        self.listener_field("connection_balance_config", json!({"exact_balance": {}}))
    }

    /// Sets any field of the listener.
    pub fn listener_field(mut self, field: &str, value: Value) -> Self {
        self.listener.insert(field.to_owned(), value);
        self
    }

    /// Another name for the listener.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The listener alone, for [`FileLds::update`](crate::FileLds::update).
    pub fn listener(&self) -> Value {
        let filters: Vec<_> = self.filters.iter().cloned().chain([self.router()]).collect();
        let host = json!({"name": "all", "domains": ["*"], "routes": self.routes});
        let mut hcm = self.hcm.clone();
        hcm.insert("http_filters".to_owned(), json!(filters));
        hcm.insert("route_config".to_owned(), json!({"name": "routes", "virtual_hosts": [host]}));
        let manager = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm});
        let mut listener = self.listener.clone();
        listener.insert("name".to_owned(), json!(self.name));
        listener.entry("address").or_insert_with(loopback);
        listener.insert("filter_chains".to_owned(), json!([{"filters": [manager]}]));
        Value::Object(listener)
    }

    fn router(&self) -> Value {
        let mut config =
            json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
        if !self.attempt_filters.is_empty() {
            let kind = "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
            let codec = json!({"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": kind}});
            let filters: Vec<_> = self.attempt_filters.iter().cloned().chain([codec]).collect();
            config["upstream_http_filters"] = json!(filters);
        }
        json!({"name": "envoy.filters.http.router", "typed_config": config})
    }

    /// The whole configuration for [`Envoy::start`](crate::Envoy::start).
    pub fn json(&self) -> String {
        let mut all = self.common();
        all["static_resources"]["listeners"] = json!([self.listener()]);
        all.to_string()
    }

    /// The configuration without the listener, which comes from `lds.json` in the directory `watched`.
    pub(crate) fn dynamic_json(&self, watched: &Path) -> String {
        let mut all = self.common();
        let source = json!({"path": watched.join("lds.json"), "watched_directory": {"path": watched}});
        let lds = json!({"resource_api_version": "V3", "path_config_source": source});
        all["dynamic_resources"] = json!({"lds_config": lds});
        all.to_string()
    }

    fn common(&self) -> Value {
        let limit = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";
        json!({
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": loopback()},
            "static_resources": {"clusters": self.clusters},
            "stats_config": {"stats_tags": self.stats_tags},
            // Envoy warns when there is no limit, and a test may want an empty log.
            "overload_manager": {"resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {"@type": limit, "max_active_downstream_connections": 50_000},
            }]},
        })
    }
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self::new()
    }
}

/// A cluster of fixed addresses, for [`Bootstrap::raw_cluster`] once it has more fields.
pub fn cluster(name: &str, addrs: &[SocketAddr]) -> Value {
    let endpoints: Vec<_> =
        addrs.iter().map(|addr| json!({"endpoint": {"address": address(*addr)}})).collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

/// A port of the kernel's choice.
fn loopback() -> Value {
    address(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn address(addr: SocketAddr) -> Value {
    json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}})
}
