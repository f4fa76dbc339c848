//! What a request costs: processor time of Envoy with a filter, over Envoy without one.
//!
//! Every row is an Envoy of its own, started once and kept. A round asks each of them the
//! same number of requests, in another order each time, so that what else the machine does
//! meets all rows alike; a row's cost is the median, over the rounds, of its processor time
//! a request less the time of the row without a filter in the same round. The unit is the
//! empty SDK filter, which is what any published filter pays before its first instruction:
//! microseconds belong to a machine, multiples of it much less.
//!
//! `docs/performance.md` says how to read it.

mod latency;
mod measure;
mod options;
mod report;
mod scale;
mod start;
mod summary;

use std::process::ExitCode;

use tidegate_bench::rows;
use tidegate_tests::terminal;

use self::measure::Bench;
use self::options::{Options, Study};
use self::summary::Summary;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if let Some(study) = options.study {
        let table = match study {
            Study::Latency => latency::table(),
            Study::Scale => scale::table(),
            Study::Start => start::table(),
        };
        print!("{table}");
        return ExitCode::SUCCESS;
    }
    let rows = rows::only(rows::all(&options.against), &options.only);
    if rows.is_empty() {
        eprintln!("no row is called {}", options.only.join(" or "));
        return ExitCode::from(2);
    }
    let mut bench = Bench::start(rows, &options);
    bench.run(&options);
    let summary = Summary::of(&bench.measured);
    print!("{}", report::table(&summary, terminal::colour()));
    let path = options.json_path();
    match std::fs::write(&path, report::json(&options, &bench.measured, &summary).to_string()) {
        Ok(()) => eprintln!("samples: {}", report::shown(&path)),
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    let missed = summary.missed();
    for line in &missed {
        println!("missed: {line}");
    }
    ExitCode::from(u8::from(options.assert && !missed.is_empty()))
}
