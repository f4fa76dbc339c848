//! One HTTP exchange as a policy sees it: what was asked, and what to do about it.

pub mod grpc;
pub mod matcher;
pub mod message;
pub mod path;
pub mod problem;
pub mod stage;
pub mod steering;
pub mod verdict;

pub use matcher::Matcher;
pub use message::{Header, Request, RequestExt};
pub use stage::{Callback, CellSpec, Counter, Seed, Stage};
pub use verdict::{Edit, Reply, Verdict};
