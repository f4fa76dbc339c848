//! An Envoy whose listener comes from a watched file, to change it while it serves.

use std::fs;
use std::ops::Deref;
use std::time::Duration;

use serde_json::{json, Value};
use tempfile::TempDir;

use crate::bootstrap::{Bootstrap, LISTENER_TYPE};
use crate::envoy::{serving, Envoy, StartFailure};
use crate::eventually::eventually;
use crate::options::Options;
use crate::stats::text_value;

/// How long Envoy may take to judge an update.
const JUDGE: Duration = Duration::from_secs(20);

/// An [`Envoy`] and its listener file.
#[derive(Debug)]
pub struct FileLds {
    envoy: Envoy,
    dir: TempDir,
    version: u32,
    workers: u32,
}

/// What Envoy made of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Update {
    /// It is in force on every worker. Connections made before keep the old one until drained.
    Accepted,
    /// The old one stays; this is what Envoy logged.
    Rejected(String),
}

impl FileLds {
    /// Starts Envoy with `bootstrap`, its listener in the file.
    ///
    /// The listener's address is fixed by the first version: later ones keep the port.
    ///
    /// # Panics
    ///
    /// If there is no Envoy, or no way to run it.
    pub fn start(bootstrap: &Bootstrap, options: &Options) -> Result<Self, StartFailure> {
        let dir = TempDir::with_prefix("tidegate-lds-").expect("a temporary directory");
        fs::create_dir(dir.path().join("watched")).expect("a watched directory");
        publish(&dir, 1, &bootstrap.listener());
        let envoy = Envoy::start(&bootstrap.dynamic_json(&dir.path().join("watched")), options)?;
        if envoy.stat("listener_manager.lds.update_rejected") > 0 {
            return Err(StartFailure { log: envoy.log() });
        }
        Ok(Self { envoy, dir, version: 1, workers: options.workers })
    }

    /// Replaces the listener, for example by another [`Bootstrap::listener`], and waits until
    /// Envoy has judged it.
    ///
    /// # Panics
    ///
    /// If Envoy neither accepts nor rejects it.
    pub fn update(&mut self, listener: &Value) -> Update {
        let rejected = || self.envoy.stat("listener_manager.lds.update_rejected");
        let (rejected_before, logged_before) = (rejected(), self.envoy.log().len());
        self.version += 1;
        publish(&self.dir, self.version, listener);
        let version = self.version.to_string();
        eventually("Envoy's judgement of a new listener", JUDGE, || {
            if rejected() > rejected_before {
                let log = self.envoy.log();
                return Some(Update::Rejected(log.get(logged_before..).unwrap_or(&log).to_owned()));
            }
            let seen = self.envoy.admin().get("/stats?filter=lds.version_text");
            let current = text_value(&seen, "listener_manager.lds.version_text") == Some(&version);
            (current && serving(self.envoy.admin(), self.workers)?).then_some(Update::Accepted)
        })
    }
}

impl Deref for FileLds {
    type Target = Envoy;

    fn deref(&self) -> &Envoy {
        &self.envoy
    }
}

/// Writes the file elsewhere and moves it into the watched directory in one step.
fn publish(dir: &TempDir, version: u32, listener: &Value) {
    let mut listener = listener.clone();
    listener["@type"] = json!(LISTENER_TYPE);
    let document = json!({"version_info": version.to_string(), "resources": [listener]});
    let draft = dir.path().join("draft.json");
    fs::write(&draft, document.to_string()).expect("a listener file");
    fs::rename(draft, dir.path().join("watched/lds.json")).expect("to move the listener file");
}
