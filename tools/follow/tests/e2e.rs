//! `make follow`: it measures, tells, and judges by what it tells.

use std::process::{Command, Output};

/// What it prints, once its exit code is what it says.
fn follow(args: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_follow")).args(args).output().unwrap();
    let (text, problems) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(!text.contains('\x1b'), "colours in a file:\n{text}");
    assert_eq!(status.code(), Some(i32::from(text.contains(": missed"))), "{text}\n{problems}");
    text
}

#[test]
fn the_command_tells_how_soon_traffic_follows() {
    let text = follow(&["--changes", "3", "--rounds", "0"]);
    assert!(text.starts_with("3 changes in Consul until all of 2 workers follow, under load\n"), "{text}");
    for kind in
        ["registered         1 ", "moved              1 ", "removed            1 ", "all                3 "]
    {
        assert!(text.contains(kind), "{kind}: {text}");
    }
    assert!(text.contains("p95 at most 150.0 ms: ") && text.contains('█'), "{text}");
}

#[test]
fn the_command_tells_what_a_large_catalog_costs() {
    let text = follow(&["--changes", "0", "--rounds", "2", "--requests", "400"]);
    for line in ["3 of 1 service ", "1,000 of 200 services each ", "last to first "] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains(" µs") && text.contains("at most 1.10: "), "{text}");
}
