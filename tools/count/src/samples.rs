//! From the counts of several requests to one.

use crate::worker::Count;

/// Counts that agree before a row is done.
const AGREE: usize = 3;
/// How far they may lie apart, in parts of ten thousand.
const APART: u64 = 10;
/// Requests that are counted at most.
pub(crate) const MOST: u64 = 15;

/// The count in the middle of the three that lie closest together, if they agree within 0.1 %.
///
/// One request in ten costs more than the others, because the allocator or the kernel has something to do.
pub(crate) fn settled(counts: &[Count]) -> Option<Count> {
    let mut sorted = counts.to_vec();
    sorted.sort_by_key(|count| count.whole());
    let span = |three: &&[Count]| match three {
        [first, .., last] => last.whole() - first.whole(),
        _ => 0,
    };
    let closest = sorted.windows(AGREE).min_by_key(span)?;
    let middle = closest.get(AGREE / 2)?;
    (span(&closest) * 10_000 <= middle.whole() * APART).then_some(*middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[u64]) -> Vec<Count> {
        all.iter().map(|envoy| Count { envoy: *envoy, ..Count::default() }).collect()
    }

    #[test]
    fn three_counts_that_agree_are_enough() {
        #[rustfmt::skip]
        let cases = [
            ("none",                     &[][..],                               None),
            ("too few",                  &[1_000, 1_000],                       None),
            ("all the same",             &[1_000, 1_000, 1_000],                Some(1_000)),
            ("within a thousandth",      &[10_010, 10_000, 10_003],             Some(10_003)),
            ("above a thousandth",       &[10_012, 10_000, 10_003],             None),
            ("outliers do not count",    &[10_000, 15_000, 10_001, 9_999, 900], Some(10_000)),
        ];
        for (name, all, expected) in cases {
            assert_eq!(settled(&counts(all)).map(Count::whole), expected, "{name}");
        }
    }
}
