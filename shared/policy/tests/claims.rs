//! What plugins mean by their names, as bytes.

use tidegate_policy::claims::{Claim, Claimant, Ledger, Step, LIFE_MS, PERIOD_MS};

fn plugin(name: &str, value: &str) -> Claimant {
    let tag = value.bytes().map(u64::from).sum();
    let claims = vec![Claim { name: "limit `total`".into(), value: value.into(), tag }];
    Claimant { plugin: name.into(), document: tag, claims }
}

/// What is logged when a worker is configured.
fn configured(ledger: &mut Ledger, by: &Claimant, now_ms: u64) -> Vec<String> {
    ledger.update(by, Step::Configured, now_ms, now_ms)
}

/// What is logged when a worker that was configured at `since_ms` lives.
fn alive(ledger: &mut Ledger, by: &Claimant, since_ms: u64, now_ms: u64) -> Vec<String> {
    ledger.update(by, Step::Alive, since_ms, now_ms)
}

#[test]
fn the_bytes_are_these() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.encode(), [1, 0, 0]);
    let claims = vec![Claim { name: "n".into(), value: "v".into(), tag: 9 }];
    configured(&mut ledger, &Claimant { plugin: "p".into(), document: 7, claims }, 5);
    let mut expected = vec![1, 0, 0, 1, 0, b'p'];
    [7_u64, 5, 5, 0, 0, 0].iter().for_each(|number| expected.extend(number.to_le_bytes()));
    expected.extend([1, 0, 1, 0, b'n', 1, 0, b'v']);
    expected.extend(9_u64.to_le_bytes());
    assert_eq!(ledger.encode(), expected);
}

#[test]
fn bytes_are_read_as_they_were_written_and_others_do_no_harm() {
    let mut ledger = Ledger::default();
    for (name, value) in [("a", "10"), ("b", "1000"), ("c", "10")] {
        configured(&mut ledger, &plugin(name, value), 1_000);
    }
    let bytes = ledger.encode();
    assert_eq!(Ledger::decode(&bytes), ledger);
    for end in 0..bytes.len() {
        let _ = Ledger::decode(&bytes[..end]);
        for value in [0, 1, 0x7f, 0xff] {
            let mut other = bytes.clone();
            other[end] = value;
            let _ = Ledger::decode(&other).encode();
        }
    }
    assert_eq!(Ledger::decode(b"\x02anything"), Ledger::default());
}

#[test]
fn claims_are_bounded() {
    let mut ledger = Ledger::default();
    for number in 0..100 {
        configured(&mut ledger, &plugin(&format!("plugin-{number}"), "10"), 1_000);
    }
    assert_eq!(ledger.encode().len(), 3 + 64 * 79 + 10 * 8 + 54 * 9, "64 of them");
    let mut ledger = Ledger::default();
    let large = |name: &str, count| {
        let text = "x".repeat(255);
        let claim = Claim { name: text.clone(), value: text, tag: 1 };
        Claimant { plugin: name.into(), document: count as u64, claims: vec![claim; count] }
    };
    configured(&mut ledger, &plugin("grows", "10"), 1_000);
    configured(&mut ledger, &large("large", 490), 1_000);
    let before = ledger.clone();
    configured(&mut ledger, &large("too-large", 490), 1_000);
    assert_eq!(ledger, before, "what does not fit in is not kept");
    configured(&mut ledger, &large("grows", 490), 1_000);
    assert!(ledger.encode().len() < 257 << 10, "of a new version, too");
    for number in 0..2_000 {
        let now_ms = 100_000 * (number + 1);
        configured(&mut ledger, &plugin("a", "10"), now_ms);
        assert_eq!(configured(&mut ledger, &plugin("b", "20"), now_ms).len(), 1);
    }
    assert!(ledger.encode().len() < 3 + 256 * 8 + 200, "the oldest conflicts are forgotten");
}

#[test]
fn a_new_plugin_that_disagrees_is_told_at_once() {
    let mut ledger = Ledger::default();
    assert_eq!(configured(&mut ledger, &plugin("a", "10"), 1_000), [""; 0]);
    assert_eq!(
        configured(&mut ledger, &plugin("b", "1000"), 1_000),
        ["limit `total` is 1000 here and 10 in plugin \"a\"; they share its state and ruin it for each other: \
          give one of the documents a `scope`, or rename it in one"]
    );
    // Its other workers, and those of the other plugin, say nothing more.
    assert_eq!(configured(&mut ledger, &plugin("b", "1000"), 1_001), [""; 0]);
    assert_eq!(configured(&mut ledger, &plugin("a", "10"), 1_002), [""; 0]);
    assert_eq!(alive(&mut ledger, &plugin("a", "10"), 1_000, 6_000), [""; 0]);
}

#[test]
fn a_plugin_that_never_showed_life_is_forgotten() {
    let mut ledger = Ledger::default();
    configured(&mut ledger, &plugin("a", "10"), 1_000);
    assert_eq!(configured(&mut ledger, &plugin("b", "1000"), 1_001 + LIFE_MS), [""; 0]);
}

/// A host configures a plugin to try it, and refuses the update because of something else.
#[test]
fn a_document_that_was_only_tried_is_no_conflict() {
    let mut ledger = Ledger::default();
    let (a, b) = (plugin("a", "10"), plugin("b", "10"));
    configured(&mut ledger, &a, 0);
    configured(&mut ledger, &b, 0);
    configured(&mut ledger, &plugin("a", "20"), PERIOD_MS);
    for step in 1..20 {
        for one in [&a, &b] {
            assert_eq!(alive(&mut ledger, one, 0, PERIOD_MS + step * PERIOD_MS), [""; 0], "{step}");
        }
    }
    let line = configured(&mut ledger, &plugin("c", "30"), 21 * PERIOD_MS);
    assert_eq!(line.len(), 2, "a claims 10 again: {line:?}");
}

/// Two filters copied from one example have one name. A host that starts configures each of them on its
/// main thread, then each on every worker.
#[test]
fn two_plugins_of_one_name_are_told_when_a_host_starts() {
    let mut ledger = Ledger::default();
    let (a, b) = (plugin("x", "10"), plugin("x", "1000"));
    let mut lines = Vec::new();
    // Tried and configured on the main thread, then on two workers.
    for (at, one) in [&a, &a, &b, &b, &a, &b, &a, &b].into_iter().enumerate() {
        lines.extend(configured(&mut ledger, one, 1_000 + at as u64 * 100));
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("is 10 here and 1000 in another plugin \"x\";"), "{lines:?}");
}

#[test]
fn versions_of_one_plugin_are_no_conflict() {
    let mut ledger = Ledger::default();
    for (at, value) in ["10", "20", "10", "30"].into_iter().enumerate() {
        for worker in 0..4 {
            let now_ms = (at as u64 + 1) * 2 * PERIOD_MS + worker;
            assert_eq!(configured(&mut ledger, &plugin("x", value), now_ms), [""; 0], "{value}");
        }
    }
}
