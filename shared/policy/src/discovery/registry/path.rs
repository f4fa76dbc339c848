//! Paths and queries of requests to registries.

use alloc::string::String;

/// Appends `text`, percent-encoded but for the unreserved characters of RFC 3986, section 2.3.
pub(super) fn encode(path: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or('0');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// Appends `name=value` to the query of a path, `value` percent-encoded.
pub(super) fn parameter(path: &mut String, name: &str, value: &str) {
    flag(path, name);
    path.push('=');
    encode(path, value);
}

/// Appends `name` to the query of a path.
pub(super) fn flag(path: &mut String, name: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_place_in_a_path() {
        let mut path = String::from("/x");
        parameter(&mut path, "a", "b&c=d/e?f#g h\r\nü~._-9Z");
        parameter(&mut path, "b", "");
        assert_eq!(path, "/x?a=b%26c%3Dd%2Fe%3Ff%23g%20h%0D%0A%C3%BC~._-9Z&b=");
    }
}
