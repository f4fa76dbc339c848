//! What a registry says of the health of an endpoint.

/// Whether an endpoint should get requests, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Health {
    /// It gets requests.
    #[default]
    Healthy = 0,
    /// It gets requests only while healthy endpoints are short.
    Degraded = 1,
    /// It gets only requests of the sessions that it has.
    Draining = 2,
    /// It gets none.
    Unhealthy = 3,
}

// === impl Health ===

impl Health {
    /// One word, as in logs and documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The health that a word names.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        let all = [Self::Healthy, Self::Degraded, Self::Draining, Self::Unhealthy];
        all.into_iter().find(|health| health.word() == word)
    }
}
