//! On what and with what was measured.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{json, Value};
use tidegate_tests::{paths, Envoy};

/// The machine and the versions, for the report. Names no path.
#[must_use]
pub fn describe() -> Value {
    let size = fs::metadata(paths::module("ratelimit")).map_or(0, |file| file.len());
    json!({
        "cpu": cpu(),
        "cpus": thread::available_parallelism().map_or(0, usize::from),
        "envoy": envoy(),
        "tidegate": env!("CARGO_PKG_VERSION"),
        "module_bytes": size,
    })
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown", |(_, name)| name).to_owned()
}

/// The version as Envoy says it: `hash/1.40.0/Clean/RELEASE/BoringSSL`.
#[must_use]
pub fn envoy() -> String {
    let output = Command::new(Envoy::find()).arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.split_once("version: ").map_or("unknown", |(_, version)| version.trim()).to_owned()
}
