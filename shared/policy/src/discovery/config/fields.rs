//! What a document may say of discovery: the document itself and its services.

use alloc::string::String;

use super::balance::{BALANCE, OVERPROVISIONING_PERCENT, PANIC_THRESHOLD_PERCENT, SLOW_START, ZONE_AWARE};
use super::policy::{NoMatch, OnFailure, SubsetFallback};
use super::policy::{ORIGINAL_DST_HEADER, OVERRIDE_HEADER};
use crate::config::name::PLAIN;
use crate::config::{
    choices, joined, Def, Field, Group, Inner, Items, Kind, List, Literal, Map, Names, Place, Switch, Table,
    Text, ANY, NAME, PAIRS, SCOPE, TEXT,
};
use crate::discovery::config::allow::RULE;
use crate::discovery::config::registry::REGISTRY;
use crate::discovery::registry::QUERIES;
use crate::http::matcher::{HeaderName, HEADER, MATCHES};
use crate::http::reply::{BODY, CONTENT_TYPE, GRPC_STATUS, HEADERS, STATUS};
use crate::http::retry::RETRY_ON;

const DAY: u64 = 86_400_000;
choices!(NoMatch { "pass" => NoMatch::Pass, "not_found" => NoMatch::NotFound });
choices!(OnFailure { "refuse" => OnFailure::Refuse, "allow" => OnFailure::Allow });
choices!(SubsetFallback {
    "no_fallback" => SubsetFallback::NoFallback,
    "any_endpoint" => SubsetFallback::AnyEndpoint,
    "default_subset" => SubsetFallback::DefaultSubset,
});

pub(super) static REGISTRIES: Field<Map> = Field::map("registries", &REGISTRY_NAMES).required().says(
    "The registries by name: text, 1 to 64 bytes of letters, digits, `-`, `_`. The names stand in \
     metrics and logs.",
);
static REGISTRY_NAMES: Names = Names {
    names: Text::new("a name", 64, &PLAIN),
    of: Kind::Object(&REGISTRY),
    least: 1,
    most: 16,
    called: "registries",
};
pub(super) static SERVICES: Field<Items> =
    Field::items("services", &Kind::Object(&SERVICE), 1, 256, "services").required().says("The services.");
pub(super) static ALLOW: Field<List<str>> = Field::list(
    "allow",
    &Kind::formed("a network and its ports", 64, &RULE),
    1,
    64,
    "networks with their ports",
)
.required()
.says("Where requests may ever be sent, see [below](#what-allow-allows).");
pub(super) static STEER: Field<Items> = Field::of("steer", Kind::Object(&STEER_TABLE))
    .or_says("`original_dst`")
    .says("How Envoy is told the endpoint.");
pub(super) static ZONE: Field<str> = Field::text("zone", 256)
    .or_says("Envoy's own")
    .says("The zone that the proxy is in. By default the zone of `node.locality`.");
pub(super) static NO_MATCH: Field<NoMatch> = Field::choice("no_match").or_text("pass").says(
    "What becomes of a request that is for no service: it goes on, without headers that steer, or it \
     gets 404.",
);
pub(super) static ON_FAILURE: Field<OnFailure> = Field::choice("on_failure").or_text("refuse").says(
    "What becomes of a request whose service has no endpoint: it gets 503, or it goes on, without \
     headers that steer.",
);
pub(super) static REPLY: Field<Inner> =
    Field::object("reply", &REPLY_TABLE).or_says("`{}`").says("What a refused client gets.");
/// The document.
pub static DOCUMENT: Table = Table::new(
    "discovery",
    &[
        REGISTRIES.def(),
        SERVICES.def(),
        ALLOW.def(),
        STEER.def(),
        ZONE.def(),
        NO_MATCH.def(),
        ON_FAILURE.def(),
        REPLY.def(),
        SCOPE.def(),
    ],
);

static REPLY_TABLE: Table = Table::new(
    "discovery.reply",
    &[STATUS.def(), GRPC_STATUS.def(), BODY.def(), CONTENT_TYPE.def(), HEADERS.def()],
);

pub(super) static ORIGINAL_DST: Field<Inner> = Field::object("original_dst", &ORIGINAL_DST_TABLE)
    .says("The endpoint for a cluster of the type `ORIGINAL_DST`. It can be any that `allow` has.");
pub(super) static OVERRIDE_HOST: Field<Inner> = Field::object("override_host", &OVERRIDE_HOST_TABLE).says(
    "The endpoints of all attempts for the load-balancing policy `override_host`, in a cluster that \
     has them itself.",
);
pub(super) static STEER_TABLE: Table =
    Table::new("discovery.steer", &[ORIGINAL_DST.def(), OVERRIDE_HOST.def()])
        .groups(&[Group::one_of(&["original_dst", "override_host"], "steers by nothing")])
        .words(&["original_dst", "override_host"]);
pub(super) static DST_HEADER: Field<HeaderName> = Field::of("header", HEADER)
    .or_text(ORIGINAL_DST_HEADER)
    .says("The request header: the cluster's `http_header_name`.");
static ORIGINAL_DST_TABLE: Table = Table::new("discovery.steer.original_dst", &[DST_HEADER.def()]);
pub(super) static HOST_HEADER: Field<HeaderName> = Field::of("header", HEADER)
    .or_text(OVERRIDE_HEADER)
    .says("The request header: the one of `override_host_sources`.");
static OVERRIDE_HOST_TABLE: Table = Table::new("discovery.steer.override_host", &[HOST_HEADER.def()]);

pub(super) static SERVICE_NAME: Field<str> = Field::of("name", NAME)
    .required()
    .says("Stands in metrics, access logs and logs; by it the routing filter chooses it. Unique.");
/// Any text: which registries there are is known only later.
pub(super) static REGISTRY_NAME: Field<str> =
    Field::of("registry", Kind::formed("the name of a registry", 256, &ANY))
        .required()
        .says("Where it is registered.");
pub(super) static MATCH: Field<Items> = Field::of("match", MATCHES).or_says("none").says(
    "The requests that are for it. Without, only those for which the routing filter chose it; only if \
     there is such a service, the filter listens to the routing filter.",
);
pub(super) static FALLBACK: Field<Items> =
    Field::items("fallback", &Kind::Object(&FALLBACK_TABLE), 1, 4, "fallbacks").or_says("none").says(
        "Where else it is registered. Each is a lower priority level, and stands in for those before it \
     as far as they lack healthy endpoints.",
    );
pub(super) static SUBSET: Field<Inner> =
    Field::object("subset", &SUBSET_TABLE).or_says("`{}`").says("Only these endpoints take requests.");
pub(super) static ATTEMPTS: Field<u32> = Field::integer("attempts", 1, 10, "attempts")
    .or_number(1)
    .says("How many endpoints a request may try, the first one included.");
pub(super) static RETRY: Field<Inner> =
    Field::object("retry", &RETRY_TABLE).or_says("`{}`").says("When a further one is tried.");
pub(super) static OUTLIER_DETECTION: Field<Switch> = Field::switch("outlier_detection", &EJECTION_KIND).says(
    "When an endpoint is ejected for its failures. `false` for never. That it refuses connections is \
         [noted](../endpoints.md) all the same.",
);
const EJECTION_KIND: Kind = Kind::Object(&EJECTION);
pub(super) static HOLD_MS: Field<u64> = Field::duration("hold_ms", 0, 30_000).or_number(2_000).says(
    "How long requests may wait when nothing is known yet: there is no endpoint, and one of the \
     sources has not answered once. It is counted, in each worker, from the first request that has to \
     wait: those that come when it is over are refused at once until there is an answer, so that a \
     registry that stays down holds nobody. A request that waits goes on with the first answer that \
     has endpoints, and is refused when all have answered without. 0: refused at once.",
);
static SERVICE_FIELDS: [&Def; QUERIES.len() + 14] = joined(&[
    &[SERVICE_NAME.def(), REGISTRY_NAME.def(), MATCH.def()],
    &QUERIES,
    &[
        FALLBACK.def(),
        BALANCE.def(),
        SLOW_START.def(),
        ZONE_AWARE.def(),
        PANIC_THRESHOLD_PERCENT.def(),
        OVERPROVISIONING_PERCENT.def(),
        SUBSET.def(),
        ATTEMPTS.def(),
        RETRY.def(),
        OUTLIER_DETECTION.def(),
        HOLD_MS.def(),
    ],
]);
static SERVICE: Table = Table::new("discovery.service", &SERVICE_FIELDS);

pub(super) static DATACENTER: Field<String> = Field::text("datacenter", 256).says("The datacenter.");
pub(super) static FALLBACK_REGISTRY: Field<str> =
    Field::of("registry", Kind::formed("the name of a registry", 256, &ANY)).says("The registry.");
static FALLBACK_FIELDS: [&Def; QUERIES.len() + 2] =
    joined(&[&[DATACENTER.def(), FALLBACK_REGISTRY.def()], &QUERIES]);
static FALLBACK_TABLE: Table = Table::new("discovery.fallback", &FALLBACK_FIELDS)
    .groups(&[Group::one_of(&["datacenter", "registry"], "asks nothing")]);

pub(super) static SUBSET_TAGS: Field<List<String>> =
    Field::list("tags", &TEXT, 1, 16, "tags").or_says("none").says("Tags that they have.");
pub(super) static SUBSET_METADATA: Field<Map> =
    Field::map("metadata", &PAIRS).or_says("none").says("Metadata that they have; values of 1 to 256 bytes.");
pub(super) static SUBSET_FALLBACK: Field<SubsetFallback> =
    Field::choice("fallback").or_text("no_fallback").says(
        "What takes a request when there is no such endpoint: nothing, any endpoint, or this subset, when \
     it was another that was asked for.",
    );
static SUBSET_TABLE: Table =
    Table::new("discovery.subset", &[SUBSET_TAGS.def(), SUBSET_METADATA.def(), SUBSET_FALLBACK.def()]);

/// Idempotent by RFC 9110, section 9.2.2.
const IDEMPOTENT: &[Literal] = &[
    Literal::Text("GET"),
    Literal::Text("HEAD"),
    Literal::Text("OPTIONS"),
    Literal::Text("TRACE"),
    Literal::Text("PUT"),
    Literal::Text("DELETE"),
];
/// Failures that no application gives.
const USUAL_ON: &[Literal] = &[
    Literal::Text("connect-failure"),
    Literal::Text("refused-stream"),
    Literal::Text("reset"),
    Literal::Text("gateway-error"),
];
pub(super) static METHODS: Field<List<str>> = Field::list("methods", &TEXT, 1, 16, "methods")
    .or_list(IDEMPOTENT)
    .says("Methods of requests that may be repeated: the idempotent ones of RFC 9110. Made upper case.");
pub(super) static SAFE: Field<Items> =
    Field::of("safe", MATCHES).or_says("none").says("Requests that may, whatever their method.");
pub(super) static ON: Field<List<Place>> =
    Field::list("retry_on", &Kind::Choice(&RETRY_ON), 1, RETRY_ON.len() as u16, "conditions")
        .or_list(USUAL_ON)
        .says("`x-envoy-retry-on` of requests that may be repeated.");
pub(super) static PER_TRY_TIMEOUT_MS: Field<u64> = Field::duration("per_try_timeout_ms", 0, DAY)
    .or_number(0)
    .says("`x-envoy-upstream-rq-per-try-timeout-ms`: for one attempt. 0 for Envoy's.");
pub(super) static BUDGET: Field<Inner> =
    Field::object("budget", &BUDGET_TABLE).or_says("`{}`").says("How many further attempts there may be.");
static RETRY_TABLE: Table = Table::new(
    "discovery.retry",
    &[METHODS.def(), SAFE.def(), ON.def(), PER_TRY_TIMEOUT_MS.def(), BUDGET.def()],
);

pub(super) static BUDGET_PERCENT: Field<u32> = Field::percent("budget_percent", 0, 100)
    .or_number(20)
    .says("How many further attempts there may be, in percent of the service's requests.");
pub(super) static MIN_RETRY_CONCURRENCY: Field<u32> =
    Field::integer("min_retry_concurrency", 0, 1_000, "attempts")
        .or_number(5)
        .says("As many may be saved up for all clients however few requests are in flight, and half as many for those that want few; a worker begins with both.");
static BUDGET_TABLE: Table =
    Table::new("discovery.budget", &[BUDGET_PERCENT.def(), MIN_RETRY_CONCURRENCY.def()]);

const MOST_FAILURES: u64 = 1_000_000;
pub(super) static CONSECUTIVE_5XX: Field<u32> =
    Field::integer("consecutive_5xx", 0, MOST_FAILURES, "failures")
        .or_number(5)
        .says("Consecutive 5xx and broken connections after which an endpoint is ejected. 0 for never.");
pub(super) static CONSECUTIVE_GATEWAY_FAILURE: Field<u32> =
    Field::integer("consecutive_gateway_failure", 0, MOST_FAILURES, "failures")
        .or_number(5)
        .says("The same of those that no application gives: 502, 503, 504, broken connections.");
pub(super) static BASE_EJECTION_TIME_MS: Field<u64> =
    Field::duration("base_ejection_time_ms", 1, DAY).or_number(30_000).says(
        "How long the first ejection lasts. Each further one is longer by as much; for every ten seconds \
     without, one is forgotten.",
    );
pub(super) static MAX_EJECTION_TIME_MS: Field<u64> = Field::duration("max_ejection_time_ms", 1, DAY)
    .or_number(300_000)
    .says("The longest ejection. At least `base_ejection_time_ms`.");
pub(super) static MAX_EJECTION_PERCENT: Field<u32> = Field::percent("max_ejection_percent", 0, 100)
    .or_number(50)
    .says("How many endpoints may be ejected at one time.");
pub(super) static ALWAYS_EJECT_ONE: Field<bool> = Field::boolean("always_eject_one_endpoint", true)
    .says("Whether one may be ejected, however few there are.");
pub(super) static PATIENCE_MS: Field<u64> = Field::duration("patience_ms", 0, DAY).or_number(0).says(
    "A client that leaves after so long without a response's headers, counted from the end of its \
     request, counts as a failed connection. 0 for never.",
);
static EJECTION: Table = Table::new(
    "discovery.outlier_detection",
    &[
        CONSECUTIVE_5XX.def(),
        CONSECUTIVE_GATEWAY_FAILURE.def(),
        BASE_EJECTION_TIME_MS.def(),
        MAX_EJECTION_TIME_MS.def(),
        MAX_EJECTION_PERCENT.def(),
        ALWAYS_EJECT_ONE.def(),
        PATIENCE_MS.def(),
    ],
);
