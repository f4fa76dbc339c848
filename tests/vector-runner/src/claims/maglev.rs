//! Maglev tables.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tidegate_policy::balance::maglev::{Maglev, Order};
use tidegate_policy::hash::xxh64::xxh64;

use super::hex;
use crate::data::{Fault, Node};
use crate::sha256::sha256;

/// Names and weights, sorted by name.
type Hosts<'a> = BTreeMap<&'a str, u32>;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    paper(&document.field("paper_example")?)?;
    tiny(&document.field("tiny_weighted")?)?;
    let tables = document.field("envoy")?.items()?;
    let mut hosts = Hosts::new();
    for table in &tables {
        hosts = envoy(table)?;
    }
    weighted(&document.field("weights_1_2")?)?;
    disruption(&document.field("disruption_removing_1_of_5")?, &hosts)?;
    Ok(tables.len() + 4)
}

/// Table 1 of the paper: three orders, then the same without the second node.
fn paper(example: &Node<'_>) -> Result<(), Fault> {
    let mut nodes = Vec::new();
    let rows = example.field("permutations")?.items()?;
    for row in &rows {
        let slots = row.items()?.iter().map(Node::count).collect::<Result<Vec<u64>, _>>()?;
        let size = slots.len() as u64;
        let [offset, second, ..] = slots[..] else {
            return Err(row.malformed("expected at least two slots".to_string()));
        };
        let order = Order { offset, skip: (second + size).saturating_sub(offset) % size };
        row.is((0..size).map(|j| (offset + j * order.skip) % size).collect::<Vec<_>>())?;
        nodes.push((order, 1));
    }
    let size = rows.first().map_or(Ok(0), |row| row.items().map(|slots| slots.len()))?;
    let table = |nodes: &[(Order, u32)]| Maglev::of_orders(nodes, u32::try_from(size).unwrap_or(0));
    example.field("table_all")?.is(table(&nodes).slots().to_vec())?;
    if let Some(second) = nodes.get_mut(1) {
        second.1 = 0;
    }
    example.field("table_without_B1")?.is(table(&nodes).slots().to_vec())
}

fn tiny(case: &Node<'_>) -> Result<(), Fault> {
    let size = case.field("M")?.count()?;
    let mut hosts = Hosts::new();
    for (name, weight) in case.field("hosts")?.fields()? {
        hosts.insert(name, weight.count()?);
        let order = Order::of(name, size);
        case.field("offset_skip")?.field(name)?.is(vec![order.offset, order.skip])?;
    }
    case.field("sorted_hosts")?.is(hosts.keys().copied().collect::<Vec<_>>())?;
    let slots = table(&hosts, size);
    case.field("table")?.is(slots.clone())?;
    entries(&case.field("entries")?, &hosts, &slots)
}

fn envoy<'a>(case: &Node<'a>) -> Result<Hosts<'a>, Fault> {
    let size = case.field("M")?.count()?;
    let names = case.field("hosts")?.items()?;
    let names = names.iter().map(Node::text).collect::<Result<Vec<_>, _>>()?;
    let hosts: Hosts<'_> = names.iter().map(|name| (*name, 1)).collect();
    let slots = table(&hosts, size);
    entries(&case.field("entries")?, &hosts, &slots)?;
    let bytes: Vec<u8> = slots.iter().map(|node| u8::try_from(*node).unwrap_or(u8::MAX)).collect();
    case.field("table_sha256")?.is(hex(&sha256(&bytes)))?;
    for lookup in case.field("lookups")?.items()? {
        let hash = xxh64(lookup.field("key")?.text()?.as_bytes(), 0);
        lookup.field("xxh64")?.is(format!("{hash:#018x}"))?;
        let slot = hash % u64::from(size).max(1);
        lookup.field("slot")?.is(slot)?;
        let node = usize::try_from(slot).ok().and_then(|slot| slots.get(slot)).copied();
        lookup.field("host")?.is(node.and_then(|node| hosts.keys().nth(usize::from(node)).copied()))?;
    }
    Ok(hosts)
}

fn weighted(case: &Node<'_>) -> Result<(), Fault> {
    let hosts = Hosts::from([("A", 1), ("B", 2)]);
    let slots = table(&hosts, case.field("M")?.count()?);
    entries(&case.field("entries")?, &hosts, &slots)?;
    entries(&case.field("docs_say")?, &hosts, &slots)
}

/// What moves when the last host goes.
fn disruption(case: &Node<'_>, hosts: &Hosts<'_>) -> Result<(), Fault> {
    let size = case.field("M")?.count()?;
    let before = table(hosts, size);
    let mut rest = hosts.clone();
    let removed = rest.pop_last().and(u16::try_from(rest.len()).ok());
    let after = table(&rest, size);
    let own = before.iter().filter(|node| Some(**node) == removed).count();
    let moved = before.iter().zip(&after).filter(|(b, a)| Some(**b) != removed && b != a).count();
    case.field("slots_of_removed")?.is(own)?;
    case.field("other_slots_that_moved")?.is(moved)?;
    // Five decimals are given.
    case.field("extra_fraction")?.is((moved as f64 / f64::from(size) * 1e5).round() / 1e5)
}

fn entries(expected: &Node<'_>, hosts: &Hosts<'_>, slots: &[u16]) -> Result<(), Fault> {
    (0..).zip(hosts.keys()).try_for_each(|(node, name)| {
        expected.field(name)?.is(slots.iter().filter(|slot| **slot == node).count())
    })
}

/// Who has each slot. Remembered, because a run over changed vectors asks again and again.
fn table(hosts: &Hosts<'_>, size: u32) -> Vec<u16> {
    static KNOWN: Mutex<BTreeMap<String, Vec<u16>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || Maglev::new(hosts.iter().map(|(name, weight)| (*name, *weight)), size).slots().to_vec();
    known.entry(format!("{hosts:?} {size}")).or_insert_with(make).clone()
}
