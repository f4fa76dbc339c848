//! Why a service has no endpoint that a request could be sent to.

use crate::discovery::cells::snapshot::State;

/// Why a service has no endpoint now.
///
/// A service may have several sources. The order of the variants is the order in which their reasons
/// count: what an answer of a registry may still change comes first.
///
/// ```
/// use tidegate_policy::discovery::catalog::unavailable::Unavailable;
/// use tidegate_policy::discovery::cells::snapshot::State;
///
/// let sources = [State::Unknown, State::None];
/// assert_eq!(Unavailable::of(sources.into_iter()), Unavailable::NotKnownYet);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unavailable {
    /// No answer of the registry has arrived yet.
    NotKnownYet,
    /// The registry has failed for so long that its last answer has expired.
    Expired,
    /// The registry knows the service and has no endpoint for it, or none that may be used.
    NoEndpoints,
    /// The registry does not know the service.
    UnknownService,
}

// === impl Unavailable ===

impl Unavailable {
    /// The reason of a service whose sources are in these states and have no endpoint.
    #[must_use]
    pub fn of(sources: impl Iterator<Item = State>) -> Self {
        let reason = |state: State| match state {
            State::None => Self::NotKnownYet,
            State::Expired => Self::Expired,
            State::Known => Self::NoEndpoints,
            State::Unknown => Self::UnknownService,
        };
        sources.map(reason).min().unwrap_or(Self::UnknownService)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_an_answer_may_change_goes_first() {
        let cases = [
            (&[][..], Unavailable::UnknownService),
            (&[State::Unknown], Unavailable::UnknownService),
            (&[State::Unknown, State::Known], Unavailable::NoEndpoints),
            (&[State::Known, State::Expired], Unavailable::Expired),
            (&[State::Known, State::Expired, State::None], Unavailable::NotKnownYet),
        ];
        for (states, expected) in cases {
            assert_eq!(Unavailable::of(states.iter().copied()), expected, "{states:?}");
        }
    }
}
