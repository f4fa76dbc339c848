//! A variant that gets more traffic step by step, as long as it does well.
//!
//! ```text
//!   Waiting ─► Ramping ─► Promoted          time counts in whole intervals since the start;
//!                 │                         an interval that passed moves the ramp on, any
//!                 ▼                         other only holds it where it is
//!              Aborted (for good)
//! ```
//!
//! Time alone never takes a step: it is taken by [`Ramp::check`], at most once for each
//! interval, by the worker whose write wins. As intervals are counted from the start and not from
//! the last check, replicas with the same start are on the same step when none of them holds,
//! and one that starts later joins where the others are.

use alloc::string::String;
use alloc::vec::Vec;

use super::judge::{Demands, Judgement};
use crate::hash::xxh64::xxh64;

/// How a variant gets its traffic. Times are in milliseconds.
///
/// ```
/// use tidegate_policy::routing::judge::{Demands, Fault, Judgement};
/// use tidegate_policy::routing::ramp::{Event, Ramp, Step};
///
/// let ramp = Ramp {
///     steps: vec![Step { weight: 5, hold_ms: 10_000 }, Step { weight: 50, hold_ms: 10_000 }],
///     interval_ms: 10_000,
///     start_ms: None,
///     paused: false,
///     demands: Demands::default(),
///     max_failed: 1,
///     breaker: None,
/// };
/// let (state, _) = ramp.check(ramp.fresh(), 0, Judgement::Inconclusive);
/// assert_eq!(ramp.weight(&state, 0), 5);
/// let (state, event) = ramp.check(state, 10_000, Judgement::Pass);
/// assert_eq!((ramp.weight(&state, 0), event), (50, Event::Advance));
/// let (state, event) = ramp.check(state, 20_000, Judgement::Fail(Fault::Success));
/// assert_eq!((ramp.weight(&state, 0), event), (0, Event::Abort));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// The steps, at least one.
    pub steps: Vec<Step>,
    /// How often the variant is judged; at least 1.
    pub interval_ms: u64,
    /// When it begins, on the wall clock; with the first check, when absent.
    pub start_ms: Option<u64>,
    /// Whether the configuration holds it where it is; it is judged all the same.
    pub paused: bool,
    /// What the variant must fulfil.
    pub demands: Demands,
    /// Aborted at this number of failed intervals, consecutive or not.
    pub max_failed: u32,
    /// Aborted as soon as the breaker of this name opens.
    pub breaker: Option<String>,
}

/// One step of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The weight of the variant.
    pub weight: u32,
    /// How long it keeps it, rounded up to whole intervals.
    pub hold_ms: u64,
}

/// Where a ramp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it does.
    pub phase: Phase,
    /// When it began.
    pub start_ms: u64,
    /// Intervals since then that were checked.
    pub checked: u64,
    /// Those of them that moved it on.
    pub passed: u64,
    /// Those of them that failed.
    pub failed: u32,
    /// [`Ramp::tag`] of the ramp that it is of.
    pub tag: u32,
    /// [`Ramp::rules`] of the configuration that started last: the one that moves it.
    pub rules: u32,
}

/// What a ramp does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was given up: the variant has no traffic.
    Aborted,
    /// It is through: the variant keeps the weight of the last step.
    Promoted,
    /// It goes on.
    Ramping,
    /// It did not begin yet: the variant has its own weight.
    Waiting,
}

/// What a check did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was given up.
    Abort,
    /// It took a step or more, or began.
    Advance,
    /// It stays where it is, because the interval did not pass or it is paused.
    Halt,
    /// Nothing to report.
    None,
    /// It is through.
    Promote,
}

/// Bytes of a state.
pub const BYTES: usize = 40;
const LAYOUT: u8 = 1;

// === impl Ramp ===

impl Ramp {
    /// A ramp that was not checked yet.
    #[must_use]
    pub fn fresh(&self) -> State {
        let start_ms = self.start_ms.unwrap_or(0);
        let (tag, rules) = (self.tag(), self.rules());
        State { phase: Phase::Waiting, start_ms, checked: 0, passed: 0, failed: 0, tag, rules }
    }

    /// The state as this ramp's, to be moved by its rules from now on: one that another ramp left
    /// counts as none, so that a changed ramp starts over, an aborted one included.
    #[must_use]
    pub fn adopt(&self, state: State) -> State {
        if state.tag == self.tag() {
            State { rules: self.rules(), ..state }
        } else {
            self.fresh()
        }
    }

    /// Whether something may have changed since the last check, so that another is due.
    #[must_use]
    pub fn is_due(&self, state: &State, now_ms: u64) -> bool {
        match state.phase {
            Phase::Aborted | Phase::Promoted => false,
            Phase::Waiting => self.start_ms.is_none_or(|start| start <= now_ms),
            Phase::Ramping => self.intervals(state, now_ms) > state.checked,
        }
    }

    /// Takes the judgement of the interval that ended last.
    ///
    /// A state that waited past its start joins where a ramp is that passed all its
    /// intervals. Intervals that no worker checked count as the one that ended last.
    #[must_use]
    pub fn check(&self, state: State, now_ms: u64, judgement: Judgement) -> (State, Event) {
        if !self.is_due(&state, now_ms) {
            return (state, Event::None);
        }
        let mut next = state;
        if state.phase == Phase::Waiting {
            next.start_ms = self.start_ms.unwrap_or(now_ms);
            next.checked = self.intervals(&next, now_ms);
            // One that is held from its beginning on has passed nothing.
            next.passed = if self.paused { 0 } else { next.checked };
            next.phase = Phase::Ramping;
            return self.arrive(next, Event::Advance);
        }
        let ended = self.intervals(&state, now_ms).saturating_sub(state.checked);
        next.checked = state.checked.saturating_add(ended);
        match judgement {
            Judgement::Fail(_) => {
                next.failed = state.failed.saturating_add(1);
                if next.failed >= self.max_failed {
                    next.phase = Phase::Aborted;
                    return (next, Event::Abort);
                }
                (next, Event::Halt)
            }
            Judgement::Pass if !self.paused => {
                next.passed = state.passed.saturating_add(ended);
                let moved = self.step(next.passed) > self.step(state.passed);
                self.arrive(next, if moved { Event::Advance } else { Event::None })
            }
            _ => (next, Event::Halt),
        }
    }

    /// The current interval, counted from the start; `None` when none is.
    #[must_use]
    pub fn interval(&self, state: &State, now_ms: u64) -> Option<u64> {
        let goes = state.phase == Phase::Ramping;
        goes.then(|| self.intervals(state, now_ms))
    }

    /// Gives up, as when the variant's breaker opens. A ramp that is through or given up stays so.
    #[must_use]
    pub fn abort(&self, state: State) -> (State, Event) {
        match state.phase {
            Phase::Aborted | Phase::Promoted => (state, Event::None),
            Phase::Ramping | Phase::Waiting => (State { phase: Phase::Aborted, ..state }, Event::Abort),
        }
    }

    /// The weight of the variant; `usual` is the one that it has without a ramp.
    #[must_use]
    pub fn weight(&self, state: &State, usual: u32) -> u32 {
        match state.phase {
            Phase::Aborted => 0,
            Phase::Waiting => usual,
            _ => self.steps.get(self.at(state)).map_or(usual, |step| step.weight),
        }
    }

    /// The step that the ramp is on.
    #[must_use]
    pub fn at(&self, state: &State) -> usize {
        self.step(state.passed).min(self.steps.len().saturating_sub(1))
    }

    /// The largest weight that it ever gives.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.steps.iter().map(|step| step.weight).max().unwrap_or(0)
    }

    /// A tag of all that decides how far a state is: one that carries another was left by
    /// another ramp.
    #[must_use]
    pub fn tag(&self) -> u32 {
        let steps = self.steps.iter().flat_map(|step| [u64::from(step.weight), step.hold_ms]);
        let words = [self.interval_ms, u64::from(self.start_ms.is_some()), self.start_ms.unwrap_or(0)];
        fold(words.into_iter().chain(steps), 0)
    }

    /// A tag of all that decides how a state moves: a configuration that goes while another has the
    /// same steps by other rules must not move it any more.
    #[must_use]
    pub fn rules(&self) -> u32 {
        let Demands {
            min_success_basis_points,
            tolerance_basis_points,
            max_p99_ms,
            p99_percent,
            min_samples,
        } = self.demands;
        let words = [
            u64::from(min_success_basis_points),
            u64::from(tolerance_basis_points),
            max_p99_ms,
            u64::from(p99_percent),
            min_samples,
        ];
        let more = [u64::from(self.max_failed), u64::from(self.paused)];
        let breaker = xxh64(self.breaker.as_deref().unwrap_or_default().as_bytes(), 0);
        fold(words.into_iter().chain(more), breaker)
    }

    fn arrive(&self, mut next: State, event: Event) -> (State, Event) {
        if self.step(next.passed) >= self.steps.len() {
            next.phase = Phase::Promoted;
            return (next, Event::Promote);
        }
        (next, event)
    }

    fn intervals(&self, state: &State, now_ms: u64) -> u64 {
        now_ms.saturating_sub(state.start_ms).checked_div(self.interval_ms).unwrap_or(0)
    }

    /// The step after `passed` intervals that passed; the number of steps when all are over.
    fn step(&self, passed: u64) -> usize {
        let mut end = 0_u64;
        let over = |step: &&Step| {
            end = end.saturating_add(self.holds(step));
            end <= passed
        };
        self.steps.iter().take_while(over).count()
    }

    /// Intervals that a step takes.
    fn holds(&self, step: &Step) -> u64 {
        step.hold_ms.div_ceil(self.interval_ms.max(1)).max(1)
    }
}

/// A tag of these words, never 0.
fn fold(words: impl Iterator<Item = u64>, seed: u64) -> u32 {
    let hash = words.fold(seed, |seed, word| xxh64(&word.to_le_bytes(), seed));
    u32::try_from(hash >> 32).unwrap_or(1).max(1)
}

// === impl State ===

impl State {
    /// Its bytes: layout, phase, two of nothing, tag, start, checked, passed, failed, rules; little
    /// end first.
    #[must_use]
    pub fn encode(&self) -> [u8; BYTES] {
        let words = [
            u64::from(LAYOUT) | (u64::from(self.phase.code()) << 8) | (u64::from(self.tag) << 32),
            self.start_ms,
            self.checked,
            self.passed,
            u64::from(self.failed) | (u64::from(self.rules) << 32),
        ];
        let mut bytes = [0; BYTES];
        for (into, word) in bytes.chunks_exact_mut(8).zip(words) {
            into.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The state of these bytes. What is no state of this layout is one of no ramp: every ramp
    /// takes it for a fresh start.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let none =
            Self { phase: Phase::Waiting, start_ms: 0, checked: 0, passed: 0, failed: 0, tag: 0, rules: 0 };
        let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let mut word = || words.next().unwrap_or(0);
        let (head, start_ms, checked, passed, last) = (word(), word(), word(), word(), word());
        let [layout, phase, _, _, ..] = head.to_le_bytes();
        let halves = |word: u64| {
            let half = |word| u32::try_from(word).unwrap_or(0);
            (half(word & u64::from(u32::MAX)), half(word >> 32))
        };
        let ((_, tag), (failed, rules)) = (halves(head), halves(last));
        match Phase::of(phase) {
            Some(phase) if bytes.len() == BYTES && layout == LAYOUT && passed <= checked => {
                Self { phase, start_ms, checked, passed, failed, tag, rules }
            }
            _ => none,
        }
    }
}

// === impl Phase ===

impl Phase {
    const ALL: [Self; 4] = [Self::Waiting, Self::Ramping, Self::Promoted, Self::Aborted];

    /// Its byte in a state. No phase is 2.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Ramping => 1,
            Self::Promoted => 3,
            Self::Aborted => 4,
        }
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.code() == code)
    }
}
