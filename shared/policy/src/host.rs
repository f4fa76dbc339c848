//! What a stage may ask of its host: the time, shared cells, others' answers, metrics, a line in
//! the log.
//!
//! Small traits rather than one large one, so that a test stubs two methods, and no
//! type of any proxy in a signature. They are implemented by the glue (Envoy), by the
//! simulator, and by a turnstile that stops before each store call to try every order.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use crate::time::Timestamp;

/// All that a stage may ask.
pub trait Host: Clock + Store + Callout + Meter + Journal {}

impl<T: Clock + Store + Callout + Meter + Journal> Host for T {}

/// A monotonic clock, the same for all workers.
pub trait Clock {
    /// The current instant. Two workers may read it in either order within nanoseconds.
    fn now(&self) -> Timestamp;

    /// The time since 1970, for what several hosts do at one time. It may step either way.
    fn wall(&self) -> Timestamp;
}

/// Byte cells that all workers of one host share.
///
/// A cell is created once, by the driver before traffic, and never goes away. What an implementation
/// must do is spelled out as a test, `tidegate_sim::contract`, that runs against the
/// simulator and inside Envoy.
pub trait Store {
    /// The bytes of a cell with the version to name when replacing them, or `None` when
    /// there is no such cell.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the host does not answer.
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Replaces the bytes of an existing cell if it still is as `version` says.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when somebody else wrote in between, and
    /// [`StoreError::Unavailable`] when the host does not answer.
    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError>;
}

/// Most times that one cell is tried against other workers. Each try that is lost is one that
/// another worker won, so this many in a row take as many workers at the same cell.
pub const TRIES: usize = 64;

/// Replaces a cell by what `change` makes of its bytes, if anything; again with the new ones
/// while other workers are faster.
///
/// # Errors
/// [`StoreError::Contended`] when other workers always won, and [`StoreError::Unavailable`] when the
/// cell is not there.
#[inline(never)]
pub fn rewrite(
    store: &dyn Store,
    cell: &str,
    change: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let (bytes, version) = store.load(cell)?.ok_or(StoreError::Unavailable)?;
        let Some(new) = change(&bytes) else { return Ok(()) };
        match store.replace(cell, &new, version) {
            Err(StoreError::Stale) => {}
            done => return done,
        }
    }
    Err(StoreError::Contended)
}

/// Names one write of one cell. No two writes of a cell have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub NonZeroU32);

/// Questions to others, whose answers come later: [`crate::http::Stage::on_callout`] gets each of
/// them on the worker that asked, unless its configuration is gone by then.
pub trait Callout {
    /// Asks.
    ///
    /// # Errors
    /// When nothing was sent, so that no answer will come.
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError>;
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// An HTTP request to a cluster of the host's.
    Http {
        /// The name of the cluster.
        cluster: &'a str,
        /// The headers, `:method`, `:path` and `:authority` among them.
        headers: &'a [(&'a str, &'a str)],
        /// The body; empty for none.
        body: &'a [u8],
        /// How long the whole answer may take; not 0.
        timeout_ms: u32,
    },
    /// The addresses of a name, by the host's own resolver.
    Name(&'a str),
}

/// Names a question until it is answered. The two kinds are numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Token {
    /// Of [`Question::Http`].
    Http(u32),
    /// Of [`Question::Name`].
    Name(u32),
}

/// What came of a question. Nothing is read before it is asked for.
pub trait Answer {
    /// Which question.
    fn token(&self) -> Token;

    /// The first value of one header, `:status` among them; none when there was no response, or
    /// the question was a name.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// How many bytes its body has.
    fn size(&self) -> usize;

    /// The body, of which at most `most` bytes are read: for a name, the host's list of addresses.
    fn body(&self, most: usize) -> Vec<u8>;
}

/// Why a question was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalloutError {
    /// The host has no such cluster, at least not yet.
    NoCluster,
    /// The host would not send it: no healthy host in the cluster, or too many questions.
    NotSent,
}

impl fmt::Display for CalloutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCluster => "the host has no such cluster",
            Self::NotSent => "the host could not send the question",
        })
    }
}

impl core::error::Error for CalloutError {}

/// Metrics, by their position in [`crate::http::Stage::metrics`].
pub trait Meter {
    /// Adds `n` to a counter. The host is told with the next tick, at most a second later.
    fn add(&self, index: usize, n: u64);

    /// Adds one to a counter at once. All workers see it with [`Meter::read`], which makes such
    /// a counter the cheapest way to tell them that a cell has changed.
    fn raise(&self, index: usize);

    /// What a counter stands at that is only ever raised, by all workers together, or a gauge was
    /// set to by whoever was last. It outlives configurations, so that of a counter only changes
    /// mean anything.
    fn read(&self, index: usize) -> u64;

    /// Sets a gauge at once.
    fn set(&self, index: usize, value: u64);
}

/// The host's log.
pub trait Journal {
    /// One line for whoever operates the host. Rare: a change of state, not a request.
    fn note(&self, line: &str);
}

/// Why the store did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// Other workers always wrote first, [`TRIES`] times.
    Contended,
    /// The host took the bytes of a cell and does not have them.
    Forgotten,
    /// The cell changed since it was read.
    Stale,
    /// The host refused the call, or the cell is not there.
    Unavailable,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contended => "other workers always wrote the cell first",
            Self::Forgotten => "host keeps no shared data: what is written to a cell is not there",
            Self::Stale => "cell changed since it was read",
            Self::Unavailable => "host refused the shared-data call",
        })
    }
}

impl core::error::Error for StoreError {}
