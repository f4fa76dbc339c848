//! Weighted rendezvous hashing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tidegate_policy::hash::rendezvous::weigh;
use tidegate_policy::hash::sip::{SipHash13, SipKey};

use super::test_key;
use crate::data::{Fault, Node};

type Hosts<'a> = BTreeMap<&'a str, u32>;

/// The keys `k0`, `k1`, … that are distributed.
const KEYS: u32 = 20_000;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let mut hosts = Hosts::new();
    for (name, weight) in document.field("hosts")?.fields()? {
        hosts.insert(name, weight.count()?);
    }
    let picks = document.field("picks")?.items()?;
    for row in &picks {
        let key = row.field("key")?.text()?;
        let scores = row.field("scores")?;
        for (name, weight) in &hosts {
            scores.field(name)?.is_about(score(test_key(), name.as_bytes(), key.as_bytes(), *weight), 0.0)?;
        }
        row.field("pick")?.is(picked(&hosts, key))?;
    }
    let all = distribution(&hosts);
    let counts = document.field("distribution_20000_keys_k0..")?;
    for name in hosts.keys() {
        counts.field(name)?.is(all.iter().filter(|pick| pick == &name).count())?;
    }
    removed(&document.field("remove_b")?, &hosts, &all)?;
    raised(&document.field("raise_a_1_to_2")?, &hosts, &all)?;
    Ok(picks.len() + 3)
}

fn removed(row: &Node<'_>, hosts: &Hosts<'_>, before: &[&str]) -> Result<(), Fault> {
    let mut without = hosts.clone();
    without.remove("b");
    let after = distribution(&without);
    let moved = before.iter().zip(&after).filter(|(before, after)| **before != "b" && before != after);
    row.field("keys_on_b")?.is(before.iter().filter(|pick| **pick == "b").count())?;
    row.field("other_keys_moved")?.is(moved.count())
}

fn raised(row: &Node<'_>, hosts: &Hosts<'_>, before: &[&str]) -> Result<(), Fault> {
    let mut raised = hosts.clone();
    raised.insert("a", 2);
    let after = distribution(&raised);
    let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    row.field("moved")?.is(moved.len())?;
    moved.iter().try_for_each(|(_, after)| row.field("all_to")?.is(**after))
}

/// Who has which key. Remembered, because a run over changed vectors asks again and again.
fn distribution<'a>(hosts: &Hosts<'a>) -> Vec<&'a str> {
    static KNOWN: Mutex<BTreeMap<String, Vec<usize>>> = Mutex::new(BTreeMap::new());
    let names: Vec<&str> = hosts.keys().copied().collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let picks = known.entry(format!("{hosts:?}")).or_insert_with(|| {
        let pick = |key| names.iter().position(|name| *name == picked(hosts, &format!("k{key}")));
        (0..KEYS).filter_map(pick).collect()
    });
    picks.iter().filter_map(|index| names.get(*index).copied()).collect()
}

fn picked<'a>(hosts: &Hosts<'a>, key: &str) -> &'a str {
    let nodes = hosts.iter().map(|(name, weight)| (name.as_bytes(), *weight));
    let index = pick(test_key(), nodes, key.as_bytes());
    index.and_then(|index| hosts.keys().nth(index)).copied().unwrap_or_default()
}

/// What `node` scores for `client`.
fn score(key: SipKey, node: &[u8], client: &[u8], weight: u32) -> f64 {
    let mut hash = SipHash13::new(key);
    hash.write(node);
    hash.write(&[0]);
    hash.write(client);
    weigh(hash.finish(), weight)
}

/// The index of the node with the best score, of equals the one whose name is first. `None` when no
/// node has a weight.
fn pick<'n>(key: SipKey, nodes: impl IntoIterator<Item = (&'n [u8], u32)>, client: &[u8]) -> Option<usize> {
    let mut best: Option<(f64, &[u8], usize)> = None;
    for (index, (node, weight)) in nodes.into_iter().enumerate() {
        let score = score(key, node, client, weight);
        let beats = |(top, name, _): (f64, &[u8], usize)| score > top || (score >= top && node < name);
        if weight > 0 && best.is_none_or(beats) {
            best = Some((score, node, index));
        }
    }
    best.map(|(_, _, index)| index)
}
