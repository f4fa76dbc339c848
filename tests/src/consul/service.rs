//! What is registered with Consul.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{json, Map, Value};

/// One endpoint of a service, in Consul's words "a service".
#[derive(Clone, Debug)]
#[must_use]
pub struct Service {
    id: String,
    name: String,
    address: String,
    port: u16,
    tags: Vec<String>,
    meta: Map<String, Value>,
    weights: Option<(u32, u32)>,
    ttl: Option<Duration>,
}

// === impl Service ===

impl Service {
    /// The endpoint of `name` at `addr`, always healthy. Its id is `NAME-PORT`.
    pub fn new(name: &str, addr: SocketAddr) -> Self {
        Self {
            id: format!("{name}-{}", addr.port()),
            name: name.to_owned(),
            address: addr.ip().to_string(),
            port: addr.port(),
            tags: Vec::new(),
            meta: Map::new(),
            weights: None,
            ttl: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives it another id.
    pub fn with_id(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }

    /// Gives it another address: a name, or none, which stands for that of the node.
    pub fn address(self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self }
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// Adds metadata.
    pub fn meta(mut self, name: &str, value: &str) -> Self {
        self.meta.insert(name.to_owned(), value.into());
        self
    }

    /// Sets its weights while it passes and while it is warned about. Consul's default is 1 and 1.
    pub fn weights(self, passing: u32, warning: u32) -> Self {
        Self { weights: Some((passing, warning)), ..self }
    }

    /// Gives it a check that fails when the service is not reported healthy for so long. It starts
    /// as healthy.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    pub(super) fn json(&self) -> Value {
        let mut service = json!({
            "ID": self.id,
            "Name": self.name,
            "Address": self.address,
            "Port": self.port,
            "Tags": self.tags,
            "Meta": self.meta,
        });
        if let Some((passing, warning)) = self.weights {
            service["Weights"] = json!({"Passing": passing, "Warning": warning});
        }
        if let Some(ttl) = self.ttl {
            let ttl = format!("{}ms", ttl.as_millis());
            service["Check"] =
                json!({"CheckID": format!("service:{}", self.id), "TTL": ttl, "Status": "passing"});
        }
        service
    }
}
