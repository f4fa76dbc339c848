//! What one worker remembers of an endpoint.

use alloc::rc::Rc;
use core::cell::Cell;

use crate::balance::outlier::Runs;
use crate::balance::{Load, ServiceLoad};

/// What a worker remembers of an endpoint from one table to the next. Requests in flight hold it, too,
/// so that a request that ends after its table was replaced still counts.
#[derive(Clone, Debug)]
pub struct EndpointStats {
    /// Its load.
    pub load: Rc<Load>,
    /// Its consecutive failures.
    pub runs: Rc<Cell<Runs>>,
}

// === impl EndpointStats ===

impl EndpointStats {
    /// Nothing, of an endpoint of the service with these requests.
    #[must_use]
    pub fn new(requests: &Rc<ServiceLoad>) -> Self {
        Self { load: Load::new(requests), runs: Rc::default() }
    }
}
