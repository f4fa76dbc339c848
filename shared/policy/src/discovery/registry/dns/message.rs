//! DNS messages on the wire (RFC 1035), as DNS over HTTPS carries them (RFC 8484).
//!
//! Names are texts in lower case without the last dot, so that they compare as DNS does; a byte
//! that is no letter, digit, `-` or `_` is spelled `\DDD`. A compressed name must point to before
//! where it stands, which is what RFC 1035 says and what ends every loop.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses.
    Aaaa = 28,
    /// Hosts and ports of a service (RFC 2782).
    Srv = 33,
}

/// A message, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// RCODE: 0 is success, 3 that there is no such name.
    pub rcode: u8,
    /// TC: the message is cut short.
    pub truncated: bool,
    /// Records of class IN in all three sections.
    pub records: Vec<Record>,
}

/// A record of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub owner: Rc<str>,
    /// How long it holds, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says. Records of other types are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// The owner is another name of this one.
    Alias(Rc<str>),
    /// SOA of the zone that has no answer: its MINIMUM, in seconds.
    Nothing(u32),
    /// A host and port of a service.
    Service(Service),
}

/// SRV (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest goes first.
    pub priority: u16,
    /// The share within a priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; empty for the root, which means that there is no such service.
    pub target: Rc<str>,
}

/// Where a message stops being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The position, in bytes.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A reader's position in a message.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

const CLASS_IN: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
/// Longest name on the wire (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
/// Most pointers that one name follows: more than it can have labels between them is of no use.
const MAX_JUMPS: u32 = 127;

/// The query for `name`; `None` when that is no name. Its id is 0, so that caches see equal
/// queries as equal (RFC 8484, section 4.1).
#[must_use]
pub fn query(name: &str, kind: Kind) -> Option<Vec<u8>> {
    // Recursion desired, one question.
    let mut bytes = alloc::vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let head = bytes.len();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| *n > 0 && usize::from(*n) <= MAX_LABEL)?;
        if !label.bytes().all(|b| plain(b) || b == b'*') {
            return None;
        }
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend((kind as u16).to_be_bytes().into_iter().chain(CLASS_IN.to_be_bytes()));
    (bytes.len() <= head.saturating_add(MAX_NAME).saturating_add(4)).then_some(bytes)
}

/// What the answer to a query for `name` and `kind` says.
///
/// # Errors
/// It is no message, or the answer to something else.
pub fn decode(bytes: &[u8], name: &str, kind: Kind) -> Result<Message, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    let _id = reader.u16()?;
    let flags = reader.u16()?;
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let [questions, answers, authorities, additional] = counts;
    // QR: a response; OPCODE: a standard query.
    if flags & 0xf800 != 0x8000 {
        return Err(Malformed { at: 2, what: "not the response to a query" });
    }
    for _ in 0..questions {
        let at = reader.at;
        let asked = reader.name()?;
        let same = asked.eq_ignore_ascii_case(name.strip_suffix('.').unwrap_or(name));
        if !same || reader.u16()? != kind as u16 || reader.u16()? != CLASS_IN {
            return Err(Malformed { at, what: "the answer to another question" });
        }
    }
    let mut message = Message {
        rcode: u8::try_from(flags & 15).unwrap_or(0),
        truncated: flags & 0x0200 != 0,
        records: Vec::new(),
    };
    let records = [answers, authorities, additional].iter().map(|n| u32::from(*n)).sum::<u32>();
    for _ in 0..records {
        match reader.record() {
            Ok(record) => message.records.extend(record),
            // What is cut short says so and may end anywhere.
            Err(_) if message.truncated => break,
            Err(malformed) => return Err(malformed),
        }
    }
    Ok(message)
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let short = Malformed { at: self.at, what: "ends too early" };
        let end = self.at.checked_add(n).ok_or(short)?;
        let bytes = self.bytes.get(self.at..end).ok_or(short)?;
        self.at = end;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(|bytes| bytes.try_into().map_or(0, u16::from_be_bytes))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(|bytes| bytes.try_into().map_or(0, u32::from_be_bytes))
    }

    /// A name that begins here; the reader stands behind it afterwards.
    fn name(&mut self) -> Result<Rc<str>, Malformed> {
        let mut text = String::new();
        let mut length = 0_usize;
        let mut jumps = 0_u32;
        let mut resume = None;
        // Where the part begins that is being read: a pointer must lead to before it.
        let mut part = self.at;
        loop {
            let at = self.at;
            let wrong = |what| Err(Malformed { at, what });
            let [first] = *self.take(1)? else { return wrong("ends too early") };
            match first {
                0 => break,
                1..=63 => {
                    let label = self.take(usize::from(first))?;
                    length = length.saturating_add(label.len()).saturating_add(1);
                    if length >= MAX_NAME {
                        return wrong("a name of more than 255 bytes");
                    }
                    push_label(&mut text, label);
                }
                192.. => {
                    let [low] = *self.take(1)? else { return wrong("ends too early") };
                    let target = usize::from(u16::from_be_bytes([first & 63, low]));
                    jumps = jumps.saturating_add(1);
                    if target >= part || jumps > MAX_JUMPS {
                        return wrong("a name that points forwards, or on and on");
                    }
                    resume = resume.or(Some(self.at));
                    (self.at, part) = (target, target);
                }
                _ => return wrong("a label of an unknown kind"),
            }
        }
        self.at = resume.unwrap_or(self.at);
        Ok(text.into())
    }

    /// The next record; `None` for one that does not concern us.
    fn record(&mut self) -> Result<Option<Record>, Malformed> {
        let owner = self.name()?;
        let (kind, class, ttl, length) = (self.u16()?, self.u16()?, self.u32()?, self.u16()?);
        // RFC 2181, section 8: a TTL with the highest bit set is 0.
        let ttl = if ttl > u32::MAX / 2 { 0 } else { ttl };
        let start = self.at;
        self.take(usize::from(length))?;
        let end = self.at;
        if class != CLASS_IN {
            return Ok(None);
        }
        self.at = start;
        let data = self.data(kind, length)?;
        if data.is_some() && self.at != end {
            return Err(Malformed { at: start, what: "a record of another length than it says" });
        }
        self.at = end;
        Ok(data.map(|data| Record { owner, ttl, data }))
    }

    fn data(&mut self, kind: u16, length: u16) -> Result<Option<Data>, Malformed> {
        let start = self.at;
        let data = match kind {
            1 | 28 => {
                let bytes = self.take(usize::from(length))?;
                let v4 = |bytes: &[u8]| bytes.try_into().ok().map(|b: [u8; 4]| Ipv4Addr::from(b).into());
                let v6 = |bytes: &[u8]| bytes.try_into().ok().map(|b: [u8; 16]| Ipv6Addr::from(b).into());
                let address: Option<IpAddr> = if kind == 1 { v4(bytes) } else { v6(bytes) };
                let wrong = Malformed { at: start, what: "an address of a wrong length" };
                Data::Address(address.ok_or(wrong)?)
            }
            CNAME => Data::Alias(self.name()?),
            SOA => {
                self.name()?;
                self.name()?;
                // SERIAL, REFRESH, RETRY, EXPIRE.
                self.take(16)?;
                Data::Nothing(self.u32()?)
            }
            33 => Data::Service(Service {
                priority: self.u16()?,
                weight: self.u16()?,
                port: self.u16()?,
                target: self.name()?,
            }),
            _ => return Ok(None),
        };
        Ok(Some(data))
    }
}

fn push_label(text: &mut String, label: &[u8]) {
    if !text.is_empty() {
        text.push('.');
    }
    for byte in label {
        if plain(*byte) {
            text.push(char::from(byte.to_ascii_lowercase()));
        } else {
            text.push_str(&alloc::format!("\\{byte:03}"));
        }
    }
}

// === impl Malformed ===

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query of RFC 8484, section 4.1.1.
    #[test]
    fn a_query_is_as_the_rfc_has_it() {
        let got = query("www.example.com", Kind::A).unwrap();
        let expected = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
        assert_eq!(got, expected);
        assert_eq!(query("www.example.com.", Kind::A).unwrap(), expected);
    }

    #[test]
    fn what_is_no_name_is_not_asked() {
        let label = "a".repeat(64);
        let long = ["a".repeat(63).as_str(); 4].join(".");
        for name in ["", ".", "a..b", "a b", "a\\.b", "ü", &label, &long, "a/b"] {
            assert_eq!(query(name, Kind::A), None, "{name:?}");
        }
        assert!(query(&long[..253], Kind::A).is_some());
        assert!(query("_pay._tcp.x", Kind::Srv).is_some());
    }

    /// The header of a response with these flags and one record more than there is of a question.
    fn message(flags: u16, answers: u8, rest: &[u8]) -> Vec<u8> {
        let [high, low] = flags.to_be_bytes();
        let mut bytes = std::vec![0, 0, high, low, 0, 1, 0, answers, 0, 0, 0, 0];
        bytes.extend_from_slice(b"\x01a\x01B\0\0\x01\0\x01");
        bytes.extend_from_slice(rest);
        bytes
    }

    /// A record of `a.b` with this type, class, TTL and data.
    fn record(kind: u8, class: u8, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = std::vec![0xc0, 12, 0, kind, 0, class];
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, u8::try_from(data.len()).unwrap()]);
        bytes.extend_from_slice(data);
        bytes
    }

    fn decoded(answers: u8, rest: &[u8]) -> Result<Message, Malformed> {
        decode(&message(0x8180, answers, rest), "A.b.", Kind::A)
    }

    #[test]
    fn records_are_read_and_others_skipped() {
        let rest = [
            record(1, 1, 60, &[10, 0, 0, 1]),
            record(1, 3, 60, &[10, 0, 0, 2]),
            record(16, 1, 60, b"\x03txt"),
            record(28, 1, 1 << 31, &[0; 16]),
            record(5, 1, 7, b"\x01C\xc0\x0c"),
            record(33, 1, 7, b"\0\x01\0\x02\0\x50\0"),
        ]
        .concat();
        let got = decoded(6, &rest).unwrap();
        let data: Vec<_> = got.records.into_iter().map(|r| (r.owner, r.ttl, r.data)).collect();
        let owner: Rc<str> = "a.b".into();
        let service = Service { priority: 1, weight: 2, port: 80, target: "".into() };
        let expected = [
            (owner.clone(), 60, Data::Address("10.0.0.1".parse().unwrap())),
            (owner.clone(), 0, Data::Address("::".parse().unwrap())),
            (owner.clone(), 7, Data::Alias("c.a.b".into())),
            (owner, 7, Data::Service(service)),
        ];
        assert_eq!(data, expected);
    }

    #[test]
    fn what_is_no_answer_of_ours_is_refused() {
        let a = record(1, 1, 60, &[10, 0, 0, 1]);
        let at = |rest: &[u8], answers| decoded(answers, rest).unwrap_err();
        #[rustfmt::skip]
        let cases = [
            ("ends too early",                               at(&a[..a.len() - 1], 1)),
            ("ends too early",                               at(&a, 2)),
            ("an address of a wrong length",                 at(&record(1, 1, 1, &[1, 2, 3]), 1)),
            ("a name that points forwards, or on and on",         at(&[0xc0, 21], 1)),
            ("a name that points forwards, or on and on",         at(&[0xc0, 99], 1)),
            ("a name that points forwards, or on and on",         at(&[1, b'x', 0xc0, 21], 1)),
            ("a label of an unknown kind",                   at(&[0x40, 0], 1)),
            ("a record of another length than it says",      at(&record(5, 1, 1, b"\x01c\0\0"), 1)),
            ("a name of more than 255 bytes",                at(&[&[63; 64][..]; 4].concat(), 1)),
            ("not the response to a query",                  decode(&message(0x0100, 0, &[]), "a.b", Kind::A).unwrap_err()),
            ("the answer to another question",               decode(&message(0x8180, 0, &[]), "a.c", Kind::A).unwrap_err()),
            ("the answer to another question",               decode(&message(0x8180, 0, &[]), "a.b", Kind::Srv).unwrap_err()),
            ("ends too early",                               decode(&[], "a.b", Kind::A).unwrap_err()),
        ];
        for (index, (what, malformed)) in cases.into_iter().enumerate() {
            assert_eq!(malformed.what, what, "case {index}: {malformed}");
        }
    }

    #[test]
    fn what_says_that_it_is_cut_short_may_be() {
        let a = record(1, 1, 60, &[10, 0, 0, 1]);
        let bytes = message(0x8380, 2, &[&a[..], &a[..5]].concat());
        let got = decode(&bytes, "a.b", Kind::A).unwrap();
        assert_eq!((got.truncated, got.records.len()), (true, 1));
    }

    #[test]
    fn odd_bytes_of_a_name_are_spelled_out() {
        let got = decoded(1, &record(5, 1, 1, b"\x05a.\\\x00Z\0")).unwrap();
        assert_eq!(got.records[0].data, Data::Alias("a\\046\\092\\000z".into()));
    }
}
