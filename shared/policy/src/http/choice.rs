//! What the routing filter and the discovery filter chose, and what a breaker did, as they tell it to other
//! filters: the texts of [`super::Attribute::Chosen`], [`super::Attribute::Discovered`] and
//! [`super::Attribute::Guarded`], which no client can write.

use alloc::vec::Vec;

/// What the routing filter chose: `<goal> <route> <variant> <why> <bucket>`. The goal is a cluster, or a
/// service with the subset of its endpoints, `orders;tag=v2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    text: &'a [u8],
    /// The cluster, or the service with its subset.
    pub goal: &'a [u8],
}

/// What the discovery filter chose: `<service> <endpoint> <ticket>`, or `<service> - <reason>` when it had
/// none to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovered<'a>(&'a [u8]);

// === impl Choice ===

impl<'a> Choice<'a> {
    /// Reads one; `None` of no text.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let goal = words(text).next().filter(|goal| !goal.is_empty())?;
        Some(Self { text, goal })
    }

    /// The name of the service, if the goal is one.
    #[must_use]
    pub fn service(self) -> Option<&'a [u8]> {
        self.goal.split(|byte| *byte == b';').next()
    }

    /// The names of the route and of the variant.
    #[must_use]
    pub fn variant(self) -> Option<(&'a [u8], &'a [u8])> {
        // From the end: the name of a cluster may have spaces.
        let mut words = self.text.rsplit(|byte| *byte == b' ').skip(2);
        let variant = words.next()?;
        let route = words.next()?;
        // The goal is a word, too.
        words.next().map(|_| (route, variant))
    }
}

// === impl Discovered ===

impl<'a> Discovered<'a> {
    /// Reads one.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The service that the request goes to; `None` when there was no endpoint for it.
    #[must_use]
    pub fn service(self) -> Option<&'a [u8]> {
        let mut words = words(self.0);
        let service = words.next().filter(|service| !service.is_empty())?;
        (words.next() != Some(b"-")).then_some(service)
    }
}

/// The words by which a breaker filter begins what it says of a request, before a colon and its breaker's name, and
/// whether the request goes to another cluster then, or nowhere.
pub const GUARDED: [(&str, bool); 5] =
    [("fallback", true), ("observed", false), ("probe", false), ("refused", true), ("undecided", true)];

/// Whether a breaker filter sent a request to another cluster, or answered it: then it goes neither where the
/// routing filter nor where the discovery filter would have it go.
#[must_use]
pub fn is_diverted(guarded: Option<Vec<u8>>) -> bool {
    let diverts = |word: &[u8]| GUARDED.iter().any(|(own, diverts)| *diverts && own.as_bytes() == word);
    guarded.is_some_and(|text| text.split(|byte| *byte == b':').next().is_some_and(diverts))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_told() {
        #[rustfmt::skip]
        let cases = [
            // text                           goal             service       route and variant
            ("v2 checkout canary sticky 25",  Some("v2"),       Some("v2"),     Some(("checkout", "canary"))),
            ("a b checkout canary drawn 0",   Some("a"),        Some("a"),      Some(("checkout", "canary"))),
            ("orders;tag=v2 r v forced 1",    Some("orders;tag=v2"), Some("orders"), Some(("r", "v"))),
            ("v2",                            Some("v2"),       Some("v2"),     None),
            ("r v drawn 1",                   Some("r"),        Some("r"),      None),
            ("",                              None,             None,           None),
            (" r v drawn 1",                  None,             None,           None),
        ];
        for (text, goal, service, variant) in cases {
            let choice = Choice::read(text.as_bytes());
            assert_eq!(choice.map(|choice| choice.goal), goal.map(str::as_bytes), "{text}");
            assert_eq!(choice.and_then(Choice::service), service.map(str::as_bytes), "{text}");
            let expected = variant.map(|(route, variant)| (route.as_bytes(), variant.as_bytes()));
            assert_eq!(choice.and_then(Choice::variant), expected, "{text}");
        }
    }

    #[test]
    fn a_service_without_an_endpoint_is_not_where_a_request_goes() {
        let cases = [
            ("orders 10.0.0.1:80 3.17", Some("orders")),
            ("orders", Some("orders")),
            ("orders - no_endpoints", None),
            ("", None),
            (" - ", None),
        ];
        for (text, expected) in cases {
            let service = Discovered::read(text.as_bytes()).service();
            assert_eq!(service, expected.map(str::as_bytes), "{text}");
        }
    }
}
