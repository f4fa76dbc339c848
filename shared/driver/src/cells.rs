//! Cells are created by drivers alone, before traffic.

use std::rc::Rc;

use tidegate_policy::host::{Store, StoreError};
use tidegate_policy::http::{CellSpec, Seed, Stage};
use tidegate_policy::secret;

/// A store in which cells can be created. Stages see a [`Store`]: for them a cell that is not there
/// is a failure.
pub trait Cells: Store {
    /// Creates a cell; `false` when it exists, which leaves it as it is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the host does not answer.
    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError>;
}

/// Creates the cells that a stage needs and that are missing, the secret first, and starts it.
/// `random` fills with random bytes, and says whether it did.
///
/// A host configures a throw-away VM before any worker has the filter, so by the time of the first
/// request all cells exist.
///
/// # Errors
/// When a cell cannot be made or read, or there are no random bytes.
pub fn start<S: Stage>(
    stage: &mut S,
    memory: &Rc<S::Memory>,
    cells: &impl Cells,
    random: impl Fn(&mut [u8]) -> bool,
) -> Result<(), StoreError> {
    let secret = CellSpec { name: secret::CELL.to_owned(), seed: Seed::Random(secret::BYTES) };
    for cell in core::iter::once(secret).chain(stage.cells()) {
        let (Seed::Random(size) | Seed::Zeros(size)) = cell.seed;
        let mut bytes = vec![0; size];
        if matches!(cell.seed, Seed::Random(_)) && !random(&mut bytes) {
            return Err(StoreError::Unavailable);
        }
        cells.create(&cell.name, &bytes)?;
    }
    stage.start(memory, cells)
}
