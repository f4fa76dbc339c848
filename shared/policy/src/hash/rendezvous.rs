//! Weighted rendezvous hashing by the logarithmic method.
//!
//! Each node scores each key on its own, and the best one gets it. So a node that goes
//! takes only its own keys with it, and one whose weight is raised only gains. Without a
//! table it costs a hash and a logarithm for each node and pick: up to about 64 nodes.

/// The score of a node for a key, from the hash of both: `weight / -ln(u)`, where u in (0, 1) is
/// the upper 53 bits of `hash`. 0 for a weight of 0.
///
/// ```
/// use tidegate_policy::hash::rendezvous::weigh;
///
/// let hash = 0x9e37_79b9_7f4a_7c15;
/// assert!(weigh(hash, 3) > 2.9 * weigh(hash, 1));
/// assert!(weigh(hash, 0) <= 0.0);
/// ```
#[must_use]
pub fn weigh(hash: u64, weight: u32) -> f64 {
    let u = ((hash >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
    f64::from(weight) / -libm::log(u)
}
