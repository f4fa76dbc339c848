//! Members that a request gets only when no other is left.
//!
//! The order is a promise: as long as one member of an earlier class exists, none of a later class is
//! picked, whatever else is configured. `docs/endpoints.md` says why it is this one.

/// Why a member is a last resort, the least of evils first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastResort {
    /// It failed several requests in succession, or comes and goes. A level in a panic uses it, too.
    Ejected,
    /// The newest answer of its registry lacks it, and is not believed yet.
    Held,
    /// Its registry has it in maintenance.
    Draining,
    /// It refused a connection a short time ago.
    Refusing,
    /// Its registry calls it critical.
    Unhealthy,
    /// It is held and refused a connection: that is two witnesses. It gets nothing.
    Dropped,
}

// === impl LastResort ===

impl LastResort {
    /// Those that may get requests at all, the least of evils first.
    pub(super) const ALL: [Self; 5] =
        [Self::Ejected, Self::Held, Self::Draining, Self::Refusing, Self::Unhealthy];

    /// Whether a panic threshold of 0 forbids it.
    pub(super) const fn needs_panic(self) -> bool {
        matches!(self, Self::Ejected | Self::Unhealthy)
    }
}
