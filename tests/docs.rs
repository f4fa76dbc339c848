//! What the documents say is so.
//!
//! The tables of the references and the JSON Schemas are made of the tables that read documents, and are
//! held against those. Examples are parsed, links and files looked up.

#[path = "docs/coming_from.rs"]
mod coming_from;
#[path = "docs/discovery.rs"]
mod discovery_words;

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_policy::breaker::{self, CircuitBreaker};
use tidegate_policy::discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Metric, Placement, Stage};
use tidegate_policy::ratelimit::{self, RateLimit};
use tidegate_policy::routing::{self, Routing};
use tidegate_reference::{page, File, PAGES};
use tidegate_tests::paths::root;

const SHARED: &str = "docs/config.md";
const LIMITS: &str = "docs/config/ratelimit.md";
const BREAKERS: &str = "docs/config/breaker.md";
const DISCOVERY: &str = "docs/config/discovery.md";
const ROUTES: &str = "docs/config/routing.md";
const ALL: &str = "docs/config/fused.md";

/// Documents whose examples are complete configurations.
const WITH_EXAMPLES: [&str; 12] = [
    "README.md",
    SHARED,
    LIMITS,
    BREAKERS,
    DISCOVERY,
    ROUTES,
    ALL,
    "filters/breaker/README.md",
    "filters/discovery/README.md",
    "filters/fused/README.md",
    "filters/ratelimit/README.md",
    "filters/routing/README.md",
];

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

/// What is wrong with a configuration that stands in this document.
fn problems(document: &str, json: &str) -> Vec<String> {
    let told = if document == ALL || document.contains("fused") {
        Fused::configure(json.as_bytes(), Placement::Downstream).err()
    } else if document == DISCOVERY || json.contains("\"registries\"") {
        discovery::Policy::parse(json.as_bytes()).err()
    } else if document == BREAKERS || json.contains("\"breakers\"") {
        breaker::Policy::parse(json.as_bytes()).err()
    } else if document == ROUTES || json.contains("\"routes\"") {
        routing::Policy::parse(json.as_bytes()).err()
    } else {
        ratelimit::Policy::parse(json.as_bytes(), true).err()
    };
    told.map_or(Vec::new(), |e| e.problems.iter().map(ToString::to_string).collect())
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

// === references ===

/// The rows of the tables below a heading, by the field that they begin with.
fn rows(text: &str, heading: &str) -> Vec<(String, String)> {
    let heading = format!("# `{heading}`");
    let below = text.lines().skip_while(|line| !line.ends_with(&heading)).skip(1);
    let rows = below.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    rows.map(|row| (quoted(row)[0].to_owned(), row.to_owned())).collect()
}

#[test]
fn references_and_schemas_are_what_the_tables_of_fields_say() {
    let wrong =
        |file: &File| fs::read_to_string(root().join(&file.path)).map_or(true, |text| text != file.text);
    let files = tidegate_reference::files(root()).unwrap();
    let stale: Vec<String> =
        files.iter().filter(|f| wrong(f)).map(|f| f.path.display().to_string()).collect();
    assert_eq!(stale, [""; 0], "`make schema` writes them");
    let pages: String = PAGES.iter().map(|page| read(&root().join(page))).collect();
    // An object without fields has nothing to say; one that has all but one of another's is said there.
    let silent = ["nothing", "match.not"];
    for id in page::tables().into_keys().filter(|id| !silent.contains(id)) {
        assert!(pages.contains(&format!("<!-- fields: {id} -->")), "no page has {id}");
    }
}

#[test]
fn examples_are_what_they_say() {
    let mut seen = 0;
    for name in WITH_EXAMPLES {
        let text = read(&root().join(name));
        let blocks = blocks(&text);
        for (index, (kind, text)) in blocks.iter().enumerate() {
            match *kind {
                "json" => assert_eq!(problems(name, text), [""; 0], "{name}:\n{text}"),
                "json wrong" => {
                    let told = &blocks[index + 1].1;
                    assert_eq!(problems(name, text).join("\n") + "\n", *told, "{name}:\n{text}");
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

/// The metrics of a filter by what follows the name of its one limit or breaker.
fn words(metrics: Vec<Metric>) -> Vec<String> {
    let word = |metric: Metric| metric.name.split_once(".a.").map(|(_, word)| word.to_owned());
    metrics.into_iter().filter_map(word).collect()
}

#[test]
fn metrics_that_are_named_are_counted_and_the_other_way_round() {
    let limits = r#"{"limits": [{"name": "a", "key": ["host"], "requests": 1, "per_ms": 1}]}"#;
    let limits = RateLimit::configure(limits.as_bytes(), Placement::Downstream).unwrap();
    let breakers = r#"{"breakers": [{"name": "a", "target": {"cluster": "a"}}]}"#;
    let breakers = CircuitBreaker::configure(breakers.as_bytes(), Placement::Downstream).unwrap();
    let routes = r#"{"routes": [{"name": "a", "variants": [{"name": "v", "cluster": "c"}]}]}"#;
    let routes = Routing::configure(routes.as_bytes(), Placement::Downstream).unwrap().metrics();
    let word = |word: &str| word.strip_prefix("variant.v.").map(str::to_owned);
    let variants: Vec<String> = words(routes.clone()).iter().filter_map(|w| word(w)).collect();
    let mut of_routes = words(routes);
    of_routes.retain(|of| word(of).is_none());
    // A metric, and the words of response-code details that are none.
    let others = ["unmatched", "no_route", "status"].map(str::to_owned).to_vec();
    let filters = [
        ("ratelimit.limit.<name>", "tidegate_ratelimit_", words(limits.metrics())),
        ("breaker.breaker.<name>", "tidegate_breaker_", words(breakers.metrics())),
        ("routing.route.<name>", "", of_routes.clone()),
        ("routing.route.<name>.variant.<variant>", "", variants.clone()),
        ("routing", "tidegate_routing_", [others, of_routes, variants].concat()),
    ];
    let operations = read(&root().join("docs/operations.md"));
    for (heading, prefix, words) in filters {
        for (name, text) in documents() {
            for named in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                let word = named.strip_prefix(prefix).filter(|_| !prefix.is_empty());
                let is_one = |word: &str| words.iter().any(|w| w == word);
                assert!(word.is_none_or(is_one), "{}: {named}", name.display());
            }
        }
        if heading == "routing" {
            continue;
        }
        let documented = rows(&operations, &format!("wasmcustom.tidegate.{heading}"));
        let documented: Vec<String> = documented.into_iter().map(|(word, _)| word).collect();
        assert_eq!(documented, words, "docs/operations.md, {heading}");
    }
}
