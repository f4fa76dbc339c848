//! What came of attempts, as one worker's view of a service takes it in.

use alloc::format;
use alloc::vec::Vec;

use crate::discovery::catalog::service_view::ServiceView;
use crate::discovery::catalog::table::Table;
use crate::discovery::cells::ejection::{self, Ejection};
use crate::discovery::metrics::{self, ServiceMetric};
use crate::discovery::request::flight::Suspect;
use crate::host::{rewrite, Host, StoreError};
use crate::time::{Span, Timestamp};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was a response with this status.
    Answered(u32),
    /// There was no connection, or it broke before a response.
    Broken,
    /// Whoever asked left, or nobody knows.
    Left,
}

/// An attempt that broke counts as having taken this long at least.
const SLOW: Span = Span::from_secs(1);
// === impl ServiceView ===

impl ServiceView {
    /// An attempt begins.
    pub fn began(&self, table: &Table, endpoint: u32) {
        self.count(ServiceMetric::Attempts);
        if let Some(load) = table.load(endpoint) {
            load.began();
        }
    }

    /// An attempt is over that took so long: to the response's headers, if there was a response.
    pub fn ended(&self, table: &Table, endpoint: u32, outcome: Outcome, took: Span, now: Timestamp) {
        self.left(table, endpoint);
        self.learn(table, endpoint, outcome, took, now);
    }

    /// An attempt is over, whatever came of it.
    pub fn left(&self, table: &Table, endpoint: u32) {
        if let Some(load) = table.load(endpoint) {
            load.left();
        }
    }

    /// Takes in what came of an attempt. One that broke was at least slow: who refuses at once must not
    /// look fast.
    pub fn learn(&self, table: &Table, endpoint: u32, outcome: Outcome, took: Span, now: Timestamp) {
        let rtt = match outcome {
            Outcome::Answered(_) => took,
            Outcome::Broken => took.max(SLOW),
            Outcome::Left => return,
        };
        let failed = outcome.failed();
        if let Some(load) = table.load(endpoint) {
            // A failure that is fast counts as no faster than the others; this one is not.
            load.learned(now, Some(rtt), !failed);
        }
        if failed {
            self.count(ServiceMetric::Failures);
        }
    }

    /// Takes an outcome into the endpoint's runs, and ejects it when one is long enough.
    pub fn judge(&self, table: &Table, endpoint: u32, outcome: Outcome, now: Timestamp, host: &impl Host) {
        let Some(rules) = self.service().and_then(|service| service.ejection.as_ref()) else { return };
        let status = match outcome {
            Outcome::Answered(status) => status,
            Outcome::Broken => 503,
            Outcome::Left => return,
        };
        let Some(cell) = table.runs(endpoint) else { return };
        let mut runs = cell.get();
        let trips = runs.take(status, rules.consecutive_5xx, rules.consecutive_gateway_failure);
        cell.set(runs);
        if trips.any_5xx || trips.gateway {
            let _ = self.eject(table, endpoint, now, host);
        }
    }

    /// An attempt that ended without a response turns out as this.
    pub fn blame(&self, table: &Table, suspect: Suspect, outcome: Outcome, now: Timestamp, host: &impl Host) {
        self.learn(table, suspect.endpoint, outcome, suspect.took, now);
        self.judge(table, suspect.endpoint, outcome, now, host);
    }

    #[inline(never)]
    fn eject(
        &self,
        table: &Table,
        endpoint: u32,
        now: Timestamp,
        host: &impl Host,
    ) -> Result<(), StoreError> {
        let (Some(cell), Some(rules)) =
            (self.ejection_cell(), self.service().and_then(|service| service.ejection.as_ref()))
        else {
            return Ok(());
        };
        let (hash, now_ms) = (table.hash(endpoint), now.as_millis());
        let hosts = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let mut until_ms = None;
        rewrite(host, cell, &mut |bytes| {
            // Those that are gone rest on, and count for nobody's share.
            let all = ejection::decode(bytes).into_iter();
            let (here, gone): (Vec<Ejection>, Vec<Ejection>) =
                all.partition(|ejection| table.has(ejection.endpoint));
            let mut list = ejection::eject(&here, hash, hosts, now_ms, rules);
            if let Some(list) = &mut list {
                list.extend(gone.into_iter().filter(|ejection| ejection.until_ms > now_ms));
            }
            let until = |list: &Vec<Ejection>| {
                list.iter().find(|ejection| ejection.endpoint == hash).map(|r| r.until_ms)
            };
            until_ms = list.as_ref().and_then(until);
            list.map(|list| ejection::encode(&list))
        })?;
        if let (Some(until), Some(text), Some(service)) = (until_ms, table.text(endpoint), self.service()) {
            self.count(ServiceMetric::Ejections);
            host.raise(metrics::CHANGES);
            let ms = until.saturating_sub(now_ms);
            host.note(&format!("service {}: endpoint {text} ejected for {ms} ms", service.name));
        }
        Ok(())
    }

    /// Whether one more request may be sent again, by the budget; it counts until
    /// [`ServiceView::retried`].
    #[must_use]
    pub fn retry(&self) -> bool {
        let allowed = self.may_retry();
        if allowed {
            self.retrying.set(self.retrying.get().saturating_add(1));
        }
        allowed
    }

    /// Whether the budget has room.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        let Some(retry) = self.service().map(|service| &service.retry) else { return false };
        let share = u64::from(self.whole.active()).saturating_mul(retry.budget_percent.into());
        let most = share.checked_div(100).unwrap_or(0).max(retry.min_concurrency.into());
        u64::from(self.retrying.get()) < most
    }

    /// A request that was sent again is over.
    pub fn retried(&self) {
        self.retrying.set(self.retrying.get().saturating_sub(1));
    }
}

// === impl Outcome ===

impl Outcome {
    /// Whether the endpoint failed.
    #[must_use]
    pub fn failed(self) -> bool {
        match self {
            Self::Answered(status) => status >= 500,
            Self::Broken => true,
            Self::Left => false,
        }
    }
}
