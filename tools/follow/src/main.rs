//! `make follow`: how soon traffic is where Consul says, and what a large catalog costs a request.
//!
//! A real Consul and an Envoy with two workers, whose clients ask all the time: the time from the
//! return of the API's call until every worker does as told. Then Envoys in turn, from one with
//! three endpoints of one service to one with a thousand of each of two hundred. Both have a
//! target, and missing it fails.

mod changes;
mod cost;
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
    let colour = terminal::colour();
    let mut missed = Vec::new();
    if options.changes > 0 {
        let followed = changes::all(&options);
        print!("{}", report::followed(&followed, colour));
        missed.extend(report::late(&followed));
    }
    if options.rounds > 0 {
        let costs = cost::all(&options);
        let gap = if options.changes > 0 { "\n" } else { "" };
        print!("{gap}{}", report::costs(&costs, &options, colour));
        missed.extend(report::dear(&costs));
    }
    missed.iter().for_each(|problem| eprintln!("{problem}"));
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
