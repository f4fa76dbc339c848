//! One HTTP exchange as a policy sees it: what was asked, and what to do about it.

pub mod choice;
pub mod classify;
pub mod completion;
pub mod foretold;
pub mod grpc;
pub mod matcher;
pub mod memo;
pub mod message;
pub mod overlay;
pub mod parsed;
pub mod path;
pub mod problem;
pub mod reply;
pub mod retry;
pub mod stage;
pub mod steering;
pub mod verdict;

pub use completion::{Completion, Reached};
pub use foretold::Foretold;
pub use matcher::Matcher;
pub use memo::{Memo, NoResponse};
pub use message::{Attribute, Header, Request, RequestExt, Response, ResponseExt};
pub use overlay::Overlay;
pub use parsed::Parsed;
pub use reply::ReplyPolicy;
pub use stage::{Callback, CellSpec, Ending, Metric, MetricKind, Placement, Seed, Stage};
pub use verdict::{Edit, Reply, Verdict};
