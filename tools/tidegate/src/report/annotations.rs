//! For GitHub: a line for each finding, which it shows beside the file.

use super::{spot_of, Report};

pub(super) fn print(report: &Report<'_>) -> String {
    let findings = report.findings.iter().map(|finding| {
        let spot = report.spot(&finding.place);
        let level = finding.level.word();
        let place = format!(
            "file={},line={},col={},endLine={},endColumn={}",
            property(spot.file),
            spot.line,
            spot.column,
            spot.end_line,
            spot.end_column
        );
        let says = message(&format!("{}\n{}", finding.line(), finding.rule.help));
        format!("::{level} {place},title=tidegate {}::{says}\n", property(finding.rule.id))
    });
    let unread = report.unread.iter().map(|unread| {
        let (line, column) = spot_of(unread);
        let (file, says) = (property(&unread.name), message(&unread.why.says));
        format!("::error file={file},line={line},col={column},title=tidegate unread::{says}\n")
    });
    unread.chain(findings).collect()
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
