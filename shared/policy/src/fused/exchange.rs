//! What the stages remember: of one exchange, and on one worker.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::breaker::CircuitBreaker;
use crate::discovery::Discovery;
use crate::http::Stage;
use crate::ratelimit::RateLimitWithHeaders;
use crate::routing::Routing;

/// What the stages remember of an exchange.
#[derive(Default)]
pub struct Exchange {
    pub(super) limits: <RateLimitWithHeaders as Stage>::Exchange,
    pub(super) routing: <Routing as Stage>::Exchange,
    pub(super) breaker: <CircuitBreaker as Stage>::Exchange,
    pub(super) discovery: <Discovery as Stage>::Exchange,
    /// Whether the last note on its route says that the route is not to be believed.
    pub(super) forged: bool,
    /// What there was to tell when a stage answered it, before the others took back what they gave.
    pub(super) told: Option<Vec<(&'static str, String)>>,
}

/// What the placements and configurations of the stages share.
#[derive(Default)]
pub struct Memory {
    pub(super) limits: Rc<<RateLimitWithHeaders as Stage>::Memory>,
    pub(super) routing: Rc<<Routing as Stage>::Memory>,
    pub(super) breaker: Rc<<CircuitBreaker as Stage>::Memory>,
    pub(super) discovery: Rc<<Discovery as Stage>::Memory>,
}

// === impl Memory ===

impl Memory {
    /// The requests in flight to discovered endpoints.
    #[must_use]
    pub fn flights(&self) -> &<Discovery as Stage>::Memory {
        &self.discovery
    }
}
