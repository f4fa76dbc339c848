//! `tidegate COMMAND …`: see `tidegate --help`.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use tidegate_tool::done::Outcome;
use tidegate_tool::options::{Command, Options};
use tidegate_tool::{check, explain, launch, manual, module, render, simulate};

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        // Help and versions, too, are of this kind.
        Err(told) => {
            return match told.print() {
                Ok(()) => ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(Outcome::Unread as u8)),
                Err(error) => unwritten(&error),
            }
        }
    };
    let done = match options.command {
        Command::Check(options) => check::run(&options),
        Command::Completions { shell } => manual::completions(shell),
        Command::Docs(options) => manual::docs(options.subject.as_deref()),
        Command::Explain(options) => explain::run(&options),
        Command::Render(options) => render::run(&options),
        Command::Run(options) => launch::run(&options),
        Command::Schema { filter } => manual::schema(&filter),
        Command::Simulate(options) => simulate::run(&options),
        Command::Version { module } => module::version(module.as_deref()),
    };
    // Colours are left out where they are not wanted: no terminal, NO_COLOR, TERM=dumb. Who closes
    // the other end of a pipe has seen enough.
    let mut out = anstream::stdout();
    let written = out.write_all(done.out.as_bytes()).and_then(|()| out.flush());
    _ = anstream::stderr().write_all(done.err.as_bytes());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => unwritten(&error),
        _ => ExitCode::from(done.outcome as u8),
    }
}

/// What was printed is not all there: a full disk, for one.
fn unwritten(error: &io::Error) -> ExitCode {
    _ = writeln!(anstream::stderr(), "tidegate: standard output: {error}");
    ExitCode::from(Outcome::Unread as u8)
}
