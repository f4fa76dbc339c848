//! DNS asked for one service: over HTTPS (RFC 8484), or by the host's resolver.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use crate::discovery::registry::answer::{AnswerError, Reply};
use crate::discovery::registry::dns::config::{Dns, NameQuery, Record, Resolver};
use crate::discovery::registry::dns::message::{self, Kind};
use crate::discovery::registry::dns::{read, resolver, Answer, Question, MEDIA_TYPE};
use crate::discovery::registry::protocol::{Call, FetchAnswer, Progress, Protocol};
use crate::time::Span;

/// A name, asked of a server of DNS over HTTPS: its records, then the addresses of hosts that came
/// without.
#[derive(Debug)]
pub struct HttpsProtocol {
    cluster: String,
    authority: String,
    path: String,
    /// How long an answer may take.
    timeout: Span,
    name: Rc<str>,
    record: Record,
    port: u16,
    round: Round,
}

/// A name, asked of the host's resolver.
#[derive(Debug)]
pub struct HostProtocol {
    query: NameQuery,
}

/// The questions of one round, and their answers.
#[derive(Debug, Default)]
struct Round {
    /// The questions, by the numbers of their calls.
    asked: Vec<(Rc<str>, Kind)>,
    /// How many are answered.
    answered: usize,
    /// What the answers say together.
    known: Option<Answer>,
    /// Why one of several answers cannot be used.
    error: Option<AnswerError>,
}

/// Most hosts of a service that are asked for one by one: each costs two requests in one round.
const MAX_HOSTS: usize = 32;
/// The host's resolver has a timeout of its own, which a module does not know. This is several tries of
/// 5 s each, what resolvers take by default.
const HOST_PATIENCE: Span = Span::from_secs(30);

/// How a name is asked.
#[must_use]
pub fn of(dns: &Dns, query: &NameQuery) -> Box<dyn Protocol> {
    match &dns.resolver {
        Resolver::Host => Box::new(HostProtocol { query: query.clone() }),
        Resolver::Https { cluster, authority, path } => Box::new(HttpsProtocol {
            cluster: cluster.clone(),
            authority: authority.clone(),
            path: path.clone(),
            timeout: Span::from_millis(dns.timeout_ms.into()),
            name: query.name.as_str().into(),
            record: query.record,
            port: query.port,
            round: Round::default(),
        }),
    }
}

// === impl HttpsProtocol ===

impl HttpsProtocol {
    fn call(&mut self, name: &Rc<str>, kind: Kind) -> Result<Call, AnswerError> {
        let body = message::query(name, kind).ok_or(AnswerError::Unknown)?;
        self.round.asked.push((Rc::clone(name), kind));
        Ok(Call::Http {
            cluster: self.cluster.clone(),
            method: "POST",
            path: self.path.clone(),
            authority: self.authority.clone(),
            headers: &[("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE)],
            token: None,
            body,
            timeout: self.timeout,
        })
    }

    /// Takes one answer; the calls that it makes necessary.
    fn take(&mut self, name: &Rc<str>, kind: Kind, reply: &Reply<'_>) -> Result<Vec<Call>, AnswerError> {
        if reply.status != 200 {
            return Err(AnswerError::Status(reply.status));
        }
        let new = read(Question { name, kind }, reply.body)?;
        let Some(known) = &mut self.round.known else {
            let missing = if kind == Kind::Srv { new.missing() } else { Vec::new() };
            self.round.known = Some(new);
            // A host whose name cannot be asked for has no address; the others do.
            let askable = |host: &&Rc<str>| message::query(host, Kind::A).is_some();
            let hosts = missing.iter().filter(askable).take(MAX_HOSTS);
            let both = hosts.flat_map(|host| [(host, Kind::A), (host, Kind::Aaaa)]);
            return both.map(|(host, kind)| self.call(host, kind)).collect();
        };
        known.merge(&new);
        Ok(Vec::new())
    }

    /// Whether the round asks for more than this, so that it can do without.
    fn is_one_of_several(&self, name: &Rc<str>) -> bool {
        self.record == Record::Any || *name != self.name
    }

    /// The endpoints, once all answers came. A round without one of them fails, unless the others have
    /// an address for every host.
    fn finish(&mut self) -> Result<FetchAnswer, AnswerError> {
        let Round { known, error, .. } = core::mem::take(&mut self.round);
        let complete = known.as_ref().is_some_and(|a| a.missing().is_empty() && !a.addresses.is_empty());
        match (known, error) {
            (_, Some(error)) if !complete => Err(error),
            (Some(known), _) => Ok(FetchAnswer { found: known.found(self.port)?, holds: Some(known.ttl) }),
            _ => Err(AnswerError::NoAnswer),
        }
    }
}

impl Protocol for HttpsProtocol {
    fn ask(&mut self, _: Option<Span>) -> Result<Vec<Call>, AnswerError> {
        self.round = Round::default();
        let kinds: &[Kind] = match self.record {
            Record::A => &[Kind::A],
            Record::Aaaa => &[Kind::Aaaa],
            Record::Any => &[Kind::A, Kind::Aaaa],
            Record::Srv => &[Kind::Srv],
        };
        let name = Rc::clone(&self.name);
        kinds.iter().map(|kind| self.call(&name, *kind)).collect()
    }

    fn answered(
        &mut self,
        call: usize,
        reply: Result<&Reply<'_>, AnswerError>,
    ) -> Result<Progress, AnswerError> {
        let (name, kind) = self.round.asked.get(call).cloned().ok_or(AnswerError::NoAnswer)?;
        self.round.answered = self.round.answered.saturating_add(1);
        let calls = match reply.and_then(|reply| self.take(&name, kind, reply)) {
            Err(error) if self.is_one_of_several(&name) => {
                self.round.error.get_or_insert(error);
                Vec::new()
            }
            calls => calls?,
        };
        if self.round.answered < self.round.asked.len() {
            return Ok(Progress::Pending(calls));
        }
        self.finish().map(Progress::Done)
    }

    fn patience(&self) -> Span {
        // Records, then addresses, and once more for the host's own delay.
        self.timeout.times(3)
    }
}

// === impl HostProtocol ===

impl Protocol for HostProtocol {
    fn ask(&mut self, _: Option<Span>) -> Result<Vec<Call>, AnswerError> {
        Ok(alloc::vec![Call::Name(self.query.name.clone())])
    }

    fn answered(
        &mut self,
        _: usize,
        reply: Result<&Reply<'_>, AnswerError>,
    ) -> Result<Progress, AnswerError> {
        let mut resolved = resolver::read(reply?.body)?;
        resolved.addresses.retain(|address| match self.query.record {
            Record::A => address.is_ipv4(),
            Record::Aaaa => address.is_ipv6(),
            Record::Any | Record::Srv => true,
        });
        if resolved.addresses.is_empty() {
            return Err(AnswerError::Unknown);
        }
        let found = resolved.found(self.query.port)?;
        Ok(Progress::Done(FetchAnswer { found, holds: Some(resolved.ttl) }))
    }

    fn patience(&self) -> Span {
        HOST_PATIENCE
    }
}
