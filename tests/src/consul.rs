//! A real Consul.
//!
//! A server in development mode: alone in its datacenter, leader at once, everything in memory.
//! So one that is stopped and started again comes back empty, at the same ports. Connections to it
//! are refused in between, and go unanswered while it is paused.

pub mod entry;
mod service;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use tempfile::TempDir;

pub use self::service::Service;
use crate::client::{Client, Request, Response};
use crate::eventually::{eventually, search};
use crate::paths;
use crate::process::Process;
use crate::upstream::{lock, Port};

/// How long Consul may take until it has a leader, or knows another datacenter.
const START: Duration = Duration::from_secs(30);
/// The token of a Consul with access control that may do everything.
const MANAGEMENT: &str = "7b5e3c1a-0000-4000-8000-000000000001";

/// A Consul that has a leader. Dropping it ends it.
#[derive(Debug)]
pub struct Consul {
    datacenter: String,
    acls: bool,
    http: Port,
    server: Port,
    lan: Port,
    wan: Port,
    /// What the datacenters that know each other listen at for each other.
    federation: Arc<Mutex<Vec<SocketAddr>>>,
    process: Option<Process>,
    dir: TempDir,
}

// === impl Consul ===

impl Consul {
    /// The binary: `CONSUL`, else `consul` on the path, else the one `make servers` builds.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn find() -> PathBuf {
        paths::server("CONSUL", "consul")
    }

    /// Starts the only server of the datacenter `dc1`.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn start() -> Self {
        Self::launch("dc1", false, Arc::default())
    }

    /// Starts one with access control: who shows no token may do nothing, and lists come back empty.
    /// What is asked through this type has the token that may do everything.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn with_acls() -> Self {
        let consul = Self::launch("dc1", true, Arc::default());
        eventually("the management token", START, || consul.get("/v1/acl/token/self").status == 200);
        consul
    }

    /// Starts another datacenter and joins it with this one. Returns once they know each other.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote, or does not join.
    pub fn datacenter(&self, name: &str) -> Self {
        let other = Self::launch(name, self.acls, Arc::clone(&self.federation));
        for (consul, peer) in [(self, name), (&other, self.datacenter.as_str())] {
            let path = format!("/v1/catalog/nodes?dc={peer}");
            eventually("the other datacenter", START, || consul.get(&path).status == 200);
        }
        other
    }

    fn launch(datacenter: &str, acls: bool, federation: Arc<Mutex<Vec<SocketAddr>>>) -> Self {
        let mut consul = Self {
            datacenter: datacenter.to_owned(),
            acls,
            http: Port::reserve(),
            server: Port::reserve(),
            lan: Port::reserve_with_udp(),
            wan: Port::reserve_with_udp(),
            federation,
            process: None,
            dir: TempDir::with_prefix("tidegate-consul-").expect("a temporary directory"),
        };
        consul.restart();
        lock(&consul.federation).push(consul.wan.addr());
        consul
    }

    /// Where its HTTP API listens.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// Kills it, if it runs: what was registered is gone.
    pub fn stop(&mut self) {
        self.process.take().as_ref().map(Process::kill);
    }

    /// Starts it again, empty and at the same ports.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn restart(&mut self) {
        self.stop();
        let at = |name: &str| self.dir.path().join(name);
        let process = Process::start(self.command(), &at("log"), &at("stderr")).expect("a process");
        let up = search(START, || {
            let leader = Client::connect(self.addr()).try_send(&Request::get("/v1/status/leader"));
            let led = leader.is_ok_and(|leader| leader.status == 200 && leader.text() != "\"\"");
            (led || process.exit().is_some()).then_some(led)
        });
        assert!(up == Some(true), "Consul did not come up; its log:\n{}", self.log());
        self.process = Some(process);
    }

    /// Stops it in its tracks: it takes connections and answers nothing.
    pub fn pause(&self) {
        self.process.iter().for_each(|process| process.pause(true));
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.iter().for_each(|process| process.pause(false));
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        let files = ["log", "stderr"].map(|name| fs::read(self.dir.path().join(name)).unwrap_or_default());
        String::from_utf8_lossy(&files.concat()).into_owned()
    }

    /// Asks anything of the HTTP API.
    ///
    /// # Panics
    ///
    /// If no answer arrives in ten seconds.
    pub fn get(&self, path: &str) -> Response {
        self.send(Request::get(path))
    }

    /// Tells the HTTP API something, for example `/v1/catalog/register`.
    ///
    /// # Panics
    ///
    /// If it does not accept it.
    pub fn put(&self, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(Request::new("PUT", path).body(body));
        assert_eq!(response.status, 200, "PUT {path}: {}", response.text());
        response
    }

    /// Registers a service, or changes it. The catalog has it a moment later.
    ///
    /// # Panics
    ///
    /// If Consul does not accept it; so do the following.
    pub fn register(&self, service: &Service) {
        self.put("/v1/agent/service/register", &service.json());
    }

    /// Removes the service with this id.
    pub fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null);
    }

    /// Reports the service healthy and starts its time to live anew.
    pub fn pass(&self, id: &str) {
        self.put(&format!("/v1/agent/check/pass/service:{id}"), &Value::Null);
    }

    /// Reports the service unwell.
    pub fn warn(&self, id: &str) {
        self.put(&format!("/v1/agent/check/warn/service:{id}"), &Value::Null);
    }

    /// Reports the service ill: Consul says "critical".
    pub fn fail(&self, id: &str) {
        self.put(&format!("/v1/agent/check/fail/service:{id}"), &Value::Null);
    }

    /// Puts the service into maintenance, or ends that.
    pub fn maintain(&self, id: &str, on: bool) {
        self.put(&format!("/v1/agent/service/maintenance/{id}?enable={on}"), &Value::Null);
    }

    /// The secret of a new token that may do what `rules` say, such as
    /// `service "web" { policy = "read" }`.
    pub fn token(&self, rules: &str) -> String {
        let count = self.get("/v1/acl/policies").text().matches("\"ID\"").count();
        let name = format!("policy-{count}");
        self.put("/v1/acl/policy", &json!({"Name": name, "Rules": rules}));
        let token = self.put("/v1/acl/token", &json!({"Policies": [{"Name": name}]}));
        let token: Value = serde_json::from_slice(&token.body).expect("a token as JSON");
        token["SecretID"].as_str().expect("a token with its secret").to_owned()
    }

    fn send(&self, request: Request) -> Response {
        let request = request.header("connection", "close");
        let request = if self.acls { request.header("x-consul-token", MANAGEMENT) } else { request };
        Client::connect(self.addr()).send(&request)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(Self::find());
        command.current_dir(self.dir.path()).args(["agent", "-dev", "-log-level", "warn"]);
        command.args(["-bind", "127.0.0.1", "-client", "127.0.0.1"]);
        command.args(["-datacenter", &self.datacenter, "-node", &format!("{}-server", self.datacenter)]);
        let ports = [
            ("-http-port", &self.http),
            ("-server-port", &self.server),
            ("-serf-lan-port", &self.lan),
            ("-serf-wan-port", &self.wan),
        ];
        for (name, port) in ports {
            command.args([name, &port.addr().port().to_string()]);
        }
        command.args(["-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1"]);
        command.args(["-retry-interval-wan", "200ms", "-hcl", "connect { enabled = false }"]);
        for peer in lock(&self.federation).iter().filter(|peer| **peer != self.wan.addr()) {
            command.args(["-retry-join-wan", &peer.to_string()]);
        }
        if self.acls {
            let tokens =
                format!("tokens {{ initial_management = \"{MANAGEMENT}\", agent = \"{MANAGEMENT}\" }}");
            command.arg("-hcl").arg(format!("acl {{ enabled = true, default_policy = \"deny\", {tokens} }}"));
        }
        command
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.stop();
    }
}
