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

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::config::{all, collect, document, ConfigError, Object, Reader, Scope};
use crate::discovery::config::allow::Allow;
use crate::discovery::config::policy::{Policy, Steer};
use crate::http::{reply, ReplyPolicy};

pub use policy::{ORIGINAL_DST_HEADER, OVERRIDE_HEADER};

// === impl Policy ===

impl Policy {
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
        Some(Self {
            scope: Scope::read(&object)?,
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
