//! `tidegate simulate`: what the filters of a file would have done with the requests of a log, or of a load
//! that is made up.

mod load;
mod log;
mod plot;
mod print;
mod run;
mod svg;
mod tally;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tidegate_policy::time::Span;

use crate::done::Done;
use crate::engine::Passing;
use crate::explain::{chain_of, usual_cluster, worlds_of};
use crate::filter::Filter;
use crate::find::Chain;
use crate::options::Simulate;
use crate::tree::Node;

pub use log::{read_line, Line};
pub use run::Simulation;
pub use tally::Tally;

/// A request that arrives.
pub struct Arrival {
    /// When, since the start.
    pub at: Span,
    /// The request.
    pub request: Passing,
    /// What the upstream answers to it.
    pub status: u32,
    /// After which time.
    pub took: Span,
}

/// What is told of a simulation besides its counts.
pub(crate) struct About {
    /// How long it took.
    pub(crate) real: Duration,
    /// Lines that were no request.
    pub(crate) skipped: u64,
    /// The first of them.
    pub(crate) example: Option<String>,
}

/// How often the progress is shown.
const SHOWN_EACH: u64 = 4_096;

/// Simulates.
#[must_use]
pub fn run(options: &Simulate) -> Done {
    let worlds = match worlds_of(&options.file) {
        Ok(worlds) => worlds,
        Err(done) => return done,
    };
    match chain_of(&worlds, options.chain.as_deref()).and_then(|chain| simulated(chain, options)) {
        Ok(out) => Done::well(out),
        Err(why) => Done::unread(&why),
    }
}

fn simulated(chain: &Chain, options: &Simulate) -> Result<String, String> {
    let known = endpoints(chain);
    if let Some(down) = options.down.iter().find(|down| !known.contains(*down)) {
        let some: Vec<&str> = known.iter().map(String::as_str).take(10).collect();
        let known = if some.is_empty() { "none".to_owned() } else { some.join(", ") };
        return Err(format!("--down {down}: no endpoint of a static registry; there is {known}"));
    }
    let (usual, _) = usual_cluster(chain, options.cluster.as_deref());
    let engine = crate::engine::Engine::new(chain)?;
    let mut simulation = Simulation::new(chain, &engine, &usual, &options.down);
    let start = Instant::now();
    let (skipped, example) = match &options.log {
        Some(path) => from_log(path, &mut simulation)?,
        None => {
            from_load(options, &mut simulation)?;
            (0, None)
        }
    };
    let tally = simulation.finish();
    let about = About { real: start.elapsed(), skipped, example };
    if let Some(path) = &options.svg {
        let picture = svg::picture(&tally)?;
        std::fs::write(path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if tally.total() == 0 {
        return Err(about
            .example
            .map_or("no request".to_owned(), |line| format!("no line is a request, such as: {line}")));
    }
    Ok(if options.json { print::json(&tally, &about) } else { print::text(&tally, &about, options.top) })
}

/// The endpoints that requests can go to: those of static registries, as nothing is asked of others.
fn endpoints(chain: &Chain) -> Vec<String> {
    let mut known = Vec::new();
    for plugin in &chain.plugins {
        let parts = plugin.document.tree.iter().flat_map(|tree| plugin.filter.parts(tree));
        for (_, part) in parts.filter(|(filter, _)| *filter == Filter::Discovery) {
            let mut add = |node: &Node| {
                let (Some(address), Some(port)) = (node.text_at(&["address"]), node.get("port")) else {
                    return;
                };
                let Some(port) = port.number() else { return };
                let v6 = address.contains(':');
                known.push(if v6 { format!("[{address}]:{port}") } else { format!("{address}:{port}") });
            };
            if let Some(registries) = part.get("registries") {
                registries.walk(&mut add);
            }
        }
    }
    known
}

/// Plays the lines of a log. How many were no request, and the first of them.
fn from_log(path: &Path, simulation: &mut Simulation<'_>) -> Result<(u64, Option<String>), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let (size, mut reader): (u64, Box<dyn BufRead>) = if path == Path::new("-") {
        (0, Box::new(BufReader::new(std::io::stdin())))
    } else {
        let file = File::open(path).map_err(told)?;
        (file.metadata().map_err(told)?.len(), Box::new(BufReader::with_capacity(1 << 18, file)))
    };
    let bar = bar(size, "{bytes} of {total_bytes}");
    let (mut line, mut skipped, mut example, mut read) = (Vec::new(), 0, None, 0_u64);
    let mut first = None;
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(told)?;
        if length == 0 {
            break;
        }
        read += length as u64;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        match read_line(text) {
            Some(Line { at_ms, arrival }) => {
                let start = *first.get_or_insert(at_ms);
                let at = Span::from_millis(at_ms.saturating_sub(start));
                simulation.take(Arrival { at, ..arrival });
            }
            None if text.is_empty() => {}
            None => {
                skipped += 1;
                example.get_or_insert_with(|| text.chars().take(120).collect());
            }
        }
        if simulation.count() % SHOWN_EACH == 0 {
            bar.set_position(read);
        }
    }
    bar.finish_and_clear();
    Ok((skipped, example))
}

fn from_load(options: &Simulate, simulation: &mut Simulation<'_>) -> Result<(), String> {
    let load = load::Load::new(options)?;
    let bar = bar(load.expected(), "{pos} of {len} requests");
    for arrival in load {
        simulation.take(arrival);
        if simulation.count() % SHOWN_EACH == 0 {
            bar.set_position(simulation.count());
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A progress bar, for terminals.
fn bar(length: u64, counts: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{wide_bar}} {counts}, {{eta}} left"));
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
