//! Choosing endpoints by what they say of themselves.
//!
//! A subset is a filter before balancing: those endpoints that have all the tags and all the
//! metadata asked for. What to do when there are none has the names of Envoy's subset balancer.

use alloc::rc::Rc;
use alloc::vec::Vec;

/// What an endpoint must have: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// Tags, each of which it must have.
    pub tags: Vec<Rc<str>>,
    /// Names and values that its metadata must have.
    pub metadata: Vec<(Rc<str>, Rc<str>)>,
}

/// What an endpoint says of itself.
pub trait Labels {
    /// Whether it has this tag.
    fn has_tag(&self, tag: &str) -> bool;
    /// Whether its metadata has this value of this name; it may have others, too.
    fn has_value(&self, name: &str, value: &str) -> bool;
}

/// What a subset without endpoints does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// `ANY_ENDPOINT`: it has all endpoints.
    AnyEndpoint,
    /// `DEFAULT_SUBSET`: it has those of this subset, perhaps none.
    DefaultSubset(Subset),
    /// `NO_FALLBACK`: it has none.
    #[default]
    NoFallback,
}

// === impl Subset ===

impl Subset {
    /// Whether an endpoint belongs to it. Every endpoint does when nothing is asked for.
    #[must_use]
    pub fn has(&self, endpoint: &dyn Labels) -> bool {
        self.tags.iter().all(|tag| endpoint.has_tag(tag))
            && self.metadata.iter().all(|(name, value)| endpoint.has_value(name, value))
    }

    /// The indices of its endpoints, or of those that `fallback` says when it has none.
    #[must_use]
    pub fn choose(&self, endpoints: &[&dyn Labels], fallback: &Fallback) -> Vec<u32> {
        let matching = |subset: &Self| -> Vec<u32> {
            let has = |(index, endpoint): (u32, &&dyn Labels)| subset.has(*endpoint).then_some(index);
            (0..).zip(endpoints).filter_map(has).collect()
        };
        let own = matching(self);
        match fallback {
            _ if !own.is_empty() => own,
            Fallback::AnyEndpoint => matching(&Self::default()),
            Fallback::DefaultSubset(default) => matching(default),
            Fallback::NoFallback => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Endpoint(&'static [&'static str], &'static [(&'static str, &'static str)]);

    impl Labels for Endpoint {
        fn has_tag(&self, tag: &str) -> bool {
            self.0.contains(&tag)
        }
        fn has_value(&self, name: &str, value: &str) -> bool {
            self.1.contains(&(name, value))
        }
    }

    fn subset(tags: &[&str], metadata: &[(&str, &str)]) -> Subset {
        Subset {
            tags: tags.iter().map(|tag| Rc::from(*tag)).collect(),
            metadata: metadata.iter().map(|(name, value)| (Rc::from(*name), Rc::from(*value))).collect(),
        }
    }

    #[test]
    fn an_endpoint_must_have_all_that_is_asked_for() {
        let v1 = Endpoint(&["v1", "eu"], &[("version", "1")]);
        let v2 = Endpoint(&["v2", "eu"], &[("version", "2"), ("stage", "")]);
        let bare = Endpoint(&[], &[]);
        let endpoints: [&dyn Labels; 3] = [&v1, &v2, &bare];
        let eu = || Fallback::DefaultSubset(subset(&["eu"], &[]));
        #[rustfmt::skip]
        let cases = [
            // name                    tags                metadata                       fallback               expected
            ("nothing is asked",       &[][..],            &[][..],                       Fallback::NoFallback,  &[0, 1, 2][..]),
            ("a tag",                  &["eu"],            &[],                           Fallback::NoFallback,  &[0, 1]),
            ("two tags",               &["eu", "v2"],      &[],                           Fallback::AnyEndpoint, &[1]),
            ("a value",                &[],                &[("version", "1")],           eu(),                  &[0]),
            ("an empty value",         &[],                &[("stage", "")],              Fallback::NoFallback,  &[1]),
            ("a tag and a value",      &["v1"],            &[("version", "2")],           Fallback::NoFallback,  &[]),
            ("any then",               &["v1"],            &[("version", "2")],           Fallback::AnyEndpoint, &[0, 1, 2]),
            ("another subset then",    &["v3"],            &[],                           eu(),                  &[0, 1]),
            ("which may be empty",     &["v3"],            &[],       Fallback::DefaultSubset(subset(&["v4"], &[])), &[]),
        ];
        for (name, tags, metadata, fallback, expected) in cases {
            assert_eq!(subset(tags, metadata).choose(&endpoints, &fallback), expected, "{name}");
        }
    }
}
