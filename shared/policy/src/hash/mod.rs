//! Hashes with published definitions, the same on every host and word size.
//!
//! [`sip`] hashes what a client can choose: it is keyed, so that a client cannot aim at
//! another's cell. [`xxh64`] is what Envoy uses for its rings and tables; it has no
//! secret and is only for agreeing with Envoy. [`rendezvous`] turns hashes into choices that
//! move as little as they can when there is one node more or less.

pub mod rendezvous;
pub mod sip;
pub mod xxh64;
