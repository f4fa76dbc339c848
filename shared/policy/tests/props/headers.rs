//! What clients are told, read back as a client would.

use proptest::prelude::*;
use tidegate_policy::ratelimit::headers::{draft03, draft11, retry_after, window, Quota};
use tidegate_policy::time::Span;

use crate::cases;

/// An item of a Structured Field List of Strings: the string, and its parameters as written.
type Item = (String, Vec<(String, String)>);

/// Reads a List of Strings (RFC 9651, 4.2); `None` when it is malformed.
fn list(text: &str) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = string(rest)?;
        let mut parameters = Vec::new();
        rest = after;
        while let Some(after) = rest.strip_prefix(';') {
            let (key, after) = after.split_once('=')?;
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
            let starts = key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
            if !starts || !key.bytes().all(fits) {
                return None;
            }
            let (value, after) = bare(after)?;
            parameters.push((key.to_string(), value));
            rest = after;
        }
        items.push((name, parameters));
        if rest.is_empty() {
            return Some(items);
        }
        rest = rest.strip_prefix(", ")?;
    }
}

fn string(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut out = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 2..])),
            '\\' => out.push(chars.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\\'))?),
            ' '..='~' => out.push(c),
            _ => return None,
        }
    }
    None
}

/// A string, a byte sequence, or an integer of at most 15 digits.
fn bare(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        return string(text);
    }
    if let Some(rest) = text.strip_prefix(':') {
        let (bytes, rest) = rest.split_once(':')?;
        return Some((format!(":{bytes}:"), rest));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (1..=15).contains(&digits).then(|| (text[..digits].to_string(), &text[digits..]))
}

#[derive(Clone, Debug)]
struct Told {
    name: String,
    unit: Option<String>,
    partition: Option<String>,
    units: u64,
    window_secs: u64,
    remaining: u64,
    next_unit: Span,
    burst: u64,
}

impl Told {
    fn quota(&self) -> Quota<'_> {
        Quota {
            name: &self.name,
            units: self.units,
            unit: self.unit.as_deref(),
            window_secs: self.window_secs,
            partition: self.partition.as_deref(),
            remaining: self.remaining,
            next_unit: self.next_unit,
            burst: self.burst,
        }
    }
}

fn told() -> impl Strategy<Value = Told> {
    let count = || prop_oneof![0_u64..10, 0_u64..1_000_000_000];
    let span =
        || prop_oneof![Just(Span::ZERO), any::<u32>().prop_map(|n| Span::from_nanos(u64::from(n) * 7))];
    let names = prop_oneof!["[ -~]{0,12}", "[\"\\\\a]{0,4}"];
    let texts = (names, prop::option::of("[a-z-]{1,9}"), prop::option::of("[A-Za-z0-9+/]{4}"));
    (texts, count(), 1_u64..100_000, count(), span(), count()).prop_map(
        |((name, unit, partition), units, window_secs, remaining, next_unit, burst)| Told {
            name,
            unit,
            partition,
            units,
            window_secs,
            remaining,
            next_unit,
            burst,
        },
    )
}

proptest! {
    #![proptest_config(cases(1000))]

    /// Both fields are well-formed lists and say what was to be said.
    #[test]
    fn draft11_reads_back(told in prop::collection::vec(told(), 1..5)) {
        let quotas: Vec<_> = told.iter().map(Told::quota).collect();
        let (policy, limit) = draft11(&quotas);
        let (policies, limits) = (list(&policy), list(&limit));
        prop_assert!(policies.is_some() && limits.is_some(), "{policy}\n{limit}");
        let owned = |key: &str, value: String| (key.to_string(), value);
        let partition = |told: &Told| told.partition.iter().map(|pk| owned("pk", format!(":{pk}:"))).collect::<Vec<_>>();
        let expected_policies: Vec<Item> = told
            .iter()
            .map(|told| {
                let mut parameters = vec![owned("q", told.units.to_string())];
                parameters.extend(told.unit.iter().map(|unit| owned("qu", unit.clone())));
                parameters.push(owned("w", told.window_secs.to_string()));
                parameters.extend(partition(told));
                (told.name.clone(), parameters)
            })
            .collect();
        let expected_limits: Vec<Item> = told
            .iter()
            .map(|told| {
                let mut parameters = vec![owned("r", told.remaining.to_string())];
                let wait = told.next_unit.as_nanos().div_ceil(1_000_000_000);
                parameters.extend((wait > 0).then(|| owned("t", wait.to_string())));
                parameters.extend(partition(told));
                (told.name.clone(), parameters)
            })
            .collect();
        prop_assert_eq!(policies.unwrap(), expected_policies);
        prop_assert_eq!(limits.unwrap(), expected_limits);
    }

    /// Envoy's fields speak of the limit with the least left.
    #[test]
    fn draft03_speaks_of_the_tightest(told in prop::collection::vec(told(), 1..5)) {
        let quotas: Vec<_> = told.iter().map(Told::quota).collect();
        let (limit, remaining, reset) = draft03(&quotas).unwrap();
        let least = told.iter().map(|told| told.remaining).min().unwrap();
        let tightest = told.iter().find(|told| told.remaining == least).unwrap();
        prop_assert_eq!(remaining, least.to_string());
        let next_secs = tightest.next_unit.as_nanos().div_ceil(1_000_000_000).max(1);
        prop_assert_eq!(reset, if least > 0 { 0 } else { next_secs }.to_string());
        prop_assert!(limit.starts_with(&format!("{}, ", tightest.burst)), "{limit}");
    }

    /// Names of any characters still make well-formed fields.
    #[test]
    fn any_name_is_well_formed(mut told in told(), name: String) {
        told.name = name;
        let (policy, limit) = draft11(&[told.quota()]);
        prop_assert!(list(&policy).is_some() && list(&limit).is_some(), "{policy}\n{limit}");
    }

    /// Who waits as told does not come too early, nor a second too late.
    #[test]
    fn waits_round_up(nanos in 1_u64..1_000_000_000_000) {
        let told = retry_after(Span::from_nanos(nanos)) * 1_000_000_000;
        prop_assert!(told >= nanos && told - nanos < 1_000_000_000);
    }

    /// A window in whole seconds never promises more than the limit gives.
    #[test]
    fn windows_promise_no_more_than_there_is(requests in 1_u32.., ms in 1_u64..86_400_000) {
        let (units, seconds) = window(requests, Span::from_millis(ms));
        prop_assert!(seconds >= 1 && seconds * 1000 >= ms && (seconds - 1) * 1000 < ms);
        let exact = u128::from(requests) * u128::from(seconds) * 1000 / u128::from(ms);
        prop_assert_eq!(u128::from(units), exact);
    }
}
