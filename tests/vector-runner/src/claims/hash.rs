//! SipHash and XXH64.

use siphasher::sip::SipHasher24;
use tidegate_policy::hash::sip::{SipHash13, SipKey};
use tidegate_policy::hash::xxh64::xxh64;

use super::suffix;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let key = document.field("key_hex")?;
    let bytes = key.bytes()?.try_into().ok();
    let bytes: [u8; 16] = bytes.ok_or_else(|| key.malformed("expected 16 bytes".to_string()))?;
    let key = SipKey::from_bytes(bytes);
    // The policy uses the variant with fewer rounds; the published values are of this one.
    let siphash24 = |input: &[u8]| digest(SipHasher24::new_with_key(&bytes).hash(input));
    let official = document.field("official_sip24")?;
    let input = official.field("input_hex")?.bytes()?;
    official.field("expect")?.is(siphash24(&input))?;
    let cases = document.field("cases")?.items()?;
    for case in &cases {
        let input = case.field("input_hex")?.bytes()?;
        case.field("siphash13")?.is(digest(SipHash13::hash(key, &input)))?;
        case.field("siphash24")?.is(siphash24(&input))?;
        case.field("xxh64_seed0")?.is(digest(xxh64(&input, 0)))?;
        case.field("xxh64_seed1")?.is(digest(xxh64(&input, 1)))?;
        for (name, expected) in case.fields()? {
            if let Some(seed) = suffix(name, "xxh64_seed") {
                expected.is(digest(xxh64(&input, seed)))?;
            }
        }
    }
    Ok(1 + cases.len())
}

fn digest(hash: u64) -> String {
    format!("{hash:#018x}")
}
