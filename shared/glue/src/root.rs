//! One plugin configuration on one worker: from JSON to a stage, and its housekeeping.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use tidegate_policy::host::{Store, StoreError};
use tidegate_policy::http::{CellSpec, Seed, Stage};

use crate::abi;
use crate::exchange::Exchange;
use crate::host::{Cells, Envoy};
use crate::meter::Counters;

/// A configured stage with its counters; exchanges under way keep theirs alive.
pub(crate) struct Plugin<S> {
    pub(crate) stage: S,
    pub(crate) counters: Counters,
}

struct Root<S> {
    plugin: Option<Rc<Plugin<S>>>,
}

/// How often metrics are told to the host and stages do their housekeeping.
const TICK_MS: u32 = 250;

/// Makes the module serve `S`, whatever the plugin's root id.
pub fn install<S: Stage + 'static>() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::<S> { plugin: None }));
}

impl<S: Stage + 'static> Context for Root<S> {}

impl<S: Stage + 'static> RootContext for Root<S> {
    fn on_configure(&mut self, _size: usize) -> bool {
        let json = abi::buffer(abi::PLUGIN_CONFIGURATION).unwrap_or_default();
        let mut stage = match S::configure(&json) {
            Ok(stage) => stage,
            Err(error) => {
                for problem in &error.problems {
                    log::error!("{}: configuration: {problem}", S::NAME);
                }
                return false;
            }
        };
        if let Err(error) = create_missing(stage.cells()).and_then(|()| stage.start(&Cells)) {
            log::error!("{}: shared cells: {error}", S::NAME);
            return false;
        }
        let counters = Counters::declare(stage.counters());
        self.plugin = Some(Rc::new(Plugin { stage, counters }));
        if let Err(status) = abi::set_tick_period(TICK_MS) {
            log::warn!("{}: timer: host status {}, metrics will not move", S::NAME, status.0);
        }
        true
    }

    fn on_tick(&mut self) {
        if let Some(plugin) = &self.plugin {
            plugin.stage.on_tick(&Envoy(&plugin.counters));
            plugin.counters.flush();
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange::new(self.plugin.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Runs when the host deletes the context: the host would fire its timer for ever, and
/// counts that were not told yet would be lost.
impl<S> Drop for Root<S> {
    fn drop(&mut self) {
        let _ = abi::set_tick_period(0);
        if let Some(plugin) = &self.plugin {
            plugin.counters.flush();
        }
    }
}

/// Creates the cells that are missing. The host configures a throw-away VM before any
/// worker has the filter, so by the time of the first request all of them exist.
fn create_missing(cells: impl Iterator<Item = CellSpec>) -> Result<(), StoreError> {
    for cell in cells {
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
