//! Stand-in.

/// Rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Penalty.
    pub penalty: u32,
    /// Suppress.
    pub suppress: u32,
    /// Reuse.
    pub reuse: u32,
    /// Half-life.
    pub half_life_ms: u64,
    /// Most.
    pub max: u32,
}
