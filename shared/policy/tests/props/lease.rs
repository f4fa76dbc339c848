//! Workers that take leases from one bucket.

use proptest::prelude::*;
use tidegate_policy::gcra::{Bucket, Decision, Rate};
use tidegate_policy::ratelimit::hot::{HotKeys, Known};
use tidegate_policy::ratelimit::lease::{Lease, LeaseParams};
use tidegate_policy::time::{Span, Timestamp};

use crate::{cases, envelope, rate, within_envelope, START};

/// What an adversary does next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Charges one request, without a lease.
    Charge,
    /// Charges one request and takes a lease of up to so many more in the same write, as the stage does.
    ChargeAndLease(u64),
    /// Takes a lease without a request.
    Lease(u64),
    /// Spends so many units of what the worker holds, of the oldest lease first.
    Spend(u64),
    /// Waits for the last instant of the worker's oldest lease, and spends all of it then.
    SpendAtEnd,
    /// Waits for the last instant of any lease, and has all workers spend all they hold.
    AllSpendAtEnd,
}

/// Rates whose leases last a good part of an interval, or several.
fn rates() -> impl Strategy<Value = Rate> {
    let few = (1_u64..2_000, 1_u32..8).prop_map(|(nanos, burst)| rate(1, Span::from_nanos(nanos), burst));
    let many = (1_u64..12, 100_u32..1_200).prop_map(|(nanos, burst)| rate(1, Span::from_nanos(nanos), burst));
    prop_oneof![1 => few, 3 => many]
}

fn moves() -> impl Strategy<Value = Move> {
    let size = || prop_oneof![2 => 1_u64..8, 2 => 1_u64..200, 1 => Just(u64::MAX)];
    prop_oneof![
        2 => Just(Move::Charge),
        3 => size().prop_map(Move::ChargeAndLease),
        2 => size().prop_map(Move::Lease),
        3 => size().prop_map(Move::Spend),
        2 => Just(Move::SpendAtEnd),
        1 => Just(Move::AllSpendAtEnd),
    ]
}

/// A bucket, its workers with all leases that they hold, and what was admitted when.
struct World {
    rate: Rate,
    params: LeaseParams,
    cost: u64,
    now: Timestamp,
    bucket: Bucket,
    held: Vec<Vec<Lease>>,
    admitted: Vec<(Timestamp, u64)>,
}

impl World {
    fn play(&mut self, worker: usize, action: Move) {
        match action {
            Move::Charge => self.charge(),
            Move::ChargeAndLease(size) => {
                let before = self.admitted.len();
                self.charge();
                if self.admitted.len() > before {
                    self.lease(worker, size);
                }
            }
            Move::Lease(size) => self.lease(worker, size),
            Move::Spend(units) => self.spend(worker, units),
            Move::SpendAtEnd => {
                let ends = self.held[worker].iter().map(|lease| lease.until).filter(|end| *end >= self.now);
                self.now = ends.min().unwrap_or(self.now);
                self.spend(worker, u64::MAX);
            }
            Move::AllSpendAtEnd => {
                let ends = self.held.iter().flatten().map(|lease| lease.until).filter(|end| *end >= self.now);
                self.now = ends.min().unwrap_or(self.now);
                (0..self.held.len()).for_each(|worker| self.spend(worker, u64::MAX));
            }
        }
    }

    fn charge(&mut self) {
        if let Decision::Admit { next } = self.rate.decide(self.bucket, self.now, self.cost) {
            self.bucket = next;
            self.admitted.push((self.now, self.cost));
        }
    }

    fn lease(&mut self, worker: usize, size: u64) {
        if let Some(taken) = self.params.take(self.rate, self.bucket, self.now, size) {
            self.bucket = taken.next;
            self.held[worker].push(taken);
        }
    }

    fn spend(&mut self, worker: usize, mut units: u64) {
        let now = self.now;
        self.held[worker].retain(|lease| lease.until >= now && lease.requests > 0);
        for lease in &mut self.held[worker] {
            let spent = units.min(lease.requests);
            lease.requests -= spent;
            units -= spent;
            if spent > 0 {
                self.admitted.push((now, spent * self.cost));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(800))]

    /// The central claim of leases: whoever takes leases of whatever size and spends them
    /// whenever he may, in no window are more units admitted than by a single bucket.
    #[test]
    fn leases_never_exceed_the_envelope(
        rate in rates(),
        cost in prop_oneof![3 => Just(1_u64), 1 => 1_u64..5],
        ttl in prop_oneof![Just(u64::MAX), 0_u64..20],
        workers in 1_usize..=8,
        // How much later, in eighths of an interval, which worker, and what it does.
        steps in prop::collection::vec((prop_oneof![3 => Just(0_u64), 3 => 0_u64..16, 1 => 0_u64..2_000], 0_usize..8, moves()), 1..100),
    ) {
        let mut world = World {
            rate,
            params: LeaseParams::new(rate, cost, u64::MAX, Span::from_nanos(ttl)),
            cost,
            now: START,
            bucket: Bucket::FULL,
            held: vec![Vec::new(); workers],
            admitted: Vec::new(),
        };
        for (later, worker, action) in steps {
            world.now = world.now.plus(Span::from_nanos(rate.interval().as_nanos() * later / 8));
            world.play(worker % workers, action);
        }
        within_envelope(&world.admitted, |window| envelope(rate, window))?;
    }

    /// A lease leaves the bucket as a charge of all its units at its end would, within the burst.
    #[test]
    fn a_lease_is_a_charge_at_its_end(
        rate in rates(),
        cost in 1_u64..5,
        ahead in 0_u64..20_000,
        size in 0_u64..2_000,
    ) {
        let params = LeaseParams::new(rate, cost, u64::MAX, Span::from_secs(1));
        let bucket = Bucket::full_at(START.plus(Span::from_nanos(ahead)));
        if let Some(taken) = params.take(rate, bucket, START, size) {
            prop_assert!((1..=size).contains(&taken.requests));
            prop_assert_eq!(
                rate.decide(bucket, taken.until, taken.requests * cost),
                Decision::Admit { next: taken.next }
            );
            prop_assert!(rate.reset_after(taken.next, START) <= rate.capacity());
        }
    }

    /// No numbers make it panic, and it never takes more than it was asked for.
    #[test]
    fn is_total(
        rate in crate::rates(),
        (cost, units, ttl, seen, left) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
        (bucket, now, wish) in (any::<u64>(), any::<u64>(), any::<u64>()),
    ) {
        let params = LeaseParams::new(rate, cost, units, Span::from_nanos(ttl));
        let size = params.size(seen, left);
        prop_assert!(u128::from(size) * u128::from(cost.max(1)) <= u128::from(units.min(left)));
        let bucket = Bucket::full_at(Timestamp::from_nanos(bucket));
        if let Some(taken) = params.take(rate, bucket, Timestamp::from_nanos(now), wish) {
            prop_assert!(taken.requests <= wish && taken.next >= bucket);
        }
    }
}

/// Requests admitted by one bucket alone, and by workers that lease from one as the stage does.
fn alone_and_leased(rate: Rate, workers: usize, arrivals: &[(Timestamp, usize)]) -> (u64, u64) {
    let params = LeaseParams::new(rate, 1, 32, Span::from_millis(100));
    let (mut alone, mut shared) = (Bucket::FULL, Bucket::FULL);
    let mut hot: Vec<HotKeys> = (0..workers).map(|_| HotKeys::default()).collect();
    let (mut by_one, mut by_all) = (0, 0);
    for (now, worker) in arrivals.iter().copied() {
        if let Decision::Admit { next } = rate.decide(alone, now, 1) {
            alone = next;
            by_one += 1;
        }
        let memory = &mut hot[worker];
        match (memory.see(7, now).0, rate.decide(shared, now, 1)) {
            (Known::Leased { .. }, _) => {
                memory.spend(7);
                by_all += 1;
            }
            (Known::Refused { .. }, _) => {}
            (Known::Nothing, Decision::Admit { next }) => {
                let size = params.size(memory.seen(7), rate.remaining(next, now));
                let taken = params.take(rate, next, now, size);
                if let Some(taken) = &taken {
                    memory.keep(7, taken, 0);
                }
                shared = taken.map_or(next, |taken| taken.next);
                by_all += 1;
            }
            (Known::Nothing, Decision::Refuse { retry_after }) => {
                memory.refuse(7, now, now.plus(retry_after.unwrap_or(Span::ZERO)), shared, false);
            }
        }
    }
    (by_one, by_all)
}

proptest! {
    #![proptest_config(cases(16))]

    /// Leases of the size that the stage takes cost less than 1 % of what is admitted,
    /// whether the limit is reached, now and then, or never.
    #[test]
    fn leases_strand_less_than_one_percent(
        per_second in 2_000_u32..50_000,
        burst_ms in 100_u32..2_000,
        workers in 1_usize..=8,
        // Spells of a tenth of a second, each at so many percent of the rate.
        spells in prop::collection::vec(prop_oneof![Just(0_u64), 20_u64..100, 100_u64..400], 5..30),
        seed: u64,
    ) {
        let burst = (u64::from(per_second) * u64::from(burst_ms) / 1000) as u32;
        let rate = rate(per_second, Span::from_secs(1), burst.max(1));
        let mut random = seed | 1;
        let mut arrivals = Vec::new();
        for (spell, percent) in spells.iter().enumerate() {
            let count = u64::from(per_second) * percent / 1000;
            let start = START.plus(Span::from_millis(spell as u64 * 100));
            let mut instants: Vec<_> = (0..count.min(8_000))
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    (start.plus(Span::from_nanos(random % 100_000_000)), (random >> 32) as usize % workers)
                })
                .collect();
            instants.sort_unstable();
            arrivals.extend(instants);
        }
        let (alone, leased) = alone_and_leased(rate, workers, &arrivals);
        prop_assert!(leased <= alone + alone / 100 + 1, "{leased} of {alone}");
        prop_assert!(leased * 100 >= alone * 99, "{leased} of {alone}");
    }
}
