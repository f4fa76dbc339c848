//! `make run` without a terminal: it ends well and tells what it saw.

use std::process::{Command, Output};

/// `checkout` fails from 4 s on, and the canary of `catalog` from 9 s on; 2.5 s later its ramp is
/// over.
#[test]
fn the_demo_tells_how_users_were_spared_services_that_fail() {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_demo")).args(["--seconds", "14"]).output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{status}\n{text}\n{}", String::from_utf8_lossy(&stderr));
    assert!(!text.contains('\x1b'), "colours in a file:\n{text}");
    assert!(text.contains("No limit was exceeded."), "{text}");
    tells_of_the_breaker(&text);
    tells_of_the_canary(&text);
}

fn tells_of_the_breaker(text: &str) {
    assert!(text.contains("  closed -> open: 5 failures in a row; "), "{text}");
    let [reached, sent] = numbers(text, " While it failed, ")[..] else { panic!("{text}") };
    assert!(reached >= 5 && reached * 2 < sent, "{text}");
    assert!(text.contains("The breaker of checkout opened "), "{text}");
}

fn tells_of_the_canary(text: &str) {
    assert!(text.contains("  canary 10 of 100: the ramp begins"), "{text}");
    assert!(text.contains("  canary 10 -> 25 of 100: the interval went well"), "{text}");
    assert!(text.contains(" -> 0 of 100, aborted: too many requests failed"), "{text}");
    assert!(text.contains("The canary of catalog took 10, 25, "), "{text}");
    assert!(text.contains("Its ramp was aborted at "), "{text}");
    assert!(text.contains("; none of the "), "{text}");
    assert!(!text.contains("changed sides again"), "{text}");
    let [canary, sent] = numbers(text, " Since then, ")[..] else { panic!("{text}") };
    assert!(canary == 0 && sent > 0, "{text}");
}

/// The whole numbers in the line that starts so.
fn numbers(text: &str, start: &str) -> Vec<u64> {
    let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
    line.split(' ').filter_map(|word| word.parse().ok()).collect()
}
