//! Weighted rendezvous hashing by the logarithmic method.
//!
//! Each node scores each key on its own, and the best one gets it. So a node that goes
//! takes only its own keys with it, and one whose weight is raised only gains. Without a
//! table it costs a hash and a logarithm for each node and pick: up to about 64 nodes.

use super::sip::{SipHash13, SipKey};

/// What `node` scores for `client`: `weight / -ln(u)`, where u in (0, 1) is the upper 53
/// bits of their hash. Nothing for a weight of 0.
#[must_use]
pub fn score(key: SipKey, node: &[u8], client: &[u8], weight: u32) -> f64 {
    let mut hash = SipHash13::new(key);
    hash.write(node);
    hash.write(&[0]);
    hash.write(client);
    weigh(hash.finish(), weight)
}

/// What the hash of a node and a client scores: `weight / -ln(u)`, where u in (0, 1) is its
/// upper 53 bits.
#[must_use]
pub fn weigh(hash: u64, weight: u32) -> f64 {
    let u = ((hash >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0;
    f64::from(weight) / -libm::log(u)
}

/// The index of the node with the best score, of equals the one whose name is first. `None`
/// when no node has a weight.
pub fn pick<'n>(
    key: SipKey,
    nodes: impl IntoIterator<Item = (&'n [u8], u32)>,
    client: &[u8],
) -> Option<usize> {
    let mut best: Option<(f64, &[u8], usize)> = None;
    for (index, (node, weight)) in nodes.into_iter().enumerate() {
        let score = score(key, node, client, weight);
        let beats = |(top, name, _): (f64, &[u8], usize)| score > top || (score >= top && node < name);
        if weight > 0 && best.is_none_or(beats) {
            best = Some((score, node, index));
        }
    }
    best.map(|(_, _, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_picked_who_has_no_weight() {
        let key = SipKey::from_bytes([3; 16]);
        assert_eq!(pick(key, [(&b"a"[..], 0), (b"b", 0)], b"x"), None);
        assert_eq!(pick(key, [(&b"a"[..], 0), (b"b", 1)], b"x"), Some(1));
        assert_eq!(pick(key, [(&b"b"[..], 1), (b"b", 1)], b"x"), Some(0));
    }
}
