//! Problem details for HTTP APIs (RFC 9457), the body of every reply of ours.

use alloc::string::String;

/// What the problem is: its type, with the title that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The client used up what it was assigned.
    QuotaExceeded,
    /// The server cannot serve as much as usual for now.
    TemporaryReducedCapacity,
}

/// The media type of the body.
pub const MEDIA_TYPE: &str = "application/problem+json";

// === impl Kind ===

impl Kind {
    /// The registered type URI (draft-ietf-httpapi-ratelimit-headers, section 6).
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::QuotaExceeded => "https://iana.org/assignments/http-problem-types#quota-exceeded",
            Self::TemporaryReducedCapacity => {
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
            }
        }
    }

    /// The registered title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::QuotaExceeded => "Request cannot be satisfied as assigned quota has been exceeded",
            Self::TemporaryReducedCapacity => {
                "Request cannot be satisfied due to temporary server capacity constraints"
            }
        }
    }
}

/// The body: type, title, status, and the names of the policies that were violated.
#[must_use]
pub fn body<'a>(kind: Kind, status: u32, violated: impl Iterator<Item = &'a str>) -> String {
    let mut body = alloc::format!(
        "{{\"type\":\"{}\",\"title\":\"{}\",\"status\":{status},\"violated-policies\":[",
        kind.uri(),
        kind.title()
    );
    for (index, name) in violated.enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&serde_json::to_string(name).unwrap_or_default());
    }
    body.push_str("]}");
    body
}
