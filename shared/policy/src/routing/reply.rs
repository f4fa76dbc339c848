//! What a request gets that goes nowhere.

use alloc::format;
use alloc::string::ToString;

use crate::http::{grpc, problem, Reply};

/// The answer with a status and nothing to add, for a request that no route takes, or of a
/// variant that is only a status.
#[must_use]
pub fn plain(status: u32, route: &str, grpc: bool) -> Reply {
    let (word, title) = match status {
        404 => ("no_route", "No route takes this request"),
        503 => ("undecided", "The route of this request could not be decided"),
        _ => ("status", "This variant answers with a status only"),
    };
    let body = format!("{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status}}}");
    let separator = if route.is_empty() { "" } else { ":" };
    Reply {
        status,
        grpc_status: grpc::from_http(status),
        headers: alloc::vec![("content-type".to_string(), problem::MEDIA_TYPE.to_string())],
        body: if grpc { title.to_string() } else { body },
        details: format!("tidegate_routing_{word}{separator}{route}"),
    }
}
