//! What the two placements tell each other in filter state, where no client can write, for the case that they
//! are in different VMs and share no memory.
//!
//! The one around the exchange tells where further attempts may go, before the request's ticket:
//! `orders 10.0.0.1:80 next=10.0.0.2:80,10.0.0.3:80 4.17`. The one around attempts cannot find the request by its
//! ticket then. It leads the attempts to these endpoints, and tells how those before the last one ended:
//! `10.0.0.1:80 refused,10.0.0.2:80 503`. By that the first one judges endpoints, as it sees the last one itself.

use alloc::string::String;
use core::cell::RefCell;
use core::fmt::Write;

use crate::discovery::catalog::endpoint_stats::key_of;
use crate::discovery::config::allow::Allow;
use crate::discovery::endpoint::Key;
use crate::discovery::request::outcome::Outcome;
use crate::discovery::request::ticket::Ticket;

/// A request of another VM, as its filter state tells of it.
///
/// ```
/// use tidegate_policy::discovery::request::handover::Handover;
///
/// let handover = Handover::read(b"orders 10.0.0.1:80 next=[fd00::2]:80 4.17").unwrap();
/// assert_eq!((handover.service, handover.first, handover.next), ("orders", "10.0.0.1:80", "[fd00::2]:80"));
/// assert!(Handover::read(b"orders 10.0.0.1:80 4.17").is_none(), "it has one attempt, or it is of this VM");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover<'a> {
    /// The service.
    pub service: &'a str,
    /// The endpoint of the first attempt.
    pub first: &'a str,
    /// Those of further ones, separated by commas.
    pub next: &'a str,
    /// Its ticket in the other VM.
    pub ticket: Ticket,
}

/// What another VM is to learn of the attempts of one of its requests.
#[derive(Debug)]
pub struct Report {
    /// The request's ticket there.
    pub ticket: Ticket,
    text: RefCell<String>,
}

/// What a list of further endpoints begins with.
const NEXT: &str = "next=";
/// Longest report, in bytes: ten endpoints of IPv6, each with an outcome.
const MOST: usize = 600;

/// Writes the list of further endpoints.
pub fn write_next<'a>(endpoints: impl Iterator<Item = &'a str>, out: &mut String) {
    out.push_str(NEXT);
    for (at, endpoint) in endpoints.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(endpoint);
    }
    out.push(' ');
}

/// The endpoints of a report, each as text and with what became of it.
pub fn reported(report: &[u8]) -> impl Iterator<Item = (&str, Outcome)> {
    let text = core::str::from_utf8(report).unwrap_or_default();
    text.split(',').filter_map(|entry| {
        let (endpoint, word) = entry.split_once(' ')?;
        Some((endpoint, Outcome::of_word(word)?))
    })
}

// === impl Handover ===

impl<'a> Handover<'a> {
    /// Reads what the placement around the exchange left in filter state; `None` when that is no request that
    /// may have further attempts.
    #[must_use]
    pub fn read(state: &'a [u8]) -> Option<Self> {
        let ticket = Ticket::read(state)?;
        let mut words = core::str::from_utf8(state).ok()?.split(' ');
        let (service, first) = (words.next()?, words.next()?);
        Some(Self { service, first, next: words.next()?.strip_prefix(NEXT)?, ticket })
    }

    /// The endpoints of its attempts in order, as far as `allow` has them.
    pub fn endpoints<'s>(&'s self, allow: &'s Allow) -> impl Iterator<Item = Key> + 's {
        let all = core::iter::once(self.first).chain(self.next.split(','));
        all.filter_map(key_of).filter(|(address, port)| allow.has(*address, *port))
    }
}

// === impl Report ===

impl Report {
    /// Nothing yet.
    #[must_use]
    pub fn new(ticket: Ticket) -> Self {
        Self { ticket, text: RefCell::default() }
    }

    /// An attempt ended.
    pub fn add(&self, endpoint: &str, outcome: Outcome) {
        let mut text = self.text.borrow_mut();
        if text.len().saturating_add(endpoint.len()) < MOST {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{endpoint} {outcome}");
        }
    }

    /// All of it so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.text.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let ticket = Ticket::read(b"4.17").unwrap();
        let report = Report::new(ticket);
        let all = [Outcome::Refused, Outcome::Answered(503), Outcome::Broken, Outcome::Left];
        all.iter().for_each(|outcome| report.add("[fd00::1]:80", *outcome));
        assert_eq!(
            report.text(),
            "[fd00::1]:80 refused,[fd00::1]:80 503,[fd00::1]:80 broken,[fd00::1]:80 left"
        );
        let text = report.text();
        let read: Vec<_> = reported(text.as_bytes()).collect();
        assert_eq!(read, all.map(|outcome| ("[fd00::1]:80", outcome)));
        for _ in 0..100 {
            report.add("[fd00::1]:80", Outcome::Broken);
        }
        assert!(report.text().len() < 700, "it is bounded");
    }

    #[test]
    fn what_is_no_report_tells_nothing() {
        for text in ["", ",", "10.0.0.1:80", "10.0.0.1:80 ", "10.0.0.1:80 dead", "10.0.0.1:80 -1", "\u{1}, ,"]
        {
            assert_eq!(reported(text.as_bytes()).next(), None, "{text:?}");
        }
        assert_eq!(reported(b"10.0.0.1:80 503\xff").next(), None);
    }

    #[test]
    fn only_endpoints_that_are_allowed_are_taken_from_filter_state() {
        let json = br#"{"registries": {"main": {"consul": {"cluster": "consul"}}},
            "services": [{"name": "orders", "registry": "main"}], "allow": ["10.0.0.0/8:80", "[fd00::/16]:80"]}"#;
        let allow = crate::discovery::Policy::parse(json).unwrap().allow;
        let read = |state: &str| {
            let handover = Handover::read(state.as_bytes()).unwrap();
            let all = handover.endpoints(&allow).map(|(address, port)| std::format!("{address} {port}"));
            all.collect::<Vec<_>>()
        };
        assert_eq!(read("orders 10.0.0.1:80 next= 0.1"), ["10.0.0.1 80"]);
        assert_eq!(
            read("orders 10.0.0.1:80 next=[fd00::2]:80,10.0.0.3:81,169.254.169.254:80,x,10.0.0.4:80 0.1"),
            ["10.0.0.1 80", "fd00::2 80", "10.0.0.4 80"]
        );
        for state in ["", "orders", "orders 10.0.0.1:80", "orders 10.0.0.1:80 next=", "orders - no_endpoints"]
        {
            assert_eq!(Handover::read(state.as_bytes()), None, "{state}");
        }
    }
}
