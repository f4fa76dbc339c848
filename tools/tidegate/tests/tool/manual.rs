//! `tidegate docs`, `schema`, `completions`, `version`.

use std::fs;

use super::{root, tidegate};

#[test]
fn a_field_is_described_by_its_name_or_its_path() {
    let ran = tidegate(&["docs", "limits[2].burst"]);
    let expected = "ratelimit: limits[].burst\n    1 to 4,294,967,295 requests; by default `requests`\n    \
                    Units that can be spent at once after a pause.\n";
    assert_eq!((ran.out.as_str(), ran.code), (expected, 0));
    let named = tidegate(&["docs", "attempts"]).out;
    assert!(
        named.contains("discovery: services[].attempts\n    1 to 10 attempts; by default 1\n"),
        "{named}"
    );
    let filter = tidegate(&["docs", "breaker"]).out;
    assert!(
        filter.starts_with("breaker: breakers\n")
            && filter.contains("breaker: breakers[].target.key[].header")
    );
    assert!(!filter.contains("]("), "links have no place in a terminal");
}

#[test]
fn a_field_that_is_not_there_is_told_its_likes() {
    let ran = tidegate(&["docs", "limits.bursts"]);
    assert_eq!((ran.out.as_str(), ran.code), ("", 2));
    assert!(ran.err.contains("no field is called `limits.bursts`: there is burst"), "{}", ran.err);
}

#[test]
fn a_schema_is_that_of_the_project() {
    for filter in ["breaker", "discovery", "fused", "ratelimit", "routing"] {
        let file = fs::read_to_string(root().join(format!("envoy-config/schema/{filter}.json"))).unwrap();
        assert!(tidegate(&["schema", filter]).out == file, "{filter}");
    }
    assert_eq!(tidegate(&["schema", "waf"]).code, 2);
}

#[test]
fn each_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = tidegate(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("check"), "{shell}");
    }
}

#[test]
fn a_module_tells_its_version() {
    let tool = tidegate(&["version"]).out;
    assert!(tool.starts_with(concat!("tidegate ", env!("CARGO_PKG_VERSION"))), "{tool}");
    let folder = std::env::temp_dir().join(format!("tidegate-version-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let text = br#"{"name": "tidegate-breaker", "version": "1.2.3", "commit": "abc"}"#;
    let mut module = b"\0asm\x01\0\0\0\0".to_vec();
    module.extend([u8::try_from(1 + 16 + text.len()).unwrap(), 16]);
    module.extend(b"tidegate.version");
    module.extend(text);
    fs::write(path("a.wasm"), &module).unwrap();
    fs::write(path("b.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(path("c.wasm"), b"text").unwrap();
    let told = tidegate(&["version", &path("a.wasm")]);
    let codes = ["b.wasm", "c.wasm", "d.wasm"].map(|name| tidegate(&["version", &path(name)]).code);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!((told.out.as_str(), told.code), ("tidegate-breaker 1.2.3 (abc)\n", 0));
    assert_eq!(codes, [1, 2, 2]);
}
