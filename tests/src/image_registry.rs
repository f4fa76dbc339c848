//! A real registry of images on loopback, `crane registry serve`, and the client that pushes to it and pulls.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::eventually::search;
use crate::paths;
use crate::process::Process;
use crate::upstream::Port;

/// How long it may take until it answers.
const START: Duration = Duration::from_secs(10);

/// A registry that answers. Dropping it ends it, with all images.
#[derive(Debug)]
pub struct ImageRegistry {
    port: Port,
    _process: Process,
    dir: TempDir,
}

// === impl ImageRegistry ===

impl ImageRegistry {
    /// The binary: `CRANE`, else `crane` on the path, else the one `make need-crane` installs.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn find() -> PathBuf {
        paths::crane().expect("no crane: run `make need-crane` (it needs Go) or set CRANE")
    }

    /// Starts one.
    ///
    /// # Panics
    ///
    /// If it does not come up, with what it wrote.
    pub fn start() -> Self {
        let dir = TempDir::with_prefix("tidegate-images-").expect("a temporary directory");
        let port = Port::reserve();
        let at = |name: &str| dir.path().join(name);
        let mut command = Command::new(Self::find());
        command.args(["registry", "serve", "--address", &port.addr().to_string()]);
        let process = Process::start(command, &at("stdout"), &at("stderr")).expect("a process");
        if search(START, || TcpStream::connect(port.addr()).ok()).is_none() {
            let log = fs::read_to_string(at("stderr")).unwrap_or_default();
            panic!("the registry does not answer:\n{log}");
        }
        Self { port, _process: process, dir }
    }

    /// Its name in that of an image.
    pub fn name(&self) -> String {
        self.port.addr().to_string()
    }

    /// What crane says when asked so.
    ///
    /// # Panics
    ///
    /// If it fails, with its words.
    pub fn crane(&self, args: &[&str]) -> String {
        let output = Command::new(Self::find()).arg("--insecure").args(args).output().expect("crane runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "crane {args:?}: {out}{err}");
        out.trim().to_owned()
    }

    /// Files of an image's layers, in a folder that goes with the registry.
    ///
    /// # Panics
    ///
    /// If it cannot be pulled.
    pub fn pull(&self, image: &str) -> PathBuf {
        let (tar, files) = (self.dir.path().join("image.tar"), self.dir.path().join("files"));
        self.crane(&["export", image, path(&tar)]);
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(&files).expect("a folder");
        let status = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&files).status();
        assert!(status.is_ok_and(|status| status.success()), "tar unpacks {image}");
        files
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
