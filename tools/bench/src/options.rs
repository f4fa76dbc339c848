//! What was asked for on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use tidegate_tests::paths;

/// How to measure, and what.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Times that every row is measured.
    pub(crate) rounds: usize,
    /// Requests of one row in one round.
    pub(crate) requests: u64,
    /// Connections that they come on.
    pub(crate) connections: usize,
    /// Ids of the rows to measure; all rows, when empty.
    pub(crate) only: Vec<String>,
    /// Further modules to measure beside ours, each by its name and its file.
    pub(crate) against: Vec<(String, PathBuf)>,
    /// Whether a missed target is a failure.
    pub(crate) assert: bool,
    /// What to measure instead of the rows.
    pub(crate) study: Option<Study>,
    json: Option<PathBuf>,
}

/// What is measured apart from the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Study {
    Latency,
    Scale,
    Start,
}

const USAGE: &str = "\
usage: bench --latency | --scale | --start
       bench [--quick] [--rounds N] [--requests N] [--connections N] [--only ID[,ID...]]
             [--against NAME=MODULE]... [--assert] [--json FILE]

  --latency              how long answers take at a constant rate, without and with all filters
  --scale                compare-and-swaps lost to other workers
  --start                memory and processor time until Envoy serves
  --rounds N             times that every row is measured, default 100
  --requests N           requests of a row in a round, default 2000
  --connections N        connections that they come on, default 32
  --quick                20 rounds
  --only ID,...          only these rows and what they are compared with
  --against NAME=MODULE  measure hot and cold keys with this module too
  --assert               exit with 1 when a target is missed
  --json FILE            all samples; default bench.json in the target directory";

// === impl Options ===

impl Options {
    /// The options in `args`, or what is wrong with them.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 100,
            requests: 2_000,
            connections: 32,
            only: Vec::new(),
            against: Vec::new(),
            assert: false,
            study: None,
            json: None,
        };
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value\n\n{USAGE}"));
            match name.as_str() {
                "--quick" => options.rounds = 20,
                "--assert" => options.assert = true,
                "--latency" => options.study = Some(Study::Latency),
                "--scale" => options.study = Some(Study::Scale),
                "--start" => options.study = Some(Study::Start),
                "--rounds" => options.rounds = count(&name, &value()?)?,
                "--requests" => options.requests = count(&name, &value()?)?,
                "--connections" => options.connections = count(&name, &value()?)?,
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--against" => {
                    let text = value()?;
                    let (name, file) = text.split_once('=').ok_or("--against needs NAME=MODULE")?;
                    options.against.push((name.to_owned(), file.into()));
                }
                "--json" => options.json = Some(value()?.into()),
                "--help" | "-h" => return Err(USAGE.to_owned()),
                _ => return Err(format!("no option {name}\n\n{USAGE}")),
            }
        }
        Ok(options)
    }

    /// Where the samples go.
    pub(crate) fn json_path(&self) -> PathBuf {
        let target = || {
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::root().join("target"), PathBuf::from)
        };
        self.json.clone().unwrap_or_else(|| target().join("bench.json"))
    }
}

fn count<T: FromStr + Default + PartialOrd>(name: &str, text: &str) -> Result<T, String> {
    let n = text.parse().ok().filter(|n| *n > T::default());
    n.ok_or_else(|| format!("{name}: {text} is not a count, expected an integer above 0"))
}
