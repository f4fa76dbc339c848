//! The second placement: around attempts.

use tidegate_policy::http::Placement;

use super::{Finding, Level, Rule};
use crate::filter::Filter;
use crate::find::{Chain, Host, Plugin};
use crate::tree::Node;

pub(super) static MISSING: Rule = Rule {
    id: "no-attempt-placement",
    level: Level::Error,
    help: "put the same module, vm_id and document into the router's upstream_http_filters, with root_id: attempt",
};
pub(super) static ROOT_ID: Rule = Rule {
    id: "attempt-root-id",
    level: Level::Error,
    help: "give it root_id: attempt (EnvoyFilter and Envoy alike): with another one it does at every attempt what the \
           filter at the listener did for the request",
};
pub(super) static OTHER_VM: Rule = Rule {
    id: "attempt-other-vm",
    level: Level::Warning,
    help: "give both placements the same vm_id, code, environment and document; in two VMs further attempts go by \
           what was best when the request began (docs/operations.md, two VMs)",
};

pub(super) fn check(chain: &Chain, findings: &mut Vec<Finding>) {
    for plugin in chain.attempts.iter().filter(|plugin| plugin.placement == Placement::Downstream) {
        let found = "a filter among upstream_http_filters has another root_id".to_owned();
        findings.push(Finding::new(&ROOT_ID, plugin, plugin.place.clone(), found, "root_id: attempt"));
    }
    for plugin in chain.plugins.iter().filter(|plugin| plugin.placement == Placement::Downstream) {
        let Some(tree) = &plugin.document.tree else { continue };
        let mut around = chain.attempts.iter().filter(|other| other.filter.is_of(plugin.filter));
        let found = around.next();
        for (filter, part) in plugin.filter.parts(tree) {
            let Some((need, what)) = needs(filter, &part).filter(|_| chain.host != Host::Bare) else {
                continue;
            };
            match found {
                None => {
                    let place = plugin.document.part(&need.span);
                    let finding =
                        Finding::new(&MISSING, plugin, place, what, "the filter around attempts, too");
                    findings.push(finding.only_warn(chain.open));
                }
                Some(other) => check_pair(plugin, other, findings),
            }
        }
    }
}

/// What of a document needs the filter around attempts.
pub(super) fn needs(filter: Filter, document: &Node) -> Option<(&Node, String)> {
    match filter {
        Filter::Discovery => {
            let steer = document.get("steer");
            let by_host = steer.is_some_and(|steer| {
                steer.text() == Some("override_host") || steer.get("override_host").is_some()
            });
            let services = document.get("services").map_or(&[][..], Node::items_or_self);
            let attempts = services.iter().filter_map(|service| service.get("attempts"));
            let mut several = attempts.filter(|attempts| attempts.number().is_some_and(|number| number > 1));
            let what = "further attempts go to the endpoint that failed";
            several.next().filter(|_| !by_host).map(|node| (node, what.to_owned()))
        }
        Filter::Breaker => {
            let breakers = document.get("breakers").map_or(&[][..], Node::items_or_self);
            let mut endpoints = breakers.iter().filter_map(|breaker| breaker.at(&["target", "endpoint"]));
            endpoints.next().map(|node| (node, "the breaker of endpoints sees no request".to_owned()))
        }
        _ => None,
    }
}

fn check_pair(plugin: &Plugin, other: &Plugin, findings: &mut Vec<Finding>) {
    let same_document = match (&plugin.document.tree, &other.document.tree) {
        (Some(one), Some(other)) => one.to_json() == other.to_json(),
        _ => true,
    };
    let known =
        |one: &str, other: &str| !one.is_empty() && !other.is_empty() && !plain(one).eq(&plain(other));
    let found = if plugin.vm.id != other.vm.id {
        format!("vm_id {:?} here and {:?} at the listener", other.vm.id, plugin.vm.id)
    } else if known(&plugin.vm.code, &other.vm.code) {
        "another code than at the listener".to_owned()
    } else if plugin.vm.env != other.vm.env {
        let env = if plugin.vm.env.is_empty() { &other.vm.env } else { &plugin.vm.env };
        format!("another environment than at the listener ({env})")
    } else if !same_document {
        "another document than at the listener".to_owned()
    } else {
        return;
    };
    let finding = Finding::new(&OTHER_VM, other, other.place.clone(), found, "the same in both places");
    let other = Some((plugin.place.clone(), "the filter at the listener".to_owned()));
    findings.push(Finding { other, ..finding });
}

/// The path in what a plugin says of its code: Envoy's message, or only a URL.
fn plain(code: &str) -> String {
    let mut texts = code.split('"').filter(|part| part.ends_with(".wasm") || part.contains("://"));
    let path = texts.next_back().unwrap_or(code);
    path.strip_prefix("file://").unwrap_or(path).to_owned()
}
