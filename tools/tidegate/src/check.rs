//! `tidegate check`.

use crate::done::{Done, Outcome};
use crate::find::find;
use crate::options::Check;
use crate::report::Report;
use crate::rules::{self, Level, RULES};
use crate::source::read_all;

/// Checks files.
#[must_use]
pub fn run(options: &Check) -> Done {
    if options.rules {
        return Done { out: list(), err: String::new(), outcome: Outcome::Well };
    }
    let (files, unread) = read_all(&options.files);
    let worlds = find(&files);
    let (findings, found) = (rules::check(&worlds), worlds.iter().map(|world| world.found).sum());
    let report = Report { files: &files, unread: &unread, findings: &findings, found };
    let bad = report.count(Level::Error) > 0 || (options.strict && !findings.is_empty());
    let nothing = found == 0 && unread.is_empty();
    let outcome = if !unread.is_empty() || nothing {
        Outcome::Unread
    } else if bad {
        Outcome::Problems
    } else {
        Outcome::Well
    };
    let err = if nothing {
        "no configuration of Tidegate in these files: nothing was checked\n".to_owned()
    } else {
        String::new()
    };
    Done { out: report.print(options.format), err, outcome }
}

fn list() -> String {
    let rule = |rule: &&rules::Rule| format!("{} ({})\n    {}\n", rule.id, rule.level.word(), rule.help);
    RULES.iter().map(rule).collect()
}
