//! What DNS says of a service: SRV records with their hosts' addresses, or addresses alone.
//!
//! An [`Answer`] is made of a message on the wire ([`crate::discovery::registry::dns::message`]) or of its JSON
//! ([`json`]); what it means is the same. Hosts of SRV records whose addresses the answer
//! does not bring along are asked for one by one ([`Answer::missing`], [`Answer::merge`]).

pub mod config;
pub mod json;
pub mod message;
pub mod protocol;
pub mod resolver;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::discovery::endpoint::Endpoint;
use crate::discovery::registry::answer::{AnswerError, Entries, Found};
use crate::discovery::registry::dns::message::{Data, Kind, Message, Record, Service};
use crate::sort;
use crate::time::Span;

/// The answer to one question, or to several of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// RCODE: 0 is success, 3 that there is no such name.
    pub rcode: u8,
    /// Services of the name, as they came.
    pub services: Vec<Service>,
    /// Addresses of the name, or of the services' hosts, by that name and sorted.
    pub addresses: Vec<(Rc<str>, IpAddr)>,
    /// The shortest time that any of these holds, [`MIN_TTL`] to [`MAX_TTL`].
    pub ttl: Span,
    /// How long it holds that there are none: the lesser of the TTL and the MINIMUM of the zone's
    /// SOA (RFC 2308, section 5), within the same bounds.
    pub negative_ttl: Span,
}

/// What is asked and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name, as `_pay._tcp.example`.
    pub name: &'a str,
    /// What of it.
    pub kind: Kind,
}

/// Answers are held at least this long, because Consul's default TTL is 0.
pub const MIN_TTL: Span = Span::from_secs(5);
/// Answers are held at most this long.
pub const MAX_TTL: Span = Span::from_secs(300);
/// Media type of a message, of request and answer (RFC 8484, section 6).
pub const MEDIA_TYPE: &str = "application/dns-message";
/// Longest message: what TCP can carry.
const MAX_MESSAGE: usize = 65_535;
/// Most names that lead to one another; resolvers give up at about as many.
const MAX_ALIASES: usize = 8;

const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// What a message on the wire answers.
///
/// # Errors
/// It is no message, answers something else, or is cut short.
pub fn read(question: Question<'_>, bytes: &[u8]) -> Result<Answer, AnswerError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(AnswerError::Truncated);
    }
    let message = message::decode(bytes, question.name, question.kind).map_err(AnswerError::Message)?;
    Answer::of(question, &message)
}

fn ttl(secs: Option<u32>) -> Span {
    secs.map_or(MIN_TTL, |secs| Span::from_secs(u64::from(secs)).clamp(MIN_TTL, MAX_TTL))
}

/// The records of `name` in a list that is sorted by owner.
fn of_name<'r, 'm>(sorted: &'r [&'m Record], name: &str) -> &'r [&'m Record] {
    let from = sorted.partition_point(|record| *record.owner < *name);
    let to = sorted.partition_point(|record| *record.owner <= *name);
    sorted.get(from..to).unwrap_or_default()
}

/// The records where the aliases of `name` lead to, and the shortest TTL on the way.
fn follow<'r, 'm>(sorted: &'r [&'m Record], name: &str) -> (&'r [&'m Record], u32) {
    let mut at = (of_name(sorted, name), u32::MAX);
    for _ in 0..MAX_ALIASES {
        let alias = at.0.iter().find_map(|record| match &record.data {
            Data::Alias(to) => Some((to, record.ttl)),
            _ => None,
        });
        let Some((to, ttl)) = alias else { break };
        at = (of_name(sorted, to), at.1.min(ttl));
    }
    at
}

// === impl Answer ===

impl Answer {
    /// What a message says to `question`.
    ///
    /// # Errors
    /// It is cut short, or a failure of the server.
    pub fn of(question: Question<'_>, message: &Message) -> Result<Self, AnswerError> {
        if message.truncated {
            return Err(AnswerError::Truncated);
        }
        if ![NO_ERROR, NO_SUCH_NAME].contains(&message.rcode) {
            return Err(AnswerError::Rcode(message.rcode));
        }
        let nothing = message.records.iter().find_map(|record| match record.data {
            Data::Nothing(minimum) => Some(record.ttl.min(minimum)),
            _ => None,
        });
        let mut sorted: Vec<&Record> = message.records.iter().collect();
        sort::sort_by(&mut sorted, &|a, b| a.owner.cmp(&b.owner));
        let mut answer = Self { rcode: message.rcode, negative_ttl: ttl(nothing), ..Self::default() };
        let asked = question.name.strip_suffix('.').unwrap_or(question.name).to_ascii_lowercase();
        let (records, mut shortest) = follow(&sorted, &asked);
        let asked: Rc<str> = asked.into();
        for record in records {
            match &record.data {
                Data::Service(service) if question.kind == Kind::Srv => answer.services.push(service.clone()),
                Data::Address(address) if question.kind != Kind::Srv => {
                    answer.addresses.push((Rc::clone(&asked), *address));
                }
                _ => continue,
            }
            shortest = shortest.min(record.ttl);
        }
        for target in answer.targets() {
            let (records, way) = follow(&sorted, &target);
            for record in records {
                if let Data::Address(address) = record.data {
                    answer.addresses.push((Rc::clone(&target), address));
                    shortest = shortest.min(way).min(record.ttl);
                }
            }
        }
        answer.tidy();
        let none = answer.services.is_empty() && answer.addresses.is_empty();
        answer.ttl = if none { answer.negative_ttl } else { ttl(Some(shortest)) };
        Ok(answer)
    }

    /// Hosts whose addresses are not known yet, each once.
    #[must_use]
    pub fn missing(&self) -> Vec<Rc<str>> {
        let mut targets = self.targets();
        targets.retain(|target| self.addresses_of(target).is_empty());
        targets
    }

    /// With what the answer for a host's addresses brings.
    pub fn merge(&mut self, other: &Self) {
        // A name that has one kind of address is there, whatever is said of another kind (RFC 4074).
        self.rcode = self.rcode.min(other.rcode);
        self.addresses.extend(other.addresses.iter().cloned());
        self.tidy();
        self.ttl = self.ttl.min(if other.addresses.is_empty() { other.negative_ttl } else { other.ttl });
    }

    /// The endpoints: hosts of the services with their ports, or else addresses with `port`.
    /// Priorities are counted from 0, in steps of one; a weight of 0, which RFC 2782 wants to be "a very
    /// small chance", is 1.
    ///
    /// # Errors
    /// There is no such name or service, or no host has an address.
    pub fn found(&self, port: u16) -> Result<Found, AnswerError> {
        let none = self.services.is_empty() && self.addresses.is_empty();
        let unavailable = matches!(self.services.as_slice(), [only] if only.target.is_empty());
        if self.rcode == NO_SUCH_NAME || none || unavailable {
            return Err(AnswerError::Unknown);
        }
        let mut entries = Entries::default();
        if self.services.is_empty() {
            for (_, address) in &self.addresses {
                entries.take(Endpoint::new(&alloc::format!("{address}"), *address, port));
            }
            return entries.finish();
        }
        let mut priorities: Vec<u16> = self.services.iter().map(|service| service.priority).collect();
        sort::sort(&mut priorities);
        priorities.dedup();
        // Each service has all addresses of its host: few bytes can say very many endpoints.
        for service in &self.services {
            if entries.is_full() {
                break;
            }
            let addresses = self.addresses_of(&service.target);
            if addresses.is_empty() {
                entries.take(None);
            }
            let id = alloc::format!("{}:{}", service.target, service.port);
            let rank = priorities.binary_search(&service.priority).unwrap_or_default();
            let priority = u8::try_from(rank).unwrap_or(u8::MAX);
            for (_, address) in addresses {
                let endpoint = Endpoint::new(&id, *address, service.port);
                let endpoint = endpoint.map(|endpoint| endpoint.weighing(service.weight.into()));
                entries.take(endpoint.map(|endpoint| Endpoint { priority, ..endpoint }));
            }
        }
        entries.finish()
    }

    fn targets(&self) -> Vec<Rc<str>> {
        let mut targets: Vec<_> = self.services.iter().map(|service| Rc::clone(&service.target)).collect();
        targets.retain(|target| !target.is_empty());
        sort::sort(&mut targets);
        targets.dedup();
        targets
    }

    fn addresses_of(&self, name: &str) -> &[(Rc<str>, IpAddr)] {
        let from = self.addresses.partition_point(|(there, _)| **there < *name);
        let to = self.addresses.partition_point(|(there, _)| **there <= *name);
        self.addresses.get(from..to).unwrap_or_default()
    }

    fn tidy(&mut self) {
        sort::sort(&mut self.addresses);
        self.addresses.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn record(owner: &str, ttl: u32, data: Data) -> Record {
        Record { owner: owner.into(), ttl, data }
    }

    fn service(priority: u16, weight: u16, target: &str) -> Data {
        Data::Service(Service { priority, weight, port: 80, target: target.into() })
    }

    fn address(text: &str) -> Data {
        Data::Address(text.parse().unwrap())
    }

    fn answer(kind: Kind, records: Vec<Record>) -> Answer {
        let message = Message { rcode: 0, truncated: false, records };
        Answer::of(Question { name: "Svc.X.", kind }, &message).unwrap()
    }

    /// 1,000 services of one host with 1,000 addresses are a message of some 40 KB.
    #[test]
    fn what_few_bytes_multiply_is_bounded() {
        let ip = |n: u32| std::net::IpAddr::V4((0x0a00_0000 + n).into());
        let one = |port| Service { priority: 0, weight: 1, port, target: "host".into() };
        let services = (1..=1_000).map(one).collect();
        let addresses = (0..1_000).map(|n| ("host".into(), ip(n))).collect();
        let found = Answer { services, addresses, ..Answer::default() }.found(0).unwrap();
        assert_eq!(found.endpoints.len(), crate::discovery::endpoint::MAX_ENDPOINTS);
        assert!(found.skipped > 0 && found.skipped < 200_000, "{} were looked at", found.skipped);
    }

    /// Some servers say so of a kind of address that a name does not have.
    #[test]
    fn a_name_with_an_address_is_there_whichever_answer_comes_first() {
        let here = answer(Kind::A, std::vec![record("svc.x", 60, address("10.0.0.1"))]);
        let gone = Answer { rcode: NO_SUCH_NAME, ..Answer::default() };
        for [first, second] in [[&here, &gone], [&gone, &here]] {
            let mut both = first.clone();
            both.merge(second);
            assert_eq!(both.found(80).map(|found| found.endpoints.len()), Ok(1));
        }
    }

    fn lines(found: &Found) -> Vec<String> {
        let line =
            |e: &Endpoint| std::format!("{} {}:{} p{} w{}", e.id, e.address, e.port, e.priority, e.weight);
        found.endpoints.iter().map(line).collect()
    }

    #[test]
    fn services_come_with_their_hosts_and_ranks() {
        let answer = answer(
            Kind::Srv,
            std::vec![
                record("svc.x", 60, service(20, 0, "b.x")),
                record("svc.x", 60, service(10, 7, "a.x")),
                record("svc.x", 60, service(30, 1, "c.x")),
                record("a.x", 40, address("10.0.0.2")),
                record("a.x", 40, address("10.0.0.1")),
                record("b.x", 50, address("2001:db8::1")),
                record("other.x", 1, address("10.9.9.9")),
            ],
        );
        let found = answer.found(0).unwrap();
        let expected =
            ["a.x:80 10.0.0.1:80 p0 w7", "a.x:80 10.0.0.2:80 p0 w7", "b.x:80 2001:db8::1:80 p1 w1"];
        assert_eq!((lines(&found), found.skipped), (expected.map(String::from).to_vec(), 1));
        assert_eq!(answer.ttl, Span::from_secs(40), "what was not asked for does not count");
        assert_eq!(answer.missing(), ["c.x".into()]);
        let mut whole = answer;
        let more = Answer::of(
            Question { name: "c.x", kind: Kind::A },
            &Message { records: std::vec![record("c.x", 9, address("10.0.0.3"))], ..Message::default() },
        );
        whole.merge(&more.unwrap());
        assert_eq!((whole.missing().len(), whole.found(0).unwrap().endpoints.len()), (0, 4));
        assert_eq!(whole.ttl, Span::from_secs(9));
    }

    #[test]
    fn aliases_are_followed_and_loops_end() {
        let alias = |from: &str, to: &str| record(from, 30, Data::Alias(to.into()));
        let records =
            std::vec![alias("svc.x", "a.x"), alias("a.x", "b.x"), record("b.x", 60, address("10.0.0.1"))];
        let got = answer(Kind::A, records);
        assert_eq!(
            (lines(&got.found(8080).unwrap()), got.ttl.floor_secs()),
            (std::vec!["10.0.0.1 10.0.0.1:8080 p0 w1".to_string()], 30)
        );
        let looped = answer(Kind::A, std::vec![alias("svc.x", "a.x"), alias("a.x", "svc.x")]);
        assert_eq!(looped.found(1), Err(AnswerError::Unknown));
    }

    #[test]
    fn times_are_bounded_and_nothing_lasts_as_the_soa_says() {
        let of = |ttl| answer(Kind::A, std::vec![record("svc.x", ttl, address("10.0.0.1"))]).ttl.floor_secs();
        assert_eq!([of(0), of(7), of(86_400)], [5, 7, 300]);
        let soa = |ttl, minimum| {
            let got = answer(Kind::A, std::vec![record("x", ttl, Data::Nothing(minimum))]);
            assert_eq!(got.found(1), Err(AnswerError::Unknown));
            got.negative_ttl.floor_secs()
        };
        assert_eq!([soa(60, 30), soa(30, 60), soa(0, 60), soa(3_600, 3_600)], [30, 30, 5, 300]);
    }

    #[test]
    fn no_service_is_not_an_empty_one() {
        let dot = answer(Kind::Srv, std::vec![record("svc.x", 60, service(0, 0, ""))]);
        assert_eq!(dot.found(1), Err(AnswerError::Unknown));
        let hostless = answer(Kind::Srv, std::vec![record("svc.x", 60, service(0, 0, "a.x"))]);
        assert_eq!(hostless.found(1), Err(AnswerError::Unusable { entries: 1 }));
        let message = |rcode, truncated| Message { rcode, truncated, records: Vec::new() };
        let of = |message: Message| Answer::of(Question { name: "x", kind: Kind::A }, &message);
        assert_eq!(of(message(2, false)), Err(AnswerError::Rcode(2)));
        assert_eq!(of(message(0, true)), Err(AnswerError::Truncated));
        assert_eq!(of(message(3, false)).unwrap().found(1), Err(AnswerError::Unknown));
    }
}
