//! Readers of lists and of objects with names of the user's own.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::config::read::Reader;

/// The fields of an object whose names are the user's own: as many as `len` allows, each once, each
/// name of 1 to 256 bytes.
#[inline(never)]
pub(crate) fn named<'a>(
    reader: &Reader<'a>,
    len: RangeInclusive<usize>,
    of: &str,
) -> Option<Vec<(&'a str, Reader<'a>)>> {
    let entries = reader.entries(usize::MAX)?;
    if !len.contains(&entries.len()) {
        let (min, max) = (len.start(), len.end());
        reader.report(format!("{} {of} are out of range, expected {min} to {max}", entries.len()));
        return None;
    }
    for (index, (name, value)) in entries.iter().enumerate() {
        if !(1..=256).contains(&name.len()) {
            let bytes = name.len();
            value.report(format!("a name of {bytes} bytes is out of range, expected 1 to 256 bytes"));
        } else if entries.iter().take(index).any(|(earlier, _)| earlier == name) {
            value.report("given twice, expected once".to_string());
        }
    }
    Some(entries)
}

/// Reads a list of 1 to `most` texts of 1 to 256 bytes.
#[inline(never)]
pub(crate) fn texts<'a>(reader: &Reader<'a>, most: usize, of: &str) -> Option<Vec<&'a str>> {
    let items = reader.items(1..=most, of)?;
    let texts: Vec<&str> = items.iter().filter_map(|item| item.text(256)).collect();
    (texts.len() == items.len()).then_some(texts)
}

/// Reads an object of up to 32 texts of 1 to 256 bytes, by names of the user's own.
#[inline(never)]
pub(crate) fn pairs<'a>(reader: &Reader<'a>) -> Option<Vec<(&'a str, &'a str)>> {
    let entries = named(reader, 0..=32, "fields")?;
    let pair = |(name, value): &(&'a str, Reader<'a>)| Some((*name, value.text(256)?));
    let pairs: Vec<(&str, &str)> = entries.iter().filter_map(pair).collect();
    (pairs.len() == entries.len()).then_some(pairs)
}
