//! The list of a stage's callbacks, as bytes made at compile time.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "evaluated at compile time: what would panic does not compile"
)]

use tidegate_policy::http::Stage;

/// Bytes that [`names`] takes.
#[must_use]
pub const fn length<S: Stage>() -> usize {
    let mut length = 0;
    let mut rest = S::CALLBACKS;
    while let [first, after @ ..] = rest {
        length += first.export().len() + 1;
        rest = after;
    }
    length
}

/// The exported names of the stage's callbacks, each followed by a newline.
#[must_use]
pub const fn names<S: Stage, const N: usize>() -> [u8; N] {
    let mut names = [b'\n'; N];
    let mut at = 0;
    let mut rest = S::CALLBACKS;
    while let [first, after @ ..] = rest {
        let mut name = first.export().as_bytes();
        while let [byte, others @ ..] = name {
            names[at] = *byte;
            at += 1;
            name = others;
        }
        at += 1;
        rest = after;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_policy::http::Callback;
    use tidegate_policy::ratelimit::RateLimitWithHeaders;

    #[test]
    fn names_end_in_newlines() {
        const N: usize = length::<RateLimitWithHeaders>();
        let names = names::<RateLimitWithHeaders, N>();
        let expected = "proxy_on_request_headers\nproxy_on_response_headers\nproxy_on_tick\n";
        assert_eq!(core::str::from_utf8(&names).unwrap(), expected);
    }

    /// Without the second, Envoy crashes on an answer that comes after an update.
    #[test]
    fn whoever_is_told_of_names_is_asked_whether_it_is_done() {
        assert_eq!(Callback::NameResolved.export(), "envoy_on_resolve_dns\nproxy_on_done");
    }
}
