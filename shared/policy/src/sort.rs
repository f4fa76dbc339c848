//! Sorting, compiled once for all types.
//!
//! The standard library's sorts are compiled anew for every type and every way to compare, at 3 to 15
//! KiB each, which in a module for a proxy is more than the policy that sorts. Here places are sorted,
//! by a comparison that is called and not inlined: a merge sort, stable, in O(n log n).

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Sorts a list; what is equal stays in order.
///
/// ```
/// use tidegate_policy::sort::sort_by;
///
/// let mut list = ["bb", "a", "cc", "d"];
/// sort_by(&mut list, &|a, b| a.len().cmp(&b.len()));
/// assert_eq!(list, ["a", "d", "bb", "cc"]);
/// ```
pub fn sort_by<T>(list: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let order = order(list.len(), &|a, b| match (list.get(a), list.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    // Where what stands at each place goes to.
    let mut goes = alloc::vec![0; order.len()];
    for (to, from) in order.into_iter().enumerate() {
        if let Some(place) = goes.get_mut(from) {
            *place = to;
        }
    }
    for at in 0..goes.len() {
        // Each swap brings one to its place for good.
        while let Some(to) = goes.get(at).copied().filter(|to| *to != at) {
            list.swap(at, to);
            goes.swap(at, to);
        }
    }
}

/// Sorts a list by the type's own order.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, &T::cmp);
}

/// The places 0 to `len` in their order.
#[inline(never)]
fn order(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..len).collect();
    let mut run = 1_usize;
    while run < len {
        let mut next = Vec::with_capacity(len);
        for pair in sorted.chunks(run.saturating_mul(2)) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            while let (Some((a, rest_a)), Some((b, rest_b))) = (left.split_first(), right.split_first()) {
                if compare(*a, *b).is_le() {
                    next.push(*a);
                    left = rest_a;
                } else {
                    next.push(*b);
                    right = rest_b;
                }
            }
            next.extend_from_slice(left);
            next.extend_from_slice(right);
        }
        sorted = next;
        run = run.saturating_mul(2);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_sorted_as_the_standard_library_does() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for len in (0..70).chain([500, 5_000]) {
            // Few keys, so that equal ones must stay in order.
            let list: Vec<(u64, usize)> = (0..len).map(|at| (random() % 40, at)).collect();
            let (mut ours, mut theirs) = (list.clone(), list);
            sort_by(&mut ours, &|a, b| a.0.cmp(&b.0));
            theirs.sort_by_key(|(key, _)| *key);
            assert_eq!(ours, theirs, "{len}");
            sort_by(&mut ours, &|a, b| b.cmp(a));
            theirs.sort_by(|a, b| b.cmp(a));
            assert_eq!(ours, theirs, "{len}");
            sort(&mut ours);
            assert!(ours.is_sorted());
        }
    }
}
