//! The host's encoding of a list of pairs, such as headers.
//!
//! A count, then the two lengths of each pair (all 32-bit, little end first), then each
//! key and each value followed by a zero byte.

use tidegate_policy::http::Header;

/// Appends the pairs in `bytes` to `list`; those that are complete, when the bytes end early.
pub fn decode<'a>(bytes: &'a [u8], list: &mut Vec<Header<'a>>) {
    let Some((count, rest)) = split_u32(bytes) else { return };
    // No list is longer than its own lengths.
    let count = usize::try_from(count).unwrap_or(0).min(rest.len() / 8);
    let Some((mut lengths, mut data)) = rest.split_at_checked(count.saturating_mul(8)) else { return };
    list.reserve(count);
    while let Some((name_length, after)) = split_u32(lengths) {
        let Some((value_length, after)) = split_u32(after) else { break };
        lengths = after;
        let Some((name, after)) = split_zero(data, name_length) else { break };
        let Some((value, after)) = split_zero(after, value_length) else { break };
        data = after;
        list.push((name, value));
    }
}

/// The encoding of `list`.
#[must_use]
pub fn encode(list: &[(&str, &str)]) -> Vec<u8> {
    let bytes = list.iter().fold(4_usize, |sum, (name, value)| {
        sum.saturating_add(name.len()).saturating_add(value.len()).saturating_add(10)
    });
    let mut out = Vec::with_capacity(bytes);
    let length = |n: usize, out: &mut Vec<u8>| {
        out.extend_from_slice(&u32::try_from(n).unwrap_or(0).to_le_bytes());
    };
    length(list.len(), &mut out);
    for (name, value) in list {
        length(name.len(), &mut out);
        length(value.len(), &mut out);
    }
    for text in list.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    out
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*word), rest))
}

/// The first `length` bytes and what comes after the zero byte behind them.
fn split_zero(bytes: &[u8], length: u32) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((text, rest.split_first()?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Vec<Header<'_>> {
        let mut list = Vec::new();
        decode(bytes, &mut list);
        list
    }

    #[test]
    fn a_list_survives_the_round_trip() {
        let list = [(":path", "/"), ("", "")];
        let bytes = encode(&list);
        assert_eq!(bytes, b"\x02\0\0\0\x05\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0:path\0/\0\0\0");
        assert_eq!(decoded(&bytes), [(&b":path"[..], &b"/"[..]), (b"", b"")]);
    }

    #[test]
    fn what_ends_early_is_cut_not_trapped() {
        let bytes = encode(&[("a", "1"), ("b", "2")]);
        for end in 0..bytes.len() {
            assert!(decoded(&bytes[..end]).len() < 2, "cut at {end}");
        }
        assert_eq!(decoded(&[0xff; 64]), []);
    }
}
