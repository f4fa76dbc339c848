//! Files, and what is in them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::tree::{hcl, json, yaml, Node, Span, Syntax};

/// A file that was read.
#[derive(Debug)]
pub struct File {
    /// Its name, as it was given.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Its documents: several in YAML.
    pub documents: Vec<Node>,
}

/// Some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the file.
    pub file: usize,
    /// The bytes.
    pub span: Span,
}

/// A file that could not be read.
#[derive(Debug)]
pub struct Unread {
    /// Its name.
    pub name: String,
    /// Its text, if it is no document.
    pub text: String,
    /// Why, and where.
    pub why: Syntax,
}

/// The most bytes of a file.
const MOST: u64 = 64 << 20;

/// Files by their names; all in folders that may be some of ours; `-` for standard input.
///
/// # Errors
/// Those that could not be read, beside those that could.
#[must_use]
pub fn read_all(names: &[PathBuf]) -> (Vec<File>, Vec<Unread>) {
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    for name in names {
        let shown = |path: &Path| path.display().to_string();
        let mut read = |path: &Path| match text_of(path) {
            Ok(text) => match documents(path, &text) {
                Ok(documents) => files.push(File { name: shown(path), text, documents }),
                Err(why) => unread.push(Unread { name: shown(path), text, why }),
            },
            Err(error) => {
                let why = Syntax { says: error.to_string(), at: 0 };
                unread.push(Unread { name: shown(path), text: String::new(), why });
            }
        };
        if name.is_dir() {
            let mut within = Vec::new();
            match collect(name, &mut within) {
                Ok(()) => within.iter().for_each(|path| read(path)),
                Err(error) => {
                    let why = Syntax { says: error.to_string(), at: 0 };
                    unread.push(Unread { name: shown(name), text: String::new(), why });
                }
            }
        } else {
            read(name);
        }
    }
    (files, unread)
}

/// The files below a folder in order, without hidden ones.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let skipped = name.starts_with('.') || ["node_modules", "target"].contains(&name.as_str());
        // A link may lead back up.
        if path.is_dir() && !path.is_symlink() && !skipped {
            collect(&path, into)?;
        } else if is_one(&path) && !skipped {
            into.push(path);
        }
    }
    Ok(())
}

fn is_one(path: &Path) -> bool {
    path.is_file()
        && path.extension().is_some_and(|end| ["yaml", "yml", "json", "hcl"].iter().any(|e| end == *e))
}

/// The text of a file, or of standard input.
///
/// # Errors
/// It cannot be read, is no text, or is larger than any configuration.
pub fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MOST + 1).read_to_string(&mut text)?
    } else {
        fs::File::open(path)?.take(MOST + 1).read_to_string(&mut text)?
    };
    if read as u64 > MOST {
        return Err(io::Error::other("larger than 64 MiB"));
    }
    Ok(text)
}

/// The documents of a text, by the end of its file's name; without one, by how it begins.
///
/// # Errors
/// It is none.
pub fn documents(path: &Path, text: &str) -> Result<Vec<Node>, Syntax> {
    let end = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match end.as_str() {
        "json" => json::parse(text).map(|node| vec![node]),
        "hcl" => hcl::parse(text).map(|node| vec![node]),
        "" if text.trim_start().starts_with('{') && json::parse(text).is_ok() => {
            documents(Path::new("a.json"), text)
        }
        _ => yaml::parse(text),
    }
}

/// The line and the column of a byte, from 1; columns count characters.
#[must_use]
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}
