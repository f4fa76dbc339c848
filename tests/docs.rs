//! What the documents say is so.
//!
//! The references of the filters are held against their parsers, which are asked for what they
//! know: documents with a field that they cannot know make them list the ones they do, and values
//! that no field takes make them say what would be right. Examples are parsed, links and files
//! looked up.

#[path = "docs/discovery.rs"]
mod discovery_defaults;
#[path = "docs/objects.rs"]
mod objects;

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_policy::breaker::{self, CircuitBreaker};
use tidegate_policy::discovery;
use tidegate_policy::http::{Metric, Placement, Stage};
use tidegate_policy::ratelimit::{self, RateLimit};
use tidegate_policy::routing::{self, Routing};
use tidegate_tests::paths::root;

use objects::{BREAKERS, DISCOVERY, LIMITS, OBJECTS, ROUTES, SHARED};

/// Documents whose examples are complete configurations.
const WITH_EXAMPLES: [&str; 10] = [
    "README.md",
    SHARED,
    LIMITS,
    BREAKERS,
    DISCOVERY,
    ROUTES,
    "filters/breaker/README.md",
    "filters/discovery/README.md",
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
    let told = if document == DISCOVERY || json.contains("\"registries\"") {
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

/// The fields that the parser lists when it meets one that it does not know.
fn known(document: &str, object: &str) -> Vec<String> {
    let problems = problems(document, &object.replace('@', r#"{"zzz": 0}"#));
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

/// The rows of an object's tables in a reference.
fn reference(document: &str, heading: &str) -> Vec<(String, String)> {
    rows(&read(&root().join(document)), heading)
}

#[test]
fn references_have_every_field_and_no_other() {
    for (document, heading, object) in OBJECTS {
        let fields: Vec<String> = reference(document, heading).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, known(document, object), "{document}, `{heading}`");
    }
    for document in [SHARED, LIMITS, BREAKERS, DISCOVERY, ROUTES] {
        let text = read(&root().join(document));
        let headings: Vec<&str> =
            text.lines().filter(|line| line.contains("# `")).map(|l| quoted(l)[0]).collect();
        let mut here: Vec<&str> = Vec::new();
        for (_, heading, _) in OBJECTS.into_iter().filter(|(of, _, _)| *of == document) {
            if !here.contains(&heading) {
                here.push(heading);
            }
        }
        assert_eq!(headings, here, "{document}");
    }
}

#[test]
fn references_have_the_bounds_and_words_of_the_parsers() {
    let mut checked = 0;
    for (document, heading, object) in OBJECTS {
        for (field, row) in reference(document, heading) {
            for wrong in ["[]", "\"\""] {
                let json = object.replace('@', &format!("{{\"{field}\": {wrong}}}"));
                for problem in problems(document, &json) {
                    let (path, what) = problem.split_once(": ").unwrap();
                    if path.rsplit('.').next() != Some(&field) {
                        continue;
                    }
                    for right in what.split_once("expected ").map_or(Vec::new(), |(_, right)| rights(right)) {
                        let row = row.replace(',', "");
                        assert!(row.contains(&right), "{document}, {field}: no {right:?} in {row}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 200, "only {checked} bounds and words");
}

#[test]
fn the_defaults_of_a_breaker_are_those_of_the_parser() {
    let json = r#"{"breakers": [{"name": "a", "target": {"cluster": "a"}, "admission": {}}]}"#;
    let policy = breaker::Policy::parse(json.as_bytes()).unwrap();
    let breaker = &policy.breakers[0];
    let (terms, soft) = (breaker.params, breaker.soft.unwrap());
    let numbers = [
        ("failure_rate_percent", u64::from(terms.failure_rate_percent)),
        ("slow_rate_percent", terms.slow_rate_percent.into()),
        ("slow_call_ms", terms.slow_call_ms),
        ("minimum_calls", terms.minimum_calls.into()),
        ("window_ms", terms.slot_ms * u64::from(terms.slots)),
        ("window_slots", terms.slots.into()),
        ("consecutive_failures", terms.consecutive_failures.into()),
        ("half_open_permits", terms.half_open_permits.into()),
        ("max_half_open_ms", terms.max_half_open_ms),
        ("base_open_ms", terms.base_open_ms),
        ("backoff_multiplier_percent", terms.backoff_multiplier_percent.into()),
        ("max_open_ms", terms.max_open_ms),
        ("jitter_percent", terms.jitter_percent.into()),
        ("streak_decay_ms", terms.streak_decay_ms),
        ("max_ejection_percent", breaker.max_ejection_percent.into()),
        ("aggression_percent", soft.aggression_percent.into()),
        ("max_refused_percent", soft.max_refused_percent.into()),
        ("status", policy.reply.status.into()),
        ("grpc_status", policy.reply.grpc_status.into()),
    ];
    let objects = ["breakers[]", "breakers[].admission", "reply"];
    let all: Vec<_> = objects.iter().flat_map(|object| reference(BREAKERS, object)).collect();
    for (field, expected) in numbers {
        let (_, row) = all.iter().find(|(of, _)| of == field).unwrap_or_else(|| panic!("no {field}"));
        let default = row.split('|').nth(3).unwrap_or_default().replace(',', "");
        assert_eq!(default.trim().parse(), Ok(expected), "{field}: {row}");
    }
    let header =
        reference(BREAKERS, "configuration").into_iter().find(|(field, _)| field == "cluster_header");
    assert!(header.is_some_and(|(_, row)| row.contains(breaker::config::CLUSTER_HEADER)));
}

/// What an object's row has for a default.
fn default_of(rows: &[(String, String)], field: &str) -> String {
    let (_, row) = rows.iter().find(|(of, _)| of == field).unwrap_or_else(|| panic!("no {field}"));
    row.split('|').nth(3).unwrap_or_default().replace([',', '`'], "").trim().to_owned()
}

#[test]
fn the_defaults_of_a_route_are_those_of_the_parser() {
    let json = r#"{"force": {"secret": "0123456789abcdef"}, "routes": [{"name": "a",
        "sticky": {"experiment": "e", "cookie": {"name": "tg"}},
        "variants": [{"name": "v", "cluster": "c", "weight": 9},
                     {"name": "w", "cluster": "d", "ramp": {"steps": [{"weight": 2, "hold_ms": 1000}]}}]}]}"#;
    let policy = routing::Policy::parse(json.as_bytes()).unwrap();
    let (force, headers, route) = (policy.force.as_ref().unwrap(), &policy.headers, &policy.routes[0]);
    let ramp = route.variants[1].ramp.as_ref().unwrap();
    let demands = ramp.demands;
    let cookie = route.sticky.as_ref().unwrap().generated.as_ref().unwrap();
    #[rustfmt::skip]
    let defaults = [
        ("force",                          "header",          force.header.clone()),
        ("force",                          "secret_header",   force.secret_header.clone()),
        ("headers",                        "cluster",         headers.cluster.to_string()),
        ("headers",                        "mirror",          headers.mirror.to_string()),
        ("routes[].variants[]",            "weight",          route.variants[1].weight.to_string()),
        ("routes[].variants[].ramp",       "interval_ms",     ramp.interval_ms.to_string()),
        ("routes[].variants[].ramp.abort", "min_success_percent", (demands.min_success_basis_points / 100).to_string()),
        ("routes[].variants[].ramp.abort", "min_success_basis_points",  demands.min_success_basis_points.to_string()),
        ("routes[].variants[].ramp.abort", "tolerance_basis_points",    demands.tolerance_basis_points.to_string()),
        ("routes[].variants[].ramp.abort", "max_p99_ms",      demands.max_p99_ms.to_string()),
        ("routes[].variants[].ramp.abort", "p99_percent",         demands.p99_percent.to_string()),
        ("routes[].variants[].ramp.abort", "min_samples",     demands.min_samples.to_string()),
        ("routes[].variants[].ramp.abort", "max_failed",      ramp.max_failed.to_string()),
    ];
    for (object, field, expected) in defaults {
        assert_eq!(default_of(&reference(ROUTES, object), field), expected, "{object}.{field}");
    }
    assert_eq!([&headers.random, &headers.variant, &headers.bucket], [&None; 3]);
    let all = reference(ROUTES, "routes[].sticky.cookie");
    let of = |field| default_of(&all, field);
    assert_eq!((of("secure").as_str(), of("same_site").as_str()), ("true", "lax"));
    let expected = format!(
        "tg=7; Path={}; Max-Age={}; Secure; HttpOnly; SameSite=Lax",
        of("path"),
        of("max_age_ms").trim_end_matches("000")
    );
    assert_eq!(cookie.set_cookie("7"), expected);
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
