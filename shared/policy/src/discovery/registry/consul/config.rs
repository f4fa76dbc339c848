//! What a document says of a Consul, and of a service there.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::config::lists::texts;
use crate::config::{Object, Reader};
use crate::discovery::registry::consul::query::Consistency;
use crate::discovery::registry::identity::Identity;
use crate::discovery::registry::server;

/// A Consul datacenter.
#[derive(Clone, PartialEq, Eq)]
pub struct Consul {
    /// The cluster of Envoy's that leads to an agent or a server.
    pub cluster: String,
    /// The `:authority` of requests to it.
    pub authority: String,
    /// The datacenter to ask about; `None` for the agent's own.
    pub datacenter: Option<String>,
    /// The namespace (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    pub partition: Option<String>,
    /// The ACL token.
    pub token: Option<String>,
    /// How long a blocking query may wait; 0 for plain polling.
    pub wait_ms: u32,
    /// Which servers may answer.
    pub consistency: Consistency,
    /// Sort by round trip time from this node; `_agent` for the agent that is asked.
    pub near: Option<String>,
    /// The key of metadata, of the service or else of its node, that has the zone.
    pub zone_key: String,
    /// How long an answer to a query that does not block may take.
    pub timeout_ms: u32,
}

/// A service of a Consul.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceQuery {
    /// The service's name there.
    pub service: String,
    /// Tags that its instances must have, all of them.
    pub tags: Vec<String>,
    /// A filter expression of Consul's.
    pub filter: Option<String>,
    /// Another datacenter than the registry's.
    pub datacenter: Option<String>,
}

const FIELDS: [&str; 11] = [
    "cluster",
    "authority",
    "datacenter",
    "namespace",
    "partition",
    "token",
    "wait_ms",
    "consistency",
    "near",
    "zone_key",
    "timeout_ms",
];
const QUERY: [&str; 4] = ["service", "tags", "filter", "datacenter"];
const CONSISTENCIES: [(&str, Consistency); 3] = [
    ("default", Consistency::Default),
    ("stale", Consistency::Stale),
    ("consistent", Consistency::Consistent),
];

/// A name that is part of a path or a query, of a datacenter and the like.
fn name(object: &Object<'_>, field: &str) -> Option<Option<String>> {
    object.or(field, None, |r| r.text(256).map(|text| Some(text.to_string())))
}

/// A secret, which no message repeats.
fn token(reader: &Reader<'_>) -> Option<String> {
    let text = reader.text(1024)?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        reader.report("is no token, expected visible ASCII without spaces".to_string());
        return None;
    }
    Some(text.to_string())
}

/// Consul's own bounds are a wait of up to ten minutes.
fn wait_ms(reader: &Reader<'_>) -> Option<u32> {
    let ms = reader.integer(0..=600_000, "ms")?;
    if (1..1_000).contains(&ms) {
        reader.report(format!("{ms} ms is out of range, expected 0 or 1000 to 600000 ms"));
        return None;
    }
    u32::try_from(ms).ok()
}

// === impl Consul ===

impl Consul {
    /// Reads the field `consul` of a registry.
    #[inline(never)]
    pub(crate) fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let server = server::read(&object);
        let (datacenter, namespace) = (name(&object, "datacenter"), name(&object, "namespace"));
        let partition = name(&object, "partition");
        let token = object.or("token", None, |r| token(r).map(Some));
        let wait_ms = object.or("wait_ms", 55_000, wait_ms);
        let consistency = object.or("consistency", Consistency::Default, |r| r.choice(&CONSISTENCIES));
        let near = name(&object, "near");
        let zone_key = object.or("zone_key", "zone", |r| r.text(256));
        let timeout_ms = object.count("timeout_ms", 5_000, 100, 60_000, "ms");
        let (cluster, authority) = server?;
        Some(Self {
            cluster,
            authority,
            datacenter: datacenter?,
            namespace: namespace?,
            partition: partition?,
            token: token?,
            wait_ms: wait_ms?,
            consistency: consistency?,
            near: near?,
            zone_key: zone_key?.to_string(),
            timeout_ms: timeout_ms?,
        })
    }

    /// Adds all that makes the answer to `query`.
    pub(crate) fn identify(&self, registry: &str, query: &ServiceQuery, identity: &mut Identity) {
        let mut text = |text: &str| identity.text(text);
        text("consul");
        text(registry);
        text(match self.consistency {
            Consistency::Consistent => "consistent",
            Consistency::Default => "default",
            Consistency::Stale => "stale",
        });
        text(&self.cluster);
        text(&self.authority);
        let scope = [&self.namespace, &self.partition, &self.near];
        scope.into_iter().for_each(|one| text(one.as_deref().unwrap_or("")));
        text(query.datacenter.as_deref().or(self.datacenter.as_deref()).unwrap_or(""));
        text(&self.zone_key);
        text(&query.service);
        text(query.filter.as_deref().unwrap_or(""));
        query.tags.iter().for_each(|tag| text(tag));
        // A question of DNS ends with its record and port.
        identity.bytes(&[3, 0, 0]);
    }
}

/// Without the token, which must not come into a log.
impl fmt::Debug for Consul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consul")
            .field("cluster", &self.cluster)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

// === impl ServiceQuery ===

impl ServiceQuery {
    /// Reads the field `consul` of a service that is called `name`.
    pub(crate) fn read(object: &Object<'_>, name: &str) -> Option<Self> {
        let object = object.inner("consul", &QUERY)?;
        let text =
            |field: &str, most| object.or(field, None, |r| r.text(most).map(|text| Some(text.to_owned())));
        let service = object.or("service", name, |r| r.text(256));
        let tags = object.or("tags", Vec::new(), |r| texts(r, 16, "tags"));
        let (filter, datacenter) = (text("filter", 1024), text("datacenter", 256));
        Some(Self {
            service: service?.to_owned(),
            tags: tags?.into_iter().map(ToOwned::to_owned).collect(),
            filter: filter?,
            datacenter: datacenter?,
        })
    }
}
