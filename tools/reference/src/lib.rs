//! What people read of the configuration, printed from the tables that read it: a JSON Schema for each
//! filter, and the tables of `docs/config.md` and `docs/config/`.

pub mod page;
pub mod schema;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tidegate_policy::config::Table;
use tidegate_policy::{breaker, discovery, fused, ratelimit, routing};

/// A file as it should be.
pub struct File {
    /// Its path from the root of the project.
    pub path: PathBuf,
    /// What should stand there.
    pub text: String,
}

/// The filters and the tables of their documents.
pub const FILTERS: [(&str, &Table); 5] = [
    ("breaker", &breaker::config::fields::DOCUMENT),
    ("discovery", &discovery::config::fields::DOCUMENT),
    ("fused", &fused::fields::DOCUMENT),
    ("ratelimit", &ratelimit::config::fields::DOCUMENT),
    ("routing", &routing::config::fields::DOCUMENT),
];

/// The pages with tables.
pub const PAGES: [&str; 6] = [
    "docs/config.md",
    "docs/config/breaker.md",
    "docs/config/discovery.md",
    "docs/config/fused.md",
    "docs/config/ratelimit.md",
    "docs/config/routing.md",
];

/// All files as they should be, those that are right already among them.
///
/// # Errors
/// A page cannot be read, or has a marker that names no table.
pub fn files(root: &Path) -> io::Result<Vec<File>> {
    let mut files: Vec<File> = FILTERS
        .iter()
        .map(|(name, table)| File {
            path: Path::new("envoy-config/schema").join(format!("{name}.json")),
            text: schema::document(name, table),
        })
        .collect();
    let read = |path: &'static str| Ok((path, fs::read_to_string(root.join(path))?));
    let pages: Vec<(&str, String)> = PAGES.iter().map(|path| read(path)).collect::<io::Result<_>>()?;
    let links = page::Links::of(&pages);
    for (path, text) in &pages {
        let text = page::refreshed(path, text, &links).map_err(io::Error::other)?;
        files.push(File { path: path.into(), text });
    }
    Ok(files)
}
