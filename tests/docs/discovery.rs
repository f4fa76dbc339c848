//! The metrics and reasons in the pages of the discovery filter.

use tidegate_policy::discovery::catalog::unavailable::Unavailable;
use tidegate_policy::discovery::request::reply::RefusalReason;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::http::{Placement, Stage};
use tidegate_tests::paths::root;

use super::{documents, read, rows, DISCOVERY};

#[test]
fn metrics_that_are_named_are_counted_and_the_other_way_round() {
    let json = r#"{"registries": {"a": {"consul": {"cluster": "c"}}}, "allow": ["10.0.0.0/8:80"],
        "services": [{"name": "a", "registry": "a"}]}"#;
    let metrics = Discovery::configure(json.as_bytes(), Placement::Downstream).unwrap().metrics();
    let below = |prefix: &str| -> Vec<String> {
        let word = |name: &str| name.strip_prefix(prefix).filter(|w| !w.contains('.')).map(str::to_owned);
        metrics.iter().filter_map(|metric| word(&metric.name)).collect()
    };
    let operations = read(&root().join("docs/operations.md"));
    // What response-code details have in their place, and how both are named together.
    let mut all = vec![String::new(), "no_service".to_owned()];
    let heads = [("", ""), (".registry.<name>", "registry.a."), (".service.<name>", "service.a.")];
    for (heading, prefix) in heads {
        let words = below(&format!("tidegate.discovery.{prefix}"));
        let documented = rows(&operations, &format!("wasmcustom.tidegate.discovery{heading}"));
        let documented: Vec<String> = documented.into_iter().map(|(word, _)| word).collect();
        assert_eq!(documented, words, "docs/operations.md, {heading}");
        all.extend(words);
    }
    for (name, text) in documents() {
        for named in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let word = named.strip_prefix("tidegate_discovery_");
            assert!(word.is_none_or(|word| all.iter().any(|w| w == word)), "{}: {named}", name.display());
        }
    }
}

#[test]
fn reasons_that_are_named_are_given_and_the_other_way_round() {
    let all = [
        RefusalReason::from(Unavailable::Expired),
        RefusalReason::from(Unavailable::NoEndpoints),
        RefusalReason::NoneInSubset,
        RefusalReason::from(Unavailable::NotKnownYet),
        RefusalReason::RetryBudget,
        RefusalReason::from(Unavailable::UnknownService),
    ];
    let text = read(&root().join(DISCOVERY));
    let table = text.lines().skip_while(|line| *line != "| reason | when |").skip(2);
    let named = table.map_while(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(named.collect::<Vec<_>>(), all.map(RefusalReason::word));
}
