//! The reply to a request that has no destination.

use alloc::format;
use alloc::string::ToString;

use crate::http::{grpc, problem, Reply};

/// Why a request has no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyReason<'a> {
    /// No route takes it.
    NoRoute,
    /// The variant of this route is only a status.
    Status(u32, &'a str),
    /// The shared cells do not answer.
    Undecided,
}

/// The answer with a status and nothing to add.
#[must_use]
pub fn plain(why: ReplyReason<'_>, grpc: bool) -> Reply {
    let (status, word, title) = match why {
        ReplyReason::NoRoute => (404, "no_route", "No route takes this request"),
        ReplyReason::Status(status, _) => (status, "status:", "This variant answers with a status only"),
        ReplyReason::Undecided => (503, "undecided", "The route of this request could not be decided"),
    };
    let route = if let ReplyReason::Status(_, route) = why { route } else { "" };
    let body = format!("{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status}}}");
    Reply {
        status,
        grpc_status: grpc::from_http(status),
        headers: alloc::vec![("content-type".to_string(), problem::MEDIA_TYPE.to_string())],
        body: if grpc { title.to_string() } else { body },
        details: format!("tidegate_routing_{word}{route}"),
    }
    .not_stored()
}
