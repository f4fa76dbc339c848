//! Rules about who uses whom, read off the syntax of the sources. Tests are not looked at: they may
//! know more than what they test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::sources;
use super::tree::Tree;
use super::uses::{self, circles, Uses};

const POLICY: &str = "shared/policy";
const CRATES: [&str; 4] = [POLICY, "shared/driver", "shared/glue", "shared/sim"];
/// None knows another.
const POLICIES: [&str; 4] = ["breaker/", "discovery/", "ratelimit/", "routing/"];

/// The files, and rooms, of the policy that may ask the host. All others get what they need as
/// arguments, and decide.
const MAY_ASK: [&str; 28] = [
    "fused/misplaced.rs",
    "fused/part.rs",
    "fused/stage.rs",
    "http/stage.rs",
    "scoped.rs",
    "secret.rs",
    "usage.rs",
    "ratelimit/stage.rs",
    "ratelimit/charge.rs",
    "ratelimit/local.rs",
    "breaker/breakers.rs",
    "breaker/stage.rs",
    "breaker/request.rs",
    "breaker/outcome.rs",
    "breaker/cells/mod.rs",
    "breaker/cells/single.rs",
    "breaker/cells/table.rs",
    "breaker/worker/",
    "routing/stage.rs",
    "routing/local.rs",
    "routing/unused.rs",
    "discovery/stage.rs",
    "discovery/request/",
    "discovery/refresh/",
    "discovery/catalog/ejections.rs",
    "discovery/catalog/source.rs",
    "discovery/catalog/service_view.rs",
    "watch/cells.rs",
];

static OF_POLICY: LazyLock<Uses> = LazyLock::new(|| uses_of(POLICY));

/// Of a crate; empty when there is none.
fn uses_of(krate: &str) -> Uses {
    let folder = format!("{krate}/src/");
    let named = |(name, text): (String, String)| Some((name.strip_prefix(&folder)?.to_owned(), text));
    let sources: Vec<_> = sources().into_iter().filter_map(named).collect();
    made_up(&sources.iter().map(|(name, text)| (&**name, &**text)).collect::<Vec<_>>())
}

fn made_up(sources: &[(&str, &str)]) -> Uses {
    uses::of(&Tree::new(sources.iter().copied()))
}

/// Whether a file is one of these, or in one of these rooms.
fn is_in(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| name == *place || (place.ends_with('/') && name.starts_with(place)))
}

#[test]
fn no_file_of_the_policy_uses_itself_over_others() {
    let uses = &*OF_POLICY;
    assert!(uses.arrows.len() > 80, "only {} files use others", uses.arrows.len());
    let circles = circles(&uses.arrows);
    let arrows = circles.iter().flat_map(|circle| {
        let of = |from: &String| uses.arrows[from].intersection(circle).cloned().collect::<Vec<_>>();
        circle.iter().map(move |from| format!("{from} uses {}", of(from).join(", ")))
    });
    assert_eq!(arrows.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn no_policy_knows_another() {
    for (from, to) in &OF_POLICY.arrows {
        let Some(own) = POLICIES.iter().find(|room| from.starts_with(**room)) else { continue };
        for other in to {
            let crosses = is_in(other, &POLICIES) && !other.starts_with(own);
            assert!(!crosses, "{from} uses {other}");
        }
    }
}

/// One room puts them in a row. No other outside of them uses any.
#[test]
fn one_room_knows_all_policies() {
    let mut known = BTreeSet::new();
    for (from, to) in &OF_POLICY.arrows {
        for other in to.iter().filter(|other| is_in(other, &POLICIES) && !is_in(from, &POLICIES)) {
            assert!(from.starts_with("fused/"), "{from} uses {other}");
            known.extend(POLICIES.iter().filter(|room| other.starts_with(**room)));
        }
    }
    assert_eq!(known, BTreeSet::from(POLICIES.each_ref()));
}

#[test]
fn decisions_do_not_know_the_host() {
    for (from, to) in &OF_POLICY.arrows {
        assert!(!to.contains("host.rs") || is_in(from, &MAY_ASK), "{from} uses host.rs");
    }
}

#[test]
fn the_methods_of_a_type_stand_in_one_file() {
    let mut spread = Vec::new();
    for krate in CRATES {
        for (name, files) in &uses_of(krate).impls {
            if files.len() > 1 {
                spread.push(format!("{krate}: {name}: {files:?}"));
            }
        }
    }
    assert_eq!(spread, [""; 0]);
}

/// One more registry is one more folder and one more arm.
#[test]
fn one_file_tells_registries_apart() {
    for ((variant, _), files) in &OF_POLICY.patterns {
        let is_kind = ["::Consul", "::Dns"].iter().any(|end| variant.ends_with(end));
        for file in files.iter().filter(|file| is_kind && file.starts_with("discovery/")) {
            let may = file == "discovery/registry/mod.rs";
            assert!(may, "{file} matches {variant}");
        }
    }
}

// === the checks themselves ===

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_circle_is_found_however_files_use_each_other() {
    for (how, a, b, c) in [
        (
            "use crate",
            "use crate::b::B; pub struct A;",
            "use crate::c::C; pub struct B;",
            "use crate::a::A; pub struct C;",
        ),
        (
            "use super",
            "use super::b::{self, B}; pub struct A;",
            "use super::c; pub struct B;",
            "use super::a as x; pub struct C;",
        ),
        (
            "a path",
            "fn f() { crate::b::g(); }",
            "pub fn g() { crate::c::h() }",
            "pub fn h() { let _: super::a::A; }",
        ),
        (
            "in a macro",
            "fn f() { vec![crate::b::B]; }",
            "fn g() { assert!(crate::c::h()) }",
            "fn h() { vec![super::a::N]; }",
        ),
        (
            "what the root passes on",
            "use crate::B; pub struct A;",
            "use crate::*; type X = C; use crate::C; pub struct B;",
            "use crate::A; pub struct C;",
        ),
    ] {
        let lib = "mod a; mod b; mod c; pub use a::A; pub use b::B; pub use c::*;";
        let uses = made_up(&[("lib.rs", lib), ("a.rs", a), ("b.rs", b), ("c.rs", c)]);
        assert_eq!(circles(&uses.arrows), [set(&["a.rs", "b.rs", "c.rs"])], "{how}: {:?}", uses.arrows);
    }
}

#[test]
fn passing_on_tests_and_comments_make_no_circle() {
    let uses = made_up(&[
        ("lib.rs", "mod room;"),
        ("room/mod.rs", "mod a; #[cfg(test)] mod tests; pub use a::A; pub struct Own;"),
        ("room/a.rs", "use super::Own; /// See [`crate::room::b::B`].\n pub(in crate::room) struct A;"),
        ("room/tests.rs", "use super::a::A; use super::b::B;"),
        ("room/b.rs", "use super::a::A; #[cfg(test)] mod tests { use super::super::tests; } pub struct B;"),
    ]);
    let expected = BTreeMap::from(
        [("room/a.rs", &["room/mod.rs"][..]), ("room/b.rs", &["room/a.rs"])]
            .map(|(from, to)| (from.to_owned(), set(to))),
    );
    assert_eq!(uses.arrows, expected);
}

#[test]
fn spread_methods_and_telling_apart_are_found() {
    let uses = made_up(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub enum Kind { Consul, Dns(u8) } impl Kind { fn f(&self) -> bool { matches!(self, Self::Dns(_)) } } impl Clone for Kind {}"),
        ("b.rs", "use crate::a::Kind; impl Kind { fn g(&self) { match self { Kind::Consul => (), _ => () } } }"),
    ]);
    assert_eq!(uses.impls, BTreeMap::from([("Kind of a.rs".to_owned(), set(&["a.rs", "b.rs"]))]));
    let file = |variant: &str| uses.patterns.get(&(variant.to_owned(), "a.rs".to_owned())).cloned();
    assert_eq!([file("Kind::Dns"), file("Kind::Consul")], [Some(set(&["a.rs"])), Some(set(&["b.rs"]))]);
}
