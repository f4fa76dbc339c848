//! Jump consistent hash (Lamping and Veach, 2014; arXiv 1406.2294).
//!
//! For shards that have numbers and only ever grow or shrink at the end: it has no table,
//! but cannot take out any bucket other than the last.

/// The bucket of `key` among `buckets`; 0 when there are none.
#[must_use]
pub fn jump(key: u64, buckets: u32) -> u32 {
    let (mut state, mut bucket, mut next) = (key, 0_u32, 0_u64);
    while next < u64::from(buckets) {
        bucket = u32::try_from(next).unwrap_or(0);
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let step = 2_147_483_648.0 / ((state >> 33).wrapping_add(1) as f64);
        // A float too large for an integer becomes the largest, which ends the loop.
        next = ((f64::from(bucket) + 1.0) * step) as u64;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_bucket_only_takes() {
        for key in 0..2_000_u64 {
            let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (before, after) = (jump(key, 9), jump(key, 10));
            assert!(after == before || after == 9, "{key} went from {before} to {after}");
        }
    }

    #[test]
    fn without_buckets_there_is_an_answer() {
        assert_eq!(jump(7, 0), 0);
    }
}
