//! How the tools in `tools/` look: on a terminal, in a file, to a person who reads numbers.

use std::cell::Cell;
use std::env;
use std::io::{stderr, stdout, IsTerminal, Write};
use std::time::Instant;

/// A line on standard error that says how far a tool is: in place on a terminal; elsewhere a new
/// one for a step, ten in all at most.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    count: usize,
    start: Instant,
    terminal: bool,
    said: Cell<Option<usize>>,
}

/// Whether standard output takes colours.
pub fn colour() -> bool {
    stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A number with its thousands apart: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

// === impl Progress ===

impl Progress {
    /// Nothing done yet of `count` steps of `what`.
    pub fn new(what: &'static str, count: usize) -> Self {
        let terminal = stderr().is_terminal();
        Self { what, count, start: Instant::now(), terminal, said: Cell::new(None) }
    }

    /// So many steps are done, and `detail` is being done; may be called again with news.
    pub fn show(&self, done: usize, detail: &str) {
        let seconds = self.start.elapsed().as_secs();
        let line = format!("{} {}/{} {seconds} s {detail}", self.what, done + 1, self.count);
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            let _ = stderr().flush();
        } else if done % (self.count / 10).max(1) == 0 && self.said.replace(Some(done)) != Some(done) {
            eprintln!("{line}");
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let got = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(got, ["0", "999", "1,000", "1,234,567"]);
    }
}
