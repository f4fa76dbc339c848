//! The filter in both places, as the tests of its requests and attempts use it.

use tidegate_policy::http::{Attribute, Verdict};
use tidegate_sim::{SimHost, SimRequest, SimResponse};

use crate::discovery::{attempts, header, outcome, word, Exchange, Sim, Workers, STEER};

pub(crate) const FOUR: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];

/// A worker with the filter in both places, in one VM or in two.
pub(crate) struct Both {
    pub(crate) edge: Workers,
    pub(crate) around: Sim,
}

/// A request in flight.
pub(crate) struct Call {
    pub(crate) exchange: Exchange,
    /// The filter state that the attempt placement reads.
    pub(crate) state: String,
    /// Where the next attempt goes.
    pub(crate) next: String,
    /// Attempts that began.
    pub(crate) begun: u64,
    /// Where the last one went.
    pub(crate) last: String,
    /// The filter state that the attempt placement leaves, if it does.
    pub(crate) report: String,
}

/// One attempt of it.
pub(crate) struct Try {
    pub(crate) went: String,
    pub(crate) verdict: Verdict,
    pub(crate) exchange: Exchange,
}

/// How an attempt or an exchange ended that was not answered, by Envoy's flags.
pub(crate) fn flags(flags: u64) -> SimResponse {
    SimResponse::none().attribute(Attribute::Flags, &flags.to_le_bytes())
}

// === impl Both ===

impl Both {
    pub(crate) fn new(json: &str) -> Self {
        let edge = Workers::new(1, json);
        let around = attempts(&edge.all[0], json);
        Self { edge, around }
    }

    /// The same in two VMs, which share neither memory nor cells.
    pub(crate) fn apart(json: &str) -> Self {
        let edge = Workers::new(1, json);
        let around = Sim::attempt(json, SimHost::new(std::sync::Arc::default()));
        Self { edge, around: around.expect("a right configuration") }
    }

    pub(crate) fn begin(&self) -> Call {
        self.begin_as(&SimRequest::get("/"))
    }

    pub(crate) fn begin_as(&self, request: &SimRequest<'_>) -> Call {
        let (verdict, exchange) = self.edge.all[0].begin(request);
        let state = outcome(&self.edge.all[0], &exchange);
        Call { next: word(&verdict), state, exchange, begun: 0, last: String::new(), report: String::new() }
    }

    /// Envoy begins an attempt, and hears where the next one would go.
    pub(crate) fn attempt(&self, call: &mut Call) -> Try {
        self.attempt_as(call, SimRequest::get("/"))
    }

    pub(crate) fn attempt_as(&self, call: &mut Call, request: SimRequest<'_>) -> Try {
        let went = call.next.clone();
        call.begun += 1;
        call.last.clone_from(&went);
        let count = call.begun.to_le_bytes();
        let request = request.attribute(Attribute::Discovered, call.state.as_bytes());
        let request = request.attribute(Attribute::Endpoint, went.as_bytes());
        let (verdict, exchange) = self.around.begin(&request.attribute(Attribute::AttemptCount, &count));
        if let Some(report) = self.around.outcome(&exchange) {
            call.report = report;
        }
        if let Verdict::Continue(edits) = &verdict {
            call.next = header(edits, STEER).unwrap_or(&call.next).to_owned();
        }
        Try { went, verdict, exchange }
    }

    /// An attempt that is answered.
    pub(crate) fn answered(&self, one: Try, status: u32) {
        self.around.end(one.exchange, &SimResponse::upstream(status));
    }

    /// An attempt that broke off.
    pub(crate) fn broken(&self, one: Try, end: &SimResponse) {
        self.around.abort(one.exchange, end);
    }

    pub(crate) fn end(&self, call: Call, status: u32) {
        let response = call.told(SimResponse::upstream(status));
        self.edge.all[0].end(call.exchange, &response);
    }

    pub(crate) fn gone(&self, call: Call, end: &SimResponse) {
        let end = call.told(end.clone());
        self.edge.all[0].abort(call.exchange, &end);
    }

    /// What a metric of the service came to in both places.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.edge.tick();
        self.around.tick();
        let name = format!("tidegate.discovery.service.orders.{what}");
        self.edge.count(what) + self.around.host.count(self.around.counter(&name))
    }

    /// Ejections so far: each raises the counter of changes.
    pub(crate) fn ejections(&self) -> u64 {
        self.edge.changes()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.edge.memory()
    }
}

// === impl Call ===

impl Call {
    /// What the host knows when it is over.
    fn told(&self, response: SimResponse) -> SimResponse {
        let response = response.attribute(Attribute::Endpoint, self.last.as_bytes());
        match &*self.report {
            "" => response,
            report => response.attribute(Attribute::Attempted, report.as_bytes()),
        }
    }
}
