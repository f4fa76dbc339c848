//! Findings, printed: for people, for programs, for CI.

mod annotations;
mod json;
mod sarif;
mod text;

use clap::ValueEnum;

use crate::rules::{Finding, Level};
use crate::source::{line_and_column, File, Place, Unread};

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the lines of the file, for people.
    Text,
    /// One object.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of GitHub's.
    Github,
}

/// All there is to print.
pub struct Report<'r> {
    /// The files that were read.
    pub files: &'r [File],
    /// Those that were not.
    pub unread: &'r [Unread],
    /// What is wrong.
    pub findings: &'r [Finding],
    /// How many plugins were found.
    pub found: usize,
}

/// Where something stands, from 1; columns count characters.
struct Spot<'r> {
    file: &'r str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

// === impl Report ===

impl Report<'_> {
    /// The report in a format.
    #[must_use]
    pub fn print(&self, format: Format) -> String {
        match format {
            Format::Text => text::print(self),
            Format::Json => json::print(self),
            Format::Sarif => sarif::print(self),
            Format::Github => annotations::print(self),
        }
    }

    /// How many findings of a level there are.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    fn spot(&self, place: &Place) -> Spot<'_> {
        let Some(file) = self.files.get(place.file) else {
            return Spot { file: "", line: 1, column: 1, end_line: 1, end_column: 1 };
        };
        let (line, column) = line_and_column(&file.text, place.span.start);
        let (end_line, end_column) = line_and_column(&file.text, place.span.end);
        Spot { file: &file.name, line, column, end_line, end_column }
    }
}

fn spot_of(unread: &Unread) -> (usize, usize) {
    line_and_column(&unread.text, unread.why.at)
}
