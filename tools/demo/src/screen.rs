//! Where the demo is shown: in place on a terminal, line by line elsewhere.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::mem;

use terminal_size::{terminal_size, Height, Width};

use crate::text::Line;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    /// Whether the terminal is still to be given back.
    taken: bool,
    colours: bool,
}

// === impl Screen ===

impl Screen {
    /// Takes the terminal if there is one. Dropping the screen gives it back.
    pub(crate) fn open() -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let colours = terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if terminal {
            // The other screen, without wrapping and cursor: a changed size then leaves nothing behind.
            let _ = write("\x1b[?1049h\x1b[?7l\x1b[?25l");
        }
        Self { terminal, taken: terminal, colours }
    }

    /// Whether it can be drawn on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns and lines to write to. The last column stays empty: with the cursor in it,
    /// [`draw`](Self::draw) would erase what it has just written there.
    pub(crate) fn size() -> (usize, usize) {
        let (Width(width), Height(height)) = terminal_size().unwrap_or((Width(100), Height(40)));
        (usize::from(width).saturating_sub(1), usize::from(height))
    }

    /// Replaces what is shown.
    pub(crate) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let (width, _) = Self::size();
        let lines: Vec<String> = lines.iter().map(|line| line.show(width, self.colours) + "\x1b[K").collect();
        write(&format!("\x1b[H{}\x1b[J", lines.join("\r\n")))
    }

    /// Writes below what is there.
    pub(crate) fn print(&self, lines: &[Line]) -> io::Result<()> {
        let width = if self.terminal { Self::size().0 } else { usize::MAX };
        let lines: String = lines.iter().map(|line| line.show(width, self.colours) + "\n").collect();
        write(&lines)
    }

    /// Gives the terminal back; what is printed next stays.
    pub(crate) fn close(&mut self) {
        if mem::take(&mut self.taken) {
            let _ = write("\x1b[?25h\x1b[?7h\x1b[?1049l");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
