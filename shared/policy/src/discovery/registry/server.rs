//! Where an HTTP registry is, as documents say it.

use alloc::string::String;

use crate::config::Object;

/// Reads the cluster that leads to a server, and the `:authority` of requests to it.
pub(super) fn read(object: &Object<'_>) -> Option<(String, String)> {
    let cluster = object.required("cluster", "the name of a cluster").and_then(|r| r.header_text(256));
    let authority = object.or("authority", cluster.clone(), |r| r.header_text(256).map(Some));
    let authority = authority?;
    Some((cluster?, authority?))
}
