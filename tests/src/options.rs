//! How to run Envoy.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::envoy::Envoy;
use crate::paths;

/// What is not part of the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads. Default 1.
    pub workers: u32,
    /// Log levels by component. Default `wasm:info`; all others log warnings.
    pub log: String,
    /// How long replaced listeners and filter chains keep their connections. Default 1 s.
    pub drain: Duration,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
}

// === impl Options ===

impl Options {
    /// The default with another number of workers.
    pub fn workers(workers: u32) -> Self {
        Self { workers, ..Self::default() }
    }

    /// The command that runs Envoy with `config`, its files in `dir`.
    pub(crate) fn command(&self, config: &str, dir: &Path) -> Command {
        let file = dir.join("envoy.yaml"); // JSON is YAML too.
        fs::write(&file, config).expect("a configuration file");
        let mut command = Command::new(Envoy::find());
        command.current_dir(paths::root()); // As users do: examples name modules from there.
        command.arg("-c").arg(file).arg("--admin-address-path").arg(dir.join("admin"));
        command.args(["--log-level", "warning", "--component-log-level", &self.log]);
        // Without this, Envoy ignores misspelt fields in an updated listener, not in a static one.
        command.arg("--reject-unknown-dynamic-fields");
        // No hot restart: any number run side by side, and a killed one leaves no shared memory behind.
        command.arg("--disable-hot-restart");
        command.args(["--concurrency", &self.workers.to_string()]);
        command.args(["--drain-time-s", &self.drain.as_secs().max(1).to_string()]);
        command.args(["--drain-strategy", "immediate", "--file-flush-interval-msec", "20"]);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { workers: 1, log: "wasm:info".to_owned(), drain: Duration::from_secs(1), env: Vec::new() }
    }
}
