//! What a document for all policies may say.

use crate::config::{Field, Group, Part, Table, SCOPE};
use crate::{breaker, discovery, ratelimit, routing};

pub(super) static RATELIMIT: Field<Part> = Field::part("ratelimit", &ratelimit::config::fields::DOCUMENT)
    .or_says("no limits")
    .says("Limits: the document of `tidegate-ratelimit-headers.wasm`.");
pub(super) static ROUTING: Field<Part> = Field::part("routing", &routing::config::fields::DOCUMENT)
    .or_says("no routing")
    .says("Routes: the document of `tidegate-routing.wasm`.");
pub(super) static BREAKER: Field<Part> = Field::part("breaker", &breaker::config::fields::DOCUMENT)
    .or_says("no breakers")
    .says("Breakers: the document of `tidegate-breaker.wasm`.");
pub(super) static DISCOVERY: Field<Part> = Field::part("discovery", &discovery::config::fields::DOCUMENT)
    .or_says("no discovery")
    .says("Registries and services: the document of `tidegate-discovery.wasm`.");

const NAMES: &[&str] = &["ratelimit", "routing", "breaker", "discovery"];

/// The whole document.
pub static DOCUMENT: Table =
    Table::new("fused", &[RATELIMIT.def(), ROUTING.def(), BREAKER.def(), DISCOVERY.def(), SCOPE.def()])
        .groups(&[Group::some_of(NAMES, "has no part")]);
