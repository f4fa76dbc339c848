//! The index of blocking queries, by the rules of Consul's page "Blocking Queries".

use crate::discovery::registry::answer::Reply;

/// The index to wait with next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The index; 0 asks without waiting.
    pub index: u64,
    /// How it compares with the one before.
    pub step: Step,
}

/// How an index compares with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is lower: the server lost its state, or is another. Begin anew.
    Backward,
    /// It is higher: something changed, though maybe not this service.
    Forward,
    /// There is none: the server cannot hold queries, or a proxy dropped the header.
    Missing,
    /// It is the same: the wait is over and nothing changed.
    Same,
    /// It is 0, which would not wait. 1 does.
    Zero,
}

/// The index of an answer; `None` when it has none.
#[must_use]
pub fn of(reply: &Reply<'_>) -> Option<u64> {
    core::str::from_utf8(&(reply.header)("x-consul-index")?).ok()?.parse().ok()
}

/// The index to wait with after one that came with `answered`.
#[must_use]
pub fn next(previous: u64, answered: Option<u64>) -> Next {
    let next = |index, step| Next { index, step };
    match answered {
        None => next(0, Step::Missing),
        // Consul counts from 1, and a server that says 0 still waits for more than 1.
        Some(0) if previous == 1 => next(1, Step::Same),
        Some(0) if previous == 0 => next(1, Step::Zero),
        Some(index) if index < previous => next(0, Step::Backward),
        Some(index) if index == previous => next(index, Step::Same),
        Some(index) => next(index, Step::Forward),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_saying_zero_is_waited_for() {
        let zero = next(0, Some(0));
        assert_eq!(zero, Next { index: 1, step: Step::Zero });
        assert_eq!(next(zero.index, Some(0)), Next { index: 1, step: Step::Same });
        assert_eq!(next(9, Some(0)), Next { index: 0, step: Step::Backward });
    }
}
