//! What happens to the endpoints of the service `orders`, again and again.

use std::time::Duration;

/// Where the filter finds the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Registry {
    /// A real Consul: endpoints come and go.
    Consul,
    /// The configuration: endpoints stay, their servers die and come back.
    #[default]
    Static,
}

/// One thing that happens to an endpoint, by its place among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its server is there again.
    Back(usize),
    /// Its server goes: connections break and are refused.
    Dies(usize),
    /// Its health check fails.
    Fails(usize),
    /// It is not registered any more.
    Leaves(usize),
    /// It is registered.
    Joins(usize),
    /// Its health check passes.
    Passes(usize),
    /// It has this weight.
    Weighs(usize, u32),
}

/// What an act does to the requests of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It gets some.
    Comes,
    /// It gets none.
    Goes,
    /// It gets more or fewer.
    Shifts,
}

/// How many endpoints there are.
pub(crate) const ENDPOINTS: usize = 3;
/// The time of one round, as long as that of the other scripts.
const ROUND: Duration = Duration::from_secs(20);

#[rustfmt::skip]
const CONSUL: &[(Duration, Act)] = &[
    (Duration::from_millis(2_000),  Act::Joins(2)),
    (Duration::from_millis(4_500),  Act::Weighs(0, 3)),
    (Duration::from_millis(7_000),  Act::Dies(1)),
    (Duration::from_millis(11_000), Act::Back(1)),
    (Duration::from_millis(13_000), Act::Fails(2)),
    (Duration::from_millis(14_500), Act::Passes(2)),
    (Duration::from_millis(16_500), Act::Leaves(2)),
    (Duration::from_millis(18_000), Act::Weighs(0, 1)),
];
#[rustfmt::skip]
const STATIC: &[(Duration, Act)] = &[
    (Duration::from_millis(4_000),  Act::Dies(1)),
    (Duration::from_millis(8_000),  Act::Back(1)),
];

// === impl Registry ===

impl Registry {
    /// Its name in the configuration, and for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Consul => "consul",
            Self::Static => "static",
        }
    }

    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Consul, Self::Static].into_iter().find(|registry| registry.name() == name)
    }

    /// How many of the endpoints are there from the start, the first ones.
    pub(crate) fn first(self) -> usize {
        match self {
            Self::Consul => 2,
            Self::Static => ENDPOINTS,
        }
    }

    /// The acts due `at` after the start, of which so many are over.
    pub(crate) fn due(self, at: Duration, over: usize) -> impl Iterator<Item = Act> {
        let acts = match self {
            Self::Consul => CONSUL,
            Self::Static => STATIC,
        };
        let rounds =
            (0..).flat_map(move |round| acts.iter().map(move |(due, act)| (ROUND * round + *due, *act)));
        rounds.skip(over).take_while(move |(due, _)| *due <= at).map(|(_, act)| act)
    }
}

// === impl Act ===

impl Act {
    /// The endpoint.
    pub(crate) fn endpoint(self) -> usize {
        match self {
            Self::Back(at)
            | Self::Dies(at)
            | Self::Fails(at)
            | Self::Joins(at)
            | Self::Leaves(at)
            | Self::Passes(at)
            | Self::Weighs(at, _) => at,
        }
    }

    /// What it does to the endpoint's requests.
    pub(crate) fn turn(self) -> Turn {
        match self {
            Self::Back(_) | Self::Joins(_) | Self::Passes(_) => Turn::Comes,
            Self::Dies(_) | Self::Fails(_) | Self::Leaves(_) => Turn::Goes,
            Self::Weighs(..) => Turn::Shifts,
        }
    }

    /// It in words.
    pub(crate) fn words(self) -> String {
        let number = self.endpoint() + 1;
        match self {
            Self::Back(_) => format!("the server of endpoint {number} is back"),
            Self::Dies(_) => format!("the server of endpoint {number} dies"),
            Self::Fails(_) => format!("the health check of endpoint {number} fails"),
            Self::Joins(_) => format!("endpoint {number} is registered"),
            Self::Leaves(_) => format!("endpoint {number} is deregistered"),
            Self::Passes(_) => format!("the health check of endpoint {number} passes"),
            Self::Weighs(_, weight) => format!("endpoint {number} has weight {weight} from now on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(registry: Registry, ms: u64, over: usize) -> Vec<Act> {
        registry.due(Duration::from_millis(ms), over).collect()
    }

    #[test]
    fn acts_are_due_once_in_each_round() {
        #[rustfmt::skip]
        let cases = [
            // at (ms)  over  due
            (1_999,     0,    vec![]),
            (2_000,     0,    vec![Act::Joins(2)]),
            (7_000,     1,    vec![Act::Weighs(0, 3), Act::Dies(1)]),
            (7_000,     3,    vec![]),
            (22_000,    7,    vec![Act::Weighs(0, 1), Act::Joins(2)]),
        ];
        for (at, over, acts) in cases {
            assert_eq!(due(Registry::Consul, at, over), acts, "{at} {over}");
        }
        assert_eq!(due(Registry::Static, 24_000, 2), [Act::Dies(1)]);
    }

    /// A round begins as the first one did: with these endpoints, all well, of weight 1.
    #[test]
    fn a_round_leaves_everything_as_it_was() {
        for registry in [Registry::Consul, Registry::Static] {
            let first: [_; ENDPOINTS] = std::array::from_fn(|at| (at < registry.first(), true, true, 1));
            let mut all = first;
            for act in due(registry, 19_999, 0) {
                let (listed, alive, passes, weight) = &mut all[act.endpoint()];
                match act {
                    Act::Back(_) => *alive = true,
                    Act::Dies(_) => *alive = false,
                    Act::Fails(_) => *passes = false,
                    Act::Joins(_) => *listed = true,
                    Act::Leaves(_) => *listed = false,
                    Act::Passes(_) => *passes = true,
                    Act::Weighs(_, now) => *weight = now,
                }
            }
            assert_eq!(all, first, "{registry:?}");
        }
    }

    #[test]
    fn a_registry_has_a_name() {
        assert_eq!(Registry::named("consul"), Some(Registry::Consul));
        assert_eq!(Registry::named("dns"), None);
    }
}
