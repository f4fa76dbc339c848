//! By what a request in flight is known: in its worker's memory, and in filter state.

/// Names a flight: its slot, and a number that no flight of that slot had before.
///
/// ```
/// use tidegate_policy::discovery::request::ticket::Ticket;
///
/// // What the downstream placement left in filter state: service, endpoint, ticket.
/// let ticket = Ticket::read(b"orders 10.0.0.1:8080 4.17").unwrap();
/// let mut text = String::new();
/// ticket.write(&mut text);
/// assert_eq!(text, "4.17");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its slot.
    pub(super) slot: u32,
    /// Its number.
    pub(super) number: u32,
}

// === impl Ticket ===

impl Ticket {
    /// As text for filter state.
    pub fn write(self, out: &mut alloc::string::String) {
        let _ = core::fmt::Write::write_fmt(out, format_args!("{}.{}", self.slot, self.number));
    }

    /// The last word of what the downstream placement left in filter state.
    #[must_use]
    pub fn read(state: &[u8]) -> Option<Self> {
        let word = state.rsplit(|byte| *byte == b' ').next()?;
        let (slot, number) = core::str::from_utf8(word).ok()?.split_once('.')?;
        Some(Self { slot: slot.parse().ok()?, number: number.parse().ok()? })
    }
}
