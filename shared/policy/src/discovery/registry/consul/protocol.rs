//! Consul asked for one service: blocking queries, one after the other.

use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::registry::answer::{AnswerError, Reply};
use crate::discovery::registry::consul::config::{Consul, ServiceQuery};
use crate::discovery::registry::consul::index::{self, Step};
use crate::discovery::registry::consul::query::{timeout, Query, TOKEN};
use crate::discovery::registry::consul::read;
use crate::discovery::registry::protocol::{Call, FetchAnswer, Progress, Protocol};
use crate::time::Span;

/// One service of a Consul.
#[derive(Debug)]
pub struct ConsulProtocol {
    cluster: String,
    authority: String,
    query: Query,
    /// How long a query may be held; zero for not at all.
    wait: Span,
    /// How long an answer to a query that does not block may take.
    timeout: Span,
    /// The index to wait with next.
    index: u64,
}

// === impl ConsulProtocol ===

impl ConsulProtocol {
    /// Begins without an index: the first query does not block.
    #[must_use]
    pub fn new(consul: &Consul, service: &ServiceQuery) -> Self {
        Self {
            cluster: consul.cluster.clone(),
            authority: consul.authority.clone(),
            query: Query {
                datacenter: service.datacenter.clone().or_else(|| consul.datacenter.clone()),
                namespace: consul.namespace.clone(),
                partition: consul.partition.clone(),
                filter: service.filter.clone(),
                near: consul.near.clone(),
                tags: service.tags.clone(),
                consistency: consul.consistency,
                zone: consul.zone_key.clone(),
                token: consul.token.clone(),
                ..Query::new(&service.service)
            },
            wait: Span::from_millis(consul.wait_ms.into()),
            timeout: Span::from_millis(consul.timeout_ms.into()),
            index: 0,
        }
    }
}

impl Protocol for ConsulProtocol {
    fn ask(&mut self, hold: Option<Span>) -> Result<Vec<Call>, AnswerError> {
        let hold = hold.map(|most| most.min(self.wait)).filter(|wait| *wait > Span::ZERO);
        let index = if hold.is_some() { self.index } else { 0 };
        self.query.wait = hold.unwrap_or(self.wait);
        Ok(alloc::vec![Call::Http {
            cluster: self.cluster.clone(),
            method: "GET",
            path: self.query.path(index),
            authority: self.authority.clone(),
            headers: &[("accept", "application/json")],
            token: self.query.token.clone().map(|token| (TOKEN, token)),
            body: Vec::new(),
            timeout: if index > 0 { timeout(self.query.wait) } else { self.timeout },
        }])
    }

    fn answered(
        &mut self,
        _: usize,
        reply: Result<&Reply<'_>, AnswerError>,
    ) -> Result<Progress, AnswerError> {
        let reply = reply?;
        let found = read(&self.query, reply)?;
        let next = index::next(self.index, index::of(reply));
        self.index = next.index;
        // Without an index nothing can be waited for.
        let waits = self.wait > Span::ZERO && next.step != Step::Missing;
        Ok(Progress::Done(FetchAnswer { found, holds: (!waits).then_some(Span::ZERO) }))
    }

    fn patience(&self) -> Span {
        timeout(self.wait).plus(self.timeout)
    }

    fn holds_queries(&self) -> Option<Span> {
        Some(self.wait).filter(|wait| *wait > Span::ZERO)
    }

    fn can_wait(&self) -> bool {
        self.index > 0
    }
}
