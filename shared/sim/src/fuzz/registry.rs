//! A Consul and a resolver that say what a fuzz input wants, to workers that ask them.

use std::sync::Arc;

use tidegate_policy::discovery::Discovery;
use tidegate_policy::time::Span;

use crate::{Asked, SimAnswer, SimHost, SimQuestion, SimStore, Worker};

pub(super) type Sim = Worker<Discovery, SimHost>;

/// The addresses that a registry can name.
pub(super) const ALL: [&str; 8] = [
    "10.0.0.1:80",
    "10.0.0.2:80",
    "10.0.0.3:80",
    "10.0.0.4:80",
    "10.0.0.5:80",
    "10.0.0.6:80",
    "10.0.0.7:80",
    "10.0.0.8:80",
];
/// Checks in Consul, most of them good.
const CHECKS: [&str; 4] = ["passing", "passing", "warning", "critical"];

/// What a registry says next of all services: each address whose bit is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Says {
    pub(super) named: u8,
    /// Where in [`CHECKS`] the first of them is.
    pub(super) check: usize,
    pub(super) index: u64,
}

// === impl Says ===

impl Says {
    /// All addresses, each in good health.
    pub(super) fn all(index: u64) -> Self {
        Self { named: 0xff, check: 0, index }
    }

    /// The good answer to a question.
    pub(super) fn to(self, question: &SimQuestion) -> SimAnswer {
        if matches!(question.asked, Asked::Name(_)) {
            let list: Vec<(u32, &str)> = self.named().map(|address| (5, address)).collect();
            return question.addresses(&list);
        }
        self.with(200, question)
    }

    /// Consul's answer with another status, and all else as it should be.
    pub(super) fn with(self, status: u32, question: &SimQuestion) -> SimAnswer {
        let instance = |(at, address): (usize, &str)| {
            let check = CHECKS.get(if at == 0 { self.check % 4 } else { 0 }).unwrap_or(&"passing");
            let host = address.trim_end_matches(":80");
            format!(
                r#"{{"Node": {{"Node": "n", "Address": "{host}"}}, "Checks": [{{"CheckID": "service:x", "Status": "{check}"}}],
                    "Service": {{"ID": "{address}", "Address": "{host}", "Port": 80, "Tags": ["v{at}"]}}}}"#
            )
        };
        let body = format!("[{}]", self.named().enumerate().map(instance).collect::<Vec<_>>().join(","));
        let answer = question.answer(status).header("x-consul-index", &self.index.to_string());
        answer.body(body.as_bytes())
    }

    fn named(self) -> impl Iterator<Item = &'static str> {
        (0..8).filter(move |at| self.named >> at & 1 == 1).filter_map(|at| ALL.get(at).copied())
    }
}

/// Workers of one Envoy.
pub(super) fn workers(count: usize, json: &str, store: &Arc<SimStore>) -> Vec<Sim> {
    let worker = |_| match Worker::new(json, SimHost::new(store.clone())) {
        Ok(worker) => worker,
        Err(error) => panic!("the configuration is wrong: {error:?}"),
    };
    (0..count).map(worker).collect()
}

/// Moves their clocks.
pub(super) fn at<'w>(workers: impl IntoIterator<Item = &'w Sim>, ms: u64) {
    workers.into_iter().for_each(|worker| worker.host.set(Span::from_millis(ms)));
}
