//! What Consul says of many instances of one service, with all its fields and long lists of tags.

use serde_json::{json, Value};

/// The answer to `/v1/health/service/orders` with this many instances, 32 tags each, as a Traefik reads them. The first
/// tag has the `generation`.
///
/// # Panics
///
/// If there are more than 60,000.
pub fn instances(count: usize, port: u16, generation: usize) -> Vec<u8> {
    let all: Vec<Value> = (0..count).map(|n| entry(n, port, generation)).collect();
    Value::from(all).to_string().into_bytes()
}

/// The address of the instance with this number.
///
/// # Panics
///
/// If it is above 60,000.
pub fn address(number: usize) -> String {
    assert!(number < 60_000);
    format!("127.1.{}.{}", number / 250, number % 250 + 1)
}

fn entry(n: usize, port: u16, generation: usize) -> Value {
    let (at, node) = (address(n), format!("ip-10-20-{}-{}.eu-central-1.compute.internal", n / 250, n % 250));
    let mut tags = vec![format!("generation={generation}")];
    tags.extend((1..32).map(|tag| format!("traefik.http.routers.orders-{n}.option-{tag}=value")));
    let check = |id: &str, name: &str, output: &str, service: &str| {
        json!({
            "Node": node, "CheckID": id, "Name": name, "Status": "passing", "Notes": "", "Output": output,
            "ServiceID": service, "ServiceName": if service.is_empty() { "" } else { "orders" },
            "ServiceTags": [], "Type": "http", "Interval": "10s", "Timeout": "2s", "ExposedPort": 0,
            "Definition": {}, "CreateIndex": 1_000_000 + n, "ModifyIndex": 1_000_000 + n,
        })
    };
    let wan = json!({"Address": at, "Port": port});
    let service = format!("_nomad-task-7d1c2f7e-{n}-orders-http");
    json!({
        "Node": {
            "ID": format!("2b7d3c55-8d1f-4b7b-9c0e-{n:012}"), "Node": node, "Address": at,
            "Datacenter": "eu-central-1", "CreateIndex": 10 + n, "ModifyIndex": 20 + n,
            "TaggedAddresses": {"lan": at, "lan_ipv4": at, "wan": at, "wan_ipv4": at},
            "Meta": {"consul-network-segment": "", "consul-version": "1.22.1", "zone": "eu-central-1a"},
        },
        "Service": {
            "ID": service, "Service": "orders", "Tags": tags, "Address": at, "Port": port,
            "TaggedAddresses": {"lan_ipv4": wan, "wan_ipv4": wan},
            "Meta": {"external-source": "nomad", "version": "2025.11.3", "team": "payments"},
            "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false,
            "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}}, "Connect": {}, "PeerName": "",
            "CreateIndex": 1_000_000 + n, "ModifyIndex": 1_000_000 + n,
        },
        "Checks": [
            check("serfHealth", "Serf Health Status", "Agent alive and reachable", ""),
            check("_nomad-check-1", "service: \"orders\" check", "HTTP GET http://10.0.0.1/: 200 OK Output: ok", &service),
        ],
    })
}
