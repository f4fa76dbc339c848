//! What a document says of a Consul, and of a service there.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::config::{choices, Field, Form, List, Misfit, Object, Table, TEXT};
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
    /// How many queries may wait at the same time.
    pub max_blocking_queries: u32,
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

choices!(Consistency {
    "default" => Consistency::Default,
    "stale" => Consistency::Stale,
    "consistent" => Consistency::Consistent,
});

/// A token is visible ASCII without spaces.
static TOKEN_FORM: Form = Form::new(
    |text| {
        let misfit = Misfit { found: "is not a token", expected: "visible ASCII without spaces" };
        (!text.bytes().all(|b| b.is_ascii_graphic())).then_some(misfit)
    },
    "^[!-~]+$",
    true,
);

static CLUSTER: Field<String> = server::cluster()
    .required()
    .says("The cluster of Envoy's that leads to an agent or a server. Not one of `ORIGINAL_DST`.");
static DATACENTER: Field<String> =
    Field::of("datacenter", TEXT).or_says("the agent's").says("The datacenter that is asked about.");
static NAMESPACE: Field<String> =
    Field::of("namespace", TEXT).or_says("none").says("The namespace (Consul Enterprise).");
static PARTITION: Field<String> =
    Field::of("partition", TEXT).or_says("none").says("The admin partition (Consul Enterprise).");
static TOKEN: Field<String> = Field::secret("token", "visible ASCII without spaces", 1, 1024, &TOKEN_FORM)
    .or_says("none")
    .says("The ACL token, for `X-Consul-Token`. It needs `service:read` and `node:read`. Without spaces.");
static WAIT_MS: Field<u32> = Field::duration("wait_ms", 0, 600_000).or_number(55_000).says(
    "How long the server may hold a query until something changes; it adds up to a sixteenth. 0: it \
     is asked every `ttl_ms`.",
);
static MAX_BLOCKING_QUERIES: Field<u32> =
    Field::integer("max_blocking_queries", 1, 1_024, "queries").or_number(64).says(
        "How many queries may be held at one time, of all workers together. The first services of the \
         document have them; the others are asked every `ttl_ms`, see [below](#many-services-of-one-consul).",
    );
static CONSISTENCY: Field<Consistency> = Field::choice("consistency")
    .or_text("default")
    .says("Who may answer: the leader, any server, the leader once it has asked the others.");
static NEAR: Field<String> = Field::of("near", TEXT).or_says("none").says(
    "Sorts by round trip from this node, `_agent` for the agent's. It costs the server its streaming \
     back end.",
);
static ZONE_KEY: Field<String> = Field::of("zone_key", TEXT)
    .or_text("zone")
    .says("The key of metadata, of the service or else of its node, that has the zone.");
static TIMEOUT_MS: Field<u32> = Field::duration("timeout_ms", 100, 60_000)
    .or_number(5_000)
    .says("How long an answer may take. One that may wait has `wait_ms`, a sixteenth of it, and 5 seconds.");
/// A registry.
pub(in crate::discovery::registry) static REGISTRY: Table = Table::new(
    "discovery.consul",
    &[
        CLUSTER.def(),
        server::AUTHORITY.def(),
        DATACENTER.def(),
        NAMESPACE.def(),
        PARTITION.def(),
        TOKEN.def(),
        WAIT_MS.def(),
        MAX_BLOCKING_QUERIES.def(),
        CONSISTENCY.def(),
        NEAR.def(),
        ZONE_KEY.def(),
        TIMEOUT_MS.def(),
    ],
);

static SERVICE: Field<str> = Field::of("service", TEXT).or_says("`name`").says("Its name in Consul.");
static TAGS: Field<List<String>> = Field::list("tags", &TEXT, 1, 16, "tags")
    .or_says("none")
    .says("Tags that instances must have, all of them.");
static FILTER: Field<String> = Field::text("filter", 1024).or_says("none").says(
    "An expression of Consul's [filter \
     language](https://developer.hashicorp.com/consul/api-docs/features/filtering).",
);
static QUERY_DATACENTER: Field<String> =
    Field::of("datacenter", TEXT).or_says("the registry's").says("Another datacenter.");
/// What is asked for.
pub(in crate::discovery::registry) static QUERY: Table = Table::new(
    "discovery.service.consul",
    &[SERVICE.def(), TAGS.def(), FILTER.def(), QUERY_DATACENTER.def()],
);

// === impl Consul ===

impl Consul {
    /// Reads the field `consul` of a registry.
    #[inline(never)]
    pub(in crate::discovery::registry) fn read(object: &Object<'_>) -> Option<Self> {
        let wait_ms = object.get(&WAIT_MS)?;
        // Consul's own bounds are a wait of up to ten minutes.
        if (1..1_000).contains(&wait_ms) {
            object.report_at(&WAIT_MS, format!("{wait_ms} ms is out of range"), "0 or 1000 to 600000 ms");
            return None;
        }
        let (cluster, authority) = server::read(object, &CLUSTER)?;
        Some(Self {
            cluster,
            authority,
            datacenter: object.maybe(&DATACENTER)?,
            namespace: object.maybe(&NAMESPACE)?,
            partition: object.maybe(&PARTITION)?,
            token: object.maybe(&TOKEN)?,
            wait_ms,
            max_blocking_queries: object.get(&MAX_BLOCKING_QUERIES)?,
            consistency: object.get(&CONSISTENCY)?,
            near: object.maybe(&NEAR)?,
            zone_key: object.get(&ZONE_KEY)?,
            timeout_ms: object.get(&TIMEOUT_MS)?,
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
    pub(in crate::discovery::registry) fn read(object: &Object<'_>, name: &str) -> Option<Self> {
        Some(Self {
            service: object.maybe(&SERVICE)?.unwrap_or(name).to_owned(),
            tags: object.list(&TAGS)?,
            filter: object.maybe(&FILTER)?,
            datacenter: object.maybe(&QUERY_DATACENTER)?,
        })
    }
}
