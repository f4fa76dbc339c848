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
/// Some hosts take shared data and keep none. Each worker would then limit, count and break for itself,
/// with nobody told, so the secret is read back.
///
/// # Errors
/// When a cell cannot be made or read, there are no random bytes, or the host pretends.
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
        let created = cells.create(&cell.name, &bytes)?;
        if cell.name == secret::CELL {
            kept(cells, created.then_some(&bytes))?;
        }
    }
    stage.start(memory, cells)
}

/// Whether the secret is there: the one that was written, if it was.
fn kept(cells: &impl Cells, written: Option<&Vec<u8>>) -> Result<(), StoreError> {
    let (bytes, _) = cells.load(secret::CELL)?.ok_or(StoreError::Forgotten)?;
    if written.is_none_or(|written| *written == bytes) {
        Ok(())
    } else {
        Err(StoreError::Forgotten)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tidegate_policy::config::Reader;
    use tidegate_policy::host::{Host, Version};
    use tidegate_policy::http::{Metric, Placement, Request, Verdict};

    use super::*;

    /// What a host keeps of the bytes of a cell.
    type Keeps = fn(&[u8]) -> Option<Vec<u8>>;

    /// A host that may only pretend to keep them.
    struct Pretender {
        keeps: Keeps,
        cells: RefCell<Vec<(String, Vec<u8>)>>,
    }

    impl Store for Pretender {
        fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
            let found = self.cells.borrow().iter().find(|(name, _)| name == cell).map(|(_, b)| b.clone());
            Ok(found.map(|bytes| (bytes, Version(core::num::NonZeroU32::MIN))))
        }

        fn replace(&self, _cell: &str, _bytes: &[u8], _version: Version) -> Result<(), StoreError> {
            Ok(())
        }
    }

    impl Cells for Pretender {
        fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
            let kept = (self.keeps)(bytes).map(|bytes| (cell.to_owned(), bytes));
            self.cells.borrow_mut().extend(kept);
            Ok(true)
        }
    }

    struct Nothing;

    impl Stage for Nothing {
        const NAME: &'static str = "nothing";
        const CALLBACKS: &'static [tidegate_policy::http::Callback] = &[];

        type Exchange = ();
        type Memory = ();

        fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
            Some(Self)
        }

        fn cells(&self) -> impl Iterator<Item = CellSpec> {
            core::iter::empty()
        }

        fn start(&mut self, _memory: &Rc<()>, _store: &impl Store) -> Result<(), StoreError> {
            Ok(())
        }

        fn metrics(&self) -> Vec<Metric> {
            Vec::new()
        }

        fn on_request(&self, (): &mut (), _request: &impl Request, _host: &impl Host) -> Verdict {
            Verdict::Continue(Vec::new())
        }
    }

    #[test]
    fn a_host_that_pretends_to_have_shared_data_is_refused() {
        let cases: [(&str, Keeps, _); 4] = [
            ("keeps all", |bytes| Some(bytes.to_vec()), Ok(())),
            ("keeps nothing", |_| None, Err(StoreError::Forgotten)),
            ("keeps no bytes", |_| Some(Vec::new()), Err(StoreError::Forgotten)),
            ("keeps others", |bytes| Some(vec![1; bytes.len()]), Err(StoreError::Forgotten)),
        ];
        for (name, keeps, expected) in cases {
            let host = Pretender { keeps, cells: RefCell::default() };
            let random = |bytes: &mut [u8]| {
                bytes.fill(7);
                true
            };
            assert_eq!(start(&mut Nothing, &Rc::new(()), &host, random), expected, "{name}");
        }
    }
}
