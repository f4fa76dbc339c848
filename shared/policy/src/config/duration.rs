//! Durations as texts: `"250ms"`, `"1.5s"`, `"1m30s"`, `"1d"`.
//!
//! They are integers all the way: a fraction counts only when it is a whole number of milliseconds.

/// What one of each unit is in milliseconds. Of two units that begin alike the longer name stands first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Most digits behind the point; more could not be exact.
const MAX_DECIMALS: usize = 9;

/// The milliseconds of one or more numbers with their units, such as `1m30s`.
#[inline(never)]
#[must_use]
pub(super) fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (whole, behind) = digits(rest)?;
        let (decimals, scale, behind) = match behind.strip_prefix('.') {
            Some(behind) => {
                let (decimals, after) = digits(behind)?;
                let count = behind.len().checked_sub(after.len()).filter(|count| *count <= MAX_DECIMALS)?;
                (decimals, 10_u64.checked_pow(u32::try_from(count).ok()?)?, after)
            }
            None => (0, 1, behind),
        };
        let (unit, ms) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        let fraction = decimals.checked_mul(*ms)?;
        (fraction.checked_rem(scale) == Some(0)).then_some(())?;
        let part = whole.checked_mul(*ms)?.checked_add(fraction.checked_div(scale)?)?;
        total = total.checked_add(part)?;
        rest = behind.get(unit.len()..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// The number that a text begins with, and what stands behind it.
fn digits(text: &str) -> Option<(u64, &str)> {
    let mut number = 0_u64;
    let mut end = 0_usize;
    for digit in text.bytes().take_while(u8::is_ascii_digit) {
        number = number.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))?;
        end = end.saturating_add(1);
    }
    (end > 0).then_some((number, text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn a_text_is_read_as_go_and_envoy_write_durations() {
        #[rustfmt::skip]
        let cases = [
            ("250ms", Some(250)),            ("10s", Some(10_000)),       ("1m", Some(60_000)),
            ("1h", Some(3_600_000)),         ("1d", Some(86_400_000)),    ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),           ("0.001s", Some(1)),         ("0s", Some(0)),
            ("1.50s", Some(1_500)),          ("1h0.5m", Some(3_630_000)), ("0.0001s", None),
            ("1.5ms", None),                 ("", None),                  ("10", None),
            ("s", None),                     ("-1s", None),               ("1 s", None),
            ("1.s", None),                   (".5s", None),               ("1w", None),
            ("1S", None),                    ("10s ", None),              ("+1s", None),
            ("99999999999999999999s", None), ("213503982335d", None),     ("1s1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(millis(text), expected, "{text:?}");
        }
    }
}
