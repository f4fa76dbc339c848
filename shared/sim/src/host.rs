//! A host whose clock a test moves.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use tidegate_driver::Cells;
use tidegate_policy::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use tidegate_policy::http::Metric;
use tidegate_policy::time::{Span, Timestamp};

use crate::callout::SimQuestion;
use crate::store::SimStore;

/// One worker's view of the host.
#[derive(Debug)]
pub struct SimHost {
    store: Arc<SimStore>,
    now: Cell<Timestamp>,
    counts: RefCell<Vec<u64>>,
    /// Where each metric of the stage stands, when stages know those of others by their names.
    places: Option<Vec<usize>>,
    notes: RefCell<Vec<String>>,
    questions: RefCell<Vec<SimQuestion>>,
    /// The number of the next question.
    next: Cell<u32>,
    refusing: Cell<Option<CalloutError>>,
    faults: Faults,
}

/// A call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCall {
    /// [`Cells::create`]
    Create,
    /// [`Store::load`]
    Load,
    /// [`Store::replace`]
    Replace,
}

/// Which calls of the store fail.
#[derive(Default)]
struct Faults {
    calls: Cell<u64>,
    which: RefCell<Option<Box<Which>>>,
}

type Which = dyn Fn(StoreCall, u64) -> Option<StoreError>;

/// When a simulation starts: an hour after the clock's origin.
pub const START: Timestamp = Timestamp::from_nanos(3_600_000_000_000);

impl SimHost {
    /// A host with these cells, at [`START`].
    #[must_use]
    pub fn new(store: Arc<SimStore>) -> Self {
        Self {
            store,
            now: Cell::new(START),
            counts: RefCell::default(),
            places: None,
            notes: RefCell::default(),
            questions: RefCell::default(),
            next: Cell::new(1),
            refusing: Cell::default(),
            faults: Faults::default(),
        }
    }

    /// A host of a stage with these metrics, some of which it may share with other stages: as in a proxy
    /// those of one name are one.
    #[must_use]
    pub fn naming(store: Arc<SimStore>, metrics: &[Metric]) -> Self {
        let places = metrics.iter().map(|metric| store.place(&metric.name)).collect();
        Self { places: Some(places), ..Self::new(store) }
    }

    /// From now on a call of the store fails as `which` says of it and of its number, which is 0 for
    /// the next one. The other workers' calls do not.
    pub fn fail(&self, which: impl Fn(StoreCall, u64) -> Option<StoreError> + 'static) {
        self.faults.calls.set(0);
        self.faults.which.replace(Some(Box::new(which)));
    }

    /// Moves the clock to `offset` after [`START`].
    pub fn set(&self, offset: Span) {
        self.now.set(START.plus(offset));
    }

    /// Moves the clock on.
    pub fn pass(&self, span: Span) {
        self.now.set(self.now.get().plus(span));
    }

    /// What this worker counted at `index`, or set a gauge to.
    #[must_use]
    pub fn count(&self, index: usize) -> u64 {
        self.counts.borrow().get(self.place(index)).copied().unwrap_or(0)
    }

    /// The lines noted since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// The questions asked since the last call, to be answered with `Worker::answer`, or never.
    pub fn take_questions(&self) -> Vec<SimQuestion> {
        self.questions.take()
    }

    /// Sends no question from now on, for this reason; `None` to send them again.
    pub fn refuse_questions(&self, reason: Option<CalloutError>) {
        self.refusing.set(reason);
    }

    fn place(&self, index: usize) -> usize {
        self.places.as_ref().map_or(index, |places| places[index])
    }

    fn with_count(&self, index: usize, change: impl FnOnce(&mut u64)) {
        let (mut counts, index) = (self.counts.borrow_mut(), self.place(index));
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        change(&mut counts[index]);
    }

    /// The cells.
    #[must_use]
    pub fn store(&self) -> &Arc<SimStore> {
        &self.store
    }
}

impl Clock for SimHost {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// As if the host had started in 1970.
    fn wall(&self) -> Timestamp {
        self.now()
    }
}

impl Meter for SimHost {
    fn add(&self, index: usize, n: u64) {
        self.with_count(index, |count| *count += n);
    }

    fn raise(&self, index: usize) {
        self.add(index, 1);
        self.store.raise(self.place(index));
    }

    fn read(&self, index: usize) -> u64 {
        self.store.raised(self.place(index))
    }

    fn set(&self, index: usize, value: u64) {
        self.with_count(index, |count| *count = value);
        if self.places.is_some() {
            self.store.set_raised(self.place(index), value);
        }
    }
}

/// Numbers are not used twice, though the two kinds are numbered apart: whoever mixes them up is
/// found out.
impl Callout for SimHost {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        if let Some(reason) = self.refusing.get() {
            return Err(reason);
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let token = match question {
            Question::Http { .. } => Token::Http(number),
            Question::Name(_) => Token::Name(number),
        };
        self.questions.borrow_mut().push(SimQuestion::new(token, question));
        Ok(token)
    }
}

impl Journal for SimHost {
    fn note(&self, line: &str) {
        debug_assert!(!line.contains("  "), "a line that was broken in the source: {line:?}");
        self.notes.borrow_mut().push(line.to_owned());
    }
}

impl Store for SimHost {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.faults.check(StoreCall::Load)?;
        self.store.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        self.faults.check(StoreCall::Replace)?;
        self.store.replace(cell, bytes, version)
    }
}

impl Cells for SimHost {
    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.faults.check(StoreCall::Create)?;
        self.store.create(cell, bytes)
    }
}

// === impl Faults ===

impl Faults {
    fn check(&self, call: StoreCall) -> Result<(), StoreError> {
        let number = self.calls.replace(self.calls.get() + 1);
        self.which.borrow().as_ref().and_then(|which| which(call, number)).map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("calls", &self.calls.get()).finish_non_exhaustive()
    }
}
