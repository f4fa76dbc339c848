//! Reading routes.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::fields::{self, SameSite};
use super::shared::{basis_points, each};
use super::{condition, upstream, variant};
use crate::config::{distinct_name, Object, Reader};
use crate::hash::sip::SipKey;
use crate::hash::xxh64::xxh64;
use crate::key::Part;
use crate::routing::cookie::Generated;
use crate::routing::route::{Mirror, Mode, Route, Sticky};
use crate::routing::rules::Share;
use crate::routing::sticky::{self, Territories};
use crate::routing::variant::Variant;

/// The key of the reference's test values: an experiment needs no secret.
const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Reads a route whose name none of the `earlier` ones has.
#[inline(never)]
pub(super) fn read(object: &Object<'_>, earlier: &[Reader<'_>], mode: Mode) -> Option<Route> {
    let name = distinct_name(object, &fields::NAME, earlier);
    let variants = each(&object.items(&fields::VARIANTS), variant::read);
    let sticky = object.maybe_inner(&fields::STICKY)?;
    let is_sticky = sticky.is_some();
    let sticky = match sticky {
        Some(sticky) => read_sticky(&sticky).map(Some),
        None => Some(None),
    };
    let upstream = upstream::read(object);
    let variants = variants.filter(|variants| !variants.is_empty())?;
    let (baseline, total) = (baseline(object, &variants), total(object, &variants));
    let sizes = sizes(object, &variants, baseline?, total?, is_sticky)?;
    let (mut sticky, name) = (sticky?, name?);
    if let Some(sticky) = &mut sticky {
        sticky.territories = Territories::new(&sizes)?;
    }
    let mirror = match object.maybe_inner(&fields::MIRROR)? {
        Some(mirror) => Some(read_mirror(&mirror, &name)?),
        None => None,
    };
    Some(Route {
        matches: condition::read_all(&object.items(&fields::MATCH), &name)?,
        sticky,
        variants,
        baseline: baseline?,
        total: total?,
        mirror,
        upstream: upstream?,
        mode: object.maybe(&fields::ROUTE_MODE)?.unwrap_or(mode),
        name,
    })
}

/// The variant that takes what the others leave: the one named so, else the first without a
/// ramp.
#[inline(never)]
fn baseline(object: &Object<'_>, variants: &[Variant]) -> Option<usize> {
    let mut named = variants.iter().enumerate().filter(|(_, variant)| variant.baseline);
    let given = named.next();
    let second = named.next();
    let fixed = || variants.iter().position(|variant| variant.ramp.is_none());
    let found = given.map(|(index, _)| index).or_else(fixed);
    let problem = match (found, second) {
        (_, Some(_)) => ("two are the baseline", "one"),
        (None, _) => ("all ramp", "one without a ramp that takes what the others leave"),
        _ => return found,
    };
    object.report_at(&fields::VARIANTS, problem.0.to_owned(), problem.1);
    None
}

#[inline(never)]
fn total(object: &Object<'_>, variants: &[Variant]) -> Option<u64> {
    let total = variants.iter().fold(0_u64, |sum, variant| sum.saturating_add(u64::from(variant.weight)));
    if total == 0 {
        object.report_at(&fields::VARIANTS, "all weigh 0".to_owned(), "a weight of at least 1");
        return None;
    }
    Some(total)
}

/// How many buckets each variant's territory has, none for the baseline. Checks that no ramp
/// asks for more than there is, nor a sticky variant for more than is its own.
#[inline(never)]
fn sizes(
    object: &Object<'_>,
    variants: &[Variant],
    baseline: usize,
    total: u64,
    sticky: bool,
) -> Option<Vec<u32>> {
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
            let found = format!("{name:?} weighs up to {most}, more than its territory of {own}");
            let expected = "a `max_weight` that it fits into, or that it is the `baseline`";
            object.report_at(&fields::VARIANTS, found, expected);
            return None;
        }
        sum = sum.saturating_add(u64::from(own));
        sizes.push(sticky::share(own, total));
    }
    if sum > total {
        let found = format!("those beside the baseline may weigh {sum} together");
        object.report_at(&fields::VARIANTS, found, format!("at most {total}, the sum of all weights"));
        return None;
    }
    Some(sizes)
}

fn read_sticky(object: &Object<'_>) -> Option<Sticky> {
    let by = object.items(&fields::BY).iter().map(source).fold(Some(Vec::new()), crate::config::collect);
    let generated = match object.maybe_inner(&fields::COOKIE)? {
        Some(cookie) => Some(generated(&cookie)?),
        None => None,
    };
    let key = match object.maybe(&fields::HASH_KEY)? {
        Some(digits) => u128::from_str_radix(digits, 16).ok()?.to_be_bytes(),
        None => KEY,
    };
    Some(Sticky {
        experiment: object.get(&fields::EXPERIMENT)?,
        key: SipKey::from_bytes(key),
        by: by?,
        generated,
        territories: Territories::default(),
    })
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
        let expected = "one of `header`, `cookie`, `query_parameter`, `client_address`";
        reader.report("identifies no client".to_owned(), expected);
        return None;
    }
    Some(part)
}

#[inline(never)]
fn generated(object: &Object<'_>) -> Option<Generated> {
    let (secure, same_site) = (object.get(&fields::SECURE)?, object.get(&fields::SAME_SITE)?);
    let partitioned = object.get(&fields::PARTITIONED)?;
    let needs = match (same_site, partitioned) {
        _ if secure => None,
        (SameSite::None, _) => Some("`secure` with `same_site` none"),
        (_, true) => Some("`secure` with `partitioned`"),
        _ => None,
    };
    if let Some(expected) = needs {
        object.report("browsers drop it".to_owned(), expected);
        return None;
    }
    let mut scope = format!("; Path={}", object.get(&fields::COOKIE_PATH)?);
    if let Some(domain) = object.maybe(&fields::DOMAIN)? {
        scope.push_str("; Domain=");
        scope.push_str(domain);
    }
    // The header has whole seconds.
    let max_age_s = object.get(&fields::MAX_AGE_MS)?.div_ceil(1_000);
    let mut flags = if secure { "; Secure".to_owned() } else { String::new() };
    flags.push_str(match same_site {
        SameSite::Lax => "; HttpOnly; SameSite=Lax",
        SameSite::None => "; HttpOnly; SameSite=None",
        SameSite::Strict => "; HttpOnly; SameSite=Strict",
    });
    flags.push_str(if partitioned { "; Partitioned" } else { "" });
    Some(Generated::new(object.get(&fields::COOKIE_NAME)?, &scope, max_age_s, &flags))
}

fn read_mirror(object: &Object<'_>, route: &str) -> Option<Mirror> {
    let share = basis_points(object, &fields::MIRROR_PERCENT, &fields::MIRROR_BASIS_POINTS)?;
    Some(Mirror {
        cluster: object.get(&fields::MIRROR_CLUSTER)?.into(),
        share: share.map(|share| Share::new(share, xxh64(route.as_bytes(), 2))),
    })
}
