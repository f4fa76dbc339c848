//! A Wasm filter as a piece of configuration.

use std::path::PathBuf;
use std::thread;

use serde_json::{json, Value};

/// One Wasm filter in the chain.
#[derive(Clone, Debug)]
#[must_use]
pub struct WasmFilter {
    module: PathBuf,
    name: String,
    root_id: String,
    vm_id: String,
    config: Option<String>,
    failure_policy: String,
    env: Vec<(String, String)>,
}

// === impl WasmFilter ===

impl WasmFilter {
    /// The filter in `module`, named like its file, without configuration.
    ///
    /// The `vm_id` is the name of the thread, which is the test's: filters of one test share their
    /// cells, also across updates.
    pub fn new(module: impl Into<PathBuf>) -> Self {
        let module = module.into();
        let name = module.file_stem().map_or("wasm".into(), |stem| stem.to_string_lossy().into_owned());
        Self {
            module,
            root_id: name.clone(),
            name,
            vm_id: thread::current().name().unwrap_or("test").to_owned(),
            config: None,
            failure_policy: "FAIL_RELOAD".to_owned(),
            env: Vec::new(),
        }
    }

    /// Sets the configuration.
    pub fn config(self, config: &Value) -> Self {
        self.raw_config(&config.to_string())
    }

    /// Sets the configuration to any text, JSON or not.
    pub fn raw_config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Sets the plugin's name, which Envoy uses in its own counters.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets the root id.
    pub fn root_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.root_id);
        self
    }

    /// Sets the VM id, the namespace of the shared cells.
    pub fn vm_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.vm_id);
        self
    }

    /// Adds a variable to the VM's environment, of which there is another VM for each.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets what follows a crash: `FAIL_RELOAD` (here the default), `FAIL_CLOSED`, `FAIL_OPEN`.
    pub fn failure_policy(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.failure_policy);
        self
    }

    /// The HTTP filter.
    pub fn json(&self) -> Value {
        let mut plugin = json!({
            "name": self.name,
            "root_id": self.root_id,
            "failure_policy": self.failure_policy,
            "vm_config": {
                "vm_id": self.vm_id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": self.module}},
            },
        });
        if !self.env.is_empty() {
            let values: serde_json::Map<String, Value> =
                self.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            plugin["vm_config"]["environment_variables"] = json!({"key_values": values});
        }
        if let Some(text) = &self.config {
            let kind = "type.googleapis.com/google.protobuf.StringValue";
            plugin["configuration"] = json!({"@type": kind, "value": text});
        }
        if self.failure_policy == "FAIL_RELOAD" {
            plugin["reload_config"] = json!({"backoff": {"base_interval": "0.1s"}});
        }
        let kind = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
        json!({"name": self.name, "typed_config": {"@type": kind, "config": plugin}})
    }
}
