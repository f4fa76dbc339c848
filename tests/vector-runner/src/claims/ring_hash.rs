//! Envoy's hash ring. Hosts weigh as many entries as they are expected to have.

use tidegate_policy::balance::ring::Ring;
use tidegate_policy::hash::xxh64::xxh64;

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let mut hosts = Vec::new();
    for (name, entries) in document.field("entries_per_host")?.fields()? {
        hosts.push((name, entries.count()?));
    }
    let ring = Ring::new(hosts.iter().copied(), document.field("min_ring_size")?.count()?);
    let name = |node: usize| hosts.get(node).map(|(name, _)| *name);
    let expected = document.field("ring")?;
    let items = expected.items()?;
    if items.len() != ring.entries().len() {
        return Err(expected.wrong(format!("{} entries", items.len()), ring.entries().len()));
    }
    for (expected, (hash, node)) in items.iter().zip(ring.entries()) {
        expected.field("hash")?.is(format!("{hash:#018x}"))?;
        expected.field("host")?.is(name(*node as usize))?;
    }
    let lookups = document.field("lookups")?.items()?;
    for lookup in &lookups {
        let hash = xxh64(lookup.field("key")?.text()?.as_bytes(), 0);
        lookup.field("hash")?.is(format!("{hash:#018x}"))?;
        lookup.field("host")?.is(ring.at(hash).and_then(name))?;
    }
    Ok(items.len() + lookups.len())
}
