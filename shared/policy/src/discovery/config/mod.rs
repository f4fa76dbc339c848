//! The configuration of the discovery filter, as users write it.
//!
//! The reference with all fields, bounds and defaults is `docs/config/discovery.md`; a test keeps
//! it and the readers from drifting apart.

pub mod allow;
pub mod policy;
mod read_balance;
mod read_cache;
mod read_registry;
mod read_service;
mod read_source;

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::config::{document, ConfigError, Object, Reader};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::{NoMatch, OnFailure, Policy, Service, Steer};
use crate::http::grpc::UNAVAILABLE;
use crate::http::matcher::{collect, header_name};
use crate::http::ReplyPolicy;

/// The header that an `ORIGINAL_DST` cluster obeys, unless it has another `http_header_name`.
pub const ORIGINAL_DST_HEADER: &str = "x-envoy-original-dst-host";
/// The header with the candidates, unless another is named.
pub const OVERRIDE_HEADER: &str = "x-tidegate-endpoints";

const HEADER: &[&str] = &["header"];
/// Most services.
const MAX_SERVICES: usize = 256;
const FIELDS: [&str; 8] =
    ["registries", "services", "allow", "steer", "zone", "no_match", "on_failure", "reply"];

// === impl Policy ===

impl Policy {
    /// Makes a policy of a JSON document.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document(json, Self::read)
    }

    /// Reads the policy of the object at `reader`; `None` after reporting what is wrong with it.
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let allow = object.required("allow", "a list of networks with their ports");
        let allow = allow.and_then(|r| Allow::read(&r));
        let registries = object.required("registries", "an object with registries");
        let registries = registries.and_then(|r| read_registry::all(&r, allow.as_ref()));
        let services = object.required("services", "a list of services").and_then(|r| {
            let items = r.items(1..=MAX_SERVICES, "services")?;
            let service =
                |(index, item)| Service::read(item, items.get(..index).unwrap_or(&[]), registries.as_deref());
            items.iter().enumerate().map(service).fold(Some(Vec::new()), collect)
        });
        let steer = object.or("steer", Steer::original_dst(), Steer::read);
        let zone = object.or("zone", None, |r| r.text(256).map(|zone| Some(Rc::from(zone))));
        let no_match = [("pass", NoMatch::Pass), ("not_found", NoMatch::NotFound)];
        let no_match = object.or("no_match", NoMatch::Pass, |r| r.choice(&no_match));
        let failure = [("refuse", OnFailure::Refuse), ("allow", OnFailure::Allow)];
        let on_failure = object.or("on_failure", OnFailure::Refuse, |r| r.choice(&failure));
        let usual = ReplyPolicy::new(503, UNAVAILABLE);
        let reply = object.or("reply", usual.clone(), |r| ReplyPolicy::read(r, &usual, 400..=599));
        Some(Self {
            registries: registries?.into_iter().map(|known| known.registry).collect::<Option<_>>()?,
            services: services?,
            allow: allow?,
            steer: steer?,
            zone: zone?,
            no_match: no_match?,
            on_failure: on_failure?,
            reply: reply?,
        })
    }
}

// === impl Steer ===

impl Steer {
    fn original_dst() -> Self {
        Self::OriginalDst { header: ORIGINAL_DST_HEADER.into() }
    }

    fn read(reader: &Reader<'_>) -> Option<Self> {
        let (word, object) = word_or_object(reader, &["original_dst", "override_host"], &[HEADER; 2])?;
        let original = word == "original_dst";
        let usual = if original { ORIGINAL_DST_HEADER } else { OVERRIDE_HEADER };
        let header = object.or("header", usual.into(), |r| header_name(r).map(Rc::from))?;
        Some(if original { Self::OriginalDst { header } } else { Self::OverrideHost { header } })
    }
}

// === readers that several parts share ===

/// Reads an object with exactly one of the fields `words`, whose value is an object of those
/// `fields`; the word alone is short for an empty one. Which it is, and the object.
#[inline(never)]
pub(crate) fn word_or_object<'a, 'k>(
    reader: &Reader<'a>,
    words: &[&'k str],
    fields: &[&[&str]],
) -> Option<(&'k str, Object<'a>)> {
    if !reader.is_object() {
        let pairs: Vec<(&str, &'k str)> = words.iter().map(|word| (*word, *word)).collect();
        return Some((reader.choice(&pairs)?, reader.no_fields()));
    }
    let (word, value) = reader.tagged(words)?;
    let known =
        words.iter().zip(fields).find(|(other, _)| **other == word).map_or(&[][..], |(_, known)| known);
    Some((word, value.object(known)?))
}

/// What is on unless the field is `false`: the object of its `fields`, without any when it is absent
/// or `true`. `Some(None)` is off.
#[inline(never)]
pub(crate) fn switched<'a>(object: &Object<'a>, name: &str, fields: &[&str]) -> Option<Option<Object<'a>>> {
    match object.optional(name).filter(|reader| !reader.is_object()) {
        Some(reader) => reader.boolean().map(|on| on.then(|| reader.no_fields())),
        None => object.inner(name, fields).map(Some),
    }
}
