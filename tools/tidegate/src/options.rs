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
