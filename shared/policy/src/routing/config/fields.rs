//! What a document may say of routes.

use super::mode::{NoMatch, OnFailure};
use crate::config::{choices, Either, Field, Group, Inner, Items, Kind, Table, SCOPE, VISIBLE};
use crate::http::matcher::{HeaderName, CLIENT_KIND, HEADER};
use crate::routing::precedence::Order;
use crate::routing::route::Mode;

pub(super) use super::route_fields::*;

choices!(Order { "gateway_api" => Order::GatewayApi, "first_match" => Order::FirstMatch });

pub(super) static ROUTES: Field<Items> =
    Field::items("routes", &Kind::Object(&ROUTE), 1, 64, "routes").required().says("The routes.");
pub(super) static ORDER: Field<Order> = Field::choice("order")
    .or_text("gateway_api")
    .says("Which route a request takes when several match, see [precedence](#precedence).");
pub(super) static FORCE: Field<Inner> =
    Field::object("force", &FORCE_TABLE).or_says("none").says("Who may name a variant.");
pub(super) static HEADERS: Field<Inner> =
    Field::object("headers", &HEADERS_TABLE).or_says("`{}`").says("The headers that carry what was chosen.");
pub(super) static NO_MATCH: Field<NoMatch> = Field::choice("no_match").or_text("pass").says(
    "What becomes of a request that no route takes: it goes on as it is, or it gets 404, as in the \
     Gateway API.",
);
pub(super) static MODE: Field<Mode> =
    Field::choice("mode").or_text("enforce").says("The mode of each route that does not say otherwise.");
pub(super) static ON_FAILURE: Field<OnFailure> = Field::choice("on_failure").or_text("allow").says(
    "What becomes of a request when the cell of a ramp cannot be read: it goes on as it is, or it \
     gets 503.",
);
/// The document.
pub static DOCUMENT: Table = Table::new(
    "routing",
    &[
        ROUTES.def(),
        ORDER.def(),
        FORCE.def(),
        HEADERS.def(),
        NO_MATCH.def(),
        MODE.def(),
        ON_FAILURE.def(),
        SCOPE.def(),
    ],
);

pub(super) static FORCE_HEADER: Field<HeaderName> = Field::of("header", HEADER)
    .or_text("x-force-variant")
    .says("The request header with the name of a variant.");
pub(super) static SECRET: Field<str> = Field::secret("secret", "visible ASCII", 16, 256, &VISIBLE)
    .or_says("none")
    .says("Who sends this in `secret_header` is trusted.");
pub(super) static SECRET_HEADER: Field<HeaderName> = Field::of("secret_header", HEADER)
    .or_text("x-force-secret")
    .says("The request header with the secret. Another than `header`.");
pub(super) static FROM: Field<Either> =
    Field::of("from", CLIENT_KIND).or_says("none").says("Who comes from one of these ranges is trusted.");
static FORCE_TABLE: Table =
    Table::new("routing.force", &[FORCE_HEADER.def(), SECRET.def(), SECRET_HEADER.def(), FROM.def()])
        .groups(&[Group::some_of(&["secret", "from"], "trusts no caller")]);

pub(super) static CLUSTER_HEADER: Field<HeaderName> = Field::of("cluster", HEADER)
    .or_text("x-tidegate-cluster")
    .says("For Envoy's `cluster_header`: the cluster of the variant.");
pub(super) static MIRROR_HEADER: Field<HeaderName> =
    Field::of("mirror", HEADER).or_text("x-tidegate-mirror").says(
        "For `cluster_header` of `request_mirror_policies`: the cluster that gets a copy, see \
     [`mirror`](#routesmirror).",
    );
pub(super) static RANDOM_HEADER: Field<HeaderName> = Field::of("random", HEADER).or_says("none").says(
    "For `header_name` of Envoy's `weighted_clusters`: the bucket, 0 to 9999. An alternative to \
     `cluster`, in which Envoy has the weights.",
);
pub(super) static VARIANT_HEADER: Field<HeaderName> =
    Field::of("variant", HEADER).or_says("none").says("Tells the upstream the name of its variant.");
pub(super) static BUCKET_HEADER: Field<HeaderName> =
    Field::of("bucket", HEADER).or_says("none").says("Tells the upstream the bucket.");
pub(super) static RESPONSE_HEADER: Field<HeaderName> = Field::of("response", HEADER).or_says("none").says(
    "Tells the client the name of the variant. In place of what the upstream may have sent under this \
     name.",
);
static HEADERS_TABLE: Table = Table::new(
    "routing.headers",
    &[
        CLUSTER_HEADER.def(),
        MIRROR_HEADER.def(),
        RANDOM_HEADER.def(),
        VARIANT_HEADER.def(),
        BUCKET_HEADER.def(),
        RESPONSE_HEADER.def(),
    ],
);
