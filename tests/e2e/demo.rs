//! `make run` without a terminal: it ends well and tells what it saw.

use std::process::{Command, Output};

#[test]
fn the_demo_tells_how_the_breaker_spared_a_failing_service() {
    // The service fails from 4 s on.
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_demo")).args(["--seconds", "7"]).output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{status}\n{text}\n{}", String::from_utf8_lossy(&stderr));
    assert!(!text.contains('\x1b'), "colours in a file:\n{text}");
    assert!(text.contains("  closed -> open: 5 failures in a row; "), "{text}");
    assert!(text.contains("No limit was exceeded."), "{text}");

    let line = text.lines().find(|line| line.starts_with(" While it failed, ")).unwrap();
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [reached, sent] = numbers[..] else { panic!("{line}") };
    assert!(reached >= 5 && reached * 2 < sent, "{line}");
    assert!(text.contains("The breaker of checkout opened "), "{text}");
}
