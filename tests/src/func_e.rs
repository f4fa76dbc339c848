//! Envoy as users start it: `func-e run`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::admin::Admin;
use crate::envoy::{serving, Envoy};
use crate::eventually::search;
use crate::paths;
use crate::process::Process;

/// How long Envoy may take until it serves.
const START: Duration = Duration::from_secs(20);

/// A func-e and the Envoy it runs. Dropping it ends func-e, which ends Envoy.
#[derive(Debug)]
pub struct FuncE {
    process: Process,
    admin: Admin,
    _dir: TempDir,
}

// === impl FuncE ===

impl FuncE {
    /// The binary: `FUNC_E`, else `func-e` on the path, else the one `make setup` installs.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn find() -> PathBuf {
        paths::func_e().expect("no func-e: run `make setup` (it needs Go) or set FUNC_E")
    }

    /// Runs `func-e run -c CONFIG` at the root of the repository, with the Envoy of
    /// [`Envoy::find`], and waits until it serves.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn run(config: &Path) -> Self {
        let dir = TempDir::with_prefix("tidegate-func-e-").expect("a temporary directory");
        let at = |name: &str| dir.path().join(name);
        let mut command = Command::new(Self::find());
        command.current_dir(paths::root()).arg("run").arg("-c").arg(config);
        command.arg("--admin-address-path").arg(at("admin"));
        // func-e kills Envoy, which then leaves its shared memory behind. And only one with it may run.
        command.args(["--disable-hot-restart", "--concurrency", "1"]);
        command.env("ENVOY_PATH", fs::canonicalize(Envoy::find()).expect("Envoy's path"));
        for home in
            ["HOME", "FUNC_E_CONFIG_HOME", "FUNC_E_DATA_HOME", "FUNC_E_RUNTIME_DIR", "FUNC_E_STATE_HOME"]
        {
            command.env(home, dir.path());
        }
        let process = Process::start(command, &at("stdout"), &at("log")).expect("a process for func-e");
        let up = search(START, || {
            let admin = Admin::new(fs::read_to_string(at("admin")).ok()?.trim().parse().ok()?);
            serving(admin, 1)?.then_some(admin)
        });
        let wrote = || [at("stdout"), at("log")].map(|file| fs::read_to_string(file).unwrap_or_default());
        let admin = up.unwrap_or_else(|| panic!("func-e did not come up:\n{}", wrote().concat()));
        Self { process, admin, _dir: dir }
    }

    /// The admin endpoint of its Envoy.
    pub fn admin(&self) -> Admin {
        self.admin
    }

    /// The process numbers of itself and of what it has started.
    pub fn pids(&self) -> Vec<u32> {
        [vec![self.process.pid()], self.process.children()].concat()
    }
}
