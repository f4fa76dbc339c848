//! The request: which service, of which datacenter, and how long the server may hold it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::registry::path::{encode, flag, parameter};
use crate::time::Span;

/// A query of the health endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The service.
    pub service: String,
    /// Its datacenter; that of the agent when absent.
    pub datacenter: Option<String>,
    /// Its namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// Its admin partition (Consul Enterprise).
    pub partition: Option<String>,
    /// An expression of Consul's own language that entries must fulfil.
    pub filter: Option<String>,
    /// Sort by round trip from this node, `_agent` for the agent's. It only matters where an answer
    /// is cut, and costs the server its streaming back end.
    pub near: Option<String>,
    /// Tags that an endpoint must all have.
    pub tags: Vec<String>,
    /// Which servers may answer.
    pub consistency: Consistency,
    /// Whether endpoints without passing checks are left out by the server.
    pub passing: bool,
    /// The key of metadata, of the service or else of its node, that has the zone.
    pub zone: String,
    /// How long the server may hold the query: at most [`MAX_WAIT`].
    pub wait: Span,
    /// Sent as `X-Consul-Token`.
    pub token: Option<String>,
}

/// Which servers may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// A leader that has confirmed to be one.
    Consistent,
    /// The leader.
    #[default]
    Default,
    /// Any server, whatever it has missed.
    Stale,
}

/// The header with the ACL token.
pub const TOKEN: &str = "x-consul-token";
/// Longest that Consul holds a query (its own bound on `wait`).
pub const MAX_WAIT: Span = Span::from_secs(600);
/// What the network and the server may take beyond the wait.
const SLACK: Span = Span::from_secs(5);

/// A blocking query times out after `wait` + `wait`/16 + 5 s: the server adds up to a sixteenth to
/// `wait`, so that not all clients come back at once.
#[must_use]
pub fn timeout(wait: Span) -> Span {
    let wait = wait.min(MAX_WAIT);
    wait.plus(wait.ceil_part(16)).plus(SLACK)
}

// === impl Query ===

impl Query {
    /// A query for all instances of `service`, whatever their health.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self {
            service: service.into(),
            datacenter: None,
            namespace: None,
            partition: None,
            filter: None,
            near: None,
            tags: Vec::new(),
            consistency: Consistency::Default,
            passing: false,
            zone: "zone".into(),
            wait: Span::from_secs(55),
            token: None,
        }
    }

    /// The path of the request that waits for more than `index`; 0 does not wait.
    #[must_use]
    pub fn path(&self, index: u64) -> String {
        let mut path = String::from("/v1/health/service/");
        encode(&mut path, &self.service);
        let named = [
            ("dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
            ("filter", &self.filter),
            ("near", &self.near),
        ];
        for (name, value) in named {
            value.iter().for_each(|value| parameter(&mut path, name, value));
        }
        self.tags.iter().for_each(|tag| parameter(&mut path, "tag", tag));
        let flags = [
            ("passing", self.passing),
            ("stale", self.consistency == Consistency::Stale),
            ("consistent", self.consistency == Consistency::Consistent),
        ];
        for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
            flag(&mut path, name);
        }
        if index > 0 {
            parameter(&mut path, "index", &format!("{index}"));
            let wait = self.wait.min(MAX_WAIT);
            let (secs, millis) = (wait.floor_secs(), wait.as_millis());
            let whole = secs.saturating_mul(1000) == millis;
            let wait = if whole { format!("{secs}s") } else { format!("{millis}ms") };
            parameter(&mut path, "wait", &wait);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_what_is_asked() {
        let mut query = Query::new("a/b");
        assert_eq!(query.path(0), "/v1/health/service/a%2Fb");
        query.datacenter = Some("dc2".into());
        query.filter = Some("Service.Meta.v == \"1\"".into());
        query.tags = std::vec!["x&y".into(), "z".into()];
        query.consistency = Consistency::Stale;
        query.passing = true;
        query.wait = Span::from_millis(1500);
        assert_eq!(
            query.path(7),
            "/v1/health/service/a%2Fb?dc=dc2&filter=Service.Meta.v%20%3D%3D%20%221%22&tag=x%26y&tag=z\
             &passing&stale&index=7&wait=1500ms"
        );
    }

    #[test]
    fn a_client_waits_longer_than_the_server() {
        assert_eq!(timeout(Span::from_secs(160)), Span::from_secs(175));
        assert_eq!(timeout(Span::from_secs(6000)).as_millis(), 642_500);
    }
}
