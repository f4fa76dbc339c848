//! The claims of all plugins, and who is told of a conflict.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::claim::Claimant;
use super::entry::{count, numbers, Entry, PERIOD_MS};
use crate::bytes::Bytes;
use crate::hash::xxh64::xxh64;

/// The claims of all plugins, as the cell has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: Vec<Entry>,
    /// Pairs of versions whose conflicts are in the log, as hashes; the latest last.
    reported: Vec<u64>,
}

/// What happened to a worker of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It lives.
    Alive,
    /// It was configured.
    Configured,
    /// It stops.
    Stopped,
}

/// How long a plugin is believed to live.
pub const LIFE_MS: u64 = 3 * PERIOD_MS;
/// Most plugins.
const MOST_PLUGINS: usize = 64;
/// Most bytes. The claims of a plugin that does not fit in are not kept.
const MOST_BYTES: usize = 256 << 10;
/// Most pairs that are remembered as reported.
const MOST_REPORTED: usize = 256;
const LAYOUT: u8 = 1;

// === impl Ledger ===

impl Ledger {
    /// Takes note of a step of a plugin's worker that was configured at `since_ms`. Returns the lines for
    /// the log.
    #[inline(never)]
    pub fn update(&mut self, by: &Claimant, step: Step, since_ms: u64, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let stops = |one: &Claimant| {
            step == Step::Stopped && (&one.plugin, one.document) == (&by.plugin, by.document)
        };
        self.entries
            .retain(|entry| now_ms.saturating_sub(entry.seen_ms) <= LIFE_MS && !stops(&entry.claimant));
        if step == Step::Stopped {
            return lines;
        }
        let mut new =
            Entry { claimant: by.clone(), since_ms, seen_ms: now_ms, changed_ms: 0, former: (0, 0) };
        let known = self.entries.iter_mut().find(|entry| entry.claimant.plugin == by.plugin);
        match known {
            Some(entry) if entry.claimant.document == by.document => {
                // Other workers need not write the same.
                if now_ms.saturating_sub(entry.seen_ms) >= PERIOD_MS / 2 {
                    entry.seen_ms = now_ms;
                }
            }
            // A later version took its place.
            Some(entry) if step == Step::Alive && entry.since_ms >= since_ms => return lines,
            Some(entry) => {
                let same = entry.claimant.claims == by.claims;
                new.changed_ms = if same { entry.changed_ms } else { now_ms };
                new.former = (entry.claimant.document, entry.since_ms);
                let old = core::mem::replace(entry, new);
                // One that was there a moment ago and is there again is no version of the other.
                if old.former.0 == by.document && now_ms.saturating_sub(old.former.1) <= PERIOD_MS {
                    self.report((by, by.document), (&old.claimant, old.claimant.document), &mut lines);
                }
            }
            None => {
                // The version that came after it is gone.
                new.changed_ms = if step == Step::Alive { now_ms } else { 0 };
                self.entries.push(new);
            }
        }
        if self.entries.len() > MOST_PLUGINS || self.encode().len() > MOST_BYTES {
            self.entries.retain(|entry| entry.claimant.plugin != by.plugin);
        }
        self.compare(by, now_ms, &mut lines);
        lines
    }

    /// Compares a plugin with the others, unless one of them all is changing.
    fn compare(&mut self, by: &Claimant, now_ms: u64, lines: &mut Vec<String>) {
        if self.entries.iter().any(|entry| entry.is_changing(now_ms)) {
            return;
        }
        let entries = core::mem::take(&mut self.entries);
        if let Some(mine) = entries.iter().find(|entry| entry.claimant.plugin == by.plugin) {
            for other in entries.iter().filter(|entry| entry.claimant.plugin != by.plugin) {
                self.report((by, mine.version()), (&other.claimant, other.version()), lines);
            }
        }
        self.entries = entries;
    }

    /// Writes a line for each name of which two versions mean different things, once.
    fn report(&mut self, one: (&Claimant, u64), other: (&Claimant, u64), lines: &mut Vec<String>) {
        let version = |(of, number): (&Claimant, u64)| xxh64(of.plugin.as_bytes(), number);
        let pair = version(one) ^ version(other);
        if self.reported.contains(&pair) {
            return;
        }
        let ((one, _), (other, _)) = (one, other);
        let before = lines.len();
        for mine in &one.claims {
            let theirs = other.claims.iter().find(|theirs| theirs.name == mine.name);
            let Some(theirs) = theirs.filter(|theirs| theirs.tag != mine.tag) else { continue };
            let another = if one.plugin == other.plugin { "another " } else { "" };
            lines.push(format!(
                "{} is {} here and {} in {another}plugin {:?}; they share its state and ruin it for each other: \
                 give one of the documents a `scope`, or rename it in one",
                mine.name, mine.value, theirs.value, other.plugin
            ));
        }
        if lines.len() > before {
            if self.reported.len() >= MOST_REPORTED {
                self.reported.remove(0);
            }
            self.reported.push(pair);
        }
    }

    /// Its bytes.
    #[inline(never)]
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![LAYOUT];
        count(&mut bytes, self.reported.len());
        numbers(&mut bytes, &self.reported);
        self.entries.iter().for_each(|entry| entry.encode(&mut bytes));
        bytes
    }

    /// The claims of these bytes; none of bytes of another layout, or behind what is none.
    #[inline(never)]
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut ledger = Self::default();
        let mut rest = Bytes(bytes);
        if rest.take() != Some([LAYOUT]) {
            return ledger;
        }
        for _ in 0..rest.u16().unwrap_or(0) {
            let Some(pair) = rest.u64() else { break };
            ledger.reported.push(pair);
        }
        while let Some(entry) = Entry::decode(&mut rest) {
            ledger.entries.push(entry);
        }
        ledger
    }
}
