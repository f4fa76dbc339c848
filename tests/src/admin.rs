//! Envoy's admin endpoint.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::client::{Client, Request};
use crate::stats;

/// Where one Envoy answers questions about itself.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    addr: SocketAddr,
}

impl Admin {
    /// The endpoint at `addr`.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The body of a page, whatever its status.
    ///
    /// # Panics
    ///
    /// If Envoy does not answer.
    pub fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap_or_else(|error| panic!("admin {path}: {error}")).1
    }

    /// Status and body of a page.
    pub fn try_get(&self, path: &str) -> io::Result<(u16, String)> {
        let response =
            Client::connect(self.addr).try_send(&Request::get(path).header("connection", "close"))?;
        Ok((response.status, response.text()))
    }

    /// Asks for something to be done, for example `/healthcheck/fail` or `/drain_listeners`.
    ///
    /// # Panics
    ///
    /// If Envoy does not do it.
    pub fn post(&self, path: &str) -> String {
        let request = Request::new("POST", path).header("connection", "close").body("");
        let response = Client::connect(self.addr).send(&request);
        assert_eq!(response.status, 200, "admin {path}: {}", response.text());
        response.text()
    }

    /// Counters and gauges whose name matches the regular expression `filter`; empty for all.
    ///
    /// # Panics
    ///
    /// If Envoy does not answer.
    pub fn stats(&self, filter: &str) -> BTreeMap<String, u64> {
        stats::numbers(&self.get(&format!("/stats?filter={}", percent(filter))))
    }

    /// One counter or gauge by its whole name; zero when it does not exist (yet).
    ///
    /// # Panics
    ///
    /// If Envoy does not answer.
    pub fn stat(&self, name: &str) -> u64 {
        let exactly = format!("^{}$", name.replace('.', r"\."));
        self.stats(&exactly).get(name).copied().unwrap_or(0)
    }

    /// Everything in Prometheus text; see [`stats::family`].
    ///
    /// # Panics
    ///
    /// If Envoy does not answer.
    pub fn prometheus(&self) -> String {
        self.get("/stats/prometheus")
    }

    /// Names and addresses of the listeners, in the order they were added.
    ///
    /// # Panics
    ///
    /// If Envoy does not answer in JSON.
    pub fn listeners(&self) -> Vec<(String, SocketAddr)> {
        let page: Value =
            serde_json::from_str(&self.get("/listeners?format=json")).expect("listeners as JSON");
        let all = page["listener_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter_map(listener).collect()
    }
}

fn listener(status: &Value) -> Option<(String, SocketAddr)> {
    let socket = &status["local_address"]["socket_address"];
    let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
    let ip = socket["address"].as_str()?.parse().ok()?;
    Some((status["name"].as_str()?.to_owned(), SocketAddr::new(ip, port)))
}

/// Escapes a query value.
fn percent(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
