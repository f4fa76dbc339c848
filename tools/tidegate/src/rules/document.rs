//! Documents by themselves: what the filter's own parser says.

use tidegate_policy::config::Problem;
use tidegate_policy::http::Placement;

use super::{Finding, Level, Rule};
use crate::filter::Filter;
use crate::find::Plugin;

pub(super) static DOCUMENT: Rule = Rule {
    id: "document",
    level: Level::Error,
    help: "mend it: with this document the filter does not load; `tidegate docs` says what each field is",
};
pub(super) static STRUCT: Rule = Rule {
    id: "struct-configuration",
    level: Level::Error,
    help: "write the document as a text of JSON: in Envoy's files in a google.protobuf.StringValue, for Consul as a heredoc",
};
pub(super) static IDLE: Rule = Rule {
    id: "idle-placement",
    level: Level::Error,
    help: "take away the root id `attempt`, or put the filter among the http_filters of the listener",
};

pub(super) fn check(plugin: &Plugin, findings: &mut Vec<Finding>) {
    let document = &plugin.document;
    if let Some(found) = document.misshapen {
        let (place, expected) = (document.place.clone(), "a text of JSON, in Envoy's files in a StringValue");
        findings.push(Finding::new(&STRUCT, plugin, place, found.to_owned(), expected));
    }
    if plugin.placement == Placement::Attempt && (plugin.filter.limits() || plugin.filter == Filter::Routing)
    {
        let found = format!("{} does nothing around attempts", plugin.filter.word());
        let place = plugin.place.clone();
        findings.push(Finding::new(&IDLE, plugin, place, found, "it among the filters of the listener"));
    }
    if let Err(error) = plugin.filter.configure(&document.json, plugin.placement) {
        findings.extend(error.problems.iter().map(|problem| of_problem(plugin, problem)));
        if error.more > 0 {
            let (place, found) = (document.place.clone(), format!("{} more problems", error.more));
            findings.push(Finding::new(&DOCUMENT, plugin, place, found, "none"));
        }
    }
}

fn of_problem(plugin: &Plugin, problem: &Problem) -> Finding {
    let path = problem.path.to_string();
    let of_key =
        ["unknown field", "given twice", "belongs "].iter().any(|start| problem.found.starts_with(start));
    let place = plugin.document.locate(&path, of_key);
    Finding { path, ..Finding::new(&DOCUMENT, plugin, place, problem.found.clone(), &problem.expected) }
}
