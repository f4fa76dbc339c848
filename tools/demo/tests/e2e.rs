//! `make run` without a terminal: it ends well and tells what it saw.

use std::process::{Command, Output};

/// `checkout` fails from 4 s on, and the canary of `catalog` from 9 s on; 2.5 s later its ramp is
/// over.
#[test]
fn the_demo_tells_how_users_were_spared_services_that_fail() {
    let text = demo(&["--seconds", "14"]);
    assert!(text.contains("No limit was exceeded."), "{text}");
    tells_of_the_breaker(&text);
    tells_of_the_canary(&text);
    assert!(text.contains(" The endpoints of orders are from the configuration."), "{text}");
    tells_of_the_endpoints(&text, &[DIES, "the server of endpoint 2 is back"]);
}

/// The last act, a new weight, is at 18 s.
#[test]
fn the_demo_tells_how_endpoints_came_and_went_in_a_real_consul() {
    let text = demo(&["--registry", "consul", "--seconds", "19"]);
    assert!(text.contains(" The endpoints of orders are from Consul, which was asked "), "{text}");
    let acts = [
        "endpoint 3 is registered",
        "endpoint 1 has weight 3 from now on",
        DIES,
        "the server of endpoint 2 is back",
        "the health check of endpoint 3 fails",
        "the health check of endpoint 3 passes",
        "endpoint 3 is deregistered",
        "endpoint 1 has weight 1 from now on",
    ];
    tells_of_the_endpoints(&text, &acts);
    // After the weight, before the death of another.
    let [one, two, three] = shares(&text, 7);
    assert!(one > two + three && two > 0 && three > 0, "{text}");
    let [_, _, gone] = shares(&text, 19);
    assert_eq!(gone, 0, "{text}");
}

const DIES: &str = "the server of endpoint 2 dies";

/// What the demo wrote; it ended well.
fn demo(args: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_demo")).args(args).output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{status}\n{text}\n{}", String::from_utf8_lossy(&stderr));
    assert!(!text.contains('\x1b'), "colours in a file:\n{text}");
    text
}

fn tells_of_the_breaker(text: &str) {
    assert!(text.contains("  closed -> open: 5 consecutive failures; "), "{text}");
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

/// Each act is told with what came of it, and no client noticed any.
fn tells_of_the_endpoints(text: &str, acts: &[&str]) {
    let (_, end) = text.split_once(" The endpoints of orders are from ").unwrap_or_else(|| panic!("{text}"));
    for act in acts {
        let line = end.lines().find(|line| line.contains(act)).unwrap_or_else(|| panic!("{act}: {text}"));
        assert!(!line.ends_with("no answer yet"), "{line}\n{text}");
        let answer = line.split_once(" answer ").and_then(|(_, answer)| answer.strip_suffix(" ms later"));
        let after: Option<u64> = answer.map(|ms| ms.replace(',', "").parse().unwrap());
        // A server that is back is tried once it is no last resort any more, two seconds at most.
        let most = if *act == DIES { 1_000 } else { 3_000 };
        assert!(after.is_none_or(|ms| ms < most), "{line}\n{text}");
    }
    assert!(end.contains("; 0 failed."), "{text}");
    assert!(text.contains(" by endpoint 2 (refusing)"), "{text}");
    let (_, dead) = text.split_once(DIES).unwrap_or_else(|| panic!("{text}"));
    let [_, two, _] =
        split(dead.lines().filter(|line| is_split(line)).nth(2).unwrap_or_else(|| panic!("{text}")));
    assert_eq!(two, 0, "{text}");
}

/// What each endpoint answered in the second that ends so long after the start.
fn shares(text: &str, second: u64) -> [u64; 3] {
    let start = format!("{second:>5} s  ");
    let line = text.lines().skip_while(|line| !line.starts_with(&start)).find(|line| is_split(line));
    split(line.unwrap_or_else(|| panic!("{text}")))
}

fn is_split(line: &str) -> bool {
    line.contains("  orders by ")
}

/// `… orders by consul: 50 by endpoint 1 with weight 3 (healthy), 17 by endpoint 2 (new), …`.
fn split(line: &str) -> [u64; 3] {
    let parts: Vec<u64> = line
        .split([':', ',', ';'])
        .filter_map(|part| part.split_once(" by endpoint ")?.0.trim().parse().ok())
        .collect();
    parts.try_into().unwrap_or_else(|_| panic!("{line}"))
}

/// The whole numbers in the line that starts so.
fn numbers(text: &str, start: &str) -> Vec<u64> {
    let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
    line.split(' ').filter_map(|word| word.parse().ok()).collect()
}
