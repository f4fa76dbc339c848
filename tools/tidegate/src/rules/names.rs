//! Names are identities: two documents with one name share its state.

use std::collections::BTreeMap;

use tidegate_policy::claims::Claim;

use super::{Finding, Level, Rule};
use crate::find::{Host, Plugin, World};
use crate::source::Place;
use crate::tree::Node;

pub(super) static SAME_NAME: Rule = Rule {
    id: "same-name",
    level: Level::Error,
    help: "give one of the documents a `scope`, rename it in one, or make the numbers the same: documents with one \
           vm_id share the state of a name and ruin it for each other",
};

/// What a plugin means by a name, and where.
struct Meant<'w> {
    plugin: &'w Plugin,
    claim: Claim,
    place: Place,
}

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<(&str, String), Vec<Meant<'_>>> = BTreeMap::new();
    let chains = world.chains.iter().filter(|chain| chain.host != Host::Bare);
    for plugin in chains.flat_map(|chain| chain.plugins.iter().chain(&chain.attempts)) {
        let Some(tree) = &plugin.document.tree else { continue };
        for (filter, part) in plugin.filter.parts(tree) {
            let claims = filter.configure(part.to_json().as_bytes(), plugin.placement);
            for claim in claims.unwrap_or_default() {
                let place = plugin.document.part(&named(&part, &claim));
                let all = seen.entry((&plugin.vm.id, claim.name.clone())).or_default();
                let other =
                    all.iter().find(|other| other.claim.tag != claim.tag || other.claim.value != claim.value);
                if let Some(other) = other {
                    let found = format!(
                        "{} is {} here, and {} in plugin {:?}",
                        claim.name, claim.value, other.claim.value, other.plugin.name
                    );
                    let place = place.clone();
                    let finding =
                        Finding::new(&SAME_NAME, plugin, place, found, "the same, or another scope");
                    let other = Some((other.place.clone(), format!("the other {}", claim.name)));
                    findings.push(Finding { other, ..finding });
                }
                all.push(Meant { plugin, claim, place });
            }
        }
    }
}

/// Where a document gives the thing its name.
fn named(document: &Node, claim: &Claim) -> std::ops::Range<usize> {
    let quoted = claim.name.split('`').nth(1).unwrap_or_default();
    let last = quoted.rsplit('/').next().unwrap_or_default();
    let mut found = None;
    document.walk(&mut |node| {
        let own = node.get("name").filter(|name| name.text() == Some(quoted) || name.text() == Some(last));
        if let (Some(name), None) = (own, &found) {
            found = Some(name.span.clone());
        }
    });
    found.unwrap_or_else(|| document.span.clone())
}
