//! What the command line says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::render::Target;
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
    /// Say what the filters would have done with the requests of a log, or of a load.
    Simulate(Simulate),
    /// Make everything around a few policies: filters, routes, clusters, placements, labels.
    Render(Render),
    /// Run an Envoy with policies in front of an upstream.
    Run(Run),
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
/// TrafficExtension, EnvoyFilter, VirtualService, EnvoyExtensionPolicy, EnvoyPatchPolicy, HTTPRoute, and
/// entries of Consul's (JSON, YAML, HCL). Give all files of one gateway together.
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

/// Runs the filters of a file on the simulator, with the real stages, and tells which rules apply to a
/// request, by which key, what each filter decides, and where the request goes.
///
/// Nothing is asked of registries: services of a static one have endpoints, others hold the request.
#[derive(Args, Debug)]
pub struct Explain {
    /// A file as for `check`.
    pub file: PathBuf,
    /// Which filters, where the file has several chains: the stat prefix of a connection manager, the name
    /// of a policy.
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

/// Plays the requests of an access log, or of a load that is made up, through the filters of a file on the
/// simulator: who would have been limited, split, refused, over time, as tables and a plot.
///
/// Logs: Envoy's default text, Istio's, and JSON, one object a line, in which every field of an unknown
/// name is a header (`x_api_key` is `x-api-key`). Text has no other headers than it shows: for limits by a
/// header, log JSON.
#[derive(Args, Debug)]
pub struct Simulate {
    /// A file as for `check`.
    pub file: PathBuf,
    /// Which filters, where the file has several chains.
    #[arg(long)]
    pub chain: Option<String>,
    /// The cluster of Envoy's route, where the file has no routes.
    #[arg(long)]
    pub cluster: Option<String>,
    /// An access log; - for standard input. Without, a load is made up.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Requests a second of the load.
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// How long the load lasts.
    #[arg(long, default_value = "60s")]
    pub duration: String,
    /// How many clients the load has; the n-th sends 1/n of what the first does, from 10.0.0.n.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub clients: u32,
    /// The requests of the load: method, and paths with commas between; {client} and {count} are
    /// numbers.
    #[arg(long, short, default_value = "GET /")]
    pub request: String,
    /// A header of the load: 'x-api-key: key-{client}'.
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub headers: Vec<String>,
    /// How many of its requests fail.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub error_percent: f64,
    /// When all of them fail: 20s..30s.
    #[arg(long, value_name = "FROM..TO")]
    pub outage: Option<String>,
    /// Endpoints that fail every request: address:port. Also with a log.
    #[arg(long, value_name = "ENDPOINT")]
    pub down: Vec<String>,
    /// How long upstreams take on average.
    #[arg(long, default_value = "20ms")]
    pub latency: String,
    /// What its chances begin with.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many of the limited are listed.
    #[arg(long, default_value_t = 10)]
    pub top: usize,
    /// Write a picture, too.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Renders a file with policies and the names of services into all that a proxy or a control plane needs,
/// complete and commented: see docs/tool.md for the file.
#[derive(Args, Debug)]
pub struct Render {
    /// The file, YAML or JSON; - for standard input.
    pub file: PathBuf,
    /// For whom.
    #[arg(long = "for", value_enum, value_name = "TARGET")]
    pub target: Target,
    /// The module: a file, for Envoy and Consul; oci:// or https:// for Istio and Envoy Gateway.
    #[arg(long)]
    pub module: Option<String>,
    /// For Consul: the service-router in place of the service-defaults.
    #[arg(long)]
    pub router: bool,
}

/// Renders for Envoy, finds an Envoy (--envoy, `ENVOY_PATH`, `ENVOY`, the PATH) or func-e, which downloads
/// one, and runs it until Ctrl-C.
#[derive(Args, Debug)]
pub struct Run {
    /// A file as for `render`, or the document of a filter.
    pub file: PathBuf,
    /// The server behind it, host:port: of a document alone, and of services without endpoints.
    #[arg(long)]
    pub upstream: Option<String>,
    /// Where to listen, in place of what the file says.
    #[arg(long)]
    pub listen: Option<String>,
    /// Where the admin endpoint is, in place of what the file says.
    #[arg(long)]
    pub admin: Option<String>,
    /// The module, by default dist/tidegate.wasm, or tidegate.wasm beside this tool.
    #[arg(long)]
    pub module: Option<PathBuf>,
    /// The Envoy to run.
    #[arg(long)]
    pub envoy: Option<PathBuf>,
    /// Print the configuration instead of running it.
    #[arg(long)]
    pub print: bool,
}
