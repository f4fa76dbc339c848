//! What a document may say of one route.

use alloc::string::String;

use crate::config::{
    choices, joined, Def, Field, Form, Group, Inner, Items, Kind, List, Map, Misfit, Names, Place, Table,
    Text, VISIBLE,
};
use crate::http::matcher::{self, HeaderName, HEADER};
use crate::http::retry::{RETRY_GRPC_ON, RETRY_ON};
use crate::key::part::PARTS;
use crate::routing::route::Mode;

/// `SameSite` of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameSite {
    Lax,
    None,
    Strict,
}

const DAY: u64 = 86_400_000;
/// Shortest interval of a ramp: it is judged a quarter of a second after its end, with what workers
/// published ten times a second, and before the one after the next takes its place.
const MIN_INTERVAL_MS: u32 = 500;
/// Longest step of a ramp, 30 days.
const MAX_HOLD_MS: u64 = 30 * DAY;
/// Largest weight, as in the Gateway API.
const MAX_WEIGHT: u64 = 1_000_000;

choices!(Mode { "enforce" => Mode::Enforce, "observe" => Mode::Observe });
choices!(SameSite { "lax" => SameSite::Lax, "strict" => SameSite::Strict, "none" => SameSite::None });

pub(super) static NAME: Field<str> =
    Field::of("name", OWN_NAME).required().says("Stands in metrics, access logs and logs. Unique.");
pub(super) static MATCH: Field<Items> = Field::items("match", &Kind::Object(&CONDITION), 1, 16, "matches")
    .or_says("all requests")
    .says("To which requests it applies. Of several objects one is enough.");
pub(super) static STICKY: Field<Inner> =
    Field::object("sticky", &STICKY_TABLE).or_says("none").says("Who asks decides, and not the dice.");
pub(super) static VARIANTS: Field<Items> =
    Field::items("variants", &Kind::Object(&VARIANT), 1, 16, "variants")
        .required()
        .says("Between what it chooses.");
pub(super) static MIRROR: Field<Inner> =
    Field::object("mirror", &MIRROR_TABLE).or_says("none").says("Sends copies of requests elsewhere.");
pub(super) static TIMEOUTS: Field<Inner> =
    Field::object("timeouts", &TIMEOUTS_TABLE).or_says("none").says("Timeouts of Envoy's router.");
pub(super) static RETRY: Field<Inner> =
    Field::object("retry", &RETRY_TABLE).or_says("none").says("Retries of Envoy's router.");
pub(super) static ROUTE_MODE: Field<Mode> = Field::choice("mode").or_says("the document's `mode`").says(
    "`observe` counts the requests that it would route, and leaves them alone; headers of ours that \
     clients sent are removed all the same.",
);
pub(super) static ROUTE: Table = Table::new(
    "routing.route",
    &[
        NAME.def(),
        MATCH.def(),
        STICKY.def(),
        VARIANTS.def(),
        MIRROR.def(),
        TIMEOUTS.def(),
        RETRY.def(),
        ROUTE_MODE.def(),
    ],
);

const ONE_SHARE: &[Group] = &[Group::not_both(&["percent", "basis_points"])];
pub(super) static METADATA: Field<Items> =
    Field::items("metadata", &Kind::Object(&METADATA_TABLE), 1, 16, "metadata")
        .or_says("any")
        .says("All of these hold for what earlier filters left, such as the claims of a token.");
pub(super) static PERCENT: Field<u32> =
    Field::percent("percent", 0, 100).or_says("all").says("The share of the requests, at random.");
pub(super) static BASIS_POINTS: Field<u32> = Field::integer("basis_points", 0, 10_000, "basis points")
    .or_says("all")
    .says("The same in hundredths of a percent. Not with `percent`.");
static CONDITION_FIELDS: [&Def; matcher::FIELDS.len() + 3] =
    joined(&[&matcher::FIELDS, &[METADATA.def(), PERCENT.def(), BASIS_POINTS.def()]]);
static CONDITION: Table = Table::new("routing.match", &CONDITION_FIELDS).groups(ONE_SHARE);

pub(super) static FILTER: Field<str> = Field::text("filter", 256)
    .required()
    .says("The name under which it stands, such as `envoy.filters.http.jwt_authn`.");
pub(super) static PATH: Field<List<str>> = Field::list("path", &Kind::text(256), 1, 8, "keys")
    .required()
    .says("The keys down to the value, such as `[\"payload\", \"sub\"]`.");
pub(super) static EXACT: Field<String> = Field::text("exact", 1024).says("The value is this text.");
pub(super) static INVERT: Field<bool> = Field::boolean("invert", false).says("Turns the answer around.");
static METADATA_TABLE: Table =
    Table::new("routing.metadata", &[FILTER.def(), PATH.def(), EXACT.def(), INVERT.def()]);

pub(super) static EXPERIMENT: Field<String> = Field::of("experiment", Kind::formed("a name", 64, &VISIBLE))
    .required()
    .says("Hashed with each identity. Another name is another throw of the dice, for everyone.");
pub(super) static BY: Field<Items> = Field::of("by", PARTS).or_says("none").says(
    "Where the identity is found: the first that has a value counts. Not all of them together, as in \
     a limit.",
);
pub(super) static COOKIE: Field<Inner> = Field::object("cookie", &COOKIE_TABLE)
    .or_says("none")
    .says("The cookie for those who have none of these.");
pub(super) static HASH_KEY: Field<str> =
    Field::secret("key", "a key of 32 hexadecimal digits", 32, 32, &HEXADECIMAL)
        .or_says("the reference's")
        .says("The key of the hash. The same on every replica, so that all of them agree.");
static STICKY_TABLE: Table =
    Table::new("routing.sticky", &[EXPERIMENT.def(), BY.def(), COOKIE.def(), HASH_KEY.def()])
        .groups(&[Group::some_of(&["by", "cookie"], "identifies no client")]);
static HEXADECIMAL: Form = Form::new(
    |text| {
        let misfit = Misfit { found: "is not a key", expected: "32 hexadecimal digits" };
        (!text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(misfit)
    },
    "^[0-9A-Fa-f]{32}$",
    true,
);

pub(super) static COOKIE_NAME: Field<String> =
    Field::of("name", Kind::formed("the name of a cookie", 256, &COOKIE_TOKEN))
        .required()
        .says("Its name, without spaces and separators.");
pub(super) static MAX_AGE_MS: Field<u64> = Field::duration("max_age_ms", 0, 365 * DAY)
    .or_number(DAY)
    .says("How long clients keep it, rounded up to whole seconds. 0: until they are closed.");
pub(super) static COOKIE_PATH: Field<str> =
    Field::of("path", Kind::formed("a path", 256, &NO_SEPARATORS)).or_text("/").says("`Path`.");
pub(super) static DOMAIN: Field<str> =
    Field::of("domain", Kind::formed("a domain", 256, &NO_SEPARATORS)).or_says("none").says("`Domain`.");
pub(super) static SECURE: Field<bool> = Field::boolean("secure", true).says("`Secure`: only over TLS.");
pub(super) static SAME_SITE: Field<SameSite> =
    Field::choice("same_site").or_text("lax").says("`SameSite`. `none` needs `secure`.");
pub(super) static PARTITIONED: Field<bool> = Field::boolean("partitioned", false).says(
    "`Partitioned`: in a page of another site the cookie is one of that site's own (CHIPS). Needs `secure`; \
     browsers send it there only with `same_site` `none`.",
);
static COOKIE_TABLE: Table = Table::new(
    "routing.cookie",
    &[
        COOKIE_NAME.def(),
        MAX_AGE_MS.def(),
        COOKIE_PATH.def(),
        DOMAIN.def(),
        SECURE.def(),
        SAME_SITE.def(),
        PARTITIONED.def(),
    ],
);
static COOKIE_TOKEN: Form = Form::new(
    |text| {
        let fits = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        let misfit =
            Misfit { found: "is not the name of a cookie", expected: "visible ASCII without separators" };
        (!text.bytes().all(fits)).then_some(misfit)
    },
    "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$",
    true,
);
static NO_SEPARATORS: Form = Form::new(
    |text| {
        let fits = |b: u8| b.is_ascii_graphic() && b != b';' && b != b',';
        let misfit = Misfit {
            found: "does not fit into a cookie",
            expected: "visible ASCII without `;`, `,` and spaces",
        };
        (!text.bytes().all(fits)).then_some(misfit)
    },
    "^[!-+\\--:<-~]+$",
    true,
);

pub(super) static VARIANT_NAME: Field<str> =
    Field::of("name", OWN_NAME).required().says("Stands in headers, metrics and logs. Unique in the route.");
pub(super) static VARIANT_CLUSTER: Field<str> =
    Field::of("cluster", CLUSTER).says("The cluster of Envoy that its requests go to. Without spaces.");
pub(super) static SERVICE: Field<Inner> =
    Field::object("service", &SERVICE_TABLE).says("A discovered service.");
pub(super) static STATUS: Field<u32> =
    Field::integer("status", 400, 599, "").says("Its requests are answered with this status.");
pub(super) static WEIGHT: Field<u32> = Field::integer("weight", 0, MAX_WEIGHT, "")
    .or_number(1)
    .says("Its part of the sum of all weights of the route.");
pub(super) static MAX_VARIANT_WEIGHT: Field<u32> = Field::integer("max_weight", 1, MAX_WEIGHT, "")
    .or_says("see [weights](#weights)")
    .says("The most that it may ever weigh: the size of its territory. Not for the baseline.");
pub(super) static RAMP: Field<Inner> =
    Field::object("ramp", &RAMP_TABLE).or_says("none").says("How its weight changes. Not for the baseline.");
pub(super) static BASELINE: Field<bool> = Field::boolean("baseline", false)
    .says("It takes what the others leave. By default that is the first variant without a `ramp`.");
static VARIANT: Table = Table::new(
    "routing.variant",
    &[
        VARIANT_NAME.def(),
        VARIANT_CLUSTER.def(),
        SERVICE.def(),
        STATUS.def(),
        WEIGHT.def(),
        MAX_VARIANT_WEIGHT.def(),
        RAMP.def(),
        BASELINE.def(),
    ],
)
.groups(&[Group::one_of(&["cluster", "service", "status"], "has no destination")]);

pub(super) static SERVICE_NAME: Field<String> =
    Field::of("name", Kind::formed("the name of a service", 256, &WORD))
        .required()
        .says("Its `name` among the `services` of that filter.");
pub(super) static TAG: Field<String> = Field::of("tag", Kind::formed("a tag", 256, &PART))
    .or_says("none")
    .says("A tag that its endpoints must have.");
pub(super) const METADATA_VALUE: Kind = Kind::formed("a text", 256, &PART);
pub(super) static SERVICE_METADATA: Field<Map> =
    Field::map("metadata", &METADATA_NAMES).or_says("none").says(
        "Metadata that its endpoints must have; keys and values of 1 to 256 bytes of visible ASCII \
     without `;`, keys without `=`.",
    );
static METADATA_NAMES: Names =
    Names { names: Text::new("a key", 256, &KEY), of: METADATA_VALUE, least: 0, most: 16, called: "fields" };
static SERVICE_TABLE: Table =
    Table::new("routing.service", &[SERVICE_NAME.def(), TAG.def(), SERVICE_METADATA.def()]);
/// A tag, or a value of metadata: it is handed on between `;`.
static PART: Form = Form::new(
    |text| {
        let fits = |b: u8| b.is_ascii_graphic() && b != b';';
        let misfit =
            Misfit { found: "cannot be handed on", expected: "visible ASCII without `;` and spaces" };
        (!text.bytes().all(fits)).then_some(misfit)
    },
    "^[!-:<-~]+$",
    true,
);
/// A key of metadata: `=` stands behind it.
static KEY: Form = Form::new(
    |text| {
        let fits = |b: u8| b.is_ascii_graphic() && b != b';' && b != b'=';
        let misfit =
            Misfit { found: "cannot be handed on", expected: "visible ASCII without `;`, `=` and spaces" };
        (!text.bytes().all(fits)).then_some(misfit)
    },
    "^[!-:<>-~]+$",
    true,
);

pub(super) static STEPS: Field<Items> = Field::items("steps", &Kind::Object(&STEP), 1, 64, "steps")
    .required()
    .says("What it weighs, step by step.");
pub(super) static INTERVAL_MS: Field<u64> = Field::duration("interval_ms", MIN_INTERVAL_MS, 3_600_000)
    .or_number(10_000)
    .says("How often it is judged.");
pub(super) static START_MS: Field<u64> =
    Field::integer("start_ms", 1, 1 << 53, "ms").or_says("with the filter").says(
        "When it begins: milliseconds since 1970, by the wall clock. The same on every replica, so that \
     all are on the same step.",
    );
pub(super) static PAUSED: Field<bool> = Field::boolean("paused", false).says(
    "Holds it where it is, at its first step if it begins so. It is judged, and may be aborted, all \
     the same.",
);
pub(super) static ABORT: Field<Inner> =
    Field::object("abort", &ABORT_TABLE).or_says("`{}`").says("What it must fulfil.");
static RAMP_TABLE: Table =
    Table::new("routing.ramp", &[STEPS.def(), INTERVAL_MS.def(), START_MS.def(), PAUSED.def(), ABORT.def()]);

pub(super) static STEP_WEIGHT: Field<u32> =
    Field::integer("weight", 0, MAX_WEIGHT, "").required().says("What the variant weighs, of the same Σ.");
pub(super) static HOLD_MS: Field<u64> =
    Field::duration("hold_ms", 100, MAX_HOLD_MS).required().says("How long, rounded up to whole intervals.");
static STEP: Table = Table::new("routing.step", &[STEP_WEIGHT.def(), HOLD_MS.def()]);

pub(super) static BREAKER: Field<str> = Field::of("breaker", OWN_NAME).or_says("none").says(
    "The name of a breaker in a breaker filter of the same Envoy, not of keys or endpoints. As soon as \
     it is open or forced open, the ramp is aborted; a promoted one stays.",
);
pub(super) static MIN_SUCCESS_PERCENT: Field<u32> =
    Field::percent("min_success_percent", 0, 100).or_says("99").says("Requests that must succeed.");
pub(super) static MIN_SUCCESS_BASIS_POINTS: Field<u32> =
    Field::integer("min_success_basis_points", 0, 10_000, "basis points")
        .or_says("9900")
        .says("The same in hundredths of a percent. Not with `min_success_percent`.");
pub(super) static TOLERANCE_BASIS_POINTS: Field<u32> =
    Field::integer("tolerance_basis_points", 0, 10_000, "basis points")
        .or_number(50)
        .says("How far below the baseline its success may be.");
pub(super) static MAX_P99_MS: Field<u64> = Field::duration("max_p99_ms", 0, 3_600_000)
    .or_number(500)
    .says("A 99th percentile up to this is fine whatever the baseline has. 0 for never.");
pub(super) static P99_PERCENT: Field<u32> = Field::percent("p99_percent", 100, 10_000)
    .or_number(120)
    .says("Beyond that it is fine up to this much of the baseline's.");
pub(super) static MIN_SAMPLES: Field<u64> = Field::integer("min_samples", 1, 1_000_000_000, "requests")
    .or_number(100)
    .says("Requests of an interval, of the variant and of the baseline, before it means anything.");
pub(super) static MAX_FAILED: Field<u32> = Field::integer("max_failed", 1, 1_000, "intervals")
    .or_number(3)
    .says("Aborted when so many intervals failed, consecutive or not.");
static ABORT_TABLE: Table = Table::new(
    "routing.abort",
    &[
        BREAKER.def(),
        MIN_SUCCESS_PERCENT.def(),
        MIN_SUCCESS_BASIS_POINTS.def(),
        TOLERANCE_BASIS_POINTS.def(),
        MAX_P99_MS.def(),
        P99_PERCENT.def(),
        MIN_SAMPLES.def(),
        MAX_FAILED.def(),
    ],
)
.groups(&[Group::not_both(&["min_success_percent", "min_success_basis_points"])]);

pub(super) static MIRROR_CLUSTER: Field<str> =
    Field::of("cluster", Kind::formed("the name of a cluster", 256, &VISIBLE))
        .required()
        .says("The cluster that gets the copies.");
pub(super) static MIRROR_PERCENT: Field<u32> =
    Field::percent("percent", 0, 100).or_says("all").says("The share of the requests, at random.");
pub(super) static MIRROR_BASIS_POINTS: Field<u32> = Field::integer("basis_points", 0, 10_000, "basis points")
    .or_says("all")
    .says("The same in hundredths of a percent. Not with `percent`.");
static MIRROR_TABLE: Table =
    Table::new("routing.mirror", &[MIRROR_CLUSTER.def(), MIRROR_PERCENT.def(), MIRROR_BASIS_POINTS.def()])
        .groups(ONE_SHARE);

pub(super) static REQUEST_MS: Field<u64> = Field::duration("request_ms", 0, DAY)
    .or_says("Envoy's")
    .says("`x-envoy-upstream-rq-timeout-ms`: for all tries together. 0 for never.");
pub(super) static PER_TRY_TIMEOUT_MS: Field<u64> = Field::duration("per_try_timeout_ms", 0, DAY)
    .or_says("Envoy's")
    .says("`x-envoy-upstream-rq-per-try-timeout-ms`: for one try. At most `request_ms`, unless that is 0.");
pub(super) static HEDGE: Field<bool> = Field::boolean("hedge_on_per_try_timeout", false)
    .says("`x-envoy-hedge-on-per-try-timeout`: a try that takes too long goes on beside the next.");
static TIMEOUTS_TABLE: Table =
    Table::new("routing.timeouts", &[REQUEST_MS.def(), PER_TRY_TIMEOUT_MS.def(), HEDGE.def()]);

pub(super) static RETRY_FIELD: Field<List<Place>> =
    Field::list("retry_on", &Kind::Choice(&RETRY_ON), 1, RETRY_ON.len() as u16, "conditions")
        .or_says("none")
        .says("`x-envoy-retry-on`.");
pub(super) static RETRY_GRPC_FIELD: Field<List<Place>> =
    Field::list("grpc_on", &Kind::Choice(&RETRY_GRPC_ON), 1, RETRY_GRPC_ON.len() as u16, "conditions")
        .or_says("none")
        .says("`x-envoy-retry-grpc-on`.");
pub(super) static ATTEMPTS: Field<u32> = Field::integer("attempts", 2, 11, "attempts")
    .or_says("Envoy's, 2")
    .says("All attempts, the first one included: `x-envoy-max-retries` is one less.");
pub(super) static STATUSES: Field<List<u32>> =
    Field::list("statuses", &Kind::integer(400, 599, ""), 1, 16, "statuses")
        .or_says("none")
        .says("`x-envoy-retriable-status-codes`. With `retriable-status-codes` in `retry_on`.");
pub(super) static RETRIABLE_HEADERS: Field<List<HeaderName>> =
    Field::list("headers", &HEADER, 1, 16, "headers")
        .or_says("none")
        .says("`x-envoy-retriable-header-names`, of responses. With `retriable-headers` in `retry_on`.");
static RETRY_TABLE: Table = Table::new(
    "routing.retry",
    &[RETRY_FIELD.def(), RETRY_GRPC_FIELD.def(), ATTEMPTS.def(), STATUSES.def(), RETRIABLE_HEADERS.def()],
)
.groups(&[Group::some_of(&["retry_on", "grpc_on"], "retries on nothing")]);

/// The name of a cluster, as it stands in a header.
pub(super) const CLUSTER: Kind = Kind::formed("the name of a cluster", 256, &WORD);
/// A name of a route or a variant.
pub(super) const OWN_NAME: Kind = crate::config::NAME;
/// Visible ASCII without spaces, which stand between words where the choice is handed on.
pub(super) static WORD: Form = Form::new(
    |text| {
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        (!visible).then_some(Misfit { found: "is not a name", expected: "visible ASCII without spaces" })
    },
    "^[!-~]+$",
    true,
);
