//! Members that a request gets only when no other is left.
//!
//! The order is a promise: as long as one member of an earlier class exists, none of a later class is
//! picked, whatever else is configured. `docs/endpoints.md` says why it is this one.

/// Why a member is a last resort, the least of evils first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastResort {
    /// It failed several requests in succession, or comes and goes. A level in a panic uses it, too.
    Ejected,
    /// Its registry has it in maintenance.
    Draining,
    /// The newest answer of its registry lacks it, and is not believed yet.
    Held,
    /// It refused a connection a short time ago.
    Refusing,
    /// Its registry calls it critical.
    Unhealthy,
    /// It is held and refused a connection: that is two witnesses. It gets nothing.
    Dropped,
}

// === impl LastResort ===

impl LastResort {
    /// Whether it may get requests at all, with a panic threshold of 0 or of more.
    pub(super) const fn is_allowed(self, panic_threshold_percent: u32) -> bool {
        match self {
            Self::Ejected | Self::Unhealthy => panic_threshold_percent > 0,
            Self::Draining | Self::Held | Self::Refusing => true,
            Self::Dropped => false,
        }
    }
}
