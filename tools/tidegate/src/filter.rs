//! The filters: which one a module, a name or a document is for, and what its parser says of a document.

use tidegate_policy::breaker::CircuitBreaker;
use tidegate_policy::claims::Claim;
use tidegate_policy::config::ConfigError;
use tidegate_policy::discovery::Discovery;
use tidegate_policy::fused::Fused;
use tidegate_policy::http::{Placement, Stage};
use tidegate_policy::ratelimit::{RateLimit, RateLimitWithHeaders};
use tidegate_policy::routing::Routing;

use crate::tree::{Node, Value};

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `tidegate-breaker.wasm`
    Breaker,
    /// `tidegate-discovery.wasm`
    Discovery,
    /// `tidegate.wasm`
    Fused,
    /// `tidegate-ratelimit.wasm`
    RateLimit,
    /// `tidegate-ratelimit-headers.wasm`
    RateLimitWithHeaders,
    /// `tidegate-routing.wasm`
    Routing,
}

/// The filters by what follows `tidegate-`.
const WORDS: [(&str, Filter); 6] = [
    ("breaker", Filter::Breaker),
    ("discovery", Filter::Discovery),
    ("fused", Filter::Fused),
    ("ratelimit", Filter::RateLimit),
    ("ratelimit-headers", Filter::RateLimitWithHeaders),
    ("routing", Filter::Routing),
];

/// The parts of a document of all filters.
const PARTS: [(&str, Filter); 4] = [
    ("ratelimit", Filter::RateLimitWithHeaders),
    ("routing", Filter::Routing),
    ("breaker", Filter::Breaker),
    ("discovery", Filter::Discovery),
];

// === impl Filter ===

impl Filter {
    /// The filter of a module by its file, URL or image.
    #[must_use]
    pub fn of_module(module: &str) -> Option<Self> {
        let path = module.split(['?', '#', '@']).next()?;
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let file = file.split(':').next()?.trim_end_matches(".wasm");
        match file.strip_prefix("tidegate") {
            Some("") => Some(Self::Fused),
            Some(rest) => Self::of_word(rest.trim_start_matches(['-', '.', '_'])),
            None if folder.contains("tidegate") => Self::of_word(file),
            None => None,
        }
    }

    /// The filter of a plugin by its name or root id, such as `tidegate.ratelimit`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name.strip_prefix("tidegate")? {
            "" => Some(Self::Fused),
            rest => Self::of_word(rest.trim_start_matches(['-', '.', '_']).split('.').next()?),
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, filter)| *filter)
    }

    /// The filter that a document is for, by its fields.
    #[must_use]
    pub fn of_document(document: &Node) -> Option<Self> {
        let has = |name: &str| document.fields().iter().any(|(key, _)| key.text == name);
        let marks = [
            ("limits", Self::RateLimitWithHeaders),
            ("breakers", Self::Breaker),
            ("routes", Self::Routing),
            ("registries", Self::Discovery),
        ];
        let foreign = ["apiVersion", "Kind", "kind", "static_resources", "resources"].into_iter().any(has);
        if foreign {
            return None;
        }
        let alone = marks.iter().find(|(name, _)| has(name)).map(|(_, filter)| *filter);
        let part = |(name, filter): &(&str, Self)| {
            let marks = marks.iter().filter(|(_, of)| of == filter);
            marks.clone().any(|(mark, _)| document.at(&[name, mark]).is_some())
        };
        alone.or_else(|| PARTS.iter().any(part).then_some(Self::Fused))
    }

    /// One word, as in metrics and file names.
    #[must_use]
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(_, filter)| *filter == self).map_or("", |(word, _)| word)
    }

    /// Whether it counts by limits.
    #[must_use]
    pub fn limits(self) -> bool {
        matches!(self, Self::RateLimit | Self::RateLimitWithHeaders)
    }

    /// Whether a filter of this module can be the one around attempts of that one.
    #[must_use]
    pub fn is_of(self, other: Self) -> bool {
        self == other || (self.limits() && other.limits())
    }

    /// What the document means by its names, or what is wrong with it: by the parser of the module.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn configure(self, json: &[u8], placement: Placement) -> Result<Vec<Claim>, ConfigError> {
        match self {
            Self::Breaker => CircuitBreaker::configure(json, placement).map(|stage| stage.claims()),
            Self::Discovery => Discovery::configure(json, placement).map(|stage| stage.claims()),
            Self::Fused => Fused::configure(json, placement).map(|stage| stage.claims()),
            Self::RateLimit => RateLimit::configure(json, placement).map(|stage| stage.claims()),
            Self::RateLimitWithHeaders => {
                RateLimitWithHeaders::configure(json, placement).map(|stage| stage.claims())
            }
            Self::Routing => Routing::configure(json, placement).map(|stage| stage.claims()),
        }
    }

    /// The documents of single filters in a document: itself, or its parts, which have its scope if they
    /// have none of their own.
    #[must_use]
    pub fn parts(self, document: &Node) -> Vec<(Self, Node)> {
        if self != Self::Fused {
            return vec![(self, document.clone())];
        }
        let scope = document.fields().iter().find(|(key, _)| key.text == "scope");
        let part = |(name, filter): &(&str, Self)| {
            let (_, found) = document.fields().iter().find(|(key, _)| key.text == *name)?;
            let mut part = found.clone();
            if let (Value::Map(fields), Some(scope)) = (&mut part.value, scope) {
                if !fields.iter().any(|(key, _)| key.text == "scope") {
                    fields.push(scope.clone());
                }
            }
            Some((*filter, part))
        };
        PARTS.iter().filter_map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::json;

    #[test]
    fn a_module_tells_its_filter() {
        let cases = [
            ("dist/tidegate-ratelimit.wasm", Some(Filter::RateLimit)),
            ("file:///opt/tidegate/tidegate-ratelimit-headers.wasm", Some(Filter::RateLimitWithHeaders)),
            ("tidegate.wasm", Some(Filter::Fused)),
            ("oci://registry:5000/team/tidegate-breaker:1.2@sha256:00", Some(Filter::Breaker)),
            ("oci://ghcr.io/tidegate/routing:1.2", Some(Filter::Routing)),
            ("https://host/tidegate-discovery.wasm?x=1", Some(Filter::Discovery)),
            ("https://host/other.wasm", None),
            ("/opt/tidegate/plugin.wasm", None),
        ];
        for (module, filter) in cases {
            assert_eq!(Filter::of_module(module), filter, "{module}");
        }
        assert_eq!(Filter::of_name("tidegate.breaker"), Some(Filter::Breaker));
    }

    #[test]
    fn a_document_tells_its_filter() {
        let of = |text| Filter::of_document(&json::parse(text).unwrap());
        assert_eq!(of(r#"{"limits": []}"#), Some(Filter::RateLimitWithHeaders));
        assert_eq!(of(r#"{"breaker": {"breakers": []}}"#), Some(Filter::Fused));
        assert_eq!(of(r#"{"services": {"web": {}}}"#), None);
        assert_eq!(of(r#"{"kind": "X", "routes": []}"#), None);
    }

    #[test]
    fn a_part_has_the_scope_of_the_whole() {
        let whole = json::parse(r#"{"scope": "a", "breaker": {}, "routing": {"scope": "b"}}"#).unwrap();
        let parts = Filter::Fused.parts(&whole);
        let parts: Vec<_> = parts.iter().map(|(filter, node)| (*filter, node.to_json())).collect();
        assert_eq!(
            parts,
            [
                (Filter::Routing, r#"{"scope":"b"}"#.to_owned()),
                (Filter::Breaker, r#"{"scope":"a"}"#.to_owned())
            ]
        );
    }
}
