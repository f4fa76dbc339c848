//! Every interleaving of workers' store calls.
//!
//! Each worker runs on a thread that stops before every store call. A turnstile lets one
//! through at a time and waits until that worker stops again or is done, so a run is
//! decided by the sequence of choices alone; all sequences are walked depth first. No
//! sleeping, no stress loops: a bug that needs one particular order is found in a run that
//! prints that order.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tidegate_driver::Cells;
use tidegate_policy::host::{
    Callout, CalloutError, Clock, Journal, Meter, Question, Store, StoreError, Token, Version,
};
use tidegate_policy::time::{Span, Timestamp};

use crate::callout::SimQuestion;
use crate::host::START;
use crate::store::SimStore;

/// A worker's host: the shared store behind the turnstile, a clock that stands still.
#[derive(Debug)]
pub struct Gate<'a> {
    turnstile: &'a Turnstile,
    store: &'a SimStore,
    worker: usize,
    /// Store calls that the worker lives to make.
    lives: Cell<u64>,
    /// How long after [`START`] it is for this worker.
    offset: Cell<Span>,
    questions: RefCell<Vec<SimQuestion>>,
    /// How many there were.
    asked: Cell<u32>,
}

#[derive(Debug, Default)]
struct Turnstile {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What each worker is doing.
    workers: Vec<Doing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Running, up to its next store call.
    Running,
    /// Stopped before a store call.
    Waiting,
    /// Done with all its work.
    Done,
}

/// Runs `work` for workers 0 to `workers` − 1 in every order of their store calls, each
/// time on a store made by `setup`, and gives each run's results, in worker order, to
/// `check` together with the order. Returns the number of runs.
///
/// # Panics
/// When `check` does, or a worker does; the order is in the message of the former only.
pub fn explore<R: Send>(
    workers: usize,
    setup: impl Fn() -> Arc<SimStore>,
    work: impl Fn(usize, Gate<'_>) -> R + Sync,
    mut check: impl FnMut(Vec<R>, &SimStore, &[usize]),
) -> usize {
    let mut choices: Vec<(usize, usize)> = Vec::new();
    let mut runs = 0;
    loop {
        let store = setup();
        let (results, order) = run(workers, &store, &work, &mut choices);
        runs += 1;
        check(results, &store, &order);
        // The next sequence: raise the last choice that has an alternative left.
        while choices.last().is_some_and(|(choice, options)| choice + 1 == *options) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return runs,
        }
    }
}

/// One run: follows `choices` as far as they go, then always takes the first option, and
/// leaves all choices made in `choices`.
fn run<R: Send>(
    workers: usize,
    store: &SimStore,
    work: &(impl Fn(usize, Gate<'_>) -> R + Sync),
    choices: &mut Vec<(usize, usize)>,
) -> (Vec<R>, Vec<usize>) {
    let turnstile = Turnstile::default();
    turnstile.state().workers = vec![Doing::Running; workers];
    let mut order = Vec::new();
    let results = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                let turnstile = &turnstile;
                scope.spawn(move || {
                    let _done = DoneOnDrop(turnstile, worker);
                    work(worker, Gate::new(turnstile, store, worker))
                })
            })
            .collect();
        let mut step = 0;
        while let Some(waiting) = turnstile.waiting() {
            if step == choices.len() {
                choices.push((0, waiting.len()));
            }
            let (choice, _) = choices[step];
            order.push(waiting[choice]);
            turnstile.let_through(waiting[choice]);
            step += 1;
        }
        handles.into_iter().map(|handle| handle.join().expect("a worker panicked")).collect()
    });
    (results, order)
}

/// Marks the worker as done even when it panics, so that the run ends.
struct DoneOnDrop<'a>(&'a Turnstile, usize);

impl Drop for DoneOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.1, Doing::Done);
    }
}

// === impl Turnstile ===

impl Turnstile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, worker: usize, doing: Doing) {
        self.state().workers[worker] = doing;
        self.changed.notify_all();
    }

    /// The workers that stand before a store call, once all do or are done; `None` when
    /// all are done.
    fn waiting(&self) -> Option<Vec<usize>> {
        let running = |state: &mut State| state.workers.contains(&Doing::Running);
        let state = self.changed.wait_while(self.state(), running).unwrap_or_else(PoisonError::into_inner);
        let waiting: Vec<usize> =
            (0..state.workers.len()).filter(|worker| state.workers[*worker] == Doing::Waiting).collect();
        (!waiting.is_empty()).then_some(waiting)
    }

    fn let_through(&self, worker: usize) {
        self.set(worker, Doing::Running);
    }

    /// Stops until it is this worker's turn.
    fn wait(&self, worker: usize) {
        self.set(worker, Doing::Waiting);
        let waiting = |state: &mut State| state.workers[worker] == Doing::Waiting;
        drop(self.changed.wait_while(self.state(), waiting));
    }
}

// === impl Gate ===

impl<'a> Gate<'a> {
    fn new(turnstile: &'a Turnstile, store: &'a SimStore, worker: usize) -> Self {
        Self {
            turnstile,
            store,
            worker,
            lives: Cell::new(u64::MAX),
            offset: Cell::default(),
            questions: RefCell::default(),
            asked: Cell::default(),
        }
    }

    /// The store without the turnstile, for what happens before the run.
    #[must_use]
    pub fn store(&self) -> &'a SimStore {
        self.store
    }

    /// Moves the worker's clock to `offset` after [`START`]. It stands still otherwise.
    pub fn set(&self, offset: Span) {
        self.offset.set(offset);
    }

    /// Lets the worker make `calls` store calls and then none ever again: what a trap
    /// between two of them would look like to the others.
    pub fn die_after(&self, calls: u64) {
        self.lives.set(calls);
    }

    /// The questions asked since the last call, to be answered with `Worker::answer`, or never.
    pub fn take_questions(&self) -> Vec<SimQuestion> {
        self.questions.take()
    }

    /// Stops until it is this worker's turn.
    fn pass(&self) -> Result<&SimStore, StoreError> {
        let left = self.lives.get().checked_sub(1).ok_or(StoreError::Unavailable)?;
        self.lives.set(left);
        self.turnstile.wait(self.worker);
        Ok(self.store)
    }
}

impl Clock for Gate<'_> {
    fn now(&self) -> Timestamp {
        START.plus(self.offset.get())
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// Counters that are raised are the store's; the others nobody looks at. A dead worker raises none.
impl Meter for Gate<'_> {
    fn add(&self, _index: usize, _n: u64) {}

    fn raise(&self, index: usize) {
        if self.lives.get() > 0 {
            self.store.raise(index);
        }
    }

    fn read(&self, index: usize) -> u64 {
        self.store.raised(index)
    }

    fn set(&self, _index: usize, _value: u64) {}
}

/// A dead worker sends nothing.
impl Callout for Gate<'_> {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        if self.lives.get() == 0 {
            return Err(CalloutError::NotSent);
        }
        let number = self.asked.get() + 1;
        self.asked.set(number);
        let token = match question {
            Question::Http { .. } => Token::Http(number),
            Question::Name(_) => Token::Name(number),
        };
        self.questions.borrow_mut().push(SimQuestion::new(token, question));
        Ok(token)
    }
}

impl Journal for Gate<'_> {
    fn note(&self, _line: &str) {}
}

impl Store for Gate<'_> {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.pass()?.load(cell)
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        self.pass()?.replace(cell, bytes, version)
    }
}

impl Cells for Gate<'_> {
    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.pass()?.create(cell, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_cell() -> Arc<SimStore> {
        let store = SimStore::default();
        store.put("n", &[0]);
        Arc::new(store)
    }

    /// Reads, adds one, writes; `retry` after losing.
    fn increment(gate: &Gate<'_>, retry: bool) {
        loop {
            let Ok(Some((bytes, version))) = gate.load("n") else { return };
            let lost = gate.replace("n", &[bytes[0] + 1], version).is_err();
            if !(lost && retry) {
                return;
            }
        }
    }

    #[test]
    fn two_workers_of_two_calls_have_six_orders() {
        let mut orders = std::collections::BTreeSet::new();
        let runs = explore(
            2,
            one_cell,
            |_, gate| increment(&gate, false),
            |_, _, order| {
                orders.insert(order.to_vec());
            },
        );
        assert_eq!((runs, orders.len()), (6, 6));
    }

    #[test]
    fn lost_updates_are_found_and_retrying_mends_them() {
        let mut least = [u8::MAX; 2];
        for retry in [false, true] {
            explore(
                3,
                one_cell,
                |_, gate| increment(&gate, retry),
                |_, store, _| {
                    let (bytes, _) = store.load("n").unwrap().unwrap();
                    least[usize::from(retry)] = least[usize::from(retry)].min(bytes[0]);
                },
            );
        }
        assert_eq!(least, [1, 3]);
    }
}
