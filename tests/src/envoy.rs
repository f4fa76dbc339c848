//! One running Envoy.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::admin::Admin;
use crate::eventually::search;
use crate::options::Options;
use crate::paths;
use crate::process::Process;

/// How long Envoy may take until it serves.
const START: Duration = Duration::from_secs(20);

/// An Envoy that serves. Dropping it ends it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Admin,
    dir: TempDir,
}

/// Envoy did not come up.
#[derive(Clone)]
pub struct StartFailure {
    /// What it wrote until then.
    pub log: String,
}

// === impl Envoy ===

impl Envoy {
    /// The binary: `ENVOY`, else `envoy` on the path, else the one `make setup` installs.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn find() -> PathBuf {
        paths::envoy().expect("no Envoy: run `make setup` or set ENVOY")
    }

    /// Starts Envoy with `config`, YAML or JSON, and waits until every listener accepts.
    ///
    /// # Panics
    ///
    /// If there is no Envoy, or no way to run it.
    pub fn start(config: &str, options: &Options) -> Result<Self, StartFailure> {
        let dir = TempDir::with_prefix("tidegate-").expect("a temporary directory");
        let command = options.command(config, dir.path());
        let process = launch(command, dir.path());
        let up = search(START, || {
            if process.exit().is_some() {
                return Some(None); // It gave up; no need to wait any longer.
            }
            let admin = Admin::new(fs::read_to_string(dir.path().join("admin")).ok()?.trim().parse().ok()?);
            serving(admin, options.workers)?.then_some(Some(admin))
        });
        match up.flatten() {
            Some(admin) => Ok(Self { process, admin, dir }),
            None => {
                let end = process.exit().map_or("still not serving".to_owned(), |status| status.to_string());
                Err(StartFailure { log: format!("{}[{end}]\n", log(dir.path())) })
            }
        }
    }

    /// Checks `config` as `envoy --mode validate` does. The error is what Envoy wrote.
    ///
    /// # Panics
    ///
    /// If there is no Envoy, or no way to run it.
    pub fn validate(config: &str) -> Result<(), String> {
        let dir = TempDir::with_prefix("tidegate-").expect("a temporary directory");
        let mut command = Options::default().command(config, dir.path());
        command.args(["--mode", "validate"]);
        let status = launch(command, dir.path()).wait().expect("Envoy's exit status");
        status.success().then_some(()).ok_or_else(|| log(dir.path()))
    }

    /// The address of the first listener, as it is now.
    ///
    /// # Panics
    ///
    /// If there is no listener.
    pub fn addr(&self) -> SocketAddr {
        let all = self.admin.listeners();
        all.first().unwrap_or_else(|| panic!("no listener; Envoy's log:\n{}", self.log())).1
    }

    /// The address of the listener called `name`, as it is now.
    ///
    /// # Panics
    ///
    /// If there is no such listener.
    pub fn addr_of(&self, name: &str) -> SocketAddr {
        let all = self.admin.listeners();
        let found = all.iter().find(|(listener, _)| listener == name);
        found.unwrap_or_else(|| panic!("no listener {name} among {all:?}")).1
    }

    /// The admin endpoint.
    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// Counters and gauges whose name matches `filter`: [`Admin::stats`].
    pub fn stats(&self, filter: &str) -> BTreeMap<String, u64> {
        self.admin.stats(filter)
    }

    /// One counter or gauge: [`Admin::stat`].
    pub fn stat(&self, name: &str) -> u64 {
        self.admin.stat(name)
    }

    /// Everything in Prometheus text: [`Admin::prometheus`].
    pub fn prometheus(&self) -> String {
        self.admin.prometheus()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        log(self.dir.path())
    }

    /// What it has written to standard output so far: the access log of [`Bootstrap::access_log`].
    ///
    /// [`Bootstrap::access_log`]: crate::Bootstrap::access_log
    pub fn access_log(&self) -> String {
        read(&self.dir.path().join("stdout"))
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.process.exit().is_none()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Processor time used so far, all threads.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn cpu(&self) -> Duration {
        self.process.cpu().expect("Envoy's processor time")
    }

    /// Memory it holds, in bytes.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes().expect("Envoy's memory")
    }
}

/// Whether every worker has taken every listener. `None` while the endpoint is silent.
pub(crate) fn serving(admin: Admin, workers: u32) -> Option<bool> {
    let (status, _) = admin.try_get("/ready").ok()?;
    if status != 200 {
        return Some(false);
    }
    let stats = admin.stats("^listener_manager\\.");
    let count = |name: &str| stats.get(&format!("listener_manager.{name}")).copied().unwrap_or(0);
    let taken = count("listener_create_success") + count("listener_create_failure");
    let offered = count("listener_added") + count("listener_modified");
    let settled = count("workers_started") == 1 && count("total_listeners_warming") == 0;
    Some(settled && taken >= offered * u64::from(workers))
}

fn launch(command: Command, dir: &Path) -> Process {
    Process::start(command, &dir.join("stdout"), &dir.join("log")).expect("a process for Envoy")
}

fn log(dir: &Path) -> String {
    read(&dir.join("log"))
}

/// A file's text, lossily: a filter may log any bytes.
fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}

// === impl StartFailure ===

impl fmt::Debug for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envoy did not come up; its log:\n{}", self.log)
    }
}

impl Error for StartFailure {}
