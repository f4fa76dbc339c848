//! One HTTP exchange: the host's callbacks become calls of the stage, and what the stage
//! answers becomes calls of the host.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use tidegate_policy::http::{Edit, Reply, Stage, Verdict};

use crate::abi;
use crate::host::Envoy;
use crate::message::EnvoyRequest;
use crate::root::Plugin;

/// An exchange under way. Without a plugin (never configured) it lets everything pass.
pub(crate) struct Exchange<S: Stage> {
    plugin: Option<Rc<Plugin<S>>>,
    state: S::Exchange,
    /// Whether the response is our own reply, which Envoy sends through us again.
    replied: bool,
}

impl<S: Stage> Exchange<S> {
    pub(crate) fn new(plugin: Option<Rc<Plugin<S>>>) -> Self {
        Self { plugin, state: S::Exchange::default(), replied: false }
    }
}

impl<S: Stage> Context for Exchange<S> {}

impl<S: Stage> HttpContext for Exchange<S> {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let Some(plugin) = &self.plugin else { return Action::Continue };
        let pairs = abi::header_pairs(abi::REQUEST_HEADERS).unwrap_or_default();
        let request = EnvoyRequest::new(&pairs);
        let verdict = plugin.stage.on_request(&mut self.state, &request, &Envoy(&plugin.counters));
        if let Some(outcome) = plugin.stage.outcome(&self.state) {
            let _ = abi::set_property(S::PROPERTY, outcome.as_bytes());
        }
        match verdict {
            Verdict::Continue(edits) => {
                apply(&edits);
                Action::Continue
            }
            Verdict::Reply(reply) => {
                self.replied = true;
                send(&reply);
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if let (Some(plugin), false) = (&self.plugin, self.replied) {
            apply(&plugin.stage.on_response(&mut self.state, &Envoy(&plugin.counters)));
        }
        Action::Continue
    }
}

fn apply(edits: &[Edit]) {
    for edit in edits {
        let _ = match edit {
            Edit::AddResponseHeader(name, value) => abi::add_header(abi::RESPONSE_HEADERS, name, value),
            Edit::RemoveRequestHeader(name) => abi::remove_header(abi::REQUEST_HEADERS, name),
            _ => Ok(()),
        };
    }
}

fn send(reply: &Reply) {
    let headers = crate::pairs::encode(&reply.headers);
    let sent = abi::send_local_response(
        reply.status,
        &reply.details,
        reply.body.as_bytes(),
        &headers,
        reply.grpc_status,
    );
    if let Err(status) = sent {
        log::error!("reply: host status {}", status.0);
    }
}
