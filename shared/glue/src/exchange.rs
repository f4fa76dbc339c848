//! One HTTP exchange: the host's callbacks become calls of the stage, and what the stage
//! answers becomes calls of the host.

use std::rc::Rc;

use tidegate_policy::http::{Edit, Reply, Stage, Verdict};

use crate::abi::{self, Action, Level};
use crate::message::{EnvoyRequest, EnvoyResponse};
use crate::root::Plugin;

/// An exchange under way.
pub(crate) struct Exchange<S: Stage> {
    plugin: Rc<Plugin<S>>,
    state: S::Exchange,
    /// Whether the stage saw the request and let it go on. Its own reply, which Envoy sends
    /// through us again, is none of its business, and neither is what it never saw.
    went_on: bool,
}

impl<S: Stage> Exchange<S> {
    pub(crate) fn new(plugin: Rc<Plugin<S>>) -> Self {
        Self { plugin, state: S::Exchange::default(), went_on: false }
    }

    pub(crate) fn request_headers(&mut self) -> Action {
        let plugin = &*self.plugin;
        let read = plugin.reads_headers.then(|| abi::header_pairs(abi::REQUEST_HEADERS).ok()).flatten();
        let pairs = read.unwrap_or_default();
        let request = EnvoyRequest::new(&pairs, plugin.spare.take());
        let verdict = plugin.stage.on_request(&mut self.state, &request, &plugin.host());
        plugin.spare.set(request.into_spare());
        if let Some(outcome) = plugin.stage.outcome(&self.state) {
            let _ = abi::set_property(S::PROPERTY, outcome.as_bytes());
        }
        match verdict {
            Verdict::Continue(edits) => {
                self.went_on = true;
                apply(&edits);
                Action::Continue
            }
            Verdict::Reply(reply) => {
                send::<S>(&reply);
                Action::Pause
            }
        }
    }

    pub(crate) fn response_headers(&mut self) -> Action {
        if self.went_on {
            let plugin = &*self.plugin;
            apply(&plugin.stage.on_response(&mut self.state, &EnvoyResponse::HEADERS, &plugin.host()));
        }
        Action::Continue
    }

    pub(crate) fn response_trailers(&mut self) -> Action {
        if self.went_on {
            let plugin = &*self.plugin;
            plugin.stage.on_trailers(&mut self.state, &EnvoyResponse::TRAILERS, &plugin.host());
        }
        Action::Continue
    }

    pub(crate) fn end(mut self) {
        if self.went_on {
            let plugin = &*self.plugin;
            plugin.stage.on_end(&mut self.state, &EnvoyResponse::END, &plugin.host());
        }
    }
}

fn apply(edits: &[Edit]) {
    for edit in edits {
        let _ = match edit {
            Edit::AddResponseHeader(name, value) => abi::add_header(abi::RESPONSE_HEADERS, name, value),
            Edit::SetResponseHeader(name, value) => abi::replace_header(abi::RESPONSE_HEADERS, name, value),
            Edit::RemoveRequestHeader(name) => abi::remove_header(abi::REQUEST_HEADERS, name),
            Edit::SetRequestHeader(name, value) => abi::replace_header(abi::REQUEST_HEADERS, name, value),
            _ => Ok(()),
        };
    }
}

fn send<S: Stage>(reply: &Reply) {
    let headers = crate::pairs::encode(&reply.headers);
    let sent = abi::send_local_response(
        reply.status,
        &reply.details,
        reply.body.as_bytes(),
        &headers,
        reply.grpc_status,
    );
    if let Err(status) = sent {
        abi::log(Level::Error, &format!("{}: reply: host status {}", S::NAME, status.0));
    }
}
