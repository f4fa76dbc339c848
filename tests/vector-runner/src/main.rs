//! Runs the test vectors on the host.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use tidegate_vectors::{run, Failure, File, Outcome};

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";

fn main() -> ExitCode {
    let folder = std::env::var("TIDEGATE_VECTORS").ok().filter(|folder| !folder.is_empty());
    let folder = folder.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors").to_string());
    let colours = |terminal: bool| terminal && std::env::var_os("NO_COLOR").is_none();
    let out = colours(std::io::stdout().is_terminal());
    let say = |name: &str, outcome: Outcome| {
        let colour = if outcome == Outcome::NotRun { YELLOW } else { GREEN };
        println!("{name}: {}", paint(out, colour, &outcome.to_string()));
    };
    match read(&folder).and_then(|files| run(&folder, files, say)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let err = colours(std::io::stderr().is_terminal());
            eprintln!("{} {failure}", paint(err, RED, "failed:"));
            ExitCode::FAILURE
        }
    }
}

fn read(folder: &str) -> Result<Vec<File>, Failure> {
    let failed =
        |error: std::io::Error| Failure::Folder { path: folder.to_string(), reason: error.to_string() };
    let mut files = Vec::new();
    for entry in Path::new(folder).read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".json") {
            files
                .push(File { name, text: std::fs::read_to_string(&path).map_err(|error| error.to_string()) });
        }
    }
    Ok(files)
}

fn paint(on: bool, colour: &str, text: &str) -> String {
    if on {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}
