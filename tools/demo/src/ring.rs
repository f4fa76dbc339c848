//! What happened in each of the latest spans of time; older ones are forgotten.

/// One `T` for each of the latest `N` numbers, each at its number modulo `N`, with that number.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T, const N: usize>(Box<[(u64, T); N]>);

// === impl Ring ===

impl<T: Copy + Default, const N: usize> Ring<T, N> {
    /// The one with this number; the default if nothing happened or it is forgotten.
    pub(crate) fn at(&self, number: u64) -> T {
        let (kept, value) = self.0[Self::slot(number)];
        if kept == number {
            value
        } else {
            T::default()
        }
    }

    /// The one with this number, to be changed; takes the place of the one `N` before.
    pub(crate) fn entry(&mut self, number: u64) -> &mut T {
        let (kept, value) = &mut self.0[Self::slot(number)];
        if *kept != number {
            (*kept, *value) = (number, T::default());
        }
        value
    }

    /// The latest `count`, that with the number `now` last; `None` before number 0.
    pub(crate) fn latest(&self, now: u64, count: usize) -> Vec<Option<T>> {
        let ages = (0..count.min(N) as u64).rev();
        ages.map(|age| now.checked_sub(age).map(|number| self.at(number))).collect()
    }

    fn slot(number: u64) -> usize {
        usize::try_from(number % N as u64).unwrap_or(0)
    }
}

impl<T: Copy + Default, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self(Box::new([(0, T::default()); N]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_is_as_old_as_it_is_long() {
        let mut ring = Ring::<u32, 4>::default();
        for (number, value) in [(0, 1), (0, 2), (3, 5), (4, 7)] {
            *ring.entry(number) += value;
        }
        assert_eq!([0, 1, 3, 4, 8].map(|number| ring.at(number)), [0, 0, 5, 7, 0]);
        assert_eq!(ring.latest(4, 9), [Some(0), Some(0), Some(5), Some(7)]);
        assert_eq!(Ring::<u32, 4>::default().latest(0, 2), [None, Some(0)]);
    }
}
