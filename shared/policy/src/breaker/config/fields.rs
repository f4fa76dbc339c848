//! What a document may say of breakers.

use super::mode::{Mode, OnFailure, RefusalHeaders};
use super::statuses::{Flag, GrpcStatus, StatusRange, CLASSES, FLAG_NAMES};
use crate::breaker::state::State;
use crate::config::{
    choices, Field, Form, Group, Inner, Items, Kind, List, Literal, Misfit, Table, NAME, PLAIN, SCOPE,
};
use crate::http::matcher::{HeaderName, HEADER, MATCHES};
use crate::http::reply::{BODY, CONTENT_TYPE, GRPC_STATUS, HEADERS as REPLY_HEADERS, STATUS};
use crate::key::part::PARTS;

const ALL: u64 = u32::MAX as u64;
const DAY: u64 = 86_400_000;
/// Names of clusters and routes.
const TARGET_NAME: Kind = Kind::text(256);

choices!(State {
    "auto" => State::Closed,
    "forced_open" => State::ForcedOpen,
    "disabled" => State::Disabled,
    "metrics_only" => State::MetricsOnly,
});

/// The request header that names another cluster unless configured otherwise.
pub const CLUSTER_HEADER_NAME: &str = "x-tidegate-cluster";

pub(super) static BREAKERS: Field<Items> =
    Field::items("breakers", &Kind::Object(&BREAKER), 1, 64, "breakers").required().says(
        "The breakers. Those that fallback clusters have of their own count, too, see \
     [fallbacks](#breakersfallback).",
    );
pub(super) static CLUSTER_HEADER: Field<HeaderName> =
    Field::of("cluster_header", HEADER).or_text(CLUSTER_HEADER_NAME).says(
        "The request header by which a fallback names another cluster to Envoy's route, see \
     [steering](#steering).",
    );
pub(super) static REPLY: Field<Inner> = Field::object("reply", &REPLY_TABLE)
    .or_says("`{}`")
    .says("What a refused client gets, unless a fallback says otherwise.");
pub(super) static HEADERS: Field<RefusalHeaders> = Field::choice("headers").or_text("x_tidegate").says(
    "Whether refusals carry `x-tidegate-breaker: open`, by which a client knows that a breaker answered \
     and not the upstream. `none` leaves it out.",
);
pub(super) static MODE: Field<Mode> =
    Field::choice("mode").or_text("enforce").says("The mode of each breaker that does not say otherwise.");
pub(super) static ON_FAILURE: Field<OnFailure> = Field::choice("on_failure").or_text("allow").says(
    "What becomes of a request when the filter cannot read or write a cell: it passes, or it gets \
     503.",
);
/// The document.
pub static DOCUMENT: Table = Table::new(
    "breaker",
    &[
        BREAKERS.def(),
        CLUSTER_HEADER.def(),
        HEADERS.def(),
        REPLY.def(),
        MODE.def(),
        ON_FAILURE.def(),
        SCOPE.def(),
    ],
);

static REPLY_TABLE: Table = Table::new(
    "breaker.reply",
    &[STATUS.def(), GRPC_STATUS.def(), BODY.def(), CONTENT_TYPE.def(), REPLY_HEADERS.def()],
);

pub(super) static BREAKER_NAME: Field<str> = Field::of("name", NAME).required().says(
    "Stands in metrics, replies and logs; in the names of cells as a number of 24 bits that is made \
     of it. Unique, and so is its number. State belongs to it: another name starts closed.",
);
pub(super) static TARGET: Field<Inner> =
    Field::object("target", &TARGET_TABLE).required().says("What it guards.");
pub(super) static MATCH: Field<Items> = Field::of("match", MATCHES).or_says("all requests").says(
    "To which requests of the target it applies. Of several objects one is enough. Not with an \
     endpoint.",
);
pub(super) static FALLBACK: Field<Items> =
    Field::items("fallback", &Kind::Object(&FALLBACK_TABLE), 1, 8, "fallbacks")
        .or_says("none")
        .says("What becomes of a refused request. Not with an endpoint.");
pub(super) static BREAKER_MODE: Field<Mode> = Field::choice("mode")
    .or_says("the document's `mode`")
    .says("`observe` lives through all states, counts what it would refuse, and lets it pass.");
pub(super) static STATE: Field<State> = Field::choice("state")
    .or_text("auto")
    .says("Whether it moves by itself or is held, see [states](#states).");
pub(super) static ADMISSION: Field<Inner> = Field::object("admission", &ADMISSION_TABLE)
    .or_says("none")
    .says("Refuses a share of the requests instead of opening. Not with a key or an endpoint.");
pub(super) static TABLE: Field<Inner> = Field::object("table", &ROOM)
    .or_says("`{\"keys\": 1024}`")
    .says("Room for targets. Only with a key or an endpoint.");
pub(super) static MAX_EJECTION_PERCENT: Field<u32> =
    Field::percent("max_ejection_percent", 1, 100).or_number(50).says(
        "Most endpoints of a cluster that may be out at once. One always may, and one always stays. Only \
     with an endpoint.",
    );
pub(super) static FAILURE_RATE_PERCENT: Field<u32> = Field::percent("failure_rate_percent", 1, 100)
    .or_number(50)
    .says("Opens when this share of the calls in the window failed. Probes are judged by it, too.");
pub(super) static SLOW_RATE_PERCENT: Field<u32> = Field::percent("slow_rate_percent", 1, 100)
    .or_number(100)
    .says("Opens when this share of the calls in the window was slow. Probes are judged by it, too.");
pub(super) static SLOW_CALL_MS: Field<u64> = Field::duration("slow_call_ms", 0, DAY).or_number(2_000).says(
    "A call is slow when its response headers take longer than this after the end of the request, and \
     not when as long. 0 for never.",
);
pub(super) static MINIMUM_CALLS: Field<u32> = Field::integer("minimum_calls", 1, ALL - 1, "calls")
    .or_number(20)
    .says("Calls in the window before a share means anything.");
pub(super) static WINDOW_MS: Field<u64> = Field::duration("window_ms", 1_000, 3_600_000)
    .or_number(10_000)
    .says("The window of time in which calls count.");
pub(super) static WINDOW_SLOTS: Field<u32> =
    Field::integer("window_slots", 1, 64, "slots").or_number(10).says(
        "The window moves by slots, of `window_ms / window_slots` each: a whole number of ms, at least \
     100.",
    );
pub(super) static CONSECUTIVE_FAILURES: Field<u32> =
    Field::integer("consecutive_failures", 0, ALL, "failures")
        .or_number(5)
        .says("Opens after so many consecutive failures, however few calls there were. 0 for never.");
pub(super) static HALF_OPEN_PERMITS: Field<u16> = Field::integer("half_open_permits", 1, 65_535, "permits")
    .or_number(5)
    .says("Probes that a half-open breaker admits, by all workers of an Envoy together.");
pub(super) static MAX_HALF_OPEN_MS: Field<u64> = Field::duration("max_half_open_ms", 0, DAY)
    .or_number(30_000)
    .says("After this time half-open those probes decide that came back; if none did, it opens again. 0 for no end.");
pub(super) static BASE_OPEN_MS: Field<u64> = Field::duration("base_open_ms", 1, DAY)
    .or_number(5_000)
    .says("How long it stays open the first time. At most `max_open_ms`.");
pub(super) static BACKOFF_MULTIPLIER_PERCENT: Field<u32> =
    Field::percent("backoff_multiplier_percent", 100, 1_000)
        .or_number(200)
        .says("The open time of each consecutive opening, in percent of the one before.");
pub(super) static MAX_OPEN_MS: Field<u64> = Field::duration("max_open_ms", 1, DAY)
    .or_number(300_000)
    .says("How long it stays open at most, jitter aside.");
pub(super) static JITTER_PERCENT: Field<u32> = Field::percent("jitter_percent", 0, 100)
    .or_number(10)
    .says("At random, up to this much of an open time is added to it.");
pub(super) static STREAK_DECAY_MS: Field<u64> = Field::duration("streak_decay_ms", 0, DAY)
    .or_number(0)
    .says("For each such time closed one opening is forgotten. 0: closing forgets all.");

const STATUSES: Kind = Kind::List { of: &STATUS_OR_CLASS, least: 0, most: 64, called: "statuses" };
const STATUS_OR_CLASS: Kind = Kind::Either(&Kind::integer(100, 599, ""), &Kind::Choice(&CLASSES));
const GRPC_STATUSES: Kind =
    Kind::List { of: &Kind::integer(1, 16, ""), least: 0, most: 16, called: "gRPC statuses" };
pub(super) static FAILURE_STATUSES: Field<List<StatusRange>> = Field::of("failure_statuses", STATUSES)
    .or_list(&[Literal::Text("5xx")])
    .says("HTTP statuses of the upstream that are failures.");
pub(super) static THROTTLED_STATUSES: Field<List<StatusRange>> = Field::of("throttled_statuses", STATUSES)
    .or_list(&[Literal::Number(429)])
    .says("HTTP statuses by which the upstream asks for less, see `count_throttled`.");
pub(super) static IGNORED_STATUSES: Field<List<StatusRange>> = Field::of("ignored_statuses", STATUSES)
    .or_list(&[])
    .says("HTTP statuses of the upstream that say nothing about it.");
pub(super) static FAILURE_GRPC_STATUSES: Field<List<GrpcStatus>> =
    Field::of("failure_grpc_statuses", GRPC_STATUSES)
        .or_list(&[
            Literal::Number(2),
            Literal::Number(4),
            Literal::Number(10),
            Literal::Number(13),
            Literal::Number(14),
            Literal::Number(15),
        ])
        .says(
            "gRPC statuses that are failures: `UNKNOWN`, `DEADLINE_EXCEEDED`, `ABORTED`, `INTERNAL`, \
     `UNAVAILABLE`, `DATA_LOSS`.",
        );
pub(super) static THROTTLED_GRPC_STATUSES: Field<List<GrpcStatus>> =
    Field::of("throttled_grpc_statuses", GRPC_STATUSES)
        .or_list(&[Literal::Number(8)])
        .says("gRPC statuses by which the upstream asks for less: `RESOURCE_EXHAUSTED`.");
pub(super) static COUNT_THROTTLED: Field<bool> = Field::boolean("count_throttled", false).says(
    "Whether a throttled call counts as failed for the failure rate, and fails a probe. By default it \
     counts nowhere: the upstream asks one client for less, and the target is everybody's.",
);
pub(super) static FAILURE_FLAGS: Field<List<Flag>> =
    Field::list("failure_flags", &Kind::Choice(&FLAG_NAMES), 0, FLAG_NAMES.len() as u16, "response flags")
        .or_list(&[
            Literal::Text("LR"),
            Literal::Text("UC"),
            Literal::Text("UF"),
            Literal::Text("UH"),
            Literal::Text("UPE"),
            Literal::Text("UR"),
            Literal::Text("UT"),
        ])
        .says(
            "Envoy's response flags that make any outcome a failure. Of `UH`, no healthy endpoint, once is \
     enough for a breaker with a `fallback`, see [outcomes](#outcomes).",
        );
static BREAKER: Table = Table::new(
    "breaker.breaker",
    &[
        BREAKER_NAME.def(),
        TARGET.def(),
        MATCH.def(),
        FALLBACK.def(),
        BREAKER_MODE.def(),
        STATE.def(),
        ADMISSION.def(),
        TABLE.def(),
        MAX_EJECTION_PERCENT.def(),
        FAILURE_RATE_PERCENT.def(),
        SLOW_RATE_PERCENT.def(),
        SLOW_CALL_MS.def(),
        MINIMUM_CALLS.def(),
        WINDOW_MS.def(),
        WINDOW_SLOTS.def(),
        CONSECUTIVE_FAILURES.def(),
        HALF_OPEN_PERMITS.def(),
        MAX_HALF_OPEN_MS.def(),
        BASE_OPEN_MS.def(),
        BACKOFF_MULTIPLIER_PERCENT.def(),
        MAX_OPEN_MS.def(),
        JITTER_PERCENT.def(),
        STREAK_DECAY_MS.def(),
        FAILURE_STATUSES.def(),
        THROTTLED_STATUSES.def(),
        IGNORED_STATUSES.def(),
        FAILURE_GRPC_STATUSES.def(),
        THROTTLED_GRPC_STATUSES.def(),
        COUNT_THROTTLED.def(),
        FAILURE_FLAGS.def(),
    ],
);

pub(super) static TARGET_CLUSTER: Field<str> =
    Field::of("cluster", TARGET_NAME).says("The requests whose route leads to this cluster. One state.");
pub(super) static TARGET_ENDPOINT: Field<str> = Field::of("endpoint", TARGET_NAME)
    .says("Each endpoint of this cluster, by its address with port. A state for each.");
pub(super) static TARGET_KEY: Field<Items> = Field::of("key", PARTS).says(
    "What a request has in common with others: a header, the host, a path segment. A state for each \
     key; keys are kept as hashes. A request that lacks a part passes, and nothing is counted.",
);
pub(super) static TARGET_ROUTE: Field<str> =
    Field::of("route", TARGET_NAME).says("The requests of Envoy's route with this `name`. One state.");
pub(super) static TARGET_SERVICE: Field<str> = Field::of("service", TARGET_NAME).says(
    "The requests for this service of the discovery filter, by its `name` there: those for which discovery \
     chose it, or the routing filter in a variant's `service`. One state.",
);
/// A route of the routing filter and one of its variants.
static ROUTE_AND_VARIANT: Form = Form::new(
    |text| {
        let misfit = Misfit { found: "names no variant", expected: "`<route>/<variant>`" };
        let named = text.split_once('/').is_some_and(|(route, variant)| {
            [route, variant].iter().all(|name| !name.is_empty() && (PLAIN.wrong)(name).is_none())
        });
        (!named).then_some(misfit)
    },
    "^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$",
    true,
);
pub(super) static TARGET_VARIANT: Field<str> = Field::of(
    "variant",
    Kind::formed("a route and a variant", 129, &ROUTE_AND_VARIANT),
)
.says(
    "The requests for which the routing filter chose this variant, as `<route>/<variant>` by their names \
         there, however Envoy is told of it. One state.",
);
pub(super) static TARGET_TABLE: Table = Table::new(
    "breaker.target",
    &[
        TARGET_CLUSTER.def(),
        TARGET_ENDPOINT.def(),
        TARGET_KEY.def(),
        TARGET_ROUTE.def(),
        TARGET_SERVICE.def(),
        TARGET_VARIANT.def(),
    ],
)
.groups(&[Group::one_of(&["cluster", "endpoint", "key", "route", "service", "variant"], "guards nothing")]);

pub(super) static AGGRESSION_PERCENT: Field<u32> =
    Field::percent("aggression_percent", 1, 10_000).or_number(100).says("Above 100 it refuses more, sooner.");
pub(super) static MAX_REFUSED_PERCENT: Field<u32> = Field::percent("max_refused_percent", 1, 100)
    .or_number(80)
    .says("The largest share that is refused. What is left finds out when the target is well again.");
static ADMISSION_TABLE: Table =
    Table::new("breaker.admission", &[AGGRESSION_PERCENT.def(), MAX_REFUSED_PERCENT.def()]);

pub(super) static KEYS: Field<u64> = Field::integer("keys", 16, 16_384, "keys").or_number(1_024).says(
    "Targets that it has room for at a time, rounded up to 4 times a power of two. All tables \
     together have room for at most 65,536 targets.",
);
static ROOM: Table = Table::new("breaker.table", &[KEYS.def()]);

pub(super) static FALLBACK_CLUSTER: Field<str> =
    Field::of("cluster", TARGET_NAME).says("The request goes to this cluster, if its breaker admits it.");
pub(super) static FALLBACK_REPLY: Field<Inner> =
    Field::object("reply", &FALLBACK_REPLY_TABLE).says("The client gets this.");
pub(super) static FALLBACK_TABLE: Table =
    Table::new("breaker.fallback", &[FALLBACK_CLUSTER.def(), FALLBACK_REPLY.def()])
        .groups(&[Group::one_of(&["cluster", "reply"], "leads nowhere")]);

pub(super) static FALLBACK_STATUS: Field<u32> =
    Field::integer("status", 200, 599, "").or_number(503).says("The HTTP status.");
static FALLBACK_REPLY_TABLE: Table = Table::new(
    "breaker.fallback.reply",
    &[FALLBACK_STATUS.def(), GRPC_STATUS.def(), BODY.def(), CONTENT_TYPE.def(), REPLY_HEADERS.def()],
);
