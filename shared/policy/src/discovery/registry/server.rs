//! Where an HTTP registry is, as documents say it.

use alloc::string::String;

use crate::config::{Field, Kind, Object, CLUSTER, VISIBLE};

pub(crate) static AUTHORITY: Field<String> =
    Field::of("authority", Kind::formed("an authority", 256, &VISIBLE))
        .or_says("`cluster`")
        .says("The host that is asked for.");

/// The field `cluster` of a registry.
pub(super) const fn cluster() -> Field<String> {
    Field::of("cluster", CLUSTER)
}

/// Reads the cluster that leads to a server, and the `:authority` of requests to it.
pub(super) fn read(object: &Object<'_>, cluster: &Field<String>) -> Option<(String, String)> {
    let cluster = object.get(cluster)?;
    let authority = object.maybe(&AUTHORITY)?.unwrap_or_else(|| cluster.clone());
    Some((cluster, authority))
}
