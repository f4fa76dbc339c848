//! Lines of text with colours, and bars.

use std::fmt::Write;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Admitted,
    Dim,
    Name,
    Plain,
    Refused,
    Title,
    /// Neither well nor failed.
    Unsure,
}

/// One line: pieces of text from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Ink, String)>);

// === impl Line ===

impl Line {
    /// A line that starts with `text`.
    pub(crate) fn new(ink: Ink, text: impl Into<String>) -> Self {
        Self::default().and(ink, text)
    }

    /// Appends `text`.
    pub(crate) fn and(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    /// Appends `text` so that it ends at column `width`.
    pub(crate) fn flush(self, ink: Ink, text: &str, width: usize) -> Self {
        let gap = width.saturating_sub(self.len() + text.chars().count()).max(1);
        self.and(Ink::Plain, " ".repeat(gap)).and(ink, text)
    }

    /// With a rule in place of each wide gap and up to column `width`, so that it parts what is above
    /// from what is below without a line between them.
    pub(crate) fn ruled(mut self, width: usize) -> Self {
        for (_, text) in &mut self.0 {
            *text = rule_gaps(text);
        }
        let rest = width.saturating_sub(self.len());
        if rest > 1 {
            self = self.and(Ink::Dim, format!(" {}", "─".repeat(rest - 1)));
        }
        self
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// What to write for it: at most `width` columns, no blanks at the end.
    pub(crate) fn show(&self, width: usize, colours: bool) -> String {
        let (mut out, mut left) = (String::new(), width);
        for (ink, text) in &self.0 {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            match ink.code().filter(|_| colours && !text.trim().is_empty()) {
                Some(code) => {
                    let _ = write!(out, "\x1b[{code}m{text}\x1b[0m");
                }
                None => out.push_str(&text),
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

// === impl Ink ===

impl Ink {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Admitted => Some("32"),
            Self::Dim => Some("2"),
            Self::Name => Some("1"),
            Self::Plain => None,
            Self::Refused => Some("31"),
            Self::Title => Some("1;36"),
            Self::Unsure => Some("33"),
        }
    }
}

/// The text with a rule in each gap that has three columns or more.
fn rule_gaps(text: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = text.chars().collect();
    for run in chars.chunk_by(|one, next| (*one == ' ') == (*next == ' ')) {
        match run.len() {
            wide @ 3.. if run[0] == ' ' => {
                let _ = write!(out, " {} ", "─".repeat(wide - 2));
            }
            _ => out.extend(run),
        }
    }
    out
}

/// A bar for each value, one column wide, as high as its part of `most`. What is there is seen,
/// however little it is.
pub(crate) fn bars(values: impl Iterator<Item = Option<u64>>, most: u64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |value: Option<u64>| match value {
        None | Some(0) => ' ',
        Some(value) => BARS[usize::try_from((value * 8).div_ceil(most.max(1))).unwrap_or(8).clamp(1, 8) - 1],
    };
    values.map(bar).collect()
}

/// A bar from left to right, as wide as its part of `columns`, with blanks behind it. What is there is
/// seen, however little it is.
pub(crate) fn bar(part: u64, whole: u64, columns: usize) -> String {
    const ENDS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part * columns as u64 * 8).div_ceil(whole.max(1)).min(columns as u64 * 8);
    let eighths = usize::try_from(eighths).unwrap_or(0);
    let bar = "█".repeat(eighths / 8) + ENDS[eighths % 8];
    format!("{bar:<columns$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_width_and_coloured_on_demand() {
        let line = Line::new(Ink::Admitted, "▁▂▃").and(Ink::Plain, " and ").and(Ink::Refused, "█").flush(
            Ink::Dim,
            "end",
            14,
        );
        #[rustfmt::skip]
        let cases = [
            // width  colours  shown
            (20,      false,   "▁▂▃ and █  end"),
            (9,       false,   "▁▂▃ and █"),
            (8,       true,    "\x1b[32m▁▂▃\x1b[0m and"),
            (20,      true,    "\x1b[32m▁▂▃\x1b[0m and \x1b[31m█\x1b[0m  \x1b[2mend\x1b[0m"),
            (0,       true,    ""),
        ];
        for (width, colours, shown) in cases {
            assert_eq!(line.show(width, colours), shown, "{width}");
        }
    }

    #[test]
    fn a_rule_fills_gaps() {
        let line = Line::new(Ink::Plain, " a  b   c").flush(Ink::Dim, "d", 16);
        assert_eq!(line.clone().ruled(16).show(20, false), " a  b ─ c ──── d");
        assert_eq!(line.ruled(20).show(20, false), " a  b ─ c ──── d ───");
        assert_eq!(Line::default().ruled(1).show(20, false), "");
    }

    #[test]
    fn a_bar_is_as_wide_as_its_part() {
        let cases = [
            (0, 9, "    "),
            (1, 1_000, "▏   "),
            (1, 2, "██  "),
            (5, 8, "██▌ "),
            (3, 3, "████"),
            (0, 0, "    "),
        ];
        for (part, whole, shown) in cases {
            assert_eq!(bar(part, whole, 4), shown, "{part} of {whole}");
        }
    }

    #[test]
    fn bars_show_the_least_and_the_most() {
        let values = [None, Some(0), Some(1), Some(400), Some(800), Some(900)];
        assert_eq!(bars(values.into_iter(), 800), "  ▁▄██");
        assert_eq!(bars([Some(0)].into_iter(), 0), " ");
    }
}
