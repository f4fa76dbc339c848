//! From a JSON document to a policy, or to everything that is wrong with it.
//!
//! A platform engineer who is told of one mistake at a time restarts a proxy once for
//! each. So what a document may say stands in tables of fields ([`definition`]); a document is parsed
//! into a plain tree ([`json`]) and held against its table (`check.rs`), which reports all problems
//! together. Then a policy is made of the fields ([`read`]), by the same definitions, with rules between
//! them reported in the same form. The JSON Schema and the tables of the reference come from the
//! definitions, too (ADR 0038).

mod check;
pub mod definition;
mod duration;
mod expected;
pub mod field;
pub mod json;
pub mod name;
pub mod problem;
pub mod read;
pub mod rules;
pub mod scope;

pub use definition::{
    joined, Def, Form, Group, Kind, Literal, Misfit, Names, Table, Text, ANY, CLUSTER, PAIRS, TEXT, VISIBLE,
};
pub(crate) use field::choices;
pub use field::{Choice, Either, Field, Inner, Items, List, Map, Never, Part, Place, Raw, Switch, Value};
pub use name::{distinct_name, NAME, PLAIN};
pub use problem::{Cause, ConfigError, Path, Problem};
pub use read::{all, collect, document, identity, Object, Reader};
pub use scope::{Scope, SCOPE};
