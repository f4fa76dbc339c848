//! Every saved fuzz input, through the same bodies that `fuzz/` runs.

use std::path::Path;

/// Inputs live in `fuzz/regressions/<target>/`; a target without a folder has none yet.
#[test]
fn saved_inputs_do_not_panic() {
    let mut seen = 0;
    for (name, body) in tidegate_sim::fuzz::BODIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions").join(name);
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            body(&std::fs::read(&path).unwrap());
            seen += 1;
        }
    }
    assert!(seen >= tidegate_sim::fuzz::BODIES.len(), "only {seen} saved inputs");
}

/// Every prefix and every one-byte change of the saved inputs: the neighbourhood in which
/// a decoder's mistakes live.
#[test]
fn neighbours_of_saved_inputs_do_not_panic() {
    for (name, body) in tidegate_sim::fuzz::BODIES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions").join(name);
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let step = (bytes.len() / 64).max(1);
            for at in (0..bytes.len()).step_by(step) {
                body(&bytes[..at]);
                for change in [0x00, 0x22, 0x7b, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] = change;
                    body(&changed);
                }
            }
        }
    }
}

/// Steps that nobody wrote down: most of what a target finds in its first minutes.
#[test]
fn random_inputs_do_not_panic() {
    for (name, body) in tidegate_sim::fuzz::BODIES {
        for seed in 0..ROUNDS {
            println!("{name} {seed}");
            body(&random(seed));
        }
    }
}

/// Random inputs of each target.
const ROUNDS: u64 = 60;

/// Bytes that are the same in each run (splitmix64), in lines of some ten.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    let length = u16::from(next()[0]) * 2;
    (0..length).map(|_| if next()[1] % 10 == 0 { b'\n' } else { next()[2] }).collect()
}

#[test]
fn each_target_can_be_run_and_is_described() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let read =
        |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let (readme, manifest) = (read("README.md"), read("Cargo.toml"));
    for (name, _) in tidegate_sim::fuzz::BODIES {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} in fuzz/README.md");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} in fuzz/Cargo.toml");
        assert!(read(&format!("fuzz_targets/{name}.rs")).contains(&format!("fuzz::{name}(")), "{name}");
    }
}
