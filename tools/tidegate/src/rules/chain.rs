//! How the filters of a chain stand to each other, and what becomes of requests without one.

use super::{Finding, Level, Rule};
use crate::filter::Filter;
use crate::find::{Chain, Failure, Host, Plugin};

pub(super) static FAIL_OPEN: Rule = Rule {
    id: "fail-open",
    level: Level::Error,
    help: "use FAIL_RELOAD; where there is none, leave fail_open false (Consul: Required = true): after one trap a \
           worker skips the filter, and clients' steering headers reach Envoy's routes",
};
pub(super) static NO_RELOAD: Rule = Rule {
    id: "no-reload",
    level: Level::Warning,
    help: "set failure_policy (Istio: failStrategy) to FAIL_RELOAD: otherwise a worker answers 503 after a trap until \
           the configuration changes",
};
pub(super) static NO_SCHEME: Rule = Rule {
    id: "no-scheme",
    level: Level::Error,
    help: "begin the url with oci://, https:// or file://: of an image with a port and without a scheme istiod makes \
           nothing, and the plugin never arrives",
};
pub(super) static ORDER: Rule = Rule {
    id: "filter-order",
    level: Level::Warning,
    help: "put the filters in the order ratelimit, routing, breaker, discovery, or discovery before a breaker of a service \
           that discovery finds by its own match: an earlier one removes the steering headers that a later one sets",
};
pub(super) static PRIORITY: Rule = Rule {
    id: "no-priority",
    level: Level::Error,
    help: "give each plugin its own priority, such as 40 for ratelimit, 30 routing, 20 breaker, 10 discovery: without \
           one Istio puts them in the order of their names",
};

pub(super) fn check(chain: &Chain, findings: &mut Vec<Finding>) {
    for plugin in chain.plugins.iter().chain(&chain.attempts) {
        check_failure(plugin, findings);
        let is_url = plugin.vm.code.contains("://") || plugin.vm.code.starts_with('{');
        if chain.host == Host::Istio && !is_url && plugin.vm.code.contains(':') {
            let found = format!("the url {:?} has no scheme", plugin.vm.code);
            findings.push(Finding::new(
                &NO_SCHEME,
                plugin,
                plugin.place.clone(),
                found,
                "oci://, or another one",
            ));
        }
    }
    if chain.host == Host::Istio && chain.plugins.len() > 1 {
        check_priorities(chain, findings);
    }
    check_order(chain, findings);
}

fn check_failure(plugin: &Plugin, findings: &mut Vec<Finding>) {
    let (rule, place, found) = match &plugin.failure {
        Failure::Open(place) => (&FAIL_OPEN, place, "requests pass without the filter when it fails"),
        Failure::Closed(place) => {
            (&NO_RELOAD, place.as_ref().unwrap_or(&plugin.place), "a worker does not come back after a trap")
        }
        Failure::Reload | Failure::Unsettable => return,
    };
    findings.push(Finding::new(rule, plugin, place.clone(), found.to_owned(), "FAIL_RELOAD"));
}

fn check_priorities(chain: &Chain, findings: &mut Vec<Finding>) {
    // Those of an EnvoyFilter stand where it puts them.
    let mut listed: Vec<&Plugin> = chain.plugins.iter().filter(|plugin| !is_patch(plugin)).collect();
    if listed.len() < 2 {
        return;
    }
    while let Some(plugin) = listed.pop() {
        let same = listed.iter().find(|other| other.priority == plugin.priority);
        let (found, other) = match (plugin.priority, same) {
            (None, _) => ("no priority beside other plugins".to_owned(), None),
            (Some(priority), Some(other)) => {
                let other = (other.place.clone(), "has the same".to_owned());
                (format!("the priority {priority} is another plugin's, too"), Some(other))
            }
            _ => continue,
        };
        let place = plugin.place.clone();
        let finding = Finding::new(&PRIORITY, plugin, place, found, "a priority of its own");
        findings.push(Finding { other, ..finding });
    }
}

fn is_patch(plugin: &Plugin) -> bool {
    !plugin.vm.code.is_empty() && plugin.vm.code.starts_with('{')
}

/// What must not stand before what.
fn check_order(chain: &Chain, findings: &mut Vec<Finding>) {
    let place = |filter: Filter| match filter {
        Filter::RateLimit | Filter::RateLimitWithHeaders => 0,
        Filter::Routing => 1,
        Filter::Breaker | Filter::Discovery => 2,
        Filter::Fused => 3,
    };
    for (index, plugin) in chain.plugins.iter().enumerate() {
        let own = place(plugin.filter);
        let before = chain
            .plugins
            .iter()
            .take(index)
            .find(|other| own < place(other.filter) && place(other.filter) < 3);
        let Some(before) = before else { continue };
        let found = format!("{} stands behind {}", plugin.filter.word(), before.filter.word());
        let finding = Finding::new(&ORDER, plugin, plugin.place.clone(), found, "it before");
        let other = Some((before.place.clone(), "stands before it".to_owned()));
        findings.push(Finding { other, ..finding });
    }
}
