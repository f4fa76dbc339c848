//! One plugin configuration on one worker: from JSON to a stage, and its housekeeping.

use std::cell::Cell;
use std::rc::Rc;

use tidegate_policy::host::{Store, StoreError};
use tidegate_policy::http::{CellSpec, Placement, Seed, Stage};
use tidegate_policy::secret;

use crate::abi::{self, Level};
use crate::host::{Cells, Envoy};
use crate::message::Spare;
use crate::meter::Metrics;

/// A configured stage with its metrics; exchanges under way keep theirs alive.
pub(crate) struct Plugin<S> {
    pub(crate) stage: S,
    pub(crate) metrics: Metrics,
    /// What the stage said of headers, once for all requests.
    pub(crate) reads_headers: bool,
    /// The last request's list of headers, for the next.
    pub(crate) spare: Cell<Spare>,
    /// Names asked for and not answered yet.
    pub(crate) names: Cell<u32>,
}

impl<S: Stage> Plugin<S> {
    /// The plugin of the configuration that the host holds out now; `None` when it cannot be,
    /// which the log then explains.
    pub(crate) fn configured(memory: &Rc<S::Memory>) -> Option<Self> {
        let json = abi::buffer(abi::PLUGIN_CONFIGURATION, usize::MAX).unwrap_or_default();
        let root_id = abi::property("plugin_root_id").unwrap_or_default();
        let mut stage = match S::configure(&json, Placement::of_root_id(&root_id)) {
            Ok(stage) => stage,
            Err(error) => {
                for problem in &error.problems {
                    abi::log(Level::Error, &format!("{}: configuration: {problem}", S::NAME));
                }
                return None;
            }
        };
        if let Err(error) = create_missing(stage.cells()).and_then(|()| stage.start(memory, &Cells)) {
            abi::log(Level::Error, &format!("{}: shared cells: {error}", S::NAME));
            return None;
        }
        if let Err(status) = abi::set_tick_period(S::TICK_MS) {
            let name = S::NAME;
            let line = format!("{name}: timer: host status {}, metrics will not move", status.0);
            abi::log(Level::Warn, &line);
        }
        let metrics = Metrics::declare(stage.metrics());
        Some(Self {
            metrics,
            reads_headers: stage.reads_headers(),
            stage,
            spare: Cell::default(),
            names: Cell::default(),
        })
    }

    /// What the stage may ask.
    pub(crate) fn host(&self) -> Envoy<'_> {
        Envoy { name: S::NAME, metrics: &self.metrics, names: &self.names }
    }

    pub(crate) fn tick(&self) {
        self.stage.on_tick(&self.host());
        self.metrics.flush();
    }

    /// The configuration goes: what was announced would outlive it.
    pub(crate) fn retire(&self) {
        self.stage.stop(&Cells);
    }
}

/// Creates the cells that are missing. The host configures a throw-away VM before any
/// worker has the filter, so by the time of the first request all of them exist.
fn create_missing(cells: impl Iterator<Item = CellSpec>) -> Result<(), StoreError> {
    let secret = CellSpec { name: secret::CELL.to_owned(), seed: Seed::Random(secret::BYTES) };
    for cell in core::iter::once(secret).chain(cells) {
        let bytes = match cell.seed {
            Seed::Random(size) => {
                let mut bytes = vec![0; size];
                abi::random(&mut bytes).map_err(|_| StoreError::Unavailable)?;
                bytes
            }
            Seed::Zeros(size) => vec![0; size],
        };
        Cells.create(&cell.name, &bytes)?;
    }
    Ok(())
}
