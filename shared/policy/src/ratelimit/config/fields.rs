//! What a document may say of limits.

use crate::config::{choices, Field, Inner, Items, Kind, Table, NAME, SCOPE};
use crate::http::matcher::MATCHES;
use crate::http::reply::{BODY, CONTENT_TYPE, HEADERS as REPLY_HEADERS};
use crate::key::part::PARTS;
use crate::key::Repeated;

use super::mode::{Mode, OnFailure, OnMissingKey};
use crate::ratelimit::headers::Style;

choices!(Repeated {
    "each" => Repeated::Each,
    "first" => Repeated::First,
    "last" => Repeated::Last,
    "refuse" => Repeated::Refuse,
});
choices!(Style {
    "draft11" => Style::Draft11,
    "draft03_envoy" => Style::Draft03Envoy,
    "none" => Style::None,
});

const COUNT: u64 = u32::MAX as u64;

pub(super) static LIMITS: Field<Items> = Field::items("limits", &Kind::Object(&LIMIT), 1, 32, "limits")
    .required()
    .says("The limits. Their order decides which is named first when several refuse.");
pub(super) static TABLE: Field<Inner> = Field::object("table", &ROOM)
    .or_says("`{\"keys\": 32768}`")
    .says("Room for keys, for each limit that does not say otherwise.");
pub(super) static LEASES: Field<Inner> = Field::object("leases", &LEASE)
    .or_says("`{\"units\": 32, \"ttl_ms\": 100}`")
    .says("Bounds of leases, for all limits.");
pub(super) static HEADERS: Field<Style> = Field::choice("headers")
    .or_text("draft11")
    .says("What tells a client about its limits, see [Headers](#headers).");
pub(super) static HEADERS_ON_ADMITTED: Field<bool> = Field::boolean("headers_on_admitted", false).says(
    "Whether admitted responses carry these headers too. Refusals always do, unless `headers` is \
     `none`. `true` needs the module `tidegate-ratelimit-headers.wasm`; with the other it is an \
     error.",
);
pub(super) static LOG_ADMITTED: Field<bool> = Field::boolean("log_admitted", false).says(
    "Whether access logs are told of requests that were plainly admitted, too, as `admitted`. What is \
     refused, observed or failed is always told.",
);
pub(super) static REPLY: Field<Inner> =
    Field::object("reply", &REPLY_TABLE).or_says("`{}`").says("What a refused client gets.");
pub(super) static MODE: Field<Mode> =
    Field::choice("mode").or_text("enforce").says("The mode of each limit that does not say otherwise.");
pub(super) static ON_FAILURE: Field<OnFailure> = Field::choice("on_failure").or_text("allow").says(
    "What becomes of a request when the filter cannot read or write a cell: it passes, or it gets \
     503. A limit in mode `observe` never refuses.",
);
/// The document.
pub static DOCUMENT: Table = Table::new(
    "ratelimit",
    &[
        LIMITS.def(),
        TABLE.def(),
        LEASES.def(),
        HEADERS.def(),
        HEADERS_ON_ADMITTED.def(),
        LOG_ADMITTED.def(),
        REPLY.def(),
        MODE.def(),
        ON_FAILURE.def(),
        SCOPE.def(),
    ],
);

pub(super) static KEYS: Field<u64> = Field::integer("keys", 16, 1 << 20, "keys").or_number(32_768).says(
    "Keys that a table has room for. Rounded up to 16 times a power of two. All tables together have \
     room for at most 4,194,304 keys.",
);
static ROOM: Table = Table::new("ratelimit.table", &[KEYS.def()]);

pub(super) static UNITS: Field<u64> = Field::integer("units", 0, 1024, "units")
    .or_number(32)
    .says("Most units in a lease. 0 switches leases off: each request then writes its cell.");
pub(super) static TTL_MS: Field<u64> =
    Field::duration("ttl_ms", 1, 10_000).or_number(100).says("How long a lease lives at most.");
static LEASE: Table = Table::new("ratelimit.leases", &[UNITS.def(), TTL_MS.def()]);

pub(in crate::ratelimit) static STATUS: Field<u32> = Field::integer("status", 400, 599, "")
    .or_number(429)
    .says("The HTTP status. gRPC requests get 200 and `grpc_status`.");
pub(in crate::ratelimit) static GRPC_STATUS: Field<u32> =
    Field::integer("grpc_status", 1, 16, "").or_number(8).says("The gRPC status; 8 is `RESOURCE_EXHAUSTED`.");
static REPLY_TABLE: Table = Table::new(
    "ratelimit.reply",
    &[STATUS.def(), GRPC_STATUS.def(), BODY.def(), CONTENT_TYPE.def(), REPLY_HEADERS.def()],
);

pub(super) static LIMIT_NAME: Field<str> = Field::of("name", NAME).required().says(
    "Stands in metrics, replies and access logs; in the names of cells as a number of 24 bits that is \
     made of it. Unique, and so is its number. Buckets belong to it: another name starts with full \
     buckets.",
);
pub(super) static MATCH: Field<Items> = Field::of("match", MATCHES)
    .or_says("all requests")
    .says("To which requests the limit applies. Of several objects one is enough.");
pub(super) static KEY: Field<Items> =
    Field::of("key", PARTS).required().says("What the limit counts by. All parts together are one key.");
pub(super) static REQUESTS: Field<u32> =
    Field::integer("requests", 1, COUNT, "requests").required().says("Units that come back in a period.");
pub(super) static PER_MS: Field<u64> =
    Field::duration("per_ms", 1, 86_400_000).required().says("The period. The longest is a day.");
pub(super) static BURST: Field<u32> = Field::integer("burst", 1, COUNT, "requests")
    .or_says("`requests`")
    .says("Units that can be spent at once after a pause.");
pub(super) static COST: Field<u32> = Field::integer("cost", 1, COUNT, "units")
    .or_number(1)
    .says("Units that one request costs. At most `burst`.");
pub(super) static REPEATED: Field<Repeated> = Field::choice("repeated").or_text("each").says(
    "What counts of a header, cookie or query parameter of the key that a request has several times, \
     see [below](#repeated-parts-of-a-key).",
);
pub(super) static ON_MISSING_KEY: Field<OnMissingKey> = Field::choice("on_missing_key")
    .or_text("shared")
    .says("What happens to a request that lacks a part of the key, see [below](#missing-parts-of-a-key).");
pub(super) static LIMIT_MODE: Field<Mode> = Field::choice("mode")
    .or_says("the document's `mode`")
    .says("`observe` counts requests beyond the limit and lets them pass.");
pub(super) static LIMIT_TABLE: Field<Inner> =
    Field::object("table", &ROOM).or_says("the document's `table`").says("Room for keys of this limit.");
static LIMIT: Table = Table::new(
    "ratelimit.limit",
    &[
        LIMIT_NAME.def(),
        MATCH.def(),
        KEY.def(),
        REQUESTS.def(),
        PER_MS.def(),
        BURST.def(),
        COST.def(),
        REPEATED.def(),
        ON_MISSING_KEY.def(),
        LIMIT_MODE.def(),
        LIMIT_TABLE.def(),
    ],
);
