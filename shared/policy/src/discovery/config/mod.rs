//! The configuration of the discovery filter, as users write it.
//!
//! The reference with all fields, bounds and defaults is `docs/config/discovery.md`; a test keeps
//! it and the readers from drifting apart.

pub mod allow;
mod balance;
mod cache;
pub mod fields;
pub mod policy;
mod registry;
mod service;
mod source;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::claims::Claim;
use crate::config::{all, collect, document, identity, ConfigError, Object, Reader, Scope};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::{EjectionParams, Policy, Service, Source, Steer};
use crate::discovery::config::registry::Known;
use crate::discovery::endpoint;
use crate::discovery::registry::Shape;
use crate::hash::xxh64::xxh64;
use crate::http::{reply, ReplyPolicy};

pub use policy::{ORIGINAL_DST_HEADER, OVERRIDE_HEADER};

// === impl Policy ===

impl Policy {
    /// What the services mean by their names.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        self.services.iter().map(|service| claim(service, self)).collect()
    }

    /// Makes a policy of a JSON document.
    ///
    /// # Errors
    /// Every problem of the document.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        document(json, Self::read)
    }

    /// Makes a policy of a document, or of the part of one that stands here.
    #[must_use]
    pub fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.checked(&fields::DOCUMENT)?;
        let allow = object.list(&fields::ALLOW).filter(|rules| !rules.is_empty());
        let allow = allow.and_then(|rules| Allow::parse(&rules));
        let registries = registry::all(object.entries(&fields::REGISTRIES), allow.as_ref());
        let items = object.items(&fields::SERVICES);
        let one = |(index, item): (usize, &Reader<'_>)| {
            service::read(&item.object()?, items.get(..index).unwrap_or(&[]), &registries)
        };
        let services = items.iter().enumerate().map(one).fold(Some(Vec::new()), collect);
        services.as_deref().is_none_or(|services| fits(&object, services, &registries)).then_some(())?;
        let scope = Scope::read(&object)?;
        let decides = [fields::SERVICE_NAME.def(), fields::MATCH.def()];
        Some(Self {
            identity: scope.hash(identity(&items, &decides)),
            scope,
            services: services?,
            registries: all(registries.into_iter().map(|known| known.registry))?,
            allow: allow?,
            steer: read_steer(&object)?,
            zone: object.maybe(&fields::ZONE)?.map(Rc::from),
            no_match: object.get(&fields::NO_MATCH)?,
            on_failure: object.get(&fields::ON_FAILURE)?,
            reply: ReplyPolicy::read(&object.inner(&fields::REPLY)?, &reply::STATUS, &reply::GRPC_STATUS)?,
        })
    }
}

/// What answers may have together. Of one that has all its bytes a worker keeps about three times as much, and the
/// memory of a VM ends at 4 GiB.
const MOST_BYTES: u64 = 1 << 30;

/// Whether all answers have room, if each is as long as it may be.
fn fits(document: &Object<'_>, services: &[Service], registries: &[Known<'_>]) -> bool {
    let asked = |known: &&Known<'_>| known.shape.is_some_and(Shape::is_asked);
    let most = |source: &Source| {
        let known = registries.get(source.registry).filter(asked)?;
        Some(u64::from(known.registry.as_ref()?.cache.max_bytes))
    };
    let sources = services.iter().flat_map(|service| &service.sources);
    let bytes = sources.filter_map(most).fold(0, u64::saturating_add);
    if bytes > MOST_BYTES {
        let found = format!("answers of {bytes} bytes, `max_bytes` for each service and fallback");
        document.report_at(&fields::SERVICES, found, "1073741824 at most: a smaller `max_bytes` in `cache`");
    }
    bytes <= MOST_BYTES
}

/// What a service means by its name: who is asked for its endpoints, and when these are ejected.
fn claim(service: &Service, policy: &Policy) -> Claim {
    let (mut of, mut hash) = (String::new(), 0);
    for source in &service.sources {
        let Some(registry) = policy.registries.get(source.registry) else { continue };
        let comma = if of.is_empty() { "" } else { ", " };
        of.extend([comma, &registry.name]);
        let fixed = || endpoint::hash(registry.kind.endpoints(&source.query));
        let asked = registry.kind.identity(&registry.name, &source.query).unwrap_or_else(fixed);
        hash = xxh64(&asked.to_le_bytes(), hash);
    }
    let words = service.ejection.as_ref().map_or([0; 7], EjectionParams::words);
    let [failures, _, ms, ..] = words;
    let value = format!("of {of}, consecutive_5xx {failures}, base_ejection_time_ms {ms}");
    let tag = words.iter().fold(hash, |seed, word| xxh64(&word.to_le_bytes(), seed));
    Claim { name: format!("service {}", policy.scope.quoted(&service.name)), value, tag }
}

/// Reads the field `steer`.
fn read_steer(document: &Object<'_>) -> Option<Steer> {
    let given = match document.reader(&fields::STEER) {
        Some(reader) => Some(reader.tagged(&fields::STEER_TABLE)?),
        None => None,
    };
    match given {
        Some(("override_host", object)) => {
            let header = object.inner(&fields::OVERRIDE_HOST)?.get(&fields::HOST_HEADER)?;
            Some(Steer::OverrideHost { header: header.into() })
        }
        Some((_, object)) => {
            let header = object.inner(&fields::ORIGINAL_DST)?.get(&fields::DST_HEADER)?;
            Some(Steer::OriginalDst { header: header.into() })
        }
        None => Some(Steer::OriginalDst { header: ORIGINAL_DST_HEADER.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// The problems of so many services of a registry, each with a fallback to the static one.
    fn problems(registry: &str, services: usize) -> Vec<String> {
        let service =
            |n| format!(r#"{{"name": "s{n}", "registry": "main", "fallback": [{{"registry": "spare"}}]}}"#);
        let all: Vec<String> = (0..services).map(service).collect();
        let fixed: Vec<String> =
            (0..services).map(|n| format!(r#""s{n}": [{{"address": "10.0.0.1", "port": 80}}]"#)).collect();
        let json = format!(
            r#"{{"registries": {{"main": {registry}, "spare": {{"static": {{"services": {{{}}}}}}}}},
                "services": [{}], "allow": ["10.0.0.0/8:80"]}}"#,
            fixed.join(", "),
            all.join(", ")
        );
        let error = Policy::parse(json.as_bytes()).err();
        error.map_or(Vec::new(), |error| error.problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_document_whose_answers_may_fill_the_memory_of_a_vm_is_refused() {
        let with =
            |bytes: u32| format!(r#"{{"consul": {{"cluster": "c"}}, "cache": {{"max_bytes": {bytes}}}}}"#);
        assert_eq!(problems(r#"{"consul": {"cluster": "c"}}"#, 256), [""; 0]);
        assert_eq!(problems(&with(16 << 20), 64), [""; 0]);
        let expected = "services: answers of 1090519040 bytes, `max_bytes` for each service and fallback, \
                        expected 1073741824 at most: a smaller `max_bytes` in `cache`";
        assert_eq!(problems(&with(16 << 20), 65), [expected]);
        assert_eq!(problems(&with((4 << 20) + 1), 256).len(), 1);
    }
}
