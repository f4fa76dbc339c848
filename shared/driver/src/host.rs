//! What a stage asks, answered by the proxy.

use std::cell::Cell;

use tidegate_policy::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use tidegate_policy::time::Timestamp;

use crate::meter::Metrics;
use crate::proxy::{Level, Proxy};

/// The proxy, as one plugin sees it.
pub struct PluginHost<'a, P: Proxy> {
    pub(crate) proxy: &'a P,
    /// What starts the plugin's log lines.
    pub(crate) name: &'static str,
    /// The plugin's metrics.
    pub(crate) metrics: &'a Metrics<P>,
    /// Names that the plugin asked for and that were not answered yet.
    pub(crate) names: &'a Cell<u32>,
}

impl<P: Proxy> Clock for PluginHost<'_, P> {
    fn now(&self) -> Timestamp {
        self.proxy.now()
    }

    fn wall(&self) -> Timestamp {
        self.proxy.wall()
    }
}

impl<P: Proxy> Callout for PluginHost<'_, P> {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        match *question {
            // No time means no end to the proxy.
            Question::Http { cluster, headers, body, timeout_ms: 0 } => {
                self.proxy.ask(&Question::Http { cluster, headers, body, timeout_ms: 1 })
            }
            Question::Http { .. } => self.proxy.ask(question),
            Question::Name(_) => {
                // Before it is out: the answer may be here before the number is.
                let asked = self.names.get();
                self.names.set(asked.saturating_add(1));
                self.proxy.ask(question).inspect_err(|_| self.names.set(asked))
            }
        }
    }
}

impl<P: Proxy> Meter for PluginHost<'_, P> {
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

impl<P: Proxy> Journal for PluginHost<'_, P> {
    fn note(&self, line: &str) {
        self.proxy.log(Level::Warn, &format!("{}: {line}", self.name));
    }
}

impl<P: Proxy> Store for PluginHost<'_, P> {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.proxy.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        self.proxy.replace(cell, bytes, version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake};

    #[test]
    fn a_question_always_has_an_end() {
        let metrics = Metrics::declare(Fake, Vec::new());
        let host = PluginHost { proxy: &Fake, name: "test", metrics: &metrics, names: &Cell::default() };
        for timeout_ms in [0, 1, 500] {
            let question = Question::Http { cluster: "none", headers: &[], body: b"", timeout_ms };
            assert_eq!(host.ask(&question), Err(CalloutError::NoCluster));
        }
        assert_eq!(fake::told(), "call/1 call/1 call/500");
        assert_eq!(host.ask(&Question::Name("a")), Ok(Token::Name(7)));
    }
}
