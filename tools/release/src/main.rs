//! `tidegate-release stamp|image`: see the library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidegate_release::image::{self, Form};
use tidegate_release::stamp::Stamp;

/// Makes what a release has besides its modules: `make release` calls it.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a module with its version in it.
    Stamp {
        /// The module as it was built.
        module: PathBuf,
        /// Where the module with the version goes.
        to: PathBuf,
        /// The version of the release.
        #[arg(long)]
        version: String,
        /// The commit that it was built from.
        #[arg(long)]
        commit: String,
    },
    /// Makes an image of a module and prints its digest.
    Image {
        /// The module.
        module: PathBuf,
        /// The folder of the image.
        folder: PathBuf,
        /// The version of the release.
        #[arg(long)]
        version: String,
        /// What kind of image.
        #[arg(long, value_enum, default_value = "image")]
        form: Form,
    },
}

fn main() -> ExitCode {
    match run(Options::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tidegate-release: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Stamp { module, to, version, commit } => {
            let (bytes, name) = (read(&module)?, name(&module));
            let stamp = Stamp { name: &name, version: &version, commit: &commit };
            let stamped = stamp.onto(&bytes).map_err(|why| format!("{}: {why}", module.display()))?;
            fs::write(&to, stamped).map_err(|why| format!("{}: {why}", to.display()))
        }
        Command::Image { module, folder, version, form } => {
            let (bytes, name) = (read(&module)?, name(&module));
            let digest = image::write(&bytes, &name, &version, form, &folder)
                .map_err(|why| format!("{}: {why}", folder.display()))?;
            println!("{digest}");
            Ok(())
        }
    }
}

fn read(module: &Path) -> Result<Vec<u8>, String> {
    fs::read(module).map_err(|why| format!("{}: {why}", module.display()))
}

fn name(module: &Path) -> String {
    module.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
