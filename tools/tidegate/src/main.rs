//! `tidegate COMMAND …`: see `tidegate --help`.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tidegate_tool::options::{Command, Options};
use tidegate_tool::{check, explain, launch, manual, module, render, simulate};

fn main() -> ExitCode {
    let done = match Options::parse().command {
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
    _ = anstream::stdout().write_all(done.out.as_bytes());
    _ = anstream::stderr().write_all(done.err.as_bytes());
    ExitCode::from(done.outcome as u8)
}
