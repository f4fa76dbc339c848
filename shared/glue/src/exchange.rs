//! One HTTP exchange: the host's callbacks become calls of the stage, and what the stage
//! answers becomes calls of the host.

use std::rc::Rc;

use tidegate_policy::http::{Callback, Edit, Ending, Reply, Stage, Verdict};

use crate::abi::{self, Action, Level};
use crate::message::{EnvoyRequest, EnvoyResponse};
use crate::root::Plugin;

/// An exchange under way.
pub(crate) struct Exchange<S: Stage> {
    plugin: Rc<Plugin<S>>,
    root: u32,
    state: S::Exchange,
    stands: Stands,
    seen: Seen,
}

/// Where an exchange stands with its stage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// The stage has nothing to do with it: it never saw the request, or replied. Its own reply
    /// goes through us again and is none of its business.
    Apart,
    /// It was held back for the stage, and ended without it.
    Left,
    /// It is held back.
    Waits,
    /// The stage let it go on.
    WentOn,
}

/// How much of the response passed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Headers,
    End,
}

impl<S: Stage> Exchange<S> {
    pub(crate) fn new(plugin: Rc<Plugin<S>>, root: u32) -> Self {
        Self { plugin, root, state: S::Exchange::default(), stands: Stands::Apart, seen: Seen::Nothing }
    }

    /// The root that it began under, which may be gone by now.
    pub(crate) fn root(&self) -> u32 {
        self.root
    }

    /// Whether it is held back.
    pub(crate) fn waits(&self) -> bool {
        self.stands == Stands::Waits
    }

    pub(crate) fn request_headers(&mut self, end_of_stream: bool) -> Action {
        let plugin = &*self.plugin;
        let read = plugin.reads_headers.then(|| abi::header_pairs(abi::REQUEST_HEADERS).ok()).flatten();
        let pairs = read.unwrap_or_default();
        let request = EnvoyRequest::new(&pairs, end_of_stream, plugin.spare.take());
        let verdict = plugin.stage.on_request(&mut self.state, &request, &plugin.host());
        plugin.spare.set(request.into_spare());
        tell_facts::<S>(plugin, &self.state);
        match verdict {
            Verdict::Await(edits) if S::ASKS => {
                self.stands = Stands::Waits;
                apply(&edits);
                Action::Pause
            }
            Verdict::Await(edits) | Verdict::Continue(edits) => {
                self.stands = Stands::WentOn;
                apply(&edits);
                Action::Continue
            }
            Verdict::Reply(reply) => {
                send::<S>(&reply);
                Action::Pause
            }
        }
    }

    /// Asks the stage again and does as it says; whether the exchange still waits. The host must
    /// have been told that calls are about this exchange.
    pub(crate) fn ask_again(&mut self) -> bool {
        let plugin = &*self.plugin;
        let verdict = plugin.stage.on_wait(&mut self.state, &plugin.host());
        if let Verdict::Await(edits) = verdict {
            apply(&edits);
            return true;
        }
        tell_facts::<S>(plugin, &self.state);
        match verdict {
            Verdict::Await(edits) | Verdict::Continue(edits) => {
                self.stands = Stands::WentOn;
                apply(&edits);
                if let Err(status) = abi::continue_request() {
                    abi::log(Level::Error, &format!("{}: go on: host status {}", S::NAME, status.0));
                }
            }
            Verdict::Reply(reply) => {
                self.stands = Stands::Apart;
                send::<S>(&reply);
            }
        }
        false
    }

    /// Part of a request's body arrived, or its trailers did, which end it. One that is held back
    /// stays so: to go on here would let it go, headers and all.
    pub(crate) fn request_continues(&mut self, end_of_stream: bool) -> Action {
        if end_of_stream && matches!(self.stands, Stands::Waits | Stands::WentOn) {
            let plugin = &*self.plugin;
            plugin.stage.on_request_complete(&mut self.state, &plugin.host());
        }
        match self.stands {
            Stands::Left | Stands::Waits => Action::Pause,
            Stands::Apart | Stands::WentOn => Action::Continue,
        }
    }

    pub(crate) fn response_headers(&mut self, end_of_stream: bool) -> Action {
        self.seen = if end_of_stream { Seen::End } else { Seen::Headers };
        match self.stands {
            Stands::Apart | Stands::Left => {}
            // The host answers, for want of time or because of the client. It must not go on now.
            Stands::Waits => self.stands = Stands::Left,
            Stands::WentOn => {
                let plugin = &*self.plugin;
                let host = plugin.host();
                apply(&plugin.stage.on_response(
                    &mut self.state,
                    &EnvoyResponse::headers(end_of_stream),
                    &host,
                ));
            }
        }
        Action::Continue
    }

    /// Part of a response's body is about to leave.
    pub(crate) fn response_body(&mut self, end_of_stream: bool) -> Action {
        if end_of_stream {
            self.seen = Seen::End;
        }
        Action::Continue
    }

    pub(crate) fn response_trailers(&mut self) -> Action {
        self.seen = Seen::End;
        if self.stands == Stands::WentOn {
            let plugin = &*self.plugin;
            plugin.stage.on_trailers(&mut self.state, &EnvoyResponse::TRAILERS, &plugin.host());
        }
        Action::Continue
    }

    pub(crate) fn end(mut self) {
        if self.stands != Stands::Apart {
            let plugin = &*self.plugin;
            let ending = self.ending();
            plugin.stage.on_end(&mut self.state, ending, &EnvoyResponse::END, &plugin.host());
        }
    }

    fn ending(&self) -> Ending {
        let (headers, body) = (Callback::ResponseHeaders, Callback::ResponseBody);
        let trailers = Callback::ResponseTrailers.is_in(S::CALLBACKS);
        match (self.stands, self.seen) {
            (Stands::Waits | Stands::Left, _) => Ending::NeverSent,
            (_, Seen::End) => Ending::Complete,
            (_, Seen::Nothing) if headers.is_in(S::CALLBACKS) => Ending::Incomplete,
            (_, Seen::Headers) if body.is_in(S::CALLBACKS) && trailers => Ending::Incomplete,
            _ => Ending::Unknown,
        }
    }
}

fn tell_facts<S: Stage>(plugin: &Plugin<S>, exchange: &S::Exchange) {
    plugin.stage.facts(exchange, &mut |name, text| {
        let _ = abi::set_property(name, text.as_bytes());
    });
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
    let list = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = crate::pairs::encode(&list.collect::<Vec<_>>());
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
