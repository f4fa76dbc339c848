//! For people: each finding with its lines.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Mark, Renderer, Snippet};

use super::Report;
use crate::rules::{Finding, Level};
use crate::source::{File, Unread};

/// The most lines of one place that are shown.
const LINES: usize = 3;

pub(super) fn print(report: &Report<'_>) -> String {
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for unread in report.unread {
        _ = writeln!(text, "{}\n", renderer.render(&[of_unread(unread)]));
    }
    for finding in report.findings {
        _ = writeln!(text, "{}\n", renderer.render(&[group(report, finding)]));
    }
    let (files, found) = (report.files.len(), report.found);
    let (errors, warnings) = (report.count(Level::Error), report.count(Level::Warning));
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (files, found) = (many(files, "file"), many(found, "configuration"));
    let (errors, warnings) = (many(errors, "error"), many(warnings, "warning"));
    let unread = match report.unread.len() {
        0 => String::new(),
        n => format!(", {} not read", many(n, "file")),
    };
    _ = writeln!(text, "{files}, {found}: {errors}, {warnings}{unread}");
    text
}

fn of_unread(unread: &Unread) -> Group<'_> {
    let title = format!("{}: cannot be read: {}", unread.name, unread.why.says);
    let title = Mark::ERROR.primary_title(title).id("unread");
    if unread.text.is_empty() {
        return Group::with_title(title);
    }
    let at = within(&unread.text, &(unread.why.at..unread.why.at + 1));
    title.element(
        Snippet::source(&*unread.text).path(&*unread.name).annotation(AnnotationKind::Primary.span(at)),
    )
}

fn group<'r>(report: &Report<'r>, finding: &'r Finding) -> Group<'r> {
    let mark = match finding.level {
        Level::Error => Mark::ERROR,
        Level::Warning => Mark::WARNING,
    };
    let path = if finding.path.is_empty() { String::new() } else { format!("{}: ", finding.path) };
    let title = mark.primary_title(format!("{path}{}", finding.found)).id(finding.rule.id);
    let Some(file) = report.files.get(finding.place.file) else { return Group::with_title(title) };
    let label = format!("expected {}", finding.expected);
    let primary = AnnotationKind::Primary.span(shown(file, &finding.place.span)).label(label);
    let other = finding.other.as_ref();
    let same = other.filter(|(place, _)| place.file == finding.place.file);
    let context =
        same.map(|(place, says)| AnnotationKind::Context.span(shown(file, &place.span)).label(says));
    let mut group = title.element(snippet(file).annotation(primary).annotations(context));
    if let Some((place, says)) = other.filter(|_| same.is_none()) {
        if let Some(file) = report.files.get(place.file) {
            let there = AnnotationKind::Context.span(shown(file, &place.span)).label(says);
            group = group.element(snippet(file).annotation(there));
        }
    }
    if !finding.plugin.is_empty() {
        group = group.element(Mark::NOTE.message(format!("in plugin {}", finding.plugin)));
    }
    group.element(Mark::HELP.message(finding.rule.help))
}

fn snippet<'r>(file: &'r File) -> Snippet<'r, annotate_snippets::Annotation<'r>> {
    Snippet::source(&*file.text).path(&*file.name)
}

/// A place as far as it is shown: not all of a long list.
fn shown(file: &File, span: &Range<usize>) -> Range<usize> {
    let span = within(&file.text, span);
    let text = file.text.get(span.clone()).unwrap_or_default();
    let end: usize = text.split_inclusive('\n').take(LINES).map(str::len).sum();
    let text = text.get(..end).unwrap_or_default().trim_end();
    span.start..span.start + text.len().max(1)
}

/// A span of whole characters of the text.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}
