//! The runner is worth as much as the wrong vectors that it notices: each value of each
//! claimed file is changed, one at a time, and the file must then fail.
#![cfg(not(target_arch = "wasm32"))]

mod silent;

use serde_json::Value;
use silent::SILENT;
use tidegate_vectors::data::FREE_TEXT;
use tidegate_vectors::{check, claims, run, Failure, File, Outcome};

/// Formulas with prose behind them: changed at the front only.
const PROSE: [&str; 5] = ["/*/formula", "/*/jitter", "/bounds/*", "/rows/*/algo", "/rows/*/worst"];

/// What may be left out: free text, one of many, and what not every case has.
const OPTIONAL: [&str; 25] = [
    "breaker_backoff.json/resilience4j_randomized/u0",
    "breaker_backoff.json/resilience4j_randomized/u0.5",
    "breaker_backoff.json/resilience4j_randomized/u0.999",
    "breaker_merge.json/cases/*/name",
    "breaker_transitions.json/cases/*/events/*/ms",
    "breaker_transitions.json/cases/*/name",
    "discovery_parse.json/cases/*/path",
    "discovery_parse.json/cases/*/request_headers",
    "discovery_parse.json/cases/*/response_headers/*",
    "gcra.json/cases/*/name",
    "leasing.json/bounds/*",
    "limiter_comparison.json/rows/*/state",
    "progressive.json/argo/*/params/*",
    "ratelimit_headers.json/cases/*/expect_envoy_draft03",
    "ratelimit_headers.json/cases/*/name",
    "ratelimit_headers.json/grpc/*/name",
    "ratelimit_headers.json/grpc_to_http/*",
    "ratelimit_headers.json/unit_seconds/*",
    "rl_table.json/cases/*/name",
    "rl_table.json/maths/expected_colliding_pairs_full_table/*",
    "rl_table.json/maths/p_false_share_per_lookup/*",
    "route_match.json/gateway_api/rules/*/matches/*/headers",
    "route_match.json/gateway_api/rules/*/matches/*/path",
    "route_match.json/istio/rules/*/match/*/headers/x-canary/regex",
    ANSWERS,
];

/// A list that may as well be empty: no rule asks for that header.
const EMPTY: [&str; 3] =
    ["route_match.json/istio/cases/*/headers", "safe_shrink.json/cases/*/steps/*/fetched", ANSWERS];

/// What registries answer. They say more with each version, and most of it nobody needs: what we do
/// read is in [`READ`].
const ANSWERS: &str = "discovery_parse.json/cases/*/body/**";

/// What is read of a registry's answer.
#[rustfmt::skip]
const READ: [&str; 46] = [
    "Node/Node", "Node/Address", "Node/Meta/zone", "Service/ID", "Service/Address", "Service/Port", "Weights/Passing",
    "Weights/Warning", "Checks/CheckID", "Checks/Status",
    "instance/instanceId", "instance/ipAddr", "instance/status", "instance/overriddenStatus", "port/$", "port/@enabled",
    "securePort/$", "securePort/@enabled", "metadata/zone", "metadata/weight",
    "hosts/instanceId", "hosts/ip", "hosts/port", "hosts/weight", "hosts/healthy", "hosts/enabled", "hosts/clusterName",
    "code", "kvs/key", "kvs/value",
    "endpoints/addresses", "conditions/ready", "conditions/serving", "conditions/terminating",
    "endpoints/zone", "targetRef/name", "ports/name", "ports/port",
    "Status", "TC", "Question/name", "Question/type", "Answer/name", "Answer/type", "Answer/TTL", "Answer/data",
];

fn files() -> Vec<File> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let file = |path: std::path::PathBuf| File {
        name: path.file_name().unwrap().to_str().unwrap().to_string(),
        text: Ok(std::fs::read_to_string(path).unwrap()),
    };
    names.map(file).filter(|file| claims::of(&file.name).is_some()).collect()
}

fn document(file: &File) -> Value {
    serde_json::from_str(file.text.as_ref().unwrap()).unwrap()
}

fn outcome(file: &File, document: &Value) -> Result<Outcome, String> {
    let changed = File { name: file.name.clone(), text: Ok(document.to_string()) };
    check(&changed).map_err(|fault| fault.to_string())
}

/// The JSON pointers of everything in a document.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_string());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), out);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(item, &format!("{at}/{name}"), out);
            }
        }
        _ => {}
    }
}

/// Other values of the same type, close to this one.
fn changes(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(value) => vec![(!value).into()],
        Value::Null => vec![1.into()],
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => [n.checked_add(1), n.checked_sub(1).filter(|less| *less >= 0 || n < 0)]
                .into_iter()
                .flatten()
                .map(Value::from)
                .collect(),
            (None, Some(0.0)) => vec![0.000_1.into()],
            (None, Some(x)) => vec![(x * 1.000_1).into(), (x * 0.999_9).into()],
            _ => vec![0.into()],
        },
        Value::String(text) => vec![format!("9{text}").into(), format!("{text}9").into()],
        Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

fn free_text(pointer: &str) -> bool {
    let field = pointer.rsplit('/').next().unwrap();
    // These two are compared where they are data.
    !["name", "state"].contains(&field) && FREE_TEXT.contains(&field)
}

/// Changes every value of every file as `change` says, and lists what was not noticed and
/// is not in `allowed`.
fn unnoticed(allowed: &[&str], change: impl Fn(&Value, &str) -> Vec<Value>) -> Vec<String> {
    let mut unnoticed = Vec::new();
    for file in files() {
        let original = document(&file);
        let mut all = Vec::new();
        pointers(&original, "", &mut all);
        for pointer in all.iter().filter(|pointer| !free_text(pointer)) {
            let place = format!("{}{pointer}", file.name);
            let silent = allowed.iter().any(|pattern| alike(pattern, &place));
            for changed in change(&original, pointer) {
                if !silent && outcome(&file, &changed).is_ok() {
                    let leaf = |document: &Value| document.pointer(pointer).cloned();
                    unnoticed.push(format!("{place}: {:?} became {:?}", leaf(&original), leaf(&changed)));
                }
            }
        }
    }
    unnoticed
}

/// The names on the way to a place in a registry's answer, without indices.
fn names(pointer: &str) -> Option<Vec<&str>> {
    let (_, field) = pointer.split_once("/body/")?;
    Some(field.split('/').filter(|part| part.parse::<usize>().is_err()).collect())
}

fn alike(pattern: &str, place: &str) -> bool {
    let (mut a, mut b) = (pattern.split('/'), place.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some("**"), _) => return true,
            (Some("*"), Some(_)) => {}
            (left, right) if left == right => {}
            _ => return false,
        }
    }
}

fn with(original: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = original.clone();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

fn without(original: &Value, pointer: &str) -> Option<Value> {
    let mut changed = original.clone();
    let (parent, field) = pointer.rsplit_once('/')?;
    changed.pointer_mut(parent)?.as_object_mut()?.remove(field)?;
    Some(changed)
}

#[test]
fn the_vectors_hold() {
    for file in files() {
        let outcome = outcome(&file, &document(&file));
        assert!(matches!(outcome, Ok(Outcome::Ran { cases: 1.. })), "{}: {outcome:?}", file.name);
    }
}

#[test]
fn each_changed_value_is_noticed() {
    let left = unnoticed(&SILENT, |original, pointer| {
        let mut changes = changes(original.pointer(pointer).unwrap());
        if PROSE.iter().any(|pattern| alike(pattern, pointer)) {
            changes.truncate(1);
        }
        changes.into_iter().map(|change| with(original, pointer, change)).collect()
    });
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn each_missing_field_is_noticed() {
    let left = unnoticed(&OPTIONAL, |original, pointer| without(original, pointer).into_iter().collect());
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn each_wrong_type_is_noticed() {
    let left = unnoticed(&[ANSWERS], |original, pointer| {
        [serde_json::json!([[true]]), serde_json::json!({"x": 1}), Value::Bool(true), 1.5.into(), "".into()]
            .into_iter()
            .filter(|value| {
                let leaf = original.pointer(pointer).unwrap();
                std::mem::discriminant(leaf) != std::mem::discriminant(value)
            })
            .map(|value| with(original, pointer, value))
            .collect()
    });
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn each_emptied_list_is_noticed() {
    let left = unnoticed(&EMPTY, |original, pointer| {
        let list = original.pointer(pointer).unwrap().as_array();
        list.is_some_and(|items| !items.is_empty())
            .then(|| with(original, pointer, Value::Array(Vec::new())))
            .into_iter()
            .collect()
    });
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn each_unknown_field_is_noticed() {
    let left = unnoticed(&[ANSWERS], |original, pointer| {
        let mut changed = original.clone();
        let object = changed.pointer_mut(pointer).unwrap().as_object_mut();
        object.and_then(|fields| fields.insert("typo".to_string(), 1.into()).xor(Some(Value::Null)));
        if changed == *original {
            Vec::new()
        } else {
            vec![changed]
        }
    });
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn each_field_that_is_read_of_an_answer_matters() {
    let file = files().into_iter().find(|file| file.name == "discovery_parse.json").unwrap();
    let original = document(&file);
    let mut all = Vec::new();
    pointers(&original, "", &mut all);
    for read in READ {
        let tail: Vec<&str> = read.split('/').collect();
        let at = all.iter().filter(|pointer| names(pointer).is_some_and(|names| names.ends_with(&tail)));
        let mut changed = at.flat_map(|pointer| {
            let changes = changes(original.pointer(pointer).unwrap()).into_iter();
            changes.map(|change| with(&original, pointer, change)).chain(without(&original, pointer))
        });
        assert!(changed.any(|changed| outcome(&file, &changed).is_err()), "{read} may be anything");
    }
}

#[test]
fn a_failure_says_where() {
    let gcra = files().into_iter().find(|file| file.name == "gcra.json").unwrap();
    let original = document(&gcra);
    let wrong = with(&original, "/cases/1/steps/3/remaining", 2.into());
    let place = "cases[1 5_per_s_burst_5].steps[3]";
    assert_eq!(outcome(&gcra, &wrong), Err(format!("{place}.remaining: expected 2, got 1")));
    let missing = without(&original, "/cases/1/steps/3/remaining").unwrap();
    assert_eq!(outcome(&gcra, &missing), Err(format!("{place}: field `remaining` is missing")));
    let mistyped = with(&original, "/cases/1/steps/3/remaining", "1".into());
    assert_eq!(outcome(&gcra, &mistyped), Err(format!("{place}.remaining: expected \"1\", got 1")));
    let text = File { text: Ok("{".to_string()), ..gcra };
    let error = check(&text).unwrap_err().to_string();
    assert_eq!(error, "not JSON: EOF while parsing an object at line 1 column 1");
}

#[test]
fn a_run_ends_at_the_first_failure_and_needs_files() {
    let file = |name: &str, text: &str| File { name: name.to_string(), text: Ok(text.to_string()) };
    let mut said = Vec::new();
    let files = vec![file("z.json", ""), file("gcra.json", "{}"), file("a.json", ""), file("README.md", "")];
    let failure = run("here", files, |name, outcome| said.push(format!("{name}: {outcome}"))).unwrap_err();
    assert_eq!(said, ["a.json: not run"]);
    assert_eq!(failure.to_string(), "gcra.json: field `cases` is missing");
    let failure = run("here", vec![file("README.md", "")], |_, _| ()).unwrap_err();
    assert!(matches!(failure, Failure::Folder { .. }), "{failure}");
}
