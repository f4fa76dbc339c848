//! Sorting, as code that is there once.
//!
//! The standard library's sorts are compiled anew for each type, three kilobytes of a module a time.
//! Nothing here is sorted on the path of a request, so a heap sort behind one indirection does.

use core::cmp::Ordering;

/// Sorts `items`; equal ones in any order.
pub(super) fn sort<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    // What a registry sends is often sorted already.
    if items.is_sorted_by(|a, b| compare(a, b).is_le()) {
        return;
    }
    let len = items.len();
    heap_sort(len, &mut |op| match op {
        Op::IsLess(a, b) => items.get(a).zip(items.get(b)).is_some_and(|(a, b)| compare(a, b).is_lt()),
        Op::Swap(a, b) => {
            items.swap(a.min(len.saturating_sub(1)), b.min(len.saturating_sub(1)));
            true
        }
    });
}

/// What the sort asks for; indices are below the length.
enum Op {
    IsLess(usize, usize),
    Swap(usize, usize),
}

/// Heap sort (Williams, 1964): n·log n in any case, and no memory.
#[inline(never)]
fn heap_sort(len: usize, items: &mut dyn FnMut(Op) -> bool) {
    for root in (0..len / 2).rev() {
        sift_down(root, len, items);
    }
    for end in (1..len).rev() {
        items(Op::Swap(0, end));
        sift_down(0, end, items);
    }
}

fn sift_down(root: usize, len: usize, items: &mut dyn FnMut(Op) -> bool) {
    let mut parent = root;
    loop {
        let left = parent.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        if left >= len {
            return;
        }
        let child = if right < len && items(Op::IsLess(left, right)) { right } else { left };
        if !items(Op::IsLess(parent, child)) {
            return;
        }
        items(Op::Swap(parent, child));
        parent = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn sorts_as_the_standard_library_does() {
        for len in 0..40_u32 {
            for factor in [0, 1, 7, 13, 39] {
                let mut items: Vec<u32> = (0..len).map(|n| n * factor % 41).rev().collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                sort(&mut items, &u32::cmp);
                assert_eq!(items, expected);
            }
        }
    }
}
