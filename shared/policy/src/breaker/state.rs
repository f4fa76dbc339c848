//! The states of a breaker: three that it moves through by itself, three that the configuration
//! holds it in.
//!
//! A file of its own, because parameters and records both speak of states: the parameters may
//! demand one, the record says which one a breaker is in.

/// The state of a breaker. The numbers are those of the cell's bytes and of the metric `state`.
///
/// ```
/// use tidegate_policy::breaker::State;
///
/// assert_eq!(State::HalfOpen.word(), "half_open");
/// assert!(State::Open.suits(State::Closed), "it moves by itself");
/// assert!(!State::Open.suits(State::ForcedOpen), "it is held in one state");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Requests pass and are counted.
    #[default]
    Closed = 0,
    /// Requests are refused until an instant.
    Open = 1,
    /// A few requests pass as probes.
    HalfOpen = 2,
    /// Requests are refused until the configuration changes.
    ForcedOpen = 3,
    /// Requests pass and nothing is counted.
    Disabled = 4,
    /// Requests pass and are counted, and the state never changes.
    MetricsOnly = 5,
}

// === impl State ===

impl State {
    /// The state with this number; closed for a number that none has.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Open,
            2 => Self::HalfOpen,
            3 => Self::ForcedOpen,
            4 => Self::Disabled,
            5 => Self::MetricsOnly,
            _ => Self::Closed,
        }
    }

    /// Whether it is open or half-open: what the index of a table lists.
    #[must_use]
    pub const fn is_tripped(self) -> bool {
        matches!(self, Self::Open | Self::HalfOpen)
    }

    /// Whether only the configuration puts a breaker into it.
    #[must_use]
    pub const fn is_held(self) -> bool {
        matches!(self, Self::ForcedOpen | Self::Disabled | Self::MetricsOnly)
    }

    /// Whether a breaker may be in this state when its configuration demands `demanded`. A held
    /// state is the only one that fits its demand; [`State::Closed`] demands none of the held ones.
    #[must_use]
    pub fn suits(self, demanded: Self) -> bool {
        self == demanded || !self.is_held() && !demanded.is_held()
    }

    /// One word, as in logs, metrics and replies.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [State; 6] =
        [State::Closed, State::Open, State::HalfOpen, State::ForcedOpen, State::Disabled, State::MetricsOnly];

    #[test]
    fn a_number_names_its_state_and_an_unknown_one_is_closed() {
        for state in ALL {
            assert_eq!(State::from_byte(state as u8), state, "{}", state.word());
        }
        assert_eq!(State::from_byte(6), State::Closed);
    }

    #[test]
    fn a_held_state_suits_only_its_own_demand() {
        use State::{Closed, Disabled, ForcedOpen, MetricsOnly, Open};
        for state in ALL.into_iter().filter(|state| !state.is_held()) {
            assert!(state.suits(Closed), "{}", state.word());
        }
        for held in [ForcedOpen, Disabled, MetricsOnly] {
            assert!(held.suits(held) && !held.suits(Closed) && !Open.suits(held), "{}", held.word());
        }
    }
}
