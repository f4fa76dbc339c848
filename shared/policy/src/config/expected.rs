//! What would be right, in words: the second half of each problem.

use alloc::format;
use alloc::string::{String, ToString};

use super::definition::{Kind, Table};

/// Most fields that a message lists of an object that is not there.
const MAX_LISTED: usize = 8;

/// Why a word may have become `true` or `false` on the way: YAML 1.1 reads some so.
pub(super) const fn yaml(value: bool) -> &'static str {
    if value {
        "YAML reads `on`, `yes` and `y` so: quote them"
    } else {
        "YAML reads `off`, `no` and `n` so: quote them"
    }
}

pub(super) fn unit(kind: &Kind) -> String {
    match kind {
        Kind::Duration { .. } => " ms".to_string(),
        Kind::Integer { unit, .. } if !unit.is_empty() => format!(" {unit}"),
        _ => String::new(),
    }
}

/// What would be right, in words.
#[inline(never)]
pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Boolean => "true or false".to_string(),
        Kind::Choice(words) => one_of(&mut words.iter().copied()),
        Kind::Duration { least, most } => {
            format!("an integer, {least} to {most} ms, or a text such as \"10s\"")
        }
        Kind::Either(one, other) => format!("{}, or {}", expected(one), expected(other)),
        Kind::Integer { least, most, .. } => format!("an integer, {least} to {most}{}", unit(kind)),
        Kind::List { called, .. } => format!("a list of {called}"),
        Kind::Map(map) => format!("an object with {}", map.called),
        Kind::Never(misfit) => misfit.expected.to_string(),
        Kind::Object(table) | Kind::Part(table) => expected_object(table),
        Kind::Text(text) => text.called.to_string(),
    }
}

/// The names of the fields that may be there.
pub(super) fn real(table: &Table) -> impl Iterator<Item = &'static str> + '_ {
    let fields = table.fields.iter().filter(|def| !matches!(def.kind, Kind::Never(_)));
    fields.map(|def| def.name)
}

#[inline(never)]
pub(super) fn expected_object(table: &Table) -> String {
    if !table.words.is_empty() {
        return one_of(&mut table.words.iter().copied());
    }
    match real(table).count() {
        0 => "an object without fields".to_string(),
        1..=MAX_LISTED => format!("an object with {}", listed(&mut real(table), " or ")),
        _ => format!("an object with {}, …", listed(&mut real(table).take(MAX_LISTED), ", ")),
    }
}

#[inline(never)]
pub(super) fn one_of(words: &mut dyn Iterator<Item = &str>) -> String {
    let listed = listed(words, ", ");
    if listed.contains(", ") {
        format!("one of {listed}")
    } else {
        listed
    }
}

/// Words in backticks with commas between, and `last` before the last one.
#[inline(never)]
pub(super) fn listed(words: &mut dyn Iterator<Item = &str>, last: &str) -> String {
    let mut text = String::new();
    let mut next = words.next();
    while let Some(word) = next {
        next = words.next();
        if !text.is_empty() {
            text.push_str(if next.is_some() { ", " } else { last });
        }
        text.push('`');
        text.push_str(word);
        text.push('`');
    }
    text
}
