//! `tidegate check`: rules, formats, exit codes.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tidegate_tool::find::find;
use tidegate_tool::rules::{check, Level, RULES};
use tidegate_tool::source::read_all;

use super::{fed, root, tidegate};

/// The rules that a file breaks.
fn broken(path: &PathBuf) -> Vec<&'static str> {
    let (files, unread) = read_all(std::slice::from_ref(path));
    assert!(unread.is_empty(), "{}: {unread:?}", path.display());
    let worlds = find(&files);
    assert!(worlds.iter().any(|world| world.found > 0), "{}: nothing found", path.display());
    let mut ids: Vec<_> = check(&worlds).iter().map(|finding| finding.rule.id).collect();
    ids.dedup();
    ids
}

/// `<rule>.bad.yaml`, `<rule>.good.yaml`, and more of either with a word for what is special between.
#[test]
fn each_rule_is_broken_by_its_bad_files_alone() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(root().join("tools/tidegate/tests/rules")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (id, kind) = (name.split('.').next().unwrap(), name.rsplit('.').nth(1).unwrap());
        let rule = RULES.iter().find(|rule| rule.id == id).unwrap_or_else(|| panic!("{name}: no such rule"));
        match kind {
            "bad" => assert_eq!(broken(&path), [rule.id], "{name}"),
            "good" => assert_eq!(broken(&path), [""; 0], "{name}"),
            _ => panic!("{name}: neither bad nor good"),
        }
        seen.push((rule.id, kind == "good"));
    }
    for rule in RULES {
        assert!(
            seen.contains(&(rule.id, true)) && seen.contains(&(rule.id, false)),
            "{} has no files",
            rule.id
        );
        assert!(rule.help.len() > 30, "{} says too little", rule.id);
    }
}

/// `/dev/full` is a disk without room.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_no_success() {
    for args in [&["check", "--rules"][..], &["--help"], &["version"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let ran = command.args(args).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.code() == Some(2) && err.contains("standard output"), "{args:?}: {err}");
    }
}

#[test]
fn all_examples_of_the_project_are_well() {
    let ran = tidegate(&["check", "--strict", "envoy-config"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.ends_with(" configurations: 0 errors, 0 warnings\n") && ran.out.lines().count() == 1);
}

/// Manifests that are shipped, each by itself: some are alternatives to others.
#[test]
fn no_manifest_of_the_project_has_an_error() {
    let deploy: Vec<PathBuf> = [root().join("deploy")].into_iter().filter(|path| path.is_dir()).collect();
    let (files, unread) = read_all(&deploy);
    assert!(unread.is_empty(), "{unread:?}");
    for file in files {
        let name = file.name.clone();
        let wrong = check(&find(&[file])).into_iter().filter(|finding| finding.level == Level::Error);
        assert_eq!(wrong.map(|finding| finding.line()).collect::<Vec<_>>(), [""; 0], "{name}");
    }
}

/// A document with two problems.
const WRONG: &str = include_str!("../files/wrong.yaml");

#[test]
fn a_problem_is_shown_where_it_stands() {
    let ran = fed(&["check", "-"], WRONG);
    assert_eq!(ran.code, 1);
    let expected = r#"error[document]: limits[0].requests: 0 requests is out of range
 --> -:5:15
  |
5 |     requests: 0     # none at all
  |               ^ expected 1 to 4294967295 requests
  |
"#;
    assert!(ran.out.contains(expected), "{}", ran.out);
    assert!(ran.out.contains(" --> -:7:5\n"), "{}", ran.out);
    assert!(ran.out.ends_with("1 file, 1 configuration: 2 errors, 0 warnings\n"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "colours outside of a terminal");
}

#[test]
fn a_text_within_yaml_has_lines_and_columns_of_the_file() {
    let bad = "tools/tidegate/tests/rules/document.bad.yaml";
    let ran = tidegate(&["check", "--format", "json", bad]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let problem = &told["problems"][0];
    let text = fs::read_to_string(root().join(bad)).unwrap();
    let line = text.lines().nth(problem["line"].as_u64().unwrap() as usize - 1).unwrap();
    let column = problem["column"].as_u64().unwrap() as usize;
    assert!(line[column - 1..].starts_with("0, \"per_ms\""), "{line}");
    assert_eq!(
        (problem["path"].as_str(), problem["rule"].as_str()),
        (Some("limits[0].requests"), Some("document"))
    );
}

#[test]
fn every_format_has_every_problem() {
    let json: Value = serde_json::from_str(&fed(&["check", "--format", "json", "-"], WRONG).out).unwrap();
    assert_eq!((json["errors"].as_u64(), json["problems"].as_array().map(Vec::len)), (Some(2), Some(2)));
    let sarif: Value = serde_json::from_str(&fed(&["check", "--format", "sarif", "-"], WRONG).out).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["startLine"], 5);
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(RULES.len()));
    let github = fed(&["check", "--format", "github", "-"], WRONG).out;
    assert!(github
        .starts_with("::error file=-,line=5,col=15,endLine=5,endColumn=16,title=tidegate document::limits"));
    assert_eq!(github.lines().count(), 2);
}

#[test]
fn exit_codes_tell_well_from_wrong_from_unread() {
    let well = r#"{"limits": [{"name": "all", "key": ["host"], "requests": 1, "per_ms": 1000}]}"#;
    assert_eq!(fed(&["check", "-"], well).code, 0);
    assert_eq!(fed(&["check", "-"], WRONG).code, 1);
    let ran = fed(&["check", "-"], "a: [1");
    assert!(ran.code == 2 && ran.out.contains("cannot be read"), "{}", ran.out);
    assert_eq!(tidegate(&["check", "no-such-file.yaml"]).code, 2);
    let ran = fed(&["check", "-"], "a: 1");
    assert!(ran.code == 2 && ran.err.contains("nothing was checked"), "{}", ran.err);
    let warned = "tools/tidegate/tests/rules/no-reload.bad.yaml";
    assert_eq!(tidegate(&["check", warned]).code, 0);
    assert_eq!(tidegate(&["check", "--strict", warned]).code, 1);
}
