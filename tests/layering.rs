//! The rules of `docs/architecture.md`, section 2, read off manifests and sources.
//!
//! Here are those about words and lines; `layering/rooms.rs` has those about who uses whom.

#[path = "layering/rooms.rs"]
mod rooms;
#[path = "layering/tree.rs"]
mod tree;
#[path = "layering/uses.rs"]
mod uses;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every Rust source of the project with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["filters", "shared", "tests", "tools", "fuzz"].iter().map(|f| root().join(f)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, read(&path)));
            }
        }
    }
    assert!(found.len() > 50, "only {} sources", found.len());
    found.sort();
    found
}

/// The names in `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = read(&root().join(manifest));
    let section = text.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap_or_default();
    section
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn policy_depends_on_five_crates_alone() {
    assert_eq!(
        dependencies("shared/policy/Cargo.toml"),
        ["libm", "serde", "serde_json", "siphasher", "xxhash-rust"]
    );
    let lib = read(&root().join("shared/policy/src/lib.rs"));
    assert!(lib.contains("#![no_std]") && lib.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn only_probes_name_the_sdk() {
    for (name, text) in sources() {
        let names = text.contains("proxy_wasm::") && !name.ends_with("layering.rs");
        assert!(name.starts_with("tests/probe/") || !names, "{name} names proxy_wasm");
    }
}

/// A driver knows the policy and no proxy; glue adds the proxy's ABI and nothing else.
#[test]
fn glue_depends_on_the_driver_and_the_driver_on_policy() {
    assert_eq!(dependencies("shared/driver/Cargo.toml"), ["tidegate-policy"]);
    assert_eq!(dependencies("shared/glue/Cargo.toml"), ["tidegate-driver", "tidegate-policy"]);
    let lib = read(&root().join("shared/driver/src/lib.rs"));
    assert!(lib.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn only_glue_names_the_functions_of_the_host() {
    for (name, text) in sources() {
        let names = text.contains("fn proxy_") || text.contains("wasm_import_module");
        let may = name.starts_with("shared/glue/src/") || name.ends_with("layering.rs");
        assert!(may || !names, "{name} names functions of the proxy-wasm ABI");
    }
}

#[test]
fn a_filter_is_one_line() {
    for (name, text) in sources().iter().filter(|(name, _)| name.starts_with("filters/")) {
        let code: Vec<&str> = text
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with("//!") && !l.starts_with("#!["))
            .collect();
        assert!(code.len() == 1 && code[0].starts_with("tidegate_glue::filter!("), "{name}: {code:?}");
    }
}

#[test]
fn unsafe_lives_in_the_abi_alone() {
    for (name, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let has = code.clone().any(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        let abi = name == "shared/glue/src/abi.rs" || name.starts_with("shared/glue/src/abi/");
        let may = abi || name.starts_with("tests/");
        assert!(may || !has, "{name} has unsafe code");
    }
}

#[test]
fn no_file_is_above_400_lines_and_no_function_above_60() {
    for (name, text) in sources() {
        assert!(text.lines().count() <= 400, "{name} has {} lines", text.lines().count());
        let mut start: Option<(usize, usize)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_fn = line.trim_start().split(' ').take(5).any(|word| word == "fn") && !line.ends_with(';');
            if is_fn && !line.trim_start().starts_with("//") {
                start = Some((number, indent));
            }
            if let (Some((from, at)), true) = (start, line.trim_start() == "}") {
                if indent == at {
                    assert!(
                        number - from < 60,
                        "{name}:{} is a function of {} lines",
                        from + 1,
                        number - from + 1
                    );
                    start = None;
                }
            }
        }
    }
}
