//! What a request costs: instructions of Envoy's worker, counted one by one.
//!
//! The worker of a real Envoy is single-stepped from the time it wakes to the time it waits again, with
//! its clock standing still, so that neither other work on the machine nor the time of day changes the
//! count. Like the benchmark, it counts rows over the row without a filter, as multiples of the empty SDK
//! filter. The kernel's instructions, cache misses and stalls are not counted: `make bench` has those.
//!
//! `docs/performance.md` says how to read it.

mod clock;
mod elf;
mod images;
mod measure;
mod options;
mod registers;
mod render;
mod rows;
mod samples;
mod table;
mod worker;

use std::fs;
use std::process::ExitCode;

use tidegate_bench::machine;
use tidegate_tests::paths;

use self::options::Options;
use self::table::Table;

const TABLE: &str = "docs/cost.json";
/// Where the modules are.
const MODULES: &str = "dist";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("count: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if options.render {
        let text =
            fs::read_to_string(paths::root().join(TABLE)).map_err(|error| format!("{TABLE}: {error}"))?;
        return write(&mut Table::parse(&text).map_err(|error| format!("{TABLE}: {error}"))?);
    }
    let all = if options.check { rows::main() } else { rows::all() };
    let rows = tidegate_bench::rows::only(all, &options.only);
    if rows.is_empty() {
        return Err(format!("no row is called {}", options.only.join(" or ")));
    }
    let mut old = match fs::read_to_string(paths::root().join(TABLE)) {
        Ok(text) => Table::parse(&text).map_err(|error| format!("{TABLE}: {error}"))?,
        Err(_) => Table::default(),
    };
    let envoy = machine::envoy();
    if options.check && envoy != old.envoy {
        return Err(format!("{TABLE} is of Envoy {}, this is {envoy}: run `make count UPDATE=1`", old.envoy));
    }
    let now = Table::of(&envoy, &measure::count(&rows).map_err(|error| error.to_string())?);
    print!("{}", render::terminal(&now, &old));
    if options.check {
        return verdict(&old, &now);
    }
    if options.update {
        let order: Vec<_> = rows::all().into_iter().map(|row| row.id).collect();
        old.update(&now, &order);
        write(&mut old)?;
    }
    Ok(())
}

fn verdict(old: &Table, now: &Table) -> Result<(), String> {
    let grown = old.grown(now);
    let line = |grown: &table::Grown| {
        format!("{}: {:.3} × {}, in {TABLE} {:.3}", grown.id, grown.is, grown.unit, grown.was)
    };
    let lines: Vec<_> = grown.iter().map(line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let what =
        "rows cost over 2 % more; where a commit means that, it updates the table: `make count UPDATE=1`";
    Err(format!("{what}\n  {}", lines.join("\n  ")))
}

fn write(table: &mut Table) -> Result<(), String> {
    table.modules = sizes();
    for (name, render) in render::DOCUMENTS {
        let path = paths::root().join(name);
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let text = render(&text, table).ok_or(format!("{name} has no markers for the table"))?;
        fs::write(path, text).map_err(|error| format!("{name}: {error}"))?;
    }
    fs::write(paths::root().join(TABLE), table.print()).map_err(|error| format!("{TABLE}: {error}"))
}

/// The bytes of each module that was built, by the name of its file.
fn sizes() -> Vec<(String, u64)> {
    let files = fs::read_dir(paths::root().join(MODULES)).into_iter().flatten().flatten();
    let size = |file: fs::DirEntry| {
        let name = file.file_name().into_string().ok().filter(|name| name.ends_with(".wasm"))?;
        Some((name, file.metadata().ok()?.len()))
    };
    let mut all: Vec<_> = files.filter_map(size).collect();
    all.sort();
    all
}
