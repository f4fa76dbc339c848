//! What makes labels of names in metrics.

use super::policy::Policy;

/// The label, the part of the document that it is for, and what its metric begins with.
const TAGS: [(&str, &str, &str); 8] = [
    ("scope", "", r"^wasmcustom\.tidegate\.[a-z]+(\.scope\.([A-Za-z0-9_-]+))\."),
    (
        "limit",
        "ratelimit",
        r"^wasmcustom\.tidegate\.ratelimit(?:\.scope\.[A-Za-z0-9_-]+)?(\.limit\.([A-Za-z0-9_-]+))\.",
    ),
    (
        "route",
        "routing",
        r"^wasmcustom\.tidegate\.routing(?:\.scope\.[A-Za-z0-9_-]+)?(\.route\.([A-Za-z0-9_-]+))\.",
    ),
    (
        "variant",
        "routing",
        r"^wasmcustom\.tidegate\.routing(?:\.scope\.[A-Za-z0-9_-]+)?\.route\.[A-Za-z0-9_-]+(\.variant\.([A-Za-z0-9_-]+))\.",
    ),
    (
        "breaker",
        "breaker",
        r"^wasmcustom\.tidegate\.breaker(?:\.scope\.[A-Za-z0-9_-]+)?(\.breaker\.([A-Za-z0-9_-]+))\.",
    ),
    (
        "reason",
        "breaker",
        r"^wasmcustom\.tidegate\.breaker(?:\.scope\.[A-Za-z0-9_-]+)?\.breaker\.[A-Za-z0-9_-]+\.transitions(\.([a-z_]+))$",
    ),
    (
        "service",
        "discovery",
        r"^wasmcustom\.tidegate\.discovery(?:\.scope\.[A-Za-z0-9_-]+)?(\.service\.([A-Za-z0-9_-]+))\.",
    ),
    (
        "registry",
        "discovery",
        r"^wasmcustom\.tidegate\.discovery(?:\.scope\.[A-Za-z0-9_-]+)?(\.registry\.([A-Za-z0-9_-]+))\.",
    ),
];

fn tags(policy: &Policy) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> + '_ {
    TAGS.iter().filter(|(_, part, _)| part.is_empty() || policy.part(part).is_some())
}

/// As items of YAML.
pub(super) fn yaml(policy: &Policy) -> String {
    tags(policy).map(|(name, _, regex)| format!("- tag_name: {name}\n  regex: '{regex}'\n")).collect()
}

/// As a bootstrap in JSON.
pub(super) fn json(policy: &Policy) -> String {
    let tag = |(name, _, regex): &(&str, &str, &str)| serde_json::json!({"tag_name": name, "regex": regex});
    let tags: Vec<String> = tags(policy).map(|of| format!("  {}", tag(of))).collect();
    format!("{{\"stats_config\": {{\"stats_tags\": [\n{}\n]}}}}\n", tags.join(",\n"))
}

/// What access logs show of each part.
pub(super) fn facts(policy: &Policy) -> String {
    let parts = ["ratelimit", "routing", "breaker", "discovery"];
    let there = parts.iter().filter(|part| policy.part(part).is_some());
    there.map(|part| format!(" %FILTER_STATE(wasm.tidegate.{part}:PLAIN)%")).collect()
}
