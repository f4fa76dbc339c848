//! Which clients want the most further attempts of a service: a few counters, however many clients there are.
//!
//! The algorithm of Misra and Gries ("Finding Repeated Elements", 1982): one that wants more than a fifth of all attempts
//! has a counter, and its count is at most a fifth of all too low.

use core::net::IpAddr;

/// The clients with the most attempts of late.
///
/// ```
/// use tidegate_policy::discovery::catalog::spenders::{client, Spenders};
///
/// let mut spenders = Spenders::default();
/// let hostile = client("192.0.2.1".parse().ok());
/// for others in 0..100_u32 {
///     spenders.wants(client(Some(others.to_be_bytes().into())));
///     spenders.wants(hostile);
/// }
/// assert!(spenders.has(hostile) && !spenders.has(client("0.0.0.50".parse().ok())));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spenders([(u64, u32); COUNTERS]);

const COUNTERS: usize = 4;
/// As many attempts are few.
const FEW: u32 = 5;

/// A client by its address, or the /64 network of that; 0 when it is not known.
#[must_use]
pub fn client(address: Option<IpAddr>) -> u64 {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(v4)) => v4.to_bits().into(),
        Some(IpAddr::V6(v6)) => u64::try_from(v6.to_bits() >> 64).unwrap_or(0),
        None => 0,
    }
}

// === impl Spenders ===

impl Spenders {
    /// Counts an attempt that a client wants.
    pub fn wants(&mut self, client: u64) {
        if client == 0 {
            return;
        }
        if let Some((_, count)) = self.0.iter_mut().find(|(known, count)| *known == client && *count > 0) {
            *count = count.saturating_add(1);
            return;
        }
        match self.0.iter_mut().find(|(_, count)| *count == 0) {
            Some(free) => *free = (client, 1),
            None => self.0.iter_mut().for_each(|(_, count)| *count = count.saturating_sub(1)),
        }
    }

    /// Whether any client wanted many of late.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.0.iter().any(|(_, count)| *count > FEW)
    }

    /// Whether a client wanted many of late.
    #[must_use]
    pub fn has(&self, client: u64) -> bool {
        client != 0 && self.0.iter().any(|(known, count)| *known == client && *count > FEW)
    }

    /// Forgets half.
    pub fn fade(&mut self) {
        self.0.iter_mut().for_each(|(_, count)| *count /= 2);
    }
}
