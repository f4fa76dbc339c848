//! One endpoint of a service, in the form that answers of all registries are turned into.
//!
//! An endpoint *is* its address and port: two entries with the same are one endpoint, whatever
//! their ids. A set is sorted by that, so that the order of an answer means nothing, two sets are
//! compared in one walk, and an answer that says the same has the same [`hash`].
//!
//! | what | bound | beyond it |
//! |---|---|---|
//! | endpoints of a set | [`MAX_ENDPOINTS`] | the last in order are left out and counted |
//! | id, zone | [`MAX_TEXT`] bytes | cut |
//! | tag, key or value of metadata | [`MAX_TEXT`] bytes | left out: a cut one would match what it should not |
//! | tags, pairs of metadata | [`MAX_LABELS`] each, of one that is registered several times twice as many | the rest is left out |

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::IpAddr;

use crate::hash::sip::{SipHash13, SipKey};
use crate::sort;

pub use crate::discovery::health::Health;

/// What a registry says of one endpoint.
///
/// ```
/// use tidegate_policy::discovery::endpoint::{Endpoint, Names};
///
/// let mut names = Names::default();
/// let endpoint = Endpoint::new("pay-1", "10.0.0.1".parse()?, 8080)
///     .ok_or("no endpoint")?
///     .weighing(3)
///     .in_zone("eu-1a", &mut names)
///     .tagged(&mut ["v2", "blue"].into_iter(), &mut names);
/// assert_eq!(endpoint.key(), ("10.0.0.1".parse()?, 8080));
/// assert_eq!(&*endpoint.tags[0], "blue");
/// assert!(Endpoint::new("pay-2", "0.0.0.0".parse()?, 8080).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The registry's name for it, for logs; not unique.
    pub id: Rc<str>,
    /// Where it listens. An IPv4-mapped address is kept as IPv4.
    pub address: IpAddr,
    /// Where it listens, 1 to 65,535.
    pub port: u16,
    /// Its share against others, 1 to [`MAX_WEIGHT`].
    pub weight: u32,
    /// 0 is used first.
    pub priority: u8,
    /// Where it runs; empty when the registry does not say.
    pub zone: Rc<str>,
    /// Whether it should get requests.
    pub health: Health,
    /// Sorted, each once.
    pub tags: Vec<Rc<str>>,
    /// Sorted, each once; of one entry of a registry each key once.
    pub metadata: Vec<(Rc<str>, Rc<str>)>,
}

/// Texts that are met more than once, kept once.
#[derive(Default)]
pub struct Names {
    sorted: Vec<Rc<str>>,
}

/// What tells an endpoint from others: address and port.
pub type Key = (IpAddr, u16);

/// Most endpoints of a set.
pub const MAX_ENDPOINTS: usize = 5_000;
/// Most that one endpoint weighs: the weight of an SRV record has 16 bits.
pub const MAX_WEIGHT: u32 = 65_535;
/// Longest id, zone, tag, key or value, in bytes.
pub const MAX_TEXT: usize = 256;
/// Most tags, and most pairs of metadata, of one endpoint.
pub const MAX_LABELS: usize = 32;
/// Most texts that are kept once: zones and tags are few, and more would only cost look-ups.
const MAX_NAMES: usize = 1_024;

/// Brings a set into its normal form: sorted, each endpoint once, at most [`MAX_ENDPOINTS`]. Says
/// how many had to be left out.
///
/// Of entries for one endpoint the healthiest stays, then the one that says a zone. What others say of themselves
/// that are in the same health, or may serve as well, stays, too: an instance that is registered once for each of its
/// versions has the tags of all of them.
pub fn normalize(set: &mut Vec<Endpoint>) -> usize {
    sort::sort(set);
    set.dedup_by(|later, first| {
        let is_same = later.key() == first.key();
        let serves = |one: &Endpoint| matches!(one.health, Health::Healthy | Health::Degraded);
        if is_same && (later.health == first.health || (serves(later) && serves(first))) {
            first.learn_from(later);
        }
        is_same
    });
    let beyond = set.len().saturating_sub(MAX_ENDPOINTS);
    set.truncate(MAX_ENDPOINTS);
    beyond
}

/// A hash of all that a set in normal form says: equal for equal sets on every worker.
#[must_use]
pub fn hash(set: &[Endpoint]) -> u64 {
    hash_by(set, Endpoint::write)
}

/// A hash of which endpoints a set in normal form has, whatever it says of them.
#[must_use]
pub fn keys_hash(set: &[Endpoint]) -> u64 {
    hash_by(set, Endpoint::write_key)
}

fn hash_by(set: &[Endpoint], write: fn(&Endpoint, &mut SipHash13)) -> u64 {
    let mut sip = SipHash13::new(SipKey::from_bytes([0; 16]));
    set.iter().for_each(|endpoint| write(endpoint, &mut sip));
    sip.finish()
}

// === impl Endpoint ===

impl Endpoint {
    /// A healthy endpoint of weight 1 without labels; `None` for an unspecified or multicast address and for
    /// port 0, to which no client can connect.
    #[must_use]
    pub fn new(id: &str, address: IpAddr, port: u16) -> Option<Self> {
        let address = address.to_canonical();
        let sound = port != 0 && !address.is_unspecified() && !address.is_multicast();
        sound.then(|| Self {
            id: cut(id).into(),
            address,
            port,
            weight: 1,
            priority: 0,
            zone: Rc::from(""),
            health: Health::Healthy,
            tags: Vec::new(),
            metadata: Vec::new(),
        })
    }

    /// Its address and port.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.address, self.port)
    }

    /// With this weight, or the nearest that is allowed.
    #[must_use]
    pub fn weighing(self, weight: u64) -> Self {
        let weight = u32::try_from(weight).unwrap_or(MAX_WEIGHT).clamp(1, MAX_WEIGHT);
        Self { weight, ..self }
    }

    /// In this zone.
    #[must_use]
    pub fn in_zone(self, zone: &str, names: &mut Names) -> Self {
        Self { zone: names.keep(cut(zone)), ..self }
    }

    /// With these tags.
    #[must_use]
    pub fn tagged(mut self, tags: &mut dyn Iterator<Item = &str>, names: &mut Names) -> Self {
        let fits = tags.filter(|tag| tag.len() <= MAX_TEXT).take(MAX_LABELS);
        self.tags = fits.map(|tag| names.keep(tag)).collect();
        sort::sort(&mut self.tags);
        self.tags.dedup();
        self
    }

    /// With this metadata; of a key that is given twice the last value counts.
    #[must_use]
    pub fn labelled<'a>(
        mut self,
        pairs: &mut dyn Iterator<Item = (&'a str, &'a str)>,
        names: &mut Names,
    ) -> Self {
        let fits = pairs.filter(|(key, value)| key.len() <= MAX_TEXT && value.len() <= MAX_TEXT);
        for (key, value) in fits.take(MAX_LABELS) {
            let value = names.keep(value);
            match self.metadata.binary_search_by(|(there, _)| (**there).cmp(key)) {
                Ok(at) => self.metadata.get_mut(at).into_iter().for_each(|pair| pair.1 = value.clone()),
                Err(at) => self.metadata.insert(at, (names.keep(key), value)),
            }
        }
        self
    }

    /// Takes over the tags and the metadata of another entry for the same endpoint, as far as there is room.
    fn learn_from(&mut self, other: &Self) {
        if self.tags != other.tags {
            self.tags.extend(other.tags.iter().cloned());
            sort::sort(&mut self.tags);
            self.tags.dedup();
            self.tags.truncate(2 * MAX_LABELS);
        }
        if self.metadata != other.metadata {
            self.metadata.extend(other.metadata.iter().cloned());
            sort::sort(&mut self.metadata);
            self.metadata.dedup();
            self.metadata.truncate(2 * MAX_LABELS);
        }
    }

    fn write_key(&self, sip: &mut SipHash13) {
        match self.address {
            IpAddr::V4(v4) => sip.write(&v4.octets()),
            IpAddr::V6(v6) => sip.write(&v6.octets()),
        }
        // The family with the port, so that 4 and 16 bytes cannot be taken for each other.
        let family = u32::from(self.address.is_ipv6()) << 16;
        sip.write(&(u32::from(self.port) | family).to_le_bytes());
    }

    fn write(&self, sip: &mut SipHash13) {
        self.write_key(sip);
        sip.write(&self.weight.to_le_bytes());
        sip.write(&[self.priority, self.health as u8]);
        // How many texts follow, so that a tag cannot be taken for a key.
        let counts = [self.tags.len() as u64, self.metadata.len() as u64];
        counts.iter().for_each(|count| sip.write(&count.to_le_bytes()));
        let mut text = |text: &str| {
            sip.write(&(text.len() as u64).to_le_bytes());
            sip.write(text.as_bytes());
        };
        text(&self.id);
        text(&self.zone);
        self.tags.iter().for_each(|tag| text(tag));
        for (key, value) in &self.metadata {
            text(key);
            text(value);
        }
    }
}

/// By address and port; among entries for one endpoint the better one first.
impl Ord for Endpoint {
    fn cmp(&self, other: &Self) -> Ordering {
        let first = |e: &Self| (e.key(), e.health, e.priority);
        first(self)
            .cmp(&first(other))
            .then_with(|| other.weight.cmp(&self.weight))
            .then_with(|| other.zone.cmp(&self.zone))
            .then_with(|| other.id.cmp(&self.id))
            .then_with(|| self.tags.cmp(&other.tags))
            .then_with(|| self.metadata.cmp(&other.metadata))
    }
}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// === impl Names ===

impl Names {
    /// The text, as it was kept before if it was.
    pub fn keep(&mut self, text: &str) -> Rc<str> {
        match self.sorted.binary_search_by(|there| (**there).cmp(text)) {
            Ok(at) => self.sorted.get(at).map_or_else(|| text.into(), Rc::clone),
            Err(at) => {
                let new: Rc<str> = text.into();
                if self.sorted.len() < MAX_NAMES {
                    self.sorted.insert(at, Rc::clone(&new));
                }
                new
            }
        }
    }
}

/// The beginning of a text that is too long.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice::from_ref;
    use std::string::{String, ToString};

    fn endpoint(address: &str, port: u16) -> Endpoint {
        Endpoint::new("e", address.parse().unwrap(), port).unwrap()
    }

    #[test]
    fn the_order_of_an_answer_means_nothing() {
        let mut set = std::vec![endpoint("10.0.0.2", 1), endpoint("10.0.0.1", 2), endpoint("10.0.0.1", 1)];
        let mut reversed: Vec<_> = set.iter().rev().cloned().collect();
        assert_eq!((normalize(&mut set), normalize(&mut reversed)), (0, 0));
        assert_eq!(set, reversed);
        assert_eq!(hash(&set), hash(&reversed));
        let keys: Vec<String> = set.iter().map(|e| std::format!("{}:{}", e.address, e.port)).collect();
        assert_eq!(keys, ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1"]);
    }

    #[test]
    fn of_two_entries_the_healthiest_stays_then_the_one_with_a_zone() {
        let mut names = Names::default();
        let plain = endpoint("::ffff:10.0.0.1", 1);
        let zoned = endpoint("10.0.0.1", 1).in_zone("a", &mut names);
        let ill = Endpoint { health: Health::Unhealthy, weight: 9, ..zoned.clone() };
        for order in [[&ill, &plain, &zoned], [&plain, &zoned, &ill], [&zoned, &ill, &plain]] {
            let mut set: Vec<Endpoint> = order.into_iter().cloned().collect();
            normalize(&mut set);
            assert_eq!(set.as_slice(), from_ref(&zoned));
        }
    }

    /// One set of tags was lost, and the subset that asks for them was empty.
    #[test]
    fn an_address_that_is_registered_twice_has_the_labels_of_both() {
        let mut names = Names::default();
        let mut of = |tags: &[&str], version: &str| {
            let one = endpoint("10.0.0.1", 1).tagged(&mut tags.iter().copied(), &mut names);
            one.labelled(&mut [("version", version)].into_iter(), &mut names)
        };
        let (one, two) = (of(&["a", "v1"], "1"), of(&["a", "v2"], "2"));
        let two = Endpoint { health: Health::Degraded, ..two };
        let ill = Endpoint { health: Health::Unhealthy, ..of(&["v3"], "3") };
        for order in [[&one, &two, &ill], [&ill, &two, &one], [&two, &ill, &one]] {
            let mut set: Vec<Endpoint> = order.into_iter().cloned().collect();
            normalize(&mut set);
            let tags: Vec<&str> = set[0].tags.iter().map(|tag| &**tag).collect();
            let versions: Vec<&str> = set[0].metadata.iter().map(|(_, value)| &**value).collect();
            assert_eq!((set.len(), tags, versions), (1, std::vec!["a", "v1", "v2"], std::vec!["1", "2"]));
        }
        let many = |first: usize| {
            let tags: Vec<String> = (first..first + MAX_LABELS).map(|n| n.to_string()).collect();
            endpoint("10.0.0.1", 1).tagged(&mut tags.iter().map(String::as_str), &mut Names::default())
        };
        let mut set = std::vec![many(0), many(100), many(200)];
        normalize(&mut set);
        assert_eq!(set[0].tags.len(), 2 * MAX_LABELS);
    }

    #[test]
    fn whatever_changes_changes_the_hash_and_only_the_key_the_other() {
        let mut names = Names::default();
        let one = endpoint("10.0.0.1", 1);
        let changed = [
            one.clone().weighing(2),
            Endpoint { priority: 1, ..one.clone() },
            Endpoint { health: Health::Draining, ..one.clone() },
            one.clone().in_zone("z", &mut names),
            one.clone().tagged(&mut ["t"].into_iter(), &mut names),
            one.clone().tagged(&mut ["t", "u"].into_iter(), &mut names),
            one.clone().labelled(&mut [("t", "u")].into_iter(), &mut names),
            one.clone().labelled(&mut [("t", "v")].into_iter(), &mut names),
        ];
        let mut hashes: Vec<u64> = changed.iter().chain([&one]).map(|e| hash(from_ref(e))).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), changed.len() + 1);
        assert!(changed.iter().all(|e| keys_hash(from_ref(e)) == keys_hash(from_ref(&one))));
        assert_ne!(keys_hash(from_ref(&one)), keys_hash(&[endpoint("10.0.0.1", 2)]));
    }

    #[test]
    fn what_is_too_long_is_cut_or_left_out() {
        let mut names = Names::default();
        let long = "ü".repeat(MAX_TEXT);
        let one = Endpoint::new(&long, "10.0.0.1".parse().unwrap(), 1).unwrap();
        assert_eq!(one.id.len(), MAX_TEXT);
        let one = one.tagged(&mut [&*long, "b", "a", "b"].into_iter(), &mut names);
        assert_eq!(one.tags.iter().map(|t| &**t).collect::<Vec<_>>(), ["a", "b"]);
        let pairs = [("k", "1"), (&*long, "x"), ("a", &*long), ("k", "2")];
        let one = one.labelled(&mut pairs.into_iter(), &mut names);
        assert_eq!(one.metadata, [(Rc::from("k"), Rc::from("2"))]);
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let one = one.tagged(&mut many.iter().map(String::as_str), &mut names);
        assert_eq!(one.tags.len(), MAX_LABELS);
        assert_eq!((one.clone().weighing(0).weight, one.weighing(1 << 40).weight), (1, MAX_WEIGHT));
    }

    #[test]
    fn a_set_is_bounded() {
        let addresses = (0..6_000_u32).map(|n| IpAddr::V4((0x0a00_0000 + n).into()));
        let mut set: Vec<Endpoint> = addresses.map(|ip| Endpoint::new("", ip, 1).unwrap()).collect();
        assert_eq!((normalize(&mut set), set.len()), (1_000, MAX_ENDPOINTS));
    }

    #[test]
    fn an_address_that_no_client_can_connect_to_is_no_endpoint() {
        for (address, port) in
            [("0.0.0.0", 1), ("::", 1), ("::ffff:0.0.0.0", 1), ("10.0.0.1", 0), ("224.0.0.1", 1)]
        {
            assert_eq!(Endpoint::new("", address.parse().unwrap(), port), None, "{address} {port}");
        }
    }
}
