//! Where an HTTP registry is, as documents say it.

use alloc::string::String;

use crate::config::{Field, Kind, Object, CLUSTER, VISIBLE};

pub(crate) static AUTHORITY: Field<String> =
    Field::of("authority", Kind::formed("an authority", 256, &VISIBLE)).or_says("see meaning").says(
        "The host that is asked for. By default the name of `cluster`; of one that Istio made, \
             `outbound|8500||consul.example`, the host in it.",
    );

/// The field `cluster` of a registry.
pub(super) const fn cluster() -> Field<String> {
    Field::of("cluster", CLUSTER)
}

/// Reads the cluster that leads to a server, and the `:authority` of requests to it.
pub(super) fn read(object: &Object<'_>, cluster: &Field<String>) -> Option<(String, String)> {
    let cluster = object.get(cluster)?;
    let authority = object.maybe(&AUTHORITY)?.unwrap_or_else(|| host(&cluster).into());
    Some((cluster, authority))
}

/// The host that a cluster leads to, by its name. Istio names clusters `direction|port|subset|host`, which
/// no server takes for a host: Go's answers 400.
fn host(cluster: &str) -> &str {
    let mut parts = cluster.split('|');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(_), Some(_), Some(host), None) if !host.is_empty() => host,
        _ => cluster,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_for_by_the_host_in_the_name_of_its_cluster() {
        let cases = [
            ("consul", "consul"),
            ("outbound|8500||consul.example", "consul.example"),
            ("outbound|8500|v1|consul.infra.svc.cluster.local", "consul.infra.svc.cluster.local"),
            ("outbound|8500||", "outbound|8500||"),
            ("a|b", "a|b"),
            ("a|b|c|d|e", "a|b|c|d|e"),
        ];
        for (cluster, expected) in cases {
            assert_eq!(host(cluster), expected, "{cluster}");
        }
    }
}
