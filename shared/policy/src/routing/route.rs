//! One route: to which requests it applies, and between what it chooses.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::identity::{self, Generated};
use super::read::list;
use super::rules::{Condition, Share};
use super::sticky::{self, Territories};
use super::upstream::{self, Set};
use super::variant::Variant;
use crate::config::{distinct_name, Object, Reader};
use crate::hash::sip::SipKey;
use crate::hash::xxh64::xxh64;
use crate::http::matcher::collect;
use crate::http::Request;
use crate::key::Part;

/// A route and the variants behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name in headers, metrics and logs.
    pub name: String,
    /// To which requests it applies; to all, when empty.
    pub matches: Vec<Condition>,
    /// How people stick to variants, if they do.
    pub sticky: Option<Sticky>,
    /// The variants, at least one.
    pub variants: Vec<Variant>,
    /// Which of them takes what the others leave.
    pub baseline: usize,
    /// The sum of all configured weights, which no ramp changes; at least 1.
    pub total: u64,
    /// Which requests are mirrored, and where to.
    pub mirror: Option<Mirror>,
    /// Request headers that tell Envoy how to time out and retry.
    pub upstream: Vec<Set>,
    /// Whether it acts.
    pub mode: Mode,
}

/// What a route does about its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Routes them.
    Enforce,
    /// Counts what it would do, and leaves them alone.
    Observe,
}

/// How people stick to variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// What is hashed with each identity: another name is another throw of the dice.
    pub experiment: String,
    /// The key of the hash, the same on every replica.
    pub key: SipKey,
    /// Where identities are found, the best first.
    pub by: Vec<Part>,
    /// The cookie for those who have none.
    pub generated: Option<Generated>,
    /// Which buckets belong to which variant.
    pub territories: Territories,
}

/// Which requests are mirrored, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The cluster that gets the copies.
    pub cluster: Rc<str>,
    share: Option<Share>,
}

const FIELDS: [&str; 8] = ["name", "match", "sticky", "variants", "mirror", "timeouts", "retry", "mode"];
/// The key of the reference's test values: an experiment needs no secret.
const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

// === impl Route ===

impl Route {
    /// The names of its ramps, as they stand for their cells.
    pub(super) fn ramps(&self) -> impl Iterator<Item = String> + '_ {
        let ramped = self.variants.iter().filter(|variant| variant.ramp.is_some());
        ramped.map(|variant| format!("{}/{}", self.name, variant.name))
    }

    pub(super) fn read(reader: &Reader<'_>, earlier: &[Reader<'_>], mode: Mode) -> Option<Self> {
        let object = reader.object(&FIELDS)?;
        let name = object.required("name", "a name").and_then(|r| distinct_name(&r, earlier));
        let known = name.as_deref().unwrap_or_default();
        let matches = object.or("match", Vec::new(), |r| {
            let items = if r.is_array() { r.items(1..=16, "matches")? } else { alloc::vec![r.clone()] };
            items.iter().map(|item| Condition::read(item, known)).fold(Some(Vec::new()), collect)
        });
        let variants = object
            .required("variants", "a list of variants")
            .and_then(|r| list(&r.items(1..=16, "variants")?, Variant::read));
        let sticky = object.or("sticky", None, |r| Sticky::read(r).map(Some));
        let mirror = object.or("mirror", None, |r| Mirror::read(r, known).map(Some));
        let upstream = upstream::read(&object);
        let mode = object.or("mode", mode, |r| r.choice(&Mode::WORDS));

        let variants = variants?;
        let baseline = baseline(&object, &variants);
        let total = total(&object, &variants);
        let sizes = sizes(&object, &variants, baseline?, total?, object.has("sticky"));
        let mut sticky = sticky?;
        if let Some(sticky) = &mut sticky {
            sticky.territories = Territories::new(&sizes?)?;
        } else {
            sizes?;
        }
        Some(Self {
            name: name?,
            matches: matches?,
            sticky,
            variants,
            baseline: baseline?,
            total: total?,
            mirror: mirror?,
            upstream: upstream?,
            mode: mode?,
        })
    }
}

/// The variant that takes what the others leave: the one named so, else the first without a
/// ramp.
#[inline(never)]
fn baseline(route: &Object<'_>, variants: &[Variant]) -> Option<usize> {
    let mut named = variants.iter().enumerate().filter(|(_, variant)| variant.baseline);
    let given = named.next();
    let second = named.next();
    let fixed = || variants.iter().position(|variant| variant.ramp.is_none());
    let found = given.map(|(index, _)| index).or_else(fixed);
    let problem = match (found, second) {
        (_, Some(_)) => "two are the baseline, expected one",
        (None, _) => "all ramp, expected one without a ramp that takes what the others leave",
        _ => return found,
    };
    route.optional("variants")?.report(problem.to_owned());
    None
}

#[inline(never)]
fn total(route: &Object<'_>, variants: &[Variant]) -> Option<u64> {
    let total = variants.iter().fold(0_u64, |sum, variant| sum.saturating_add(u64::from(variant.weight)));
    if total == 0 {
        route.optional("variants")?.report("all weigh 0, expected a weight of at least 1".to_owned());
        return None;
    }
    Some(total)
}

/// How many buckets each variant's territory has, none for the baseline. Checks that no ramp
/// asks for more than there is, nor a sticky variant for more than is its own.
#[inline(never)]
fn sizes(
    route: &Object<'_>,
    variants: &[Variant],
    baseline: usize,
    total: u64,
    sticky: bool,
) -> Option<Vec<u32>> {
    let reader = route.optional("variants")?;
    let others = variants.len().saturating_sub(1) as u64;
    let equal = u32::try_from(total.checked_div(others).unwrap_or(total)).unwrap_or(u32::MAX);
    let mut sum = 0_u64;
    let mut sizes = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let own = match (index == baseline, sticky) {
            (true, _) => 0,
            (false, true) => variant.max_weight.unwrap_or(equal),
            (false, false) => variant.max_weight.unwrap_or_else(|| variant.most()),
        };
        if index != baseline && variant.most() > own {
            let (name, most) = (&variant.name, variant.most());
            let right = "expected a `max_weight` that it fits into, or that it is the `baseline`";
            reader.report(format!("{name:?} weighs up to {most}, more than its territory of {own}, {right}"));
            return None;
        }
        sum = sum.saturating_add(u64::from(own));
        sizes.push(sticky::share(own, total));
    }
    if sum > total {
        let what = format!("those beside the baseline may weigh {sum} together");
        reader.report(format!("{what}, expected at most {total}, the sum of all weights"));
        return None;
    }
    Some(sizes)
}

// === impl Mode ===

impl Mode {
    pub(super) const WORDS: [(&'static str, Self); 2] =
        [("enforce", Self::Enforce), ("observe", Self::Observe)];
}

// === impl Sticky ===

impl Sticky {
    /// Who asks: what the sources say, else the cookie that was generated before.
    #[must_use]
    pub fn identity<'r>(&self, request: &'r impl Request) -> Option<Cow<'r, [u8]>> {
        let known = || self.generated.as_ref().and_then(|cookie| cookie.find(request)).map(Cow::Borrowed);
        identity::find(&self.by, request).or_else(known)
    }

    fn read(reader: &Reader<'_>) -> Option<Self> {
        let object = reader.object(&["experiment", "by", "cookie", "key"])?;
        let experiment = object.required("experiment", "a name").and_then(|r| r.header_text(64));
        let by = object.or("by", Vec::new(), |r| {
            let items = r.items(1..=8, "sources")?;
            items.iter().map(source).fold(Some(Vec::new()), collect)
        });
        let generated = object.or("cookie", None, |r| generated(r).map(Some));
        let key = object.or("key", SipKey::from_bytes(KEY), key);
        let (by, generated) = (by?, generated?);
        if by.is_empty() && generated.is_none() {
            reader.report("identifies no client, expected `by` or `cookie`".to_owned());
            return None;
        }
        let territories = Territories::default();
        Some(Self { experiment: experiment?, key: key?, by, generated, territories })
    }
}

/// A source of identities is a part of a key that differs between people.
#[inline(never)]
fn source(reader: &Reader<'_>) -> Option<Part> {
    let part = Part::read(reader)?;
    let tells = matches!(
        part,
        Part::ClientAddress { .. } | Part::Cookie(_) | Part::Header(_) | Part::QueryParameter(_)
    );
    if !tells {
        let right = "one of `header`, `cookie`, `query_parameter`, `client_address`";
        reader.report(format!("identifies no client, expected {right}"));
        return None;
    }
    Some(part)
}

#[inline(never)]
fn key(reader: &Reader<'_>) -> Option<SipKey> {
    let text = reader.text(64)?;
    let number = (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten();
    if number.is_none() {
        reader.report("is no key, expected 32 hexadecimal digits".to_owned());
    }
    number.map(|number| SipKey::from_bytes(number.to_be_bytes()))
}

#[inline(never)]
fn generated(reader: &Reader<'_>) -> Option<Generated> {
    let object = reader.object(&["name", "max_age_ms", "path", "domain", "secure", "same_site"])?;
    let name =
        object.required("name", "the name of a cookie").and_then(|r| cookie_text(&r, "()<>@,;:\\\"/[]?={} "));
    let max_age = object.natural("max_age_ms", 86_400_000, 0, 31_536_000_000, "ms");
    let path = object.or("path", "/".to_owned(), |r| cookie_text(r, "; "));
    let domain = object.or("domain", None, |r| cookie_text(r, ";, ").map(Some));
    let secure = object.or("secure", true, Reader::boolean);
    let sites = [("lax", "Lax"), ("strict", "Strict"), ("none", "None")];
    let same_site = object.or("same_site", "Lax", |r| r.choice(&sites));
    let (max_age, secure, same_site) = (max_age?, secure?, same_site?);
    if same_site == "None" && !secure {
        reader.report("browsers drop it, expected `secure` with `same_site` none".to_owned());
        return None;
    }
    let mut attributes = format!("; Path={}", path?);
    if let Some(domain) = domain? {
        attributes.push_str(&format!("; Domain={domain}"));
    }
    if max_age > 0 {
        // The header has whole seconds, and 0 of them would be none at all.
        attributes.push_str(&format!("; Max-Age={}", max_age.div_ceil(1_000)));
    }
    attributes.push_str(if secure { "; Secure" } else { "" });
    attributes.push_str(&format!("; HttpOnly; SameSite={same_site}"));
    Some(Generated { name: name?, attributes })
}

#[inline(never)]
fn cookie_text(reader: &Reader<'_>, without: &str) -> Option<String> {
    let text = reader.header_text(256)?;
    if text.contains(|c| without.contains(c)) {
        reader.report(format!("{text:?} does not fit into a cookie, expected one without `{without}`"));
        return None;
    }
    Some(text)
}

// === impl Mirror ===

impl Mirror {
    fn read(reader: &Reader<'_>, route: &str) -> Option<Self> {
        let object = reader.object(&["cluster", "percent", "basis_points"])?;
        let cluster = object.required("cluster", "the name of a cluster").and_then(|r| r.header_text(256));
        let share = Share::read(reader, &object, xxh64(route.as_bytes(), 2));
        Some(Self { cluster: cluster?.into(), share: share? })
    }

    /// Whether the request of this draw is mirrored.
    #[must_use]
    pub fn holds(&self, draw: u64) -> bool {
        self.share.is_none_or(|share| share.holds(draw))
    }
}
