//! Workers that share one breaker, and the bytes that it is kept in.

use proptest::prelude::*;
use tidegate_policy::breaker::cells::probes::Probes;
use tidegate_policy::breaker::cells::record::Counts;
use tidegate_policy::breaker::decide::Probe;
use tidegate_policy::breaker::{decide, transition, Admission, BreakerParams, Delta, Reason, Record, State};
use tidegate_policy::http::classify::Class;

use crate::cases;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// A worker asks for a request, whose body is still to come or which has none.
    Ask(bool),
    /// One of its requests comes back, so many percent through the list of them.
    Finish(usize, Class, bool),
    /// It merges what it counted.
    Flush,
    /// The configuration demands a state.
    Force(State),
}

/// A request that is under way.
#[derive(Clone, Copy)]
struct Pass {
    generation: u32,
    probe: bool,
    upload: bool,
}

/// A worker: its requests, and what it counted of each generation.
#[derive(Clone, Default)]
struct Worker {
    passes: Vec<Pass>,
    deltas: Vec<Delta>,
}

/// Workers and the record that they share.
struct World {
    params: BreakerParams,
    now_ms: u64,
    record: Record,
    workers: Vec<Worker>,
    /// Uploads of this half-open time whose permits are others' now, and which are under way or have an
    /// answer.
    displaced: usize,
}

type Checked = Result<(), TestCaseError>;

fn params() -> impl Strategy<Value = BreakerParams> {
    let trips = (1_u32..=100, 1_u32..=100, 0_u32..12, 0_u32..6);
    let window = (1_u32..=12, 1_u64..1_000);
    let probing = (1_u16..=6, prop_oneof![1 => Just(0_u64), 3 => 1_u64..5_000]);
    let waiting =
        (1_u64..3_000, 100_u32..400, 0_u64..20_000, 0_u32..=100, prop_oneof![Just(0_u64), 1_u64..5_000]);
    (trips, window, probing, waiting).prop_map(|(trips, window, probing, waiting)| BreakerParams {
        failure_rate_percent: trips.0,
        slow_rate_percent: trips.1,
        slow_call_ms: 100,
        minimum_calls: trips.2,
        consecutive_failures: trips.3,
        slots: window.0,
        slot_ms: window.1,
        half_open_permits: probing.0,
        max_half_open_ms: probing.1,
        base_open_ms: waiting.0,
        backoff_multiplier_percent: waiting.1,
        max_open_ms: waiting.0 + waiting.2,
        jitter_percent: waiting.3,
        streak_decay_ms: waiting.4,
        demanded: State::Closed,
        salt: 0,
    })
}

fn classes() -> impl Strategy<Value = Class> {
    prop_oneof![
        4 => Just(Class::Failure),
        2 => Just(Class::Ignored),
        1 => Just(Class::Left),
        4 => Just(Class::Success),
        1 => Just(Class::Throttled),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    let finish = (0_usize..100, classes(), prop::bool::weighted(0.2));
    let states =
        prop::sample::select(vec![State::Closed, State::ForcedOpen, State::Disabled, State::MetricsOnly]);
    prop_oneof![
        80 => any::<bool>().prop_map(Move::Ask),
        80 => finish.prop_map(|(place, class, slow)| Move::Finish(place, class, slow)),
        30 => Just(Move::Flush),
        1 => states.prop_map(Move::Force),
    ]
}

/// Mostly no time, sometimes some, sometimes as long as a breaker stays open.
fn pauses() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0_u64), 3 => 1_u64..300, 1 => 300_u64..6_000]
}

// === impl World ===

impl World {
    fn play(&mut self, worker: usize, action: Move, draw: u64) -> Checked {
        let before = self.record.clone();
        let reason = match action {
            Move::Ask(upload) => self.ask(worker, upload, draw)?,
            Move::Finish(place, class, slow) => self.finish(worker, place, class, slow, draw)?,
            Move::Flush => self.flush(worker, draw)?,
            Move::Force(state) => {
                transition::force(&mut self.record, state, self.now_ms);
                self.displaced = 0;
                prop_assert_eq!(self.record.generation, before.generation + 1, "forced");
                return self.probes_are_accounted_for();
            }
        };
        self.displaced = if reason.is_some() { 0 } else { self.displaced };
        self.transition_is_sound(&before, reason)?;
        self.open_is_exact(draw)?;
        self.probes_are_accounted_for()
    }

    fn ask(&mut self, worker: usize, upload: bool, draw: u64) -> Result<Option<Reason>, TestCaseError> {
        let before = self.record.clone();
        let (admission, reason) = decide::admit(&mut self.record, &self.params, upload, self.now_ms, draw);
        if let Admission::Admit { generation, probe } = admission {
            prop_assert_eq!(generation, self.record.generation);
            self.workers[worker].passes.push(Pass { generation, probe, upload });
            let (was, is) = (before.probes, self.record.probes);
            if probe && reason.is_none() && (was.issued == is.issued || upload && was.uploads == is.uploads) {
                self.displaced += 1;
            }
        }
        if reason.is_none() && !matches!(admission, Admission::Admit { probe: true, .. }) {
            prop_assert_eq!(&self.record, &before, "neither a transition nor a permit");
        }
        Ok(reason)
    }

    fn finish(
        &mut self,
        worker: usize,
        place: usize,
        class: Class,
        slow: bool,
        draw: u64,
    ) -> Result<Option<Reason>, TestCaseError> {
        let (params, now_ms) = (self.params, self.now_ms);
        let Worker { passes, deltas } = &mut self.workers[worker];
        if passes.is_empty() {
            return Ok(None);
        }
        let Pass { generation, probe, upload } = passes.remove(place * passes.len() / 100);
        if !probe {
            if !deltas.iter().any(|delta| delta.generation == generation) {
                deltas.push(Delta::new(generation));
            }
            let delta = deltas.iter_mut().find(|delta| delta.generation == generation);
            delta.unwrap().count(&params, now_ms, class, slow || class == Class::Left);
            return Ok(None);
        }
        let before = self.record.clone();
        let slow = slow || class == Class::Left;
        let told = decide::probed(
            &mut self.record,
            &params,
            Probe { generation, upload },
            class,
            slow,
            now_ms,
            draw,
        );
        let displaced = upload && before.probes.uploads == 0;
        let unanswered = displaced && matches!(class, Class::Ignored | Class::Left);
        prop_assert_eq!(told.is_none(), generation != before.generation || unanswered, "late, or displaced");
        if unanswered && generation == before.generation {
            self.displaced -= 1;
        }
        if told.is_none() {
            prop_assert_eq!(&self.record, &before, "a late outcome");
        }
        if told.is_some() && class == Class::Ignored {
            let uploads = before.probes.uploads - u16::from(upload);
            let probes = Probes { issued: before.probes.issued - 1, uploads, ..before.probes };
            prop_assert_eq!(&self.record, &Record { probes, ..before }, "it gives its permit back");
            if !self.is_expired() {
                let again = decide::admit(&mut self.record.clone(), &params, upload, now_ms, 0);
                prop_assert_eq!(again, (Admission::Admit { generation, probe: true }, None));
            }
        }
        Ok(told.flatten())
    }

    fn flush(&mut self, worker: usize, draw: u64) -> Result<Option<Reason>, TestCaseError> {
        let mut reason = None;
        for delta in std::mem::take(&mut self.workers[worker].deltas) {
            let before = self.record.clone();
            let told = decide::merge(&mut self.record, &self.params, &delta, self.now_ms, draw);
            if delta.generation != before.generation {
                prop_assert_eq!(&self.record, &before, "late counts");
                prop_assert_eq!(
                    (told.left.dropped + told.left.discarded, told.reason),
                    (delta.total(), None)
                );
            }
            reason = reason.or(told.reason);
        }
        Ok(reason)
    }

    /// A transition is one generation, nothing else is; and what opens stays open as long
    /// as it should.
    fn transition_is_sound(&self, before: &Record, reason: Option<Reason>) -> Checked {
        let transitions = u32::from(reason.is_some());
        prop_assert_eq!(self.record.generation, before.generation + transitions, "{:?}", reason);
        prop_assert!(reason.is_some() || self.record.state == before.state, "a state without a reason");
        if reason.is_some() && self.record.state == State::Open {
            let wait = self.params.wait(self.record.streak);
            let most = wait + wait * u64::from(self.params.jitter_percent) / 100;
            let got = self.record.at_ms - self.now_ms;
            prop_assert!((wait..=most).contains(&got), "{} ms, expected {} to {} ms", got, wait, most);
        }
        Ok(())
    }

    /// An open breaker refuses up to the instant that it names, and probes at it.
    fn open_is_exact(&self, draw: u64) -> Checked {
        if self.record.state != State::Open {
            return Ok(());
        }
        let ask = |now_ms| decide::admit(&mut self.record.clone(), &self.params, false, now_ms, draw).0;
        for now_ms in [self.now_ms, self.record.at_ms - 1] {
            let left = self.record.at_ms.saturating_sub(now_ms);
            if left > 0 {
                prop_assert_eq!(ask(now_ms), Admission::Refuse { retry_after_ms: Some(left) });
            }
        }
        let generation = self.record.generation + 1;
        prop_assert_eq!(ask(self.record.at_ms), Admission::Admit { generation, probe: true });
        Ok(())
    }

    /// The probes under way and those with an answer are at most as many as the permits, with those that were
    /// renewed, but for uploads whose permits are others' now. While an upload has one, a request
    /// without a body can have it.
    fn probes_are_accounted_for(&self) -> Checked {
        let ours = |pass: &&Pass| pass.probe && pass.generation == self.record.generation;
        let in_flight = || self.workers.iter().flat_map(|worker| &worker.passes).filter(ours);
        let sent = in_flight().filter(|pass| pass.upload).count();
        let Probes { issued, ok, failed, uploads, .. } = self.record.probes;
        let passed = in_flight().count() + usize::from(ok + failed);
        prop_assert!(passed <= usize::from(issued) + self.displaced, "{} passed of {}", passed, issued);
        prop_assert!(sent >= usize::from(uploads), "{} uploads have {} permits", sent, uploads);
        if self.record.state == State::HalfOpen && uploads > 0 && !self.is_expired() {
            let mut record = self.record.clone();
            let passes = decide::admit(&mut record, &self.params, false, self.now_ms, 0).0;
            let admitted = matches!(passes, Admission::Admit { probe: true, .. });
            prop_assert!(admitted, "no permit for a request without a body");
        }
        let (permits, most_ms) = (self.params.half_open_permits, self.params.max_half_open_ms);
        let since_ms = most_ms.saturating_sub(self.record.at_ms.saturating_sub(self.now_ms));
        let most = permits + self.params.renewed(since_ms, 0);
        prop_assert!(issued <= most && most <= 30 * permits, "{} probes of {}", issued, most);
        Ok(())
    }

    fn is_expired(&self) -> bool {
        self.record.at_ms != 0 && self.now_ms >= self.record.at_ms
    }
}

proptest! {
    #![proptest_config(cases(1_500))]

    /// However requests, outcomes and flushes of several workers interleave.
    #[test]
    fn every_step_is_sound(
        params in params(),
        workers in 1_usize..=4,
        steps in prop::collection::vec((pauses(), 0_usize..4, moves(), any::<u64>()), 1..250),
    ) {
        let workers = vec![Worker::default(); workers];
        let mut world = World { params, now_ms: 1_000_000, record: Record::new(&params), workers, displaced: 0 };
        for (pause, worker, action, draw) in steps {
            world.now_ms += pause;
            let worker = worker % world.workers.len();
            world.play(worker, action, draw)?;
        }
    }

    /// Counts are exact whatever the order in which workers flush: those of the window are
    /// what came in the window, and the slots are the same to the last one.
    #[test]
    fn counts_do_not_depend_on_the_order_of_flushes(
        slots in 1_u32..=12,
        // Also where half of the range of epochs has passed.
        origin in prop_oneof![Just(0_u64), Just(1_000), Just(1 << 31), Just((1 << 32) - 100)],
        outcomes in prop::collection::vec((0_u64..40, 0_usize..5, classes(), any::<bool>()), 1..100),
        order in Just([0_usize, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let params = BreakerParams { slots, slot_ms: 1, ..BreakerParams::default() };
        let mut deltas = vec![Delta::new(1); 5];
        let mut sorted = outcomes;
        sorted.sort_by_key(|(at, ..)| *at);
        let now_ms = origin + sorted.iter().map(|(at, ..)| *at).max().unwrap();
        let mut expected = Counts::default();
        for (at, worker, class, slow) in sorted {
            deltas[worker].count(&params, origin + at, class, slow);
            if now_ms - (origin + at) < u64::from(slots) && class != Class::Ignored {
                let failed = u32::from(matches!(class, Class::Failure | Class::Throttled));
                expected = expected.plus(Counts { total: 1, failed, slow: u32::from(slow) });
            }
        }
        let merged = |order: &[usize]| {
            let mut record = Record::new(&params);
            transition::force(&mut record, State::MetricsOnly, now_ms);
            for worker in order {
                let _ = decide::merge(&mut record, &params, &deltas[*worker], now_ms, 0);
            }
            record
        };
        let (one, other) = (merged(&[0, 1, 2, 3, 4]), merged(&order));
        prop_assert_eq!(one.window(&params, now_ms), expected);
        prop_assert_eq!(one.slots, other.slots);
    }

    /// Any bytes are a record; what it is written as is read as the same.
    #[test]
    fn decoding_is_total_and_stable(
        slots in 1_u32..=4,
        mut bytes in prop::collection::vec(any::<u8>(), 0..128),
        as_if in any::<bool>(),
    ) {
        let params = BreakerParams { slots, ..BreakerParams::default() };
        if as_if {
            bytes.resize(Record::size(slots), 0);
            bytes[0] = 1;
        }
        let record = Record::decode(&bytes, &params);
        let again = record.encode();
        prop_assert_eq!(again.len(), Record::size(slots));
        prop_assert_eq!(Record::decode(&again, &params), record.clone());
        if as_if && bytes[1] <= 5 {
            prop_assert_eq!(&again, &bytes, "each byte means something");
        }
    }

    /// No record, however absurd, and no outcome make it panic.
    #[test]
    fn is_total(
        bytes in prop::collection::vec(any::<u8>(), 32 + 16..=32 + 16),
        state in 0_u8..7,
        numbers in any::<[u64; 4]>(),
        (class, slow, upload) in (classes(), any::<bool>(), any::<bool>()),
    ) {
        let [now_ms, draw, slot_ms, base] = numbers;
        let params = BreakerParams { slots: 1, slot_ms, base_open_ms: base, max_open_ms: u64::MAX, ..BreakerParams::default() };
        let bytes = [&[1, state], &bytes[2..]].concat();
        let record = Record::decode(&bytes, &params);
        let _ = decide::admit(&mut record.clone(), &params, upload, now_ms, draw);
        let probe = Probe { generation: record.generation, upload };
        let told = decide::probed(&mut record.clone(), &params, probe, class, slow, now_ms, draw);
        let displaced = upload && record.probes.uploads == 0 && matches!(class, Class::Ignored | Class::Left);
        prop_assert_eq!(told.is_some(), record.state == State::HalfOpen && !displaced);
        let mut delta = Delta::new(record.generation);
        delta.count(&params, now_ms, class, slow);
        let _ = decide::merge(&mut record.clone(), &params, &delta, now_ms, draw);
        transition::adopt(&mut record.clone(), &params, now_ms);
    }
}
