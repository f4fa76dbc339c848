//! What a stage asks, answered by Envoy.

use std::cell::Cell;
use std::num::NonZeroU32;

use tidegate_policy::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use tidegate_policy::time::Timestamp;

use crate::abi::{self, Level, Status};
use crate::meter::Metrics;
use crate::pairs;

/// Envoy, as one plugin sees it.
pub struct Envoy<'a> {
    /// What starts the plugin's log lines.
    pub name: &'static str,
    /// The plugin's metrics.
    pub metrics: &'a Metrics,
    /// Names that the plugin asked for and that were not answered yet.
    pub names: &'a Cell<u32>,
}

/// The cells alone, for before there are metrics.
pub struct Cells;

/// A version that no cell ever has: makes a write create the cell or do nothing.
const NO_VERSION: u32 = u32::MAX;

impl Clock for Envoy<'_> {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(abi::monotonic_nanos())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(abi::wall_nanos())
    }
}

impl Callout for Envoy<'_> {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        let asked = match *question {
            // No time means no end to the host.
            Question::Http { cluster, headers, body, timeout_ms } => {
                abi::http_call(cluster, &pairs::encode(headers), body, timeout_ms.max(1)).map(Token::Http)
            }
            Question::Name(name) => {
                // Before it is out: the answer may be here before the number is.
                let asked = self.names.get();
                self.names.set(asked.saturating_add(1));
                abi::resolve(name).inspect_err(|_| self.names.set(asked)).map(Token::Name)
            }
        };
        asked.map_err(|status| match status {
            Status::BAD_ARGUMENT => CalloutError::NoCluster,
            _ => CalloutError::NotSent,
        })
    }
}

impl Meter for Envoy<'_> {
    fn add(&self, index: usize, n: u64) {
        self.metrics.add(index, n);
    }

    fn raise(&self, index: usize) {
        self.metrics.raise(index);
    }

    fn read(&self, index: usize) -> u64 {
        self.metrics.read(index)
    }

    fn set(&self, index: usize, value: u64) {
        self.metrics.set(index, value);
    }
}

impl Journal for Envoy<'_> {
    fn note(&self, line: &str) {
        abi::log(Level::Warn, &format!("{}: {line}", self.name));
    }
}

impl Store for Envoy<'_> {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        Cells.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        Cells.replace(cell, bytes, version)
    }

    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        Cells.create(cell, bytes)
    }
}

impl Store for Cells {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        match abi::shared_data(cell) {
            Ok((bytes, version)) => Ok(NonZeroU32::new(version).map(|version| (bytes, Version(version)))),
            Err(Status::NOT_FOUND) => Ok(None),
            Err(_) => Err(StoreError::Unavailable),
        }
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        abi::set_shared_data(cell, bytes, version.0.get()).map_err(|status| match status {
            Status::CAS_MISMATCH => StoreError::Stale,
            _ => StoreError::Unavailable,
        })
    }

    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match abi::set_shared_data(cell, bytes, NO_VERSION) {
            Ok(()) => Ok(true),
            Err(Status::CAS_MISMATCH) => Ok(false),
            Err(_) => Err(StoreError::Unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::fake;

    #[test]
    fn a_question_always_has_an_end() {
        let host = Envoy { name: "test", metrics: &Metrics::default(), names: &Cell::default() };
        for timeout_ms in [0, 1, 500] {
            let question = Question::Http { cluster: "none", headers: &[], body: b"", timeout_ms };
            assert_eq!(host.ask(&question), Err(CalloutError::NoCluster));
        }
        assert_eq!(fake::told(), "call/1 call/1 call/500");
        assert_eq!(host.ask(&Question::Name("a")), Ok(Token::Name(7)));
    }
}
