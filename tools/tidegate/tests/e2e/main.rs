//! What the tool renders, in a real Envoy.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidegate_tests::paths::module;
use tidegate_tests::{eventually, stats, Answer, Client, Envoy, Options, Port, Request, Upstream};
use tidegate_tool::render::policy::Policy;
use tidegate_tool::render::{render, Target};
use tidegate_tool::source::documents;

const LONG: Duration = Duration::from_secs(10);

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
    fs::read_to_string(path).unwrap()
}

/// The shop with servers of ours behind it: those of the services, and one of two for the orders.
fn shop(servers: &[(&str, &Upstream)], orders: &Upstream) -> Envoy {
    let mut text = file("shop.yaml");
    for (place, server) in servers {
        text = text.replace(place, &server.addr().to_string());
    }
    text = text.replace("port: 8084", &format!("port: {}", orders.addr().port()));
    let dead = Port::reserve();
    text = text.replace("port: 8085", &format!("port: {}", dead.addr().port()));
    text = text.replace("127.0.0.1:8000-8999", "127.0.0.1:1-65535");
    let wasm = module("fused");
    let gateway = format!("gateway: {{ listen: '127.0.0.1:0', admin: '127.0.0.1:0', module: {wasm:?} }}\n");
    let nodes = documents(Path::new("a.yaml"), &(text + &gateway)).unwrap();
    let config = render(&Policy::read(&nodes[0]).unwrap(), Target::Envoy).unwrap();
    Envoy::start(&config, &Options::workers(2)).unwrap()
}

#[test]
fn the_rendering_for_envoy_limits_routes_breaks_and_discovers() {
    let [v1, v2, backup] = ["v1", "v2", "backup"].map(|name| Upstream::fixed(200, name));
    let orders = Upstream::fixed(200, "orders");
    let servers = [("127.0.0.1:8081", &v1), ("127.0.0.1:8082", &v2), ("127.0.0.1:8083", &backup)];
    let envoy = shop(&servers, &orders);
    let mut client = Client::connect(envoy.addr());
    // A tenth of the users, and each stays where it is.
    let of =
        |client: &mut Client, user: u32| client.get("/checkout", &[("x-user", &user.to_string())]).text();
    let users: Vec<String> = (0..40).map(|user| of(&mut client, user)).collect();
    assert!(
        users.iter().any(|text| text == "v2") && users.iter().filter(|text| *text == "v1").count() > 25,
        "{users:?}"
    );
    assert_eq!(of(&mut client, 3), users[3]);
    // Forged headers do not steer.
    let forged = [("x-tidegate-cluster", "backup"), ("x-envoy-original-dst-host", "127.0.0.1:1")];
    assert_eq!(client.get("/", &forged).text(), "v1");
    // One of two endpoints is dead, and no client sees it.
    for _ in 0..8 {
        let response = client.get("/orders/7", &[]);
        assert_eq!((response.status, response.text().as_str()), (200, "orders"));
    }
    // The breaker opens, and the backup answers.
    v1.switch(Answer::new(503, "down"));
    let answers: Vec<String> = (0..12).map(|_| client.get("/", &[]).text()).collect();
    assert!(answers.iter().any(|text| text == "backup"), "{answers:?}");
    eventually("the counters", LONG, || {
        let value = |family: &str, label: &str, name: &str| {
            let samples = stats::family(&envoy.prometheus(), family);
            let found =
                samples.into_iter().find(|sample| sample.labels.get(label).is_some_and(|own| own == name));
            found.map(|sample| sample.value)
        };
        value("tidegate_breaker_fell_back", "breaker", "checkout-v1") > Some(0.0)
            && value("tidegate_discovery_requests", "service", "orders") == Some(8.0)
            && value("tidegate_routing_requests", "variant", "canary") > Some(0.0)
    });
    eventually("the limit", LONG, || client.get("/", &[]).status == 429);
    assert!(!envoy.log().contains("error"), "{}", envoy.log());
}

/// Ends it when a test fails, too.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The tool waits for its Envoy, which is of its group.
        let group = format!("-{}", self.0.id());
        _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        _ = self.0.wait();
    }
}

#[test]
fn one_command_runs_a_document_in_front_of_an_upstream() {
    use std::os::unix::process::CommandExt;
    let upstream = Upstream::fixed(200, "well");
    let port = Port::reserve();
    let listen = port.addr();
    let limits = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/limits.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").arg(limits).args(["--upstream", &upstream.addr().to_string()]);
    command.args(["--listen", &listen.to_string(), "--admin", "127.0.0.1:0"]);
    command.arg("--module").arg(module("fused")).arg("--envoy").arg(Envoy::find());
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let running = Running(command.spawn().unwrap());
    eventually("an answer", Duration::from_secs(30), || {
        let mut client = Client::connect(listen);
        client.try_send(&Request::get("/")).is_ok_and(|response| response.status == 200)
    });
    let mut client = Client::connect(listen);
    eventually("a refusal", LONG, || client.get("/", &[]).status == 429);
    drop(running);
}
