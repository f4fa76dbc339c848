//! `make dead-upstream`: how many requests still reach an upstream that always fails.
//!
//! Every protection gets an Envoy and an upstream of its own, one after the other, and the same
//! load: connections that keep one request under way each, spread evenly over the workers. What
//! counts is counted by the upstream itself. The breaker has a target, and missing it fails.

mod arms;
mod measure;
mod options;
mod report;

use std::env;
use std::process::ExitCode;

use tidegate_tests::terminal;

use self::options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let measured = measure::all(&options);
    if options.markdown {
        print!("{}", report::markdown(&measured));
    } else {
        print!("{}", report::table(&measured, options.seconds, terminal::colour()));
    }
    let mut status = ExitCode::SUCCESS;
    for problem in measured.iter().filter_map(measure::Measured::problem) {
        eprintln!("{problem}");
        status = ExitCode::FAILURE;
    }
    status
}
