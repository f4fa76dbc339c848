//! What the documents say is so.
//!
//! `docs/config.md` is held against the parser, which is asked for what it knows: documents
//! with a field that it cannot know make it list the ones it does, and values that no field
//! takes make it say what would be right. Examples are parsed, links and files looked up.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_policy::http::Stage;
use tidegate_policy::ratelimit::{Policy, RateLimit};
use tidegate_tests::paths::root;

/// Each object of a configuration by its heading in `docs/config.md`, and a configuration
/// with `@` where it stands.
const OBJECTS: [(&str, &str); 14] = [
    ("configuration", "@"),
    ("table", r#"{"table": @}"#),
    ("leases", r#"{"leases": @}"#),
    ("reply", r#"{"reply": @}"#),
    ("limits[]", r#"{"limits": [@]}"#),
    ("limits[].table", r#"{"limits": [{"table": @}]}"#),
    ("limits[].match", r#"{"limits": [{"match": @}]}"#),
    ("limits[].match.path", r#"{"limits": [{"match": {"path": @}}]}"#),
    ("limits[].match.headers[]", r#"{"limits": [{"match": {"headers": [@]}}]}"#),
    ("limits[].match.query[]", r#"{"limits": [{"match": {"query": [@]}}]}"#),
    ("limits[].match.cookies[]", r#"{"limits": [{"match": {"cookies": [@]}}]}"#),
    ("limits[].match.client_address", r#"{"limits": [{"match": {"client_address": @}}]}"#),
    ("limits[].key[]", r#"{"limits": [{"key": [@]}]}"#),
    ("limits[].key[].client_address", r#"{"limits": [{"key": [{"client_address": @}]}]}"#),
];

/// Documents whose examples are complete configurations.
const WITH_EXAMPLES: [&str; 3] = ["README.md", "docs/config.md", "filters/ratelimit/README.md"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every document of the project with its path from the root.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let built = name.starts_with('.') || ["dist", "target"].contains(&name.as_str());
            if path.is_dir() && !built {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push((path.strip_prefix(root()).unwrap().to_owned(), read(&path)));
            }
        }
    }
    assert!(found.len() >= 20, "only {} documents", found.len());
    found.sort();
    found
}

fn problems(json: &str) -> Vec<String> {
    let error = Policy::parse(json.as_bytes(), true).err();
    error.map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
}

/// What stands between backticks, one after the other.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The blocks between fences: what stands after the first fence, and the lines inside.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| line.trim_start() != "```");
            blocks.push((kind, inside.map(|line| line.to_owned() + "\n").collect()));
        }
    }
    blocks
}

/// The text without the blocks between fences.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !(fenced || fence)
    });
    outside.map(|line| line.to_owned() + "\n").collect()
}

// === docs/config.md ===

/// The fields that the parser lists when it meets one that it does not know.
fn known(object: &str) -> Vec<String> {
    let problems = problems(&object.replace('@', r#"{"zzz": 0}"#));
    let listed = problems.iter().find_map(|p| p.split_once("unknown field `zzz`, expected "));
    let (_, listed) = listed.unwrap_or_else(|| panic!("{object}: {problems:?}"));
    quoted(listed).into_iter().map(str::to_owned).collect()
}

/// The rows of the tables below a heading, by the field that they begin with.
fn rows(text: &str, heading: &str) -> Vec<(String, String)> {
    let heading = format!("# `{heading}`");
    let below = text.lines().skip_while(|line| !line.ends_with(&heading)).skip(1);
    let rows = below.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    rows.map(|row| (quoted(row)[0].to_owned(), row.to_owned())).collect()
}

fn reference() -> String {
    read(&root().join("docs/config.md"))
}

#[test]
fn the_reference_has_every_field_and_no_other() {
    let text = reference();
    for (heading, object) in OBJECTS {
        let fields: Vec<String> = rows(&text, heading).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, known(object), "docs/config.md, `{heading}`");
    }
    let headings: Vec<&str> =
        text.lines().filter(|line| line.contains("# `")).map(|l| quoted(l)[0]).collect();
    assert_eq!(headings, OBJECTS.map(|(heading, _)| heading));
}

#[test]
fn the_reference_has_the_bounds_and_words_of_the_parser() {
    let text = reference();
    let mut checked = 0;
    for (heading, object) in OBJECTS {
        for (field, row) in rows(&text, heading) {
            for wrong in ["[]", "\"\""] {
                let json = object.replace('@', &format!("{{\"{field}\": {wrong}}}"));
                for problem in problems(&json) {
                    let (path, what) = problem.split_once(": ").unwrap();
                    if path.rsplit('.').next() != Some(&field) {
                        continue;
                    }
                    for right in what.split_once("expected ").map_or(Vec::new(), |(_, right)| rights(right)) {
                        let row = row.replace(',', "");
                        assert!(row.contains(&right), "`{heading}`, {field}: no {right:?} in {row}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 60, "only {checked} bounds and words");
}

/// What a message says would be right: words in backticks, and numbers around a `to`.
fn rights(right: &str) -> Vec<String> {
    let numbers: Vec<&str> = right.split(' ').collect();
    let is_range = |w: &&[&str]| w[1] == "to" && [w[0], w[2]].iter().all(|n| n.parse::<u64>().is_ok());
    let ranges = numbers.windows(3).filter(is_range).map(|w| w.join(" "));
    ranges.chain(quoted(right).into_iter().map(|word| format!("`{word}`"))).collect()
}

#[test]
fn examples_are_what_they_say() {
    let mut seen = 0;
    for name in WITH_EXAMPLES {
        let text = read(&root().join(name));
        let blocks = blocks(&text);
        for (index, (kind, text)) in blocks.iter().enumerate() {
            match *kind {
                "json" => assert_eq!(problems(text), [""; 0], "{name}:\n{text}"),
                "json wrong" => {
                    let told = &blocks[index + 1].1;
                    assert_eq!(problems(text).join("\n") + "\n", *told, "{name}:\n{text}");
                }
                _ => continue,
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} examples");
}

// === every document ===

#[test]
fn links_lead_somewhere() {
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        let text = prose(&text);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(t, _)| t);
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root().join(&name) } else { folder.join(file) };
            assert!(file.exists(), "{}: {target}", name.display());
            let there = anchor.is_empty() || anchors(&read(&file)).contains(&anchor.to_owned());
            assert!(there, "{}: no heading for {target}", name.display());
        }
    }
}

/// What links call the headings of a document.
fn anchors(text: &str) -> Vec<String> {
    let prose = prose(text);
    let headings = prose.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let kept = |c: &char| c.is_ascii_alphanumeric() || " -_".contains(*c);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn files_that_are_named_are_there() {
    const ENDS: [&str; 8] = [".rs", ".md", ".yaml", ".yml", ".toml", ".json", ".sh", ".tsv"];
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        let text = prose(&text);
        let is_path = |word: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            word.contains('/') && word.chars().all(plain) && ENDS.iter().any(|end| word.ends_with(end))
        };
        for path in quoted(&text).into_iter().filter(is_path) {
            let places = [root().to_owned(), folder.clone(), root().join("shared/policy/src")];
            let there = places.iter().any(|from| from.join(path).exists());
            assert!(there, "{}: {path}", name.display());
        }
    }
}

#[test]
fn make_targets_that_are_named_are_there() {
    let makefile = read(&root().join("Makefile"));
    let is_target = |word: &str| makefile.lines().any(|line| line.starts_with(&format!("{word}:")));
    for (name, text) in documents() {
        for command in quoted(&prose(&text)).into_iter().filter_map(|code| code.strip_prefix("make ")) {
            for word in command.split(' ').filter(|word| !word.contains('=')) {
                assert!(is_target(word), "{}: make {word}", name.display());
            }
        }
    }
}

#[test]
fn metrics_that_are_named_are_counted_and_the_other_way_round() {
    let json = r#"{"limits": [{"name": "a", "key": ["host"], "requests": 1, "per_ms": 1}]}"#;
    let stage = RateLimit::configure(json.as_bytes()).unwrap();
    let names: Vec<String> = stage.counters().into_iter().map(|counter| counter.name).collect();
    let words: Vec<&str> = names.iter().filter_map(|name| name.rsplit('.').next()).collect();
    for (name, text) in documents() {
        for named in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let word = named.strip_prefix("tidegate_ratelimit_");
            assert!(word.is_none_or(|word| words.contains(&word)), "{}: {named}", name.display());
        }
    }
    let operations = read(&root().join("docs/operations.md"));
    let documented: Vec<String> = rows(&operations, "wasmcustom.tidegate.ratelimit.limit.<name>")
        .into_iter()
        .map(|(word, _)| word)
        .collect();
    assert_eq!(documented, words, "docs/operations.md");
}
