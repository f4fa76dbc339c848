//! `tidegate-pack IN.wasm OUT.wasm`: see the library for what packing is.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let [input, output] = args.as_slice() else {
        eprintln!("usage: tidegate-pack IN.wasm OUT.wasm");
        return ExitCode::from(2);
    };
    match run(Path::new(input), Path::new(output)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("tidegate-pack: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Packs one file into another and says what that changed.
fn run(input: &Path, output: &Path) -> Result<String, String> {
    let wasm = fs::read(input).map_err(|why| format!("{}: {why}", input.display()))?;
    let packed = tidegate_pack::pack(&wasm).map_err(|why| format!("{}: {why}", input.display()))?;
    fs::write(output, &packed.wasm).map_err(|why| format!("{}: {why}", output.display()))?;

    let name = output.file_stem().unwrap_or_default().to_string_lossy();
    let (before, after, exports) = (wasm.len(), packed.wasm.len(), packed.exports.len());
    Ok(format!("{name}  {before} -> {after} bytes  {exports} exports"))
}
