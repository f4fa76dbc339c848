//! What the command line says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::report::Format;

/// Checks, explains, simulates and renders policies of Tidegate, on the filters' own parsers.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find what is wrong, before Envoy does.
    Check(Check),
    /// Say what becomes of one request, and why.
    Explain(Explain),
    /// Say what a field means: its unit, bounds and default.
    Docs(Docs),
    /// Print the JSON Schema of a filter's document, for editors.
    Schema {
        /// The filter.
        #[arg(value_parser = FILTERS, default_value = "fused")]
        filter: String,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version of this tool, or of a module.
    Version {
        /// A module: FILE.wasm.
        module: Option<PathBuf>,
    },
}

/// The filters that have a document.
const FILTERS: [&str; 5] = ["breaker", "discovery", "fused", "ratelimit", "routing"];

/// What is asked of the reference.
#[derive(Args, Debug)]
pub struct Docs {
    /// A filter (ratelimit), a field (burst), or the end of its path (limits.burst). Without, the fields
    /// of all documents.
    pub subject: Option<String>,
}

/// Finds our configurations in files of any kind, runs the filters' parsers, and looks at what stands
/// around them: routes, clusters, priorities, placements, names.
///
/// Reads policy documents (JSON, or YAML with comments), Envoy's bootstraps and xDS files, WasmPlugin,
/// TrafficExtension, EnvoyFilter, VirtualService, EnvoyExtensionPolicy, EnvoyPatchPolicy, HTTPRoute, and entries of
/// Consul's (JSON, YAML, HCL). Give all files of one gateway together.
///
/// Exit codes: 0 nothing is wrong, 1 something is, 2 a file could not be read or nothing of ours was found.
#[derive(Args, Debug)]
pub struct Check {
    /// Files, folders, or - for standard input.
    #[arg(required_unless_present = "rules")]
    pub files: Vec<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Take warnings for errors.
    #[arg(long)]
    pub strict: bool,
    /// List the rules instead.
    #[arg(long)]
    pub rules: bool,
}

/// Runs the filters of a file on the simulator, with the real stages, and tells which rules apply to a request, by which
/// key, what each filter decides, and where the request goes.
///
/// Nothing is asked of registries: services of a static one have endpoints, others hold the request.
#[derive(Args, Debug)]
pub struct Explain {
    /// A file as for `check`.
    pub file: PathBuf,
    /// Which filters, where the file has several chains: the stat prefix of a connection manager, the name of a
    /// policy.
    #[arg(long)]
    pub chain: Option<String>,
    /// The request.
    #[command(flatten)]
    pub asked: Asked,
    /// Send it so many times.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub times: u32,
    /// So many milliseconds apart.
    #[arg(long = "every", value_name = "MS", default_value_t = 0)]
    pub every_ms: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A request.
#[derive(Args, Debug)]
pub struct Asked {
    /// Method and path: 'POST /api/x'.
    #[arg(long, short, default_value = "GET /")]
    pub request: String,
    /// A header: 'name: value'.
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Who sends it.
    #[arg(long, default_value = "192.0.2.1")]
    pub from: String,
    /// The cluster of Envoy's route, where the file has no routes.
    #[arg(long)]
    pub cluster: Option<String>,
    /// What the upstream answers.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(200..=599))]
    pub status: u32,
}
