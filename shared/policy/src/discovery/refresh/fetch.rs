//! Asking one question of one registry: what is sent, and what the answers say.
//!
//! This is the seam at which a registry is added: a [`Way`] says where it is asked, [`Fetch::ask`]
//! sends, [`Fetch::answered`] reads. Who asks, when, and what becomes of an answer is the poller's.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::discovery::config::policy::Record;
use crate::discovery::refresh::way::Way;
use crate::discovery::registry::dns::{self, MEDIA_TYPE};
use crate::discovery::registry::dns::{message, resolver};
use crate::discovery::registry::{consul, Found, Problem, Reply};
use crate::host::{Answer, Callout, CalloutError, Question as Sent, Token};
use crate::time::Span;

/// The state of asking one question again and again.
#[derive(Debug, Default)]
pub struct Fetch {
    waiting: Vec<(Token, Option<Asked>)>,
    /// Of DNS, what came so far.
    so_far: Option<dns::Answer>,
    /// Of DNS, why one of several answers was none.
    spoiled: Option<Bad>,
    /// Of Consul, the index to wait for.
    index: u64,
}

/// One of the questions that DNS is asked for one service.
#[derive(Clone, Debug)]
struct Asked {
    name: Rc<str>,
    kind: message::Kind,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good {
    /// The endpoints.
    pub found: Found,
    /// How long it holds; `None` when the registry can be waited for.
    pub holds: Option<Span>,
}

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bad {
    /// There was no answer at all, or it broke off.
    NoAnswer,
    /// It was not asked.
    NotAsked(CalloutError),
    /// The answer says nothing of the service's endpoints.
    Problem(Problem),
    /// It has more bytes than are read.
    TooLarge(usize),
}

/// Most hosts of a DNS service that are asked for one by one.
const MAX_HOSTS: usize = 32;

// === impl Fetch ===

impl Fetch {
    /// Whether an answer is still to come.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it asked this.
    #[must_use]
    pub fn asked(&self, token: Token) -> bool {
        self.waiting.iter().any(|(known, _)| *known == token)
    }

    /// No answer is waited for any more.
    pub fn give_up(&mut self) {
        self.waiting.clear();
        self.so_far = None;
        self.spoiled = None;
    }

    /// Asks; `at_once` for an answer that does not wait for a change.
    ///
    /// # Errors
    /// Nothing was asked.
    pub fn ask(&mut self, way: &Way, at_once: bool, host: &dyn Callout) -> Result<(), Bad> {
        self.give_up();
        match way {
            Way::Consul { to, query, blocking, timeout } => {
                let index = if at_once || !blocking { 0 } else { self.index };
                let path = query.path(index);
                let timeout = if index > 0 { consul::timeout(query.wait) } else { *timeout };
                let mut headers = alloc::vec![
                    (":method", "GET"),
                    (":path", path.as_str()),
                    (":authority", to.1.as_str()),
                    ("accept", "application/json"),
                ];
                headers.extend(query.headers());
                let token = send(host, &to.0, &headers, &[], timeout)?;
                self.waiting.push((token, None));
            }
            Way::Dns { name, record, .. } => {
                let kinds: &[message::Kind] = match record {
                    Record::A => &[message::Kind::A],
                    Record::Aaaa => &[message::Kind::Aaaa],
                    Record::Any => &[message::Kind::A, message::Kind::Aaaa],
                    Record::Srv => &[message::Kind::Srv],
                };
                kinds.iter().try_for_each(|kind| self.ask_dns(way, name, *kind, host))?;
            }
            Way::Names { name, .. } => {
                let token = host.ask(&Sent::Name(name)).map_err(Bad::NotAsked)?;
                self.waiting.push((token, None));
            }
        }
        Ok(())
    }

    fn ask_dns(
        &mut self,
        way: &Way,
        name: &Rc<str>,
        kind: message::Kind,
        host: &dyn Callout,
    ) -> Result<(), Bad> {
        let Way::Dns { to, path, timeout, .. } = way else { return Ok(()) };
        let body = message::query(name, kind).ok_or(Bad::Problem(Problem::Unknown))?;
        let headers = [
            (":method", "POST"),
            (":path", path.as_str()),
            (":authority", to.1.as_str()),
            ("accept", MEDIA_TYPE),
            ("content-type", MEDIA_TYPE),
        ];
        let token = send(host, &to.0, &headers, &body, *timeout)?;
        self.waiting.push((token, Some(Asked { name: Rc::clone(name), kind })));
        Ok(())
    }

    /// An answer; what all of them say once there are enough, of which more than `most` bytes each
    /// are not read.
    pub fn answered(
        &mut self,
        way: &Way,
        answer: &impl Answer,
        most: usize,
        host: &dyn Callout,
    ) -> Option<Result<Good, Bad>> {
        let token = answer.token();
        let at = self.waiting.iter().position(|(known, _)| *known == token)?;
        let (_, asked) = self.waiting.swap_remove(at);
        let taken = if answer.size() > most {
            Err(Bad::TooLarge(answer.size()))
        } else {
            self.take(way, answer, asked.as_ref(), most, host)
        };
        let taken = match taken {
            Err(bad) if self.is_one_of_several(way, asked.as_ref()) => {
                self.spoiled.get_or_insert(bad);
                self.finish_dns(way)
            }
            taken => taken,
        };
        if taken.is_err() {
            self.give_up();
        }
        taken.transpose()
    }

    fn take(
        &mut self,
        way: &Way,
        answer: &impl Answer,
        asked: Option<&Asked>,
        most: usize,
        host: &dyn Callout,
    ) -> Result<Option<Good>, Bad> {
        if let Way::Names { record, port, .. } = way {
            let mut resolved = resolver::read(&answer.body(most)).map_err(Bad::Problem)?;
            resolved.addresses.retain(|address| match record {
                Record::A => address.is_ipv4(),
                Record::Aaaa => address.is_ipv6(),
                Record::Any | Record::Srv => true,
            });
            if resolved.addresses.is_empty() {
                return Err(Bad::Problem(Problem::Unknown));
            }
            let found = resolved.found(*port).map_err(Bad::Problem)?;
            return Ok(Some(Good { found, holds: Some(resolved.ttl) }));
        }
        let status = answer.header(":status").ok_or(Bad::NoAnswer)?;
        let status = core::str::from_utf8(&status).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let body = if status == 200 { answer.body(most) } else { Vec::new() };
        let reply = Reply { status, header: &|name| answer.header(name), body: &body };
        match (way, asked) {
            (Way::Consul { query, blocking, .. }, _) => {
                let found = consul::read(query, &reply).map_err(Bad::Problem)?;
                let next = consul::next(self.index, consul::index(&reply));
                self.index = next.index;
                // Without an index there is nothing to wait for: it is asked again in time.
                let waits = *blocking && next.step != consul::Step::Missing;
                Ok(Some(Good { found, holds: (!waits).then_some(Span::ZERO) }))
            }
            (_, Some(asked)) if status == 200 => self.take_dns(way, asked, &body, host),
            _ => Err(Bad::Problem(Problem::Status(status))),
        }
    }

    /// Whether DNS is asked for more than this, so that it may be done without.
    fn is_one_of_several(&self, way: &Way, asked: Option<&Asked>) -> bool {
        match (way, asked) {
            (Way::Dns { name, record, .. }, Some(asked)) => *record == Record::Any || asked.name != *name,
            _ => false,
        }
    }

    fn take_dns(
        &mut self,
        way: &Way,
        asked: &Asked,
        body: &[u8],
        host: &dyn Callout,
    ) -> Result<Option<Good>, Bad> {
        let question = dns::Question { name: &asked.name, kind: asked.kind };
        let new = dns::read(question, body).map_err(Bad::Problem)?;
        let first = self.so_far.is_none();
        match &mut self.so_far {
            Some(known) => known.merge(&new),
            none => *none = Some(new),
        }
        let Some(known) = self.so_far.clone() else { return Err(Bad::NoAnswer) };
        if first && asked.kind == message::Kind::Srv {
            // A host whose name cannot be asked for has no address; the others do.
            let askable = |host: &&Rc<str>| message::query(host, message::Kind::A).is_some();
            for target in known.missing().iter().filter(askable).take(MAX_HOSTS) {
                self.ask_dns(way, target, message::Kind::A, host)?;
                self.ask_dns(way, target, message::Kind::Aaaa, host)?;
            }
        }
        self.finish_dns(way)
    }

    /// What DNS says, once all answers came. Without one of them it says nothing, unless the others have
    /// an address for everything.
    fn finish_dns(&mut self, way: &Way) -> Result<Option<Good>, Bad> {
        if self.is_waiting() {
            return Ok(None);
        }
        let (known, spoiled) = (self.so_far.take(), self.spoiled.take());
        let complete = known.as_ref().is_some_and(|a| a.missing().is_empty() && !a.addresses.is_empty());
        let (known, port) = match (known, way, spoiled) {
            (_, _, Some(bad)) if !complete => return Err(bad),
            (Some(known), Way::Dns { port, .. }, _) => (known, port),
            _ => return Err(Bad::NoAnswer),
        };
        let found = known.found(*port).map_err(Bad::Problem)?;
        Ok(Some(Good { found, holds: Some(known.ttl) }))
    }
}

fn send(
    host: &dyn Callout,
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Span,
) -> Result<Token, Bad> {
    let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
    host.ask(&Sent::Http { cluster, headers, body, timeout_ms }).map_err(Bad::NotAsked)
}

// === impl Bad ===

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer"),
            Self::NotAsked(why) => write!(f, "{why}"),
            Self::Problem(problem) => write!(f, "{problem}"),
            Self::TooLarge(bytes) => {
                f.write_str(&format!("the answer has {bytes} bytes, too many to be read"))
            }
        }
    }
}

impl Bad {
    /// The reason without numbers that change from one time to the next, to tell a new one by.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::TooLarge(_) => "too large".to_string(),
            Self::Problem(Problem::Malformed(_)) => "malformed".to_string(),
            Self::Problem(Problem::Message(_)) => "malformed message".to_string(),
            Self::Problem(Problem::Unusable { .. }) => "unusable".to_string(),
            other => other.to_string(),
        }
    }
}
