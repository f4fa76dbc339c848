//! One worker fetches, all workers read.
//!
//! For anything that all workers of an Envoy need and one of them can get: the endpoints of a service, the
//! keys of an issuer, the result of a health check, the share of a fleet-wide limit. What it is about, and where it
//! comes from, is the user's.
//!
//! ```text
//!  every worker ── lead ──► the one with the lease asks ── publish ──► answer cell ── read ──► every worker
//! ```
//!
//! | | |
//! |---|---|
//! | [`lease`] | which worker asks |
//! | [`status`] | the small cell with the lease, and how it went |
//! | [`origin`] | the first bytes of the cell with the answer: the term that wrote it |
//! | [`cells`] | both cells: lead, renew, release, publish, read |
//! | [`leader`] | when to ask again, back-off, what is wrong |
//! | [`freshness`] | how long an answer serves |
//! | [`pace`] | how fast long polls may follow each other |
//! | [`rest`] | how long to wait after an answer that took long to read |
//! | [`wait`] | how long they may be held where something in between ends them |

pub mod cells;
pub mod freshness;
pub mod leader;
pub mod lease;
pub mod origin;
pub mod pace;
pub mod rest;
pub mod status;
pub mod wait;
