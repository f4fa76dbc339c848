//! Instants and lengths of time, as saturating nanoseconds.
//!
//! All arithmetic on time happens here, so that overflow has one answer: it
//! saturates. A `u64` of nanoseconds is 584 years, so saturation is never met by an
//! honest clock; a dishonest one cannot make anything wrap around or panic.

/// A point on the host's monotonic clock, in nanoseconds since an arbitrary origin.
///
/// All workers of one host read the same clock. The origin is before any reading, so
/// [`Timestamp::ZERO`] lies in the past of every request.
///
/// ```
/// use tidegate_policy::time::{Span, Timestamp};
///
/// let start = Timestamp::from_nanos(1_000);
/// let later = start.plus(Span::from_millis(2));
/// assert_eq!(later.since(start), Span::from_millis(2));
/// // A clock that stepped back is no time at all, and nothing wraps.
/// assert_eq!(start.since(later), Span::ZERO);
/// assert_eq!(Timestamp::from_nanos(u64::MAX).plus(Span::from_secs(1)).as_nanos(), u64::MAX);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

// === impl Timestamp ===

impl Timestamp {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);

    /// The instant `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / NANOS_PER_MILLI
    }

    /// The instant `span` later.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The instant `span` earlier, not before the origin.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

// === impl Span ===

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `nanos` nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A span of `millis` milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// A span of `secs` seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// The span in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / NANOS_PER_MILLI
    }

    /// Milliseconds with their fraction, for averages.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn floor_secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// Whole seconds, rounded up.
    #[must_use]
    pub const fn ceil_secs(self) -> u64 {
        self.0.div_ceil(NANOS_PER_SEC)
    }

    /// As many of `new` as this span has of `old`, rounded up; the same when `old` is zero.
    #[must_use]
    pub fn rescaled(self, old: Self, new: Self) -> Self {
        let nanos = u128::from(self.0).saturating_mul(new.0.into());
        let rounded = nanos.saturating_add(u128::from(old.0).saturating_sub(1));
        let scaled = rounded.checked_div(old.0.into());
        scaled.map_or(self, |nanos| Self(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The two spans one after the other.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of this span after `other`; zero when nothing is.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The span `n` times over.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }

    /// The span `n` times over, or `None` when that does not fit.
    #[must_use]
    pub const fn checked_times(self, n: u64) -> Option<Self> {
        match self.0.checked_mul(n) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The `n`th part, rounded up; the whole for `n` = 0.
    #[must_use]
    pub const fn ceil_part(self, n: u64) -> Self {
        Self(if n == 0 { self.0 } else { self.0.div_ceil(n) })
    }

    /// How many times `part` fits into this span; `u64::MAX` for an empty `part`.
    #[must_use]
    pub const fn count_of(self, part: Self) -> u64 {
        match self.0.checked_div(part.0) {
            Some(n) => n,
            None => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_as_asked() {
        let cases = [(0, 0, 0), (1, 0, 1), (999_999_999, 0, 1), (1_000_000_000, 1, 1), (1_000_000_001, 1, 2)];
        for (nanos, floor, ceil) in cases {
            let span = Span::from_nanos(nanos);
            assert_eq!((span.floor_secs(), span.ceil_secs()), (floor, ceil), "{nanos} ns");
        }
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = Timestamp::from_nanos(u64::MAX);
        assert_eq!(end.plus(Span::from_secs(1)), end);
        assert_eq!(Timestamp::ZERO.minus(Span::from_secs(1)), Timestamp::ZERO);
        assert_eq!(Timestamp::ZERO.since(end), Span::ZERO);
        assert_eq!(Span::from_millis(u64::MAX).as_nanos(), u64::MAX);
        assert_eq!(Span::from_nanos(u64::MAX).checked_times(2), None);
        assert_eq!(Span::from_nanos(7).count_of(Span::ZERO), u64::MAX);
    }
}
