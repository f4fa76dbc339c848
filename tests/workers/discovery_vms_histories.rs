//! One VM and two beside each other, over random histories of dead endpoints.

use crate::discovery::{fixed, Numbers};
use crate::discovery_both::{Both, FOUR};
use crate::discovery_trust::World;

/// Requests of a history in one VM and in two, at the same times and with the same dead endpoints: how many
/// failed, where they were not bound to be answered.
struct Pair {
    worlds: [World; 2],
    most: usize,
    name: String,
    now: u64,
    failed: [usize; 2],
    met_dead: usize,
}

impl Pair {
    fn new(seed: u64, numbers: &mut Numbers) -> Self {
        const BALANCE: [&str; 4] = ["round_robin", "least_request", "maglev", "random"];
        let most = 2 + u32::try_from(numbers.below(2)).unwrap();
        let balance = BALANCE[numbers.below(BALANCE.len())];
        let json = fixed(&FOUR[..3], &format!(r#""attempts": {most}, "balance": "{balance}""#));
        Self {
            worlds: [World::of(Both::new(&json), most), World::of(Both::apart(&json), most)],
            most: usize::try_from(most).unwrap(),
            name: format!("seed {seed}, {balance}, {most} attempts"),
            now: 0,
            failed: [0, 0],
            met_dead: 0,
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.worlds.iter().for_each(|world| world.at(self.now));
    }

    /// An endpoint dies, unless two are dead.
    fn kill(&mut self, endpoint: &str) {
        for world in self.worlds.iter_mut().filter(|world| world.dead.len() < 2) {
            world.dead.insert(endpoint.to_owned());
        }
    }

    fn revive(&mut self, endpoint: &str) -> bool {
        self.worlds.each_mut().map(|world| world.dead.remove(endpoint)).contains(&true)
    }

    /// Whether both were answered, and whether there were fewer dead endpoints than attempts.
    fn request(&mut self) -> (bool, bool) {
        let answered = self.worlds.each_mut().map(|world| world.request(&|_| false));
        let dead = self.worlds[0].dead.len();
        self.met_dead += usize::from(dead > 0);
        for (failed, answered) in self.failed.iter_mut().zip(answered) {
            *failed += usize::from(!answered);
        }
        (answered == [true, true], dead < self.most)
    }
}

/// Some of three endpoints die, and come back for as long as it takes to forget that they did.
#[test]
fn no_request_fails_in_two_vms_that_one_vm_answers() {
    let (mut met_dead, mut failed) = (0, [0, 0]);
    for seed in 1..=40 {
        let mut numbers = Numbers(seed);
        let mut pair = Pair::new(seed, &mut numbers);
        for step in 0..200 {
            pair.pass([1, 10, 100, 1_000][numbers.below(4)]);
            let endpoint = FOUR[numbers.below(3)];
            match numbers.below(12) {
                0 => pair.kill(endpoint),
                1 if pair.revive(endpoint) => {
                    for _ in 0..20 {
                        pair.pass(10_000);
                        pair.request();
                    }
                }
                _ => {}
            }
            let (answered, bound) = pair.request();
            assert!(answered || !bound, "{}, step {step}: {:?}", pair.name, pair.failed);
        }
        assert!(pair.worlds.iter().all(|world| world.both.in_flight() == 0));
        met_dead += pair.met_dead;
        failed = [failed[0] + pair.failed[0], failed[1] + pair.failed[1]];
    }
    assert!(met_dead > 3_000, "{met_dead}");
    // Two of three dead and two attempts: which ones a request meets is drawn.
    assert!(failed[1] <= failed[0] + failed[0] / 4 + 5, "{failed:?}");
}

/// They come back at any time, while they are still known as refusing.
#[test]
fn hardly_more_requests_fail_in_two_vms_than_in_one() {
    let mut failed = [0, 0];
    for seed in 1..=40 {
        let mut numbers = Numbers(seed);
        let mut pair = Pair::new(seed, &mut numbers);
        for _ in 0..300 {
            pair.pass([1, 10, 100, 1_000][numbers.below(4)]);
            let endpoint = FOUR[numbers.below(3)];
            match numbers.below(10) {
                0 => pair.kill(endpoint),
                1 => drop(pair.revive(endpoint)),
                _ => {}
            }
            pair.request();
        }
        failed = [failed[0] + pair.failed[0], failed[1] + pair.failed[1]];
    }
    // Those that met the only good endpoint as it began to refuse: the other VM chose no last resort beforehand.
    assert!(failed[0] <= 100 && failed[1] <= failed[0] + 30, "{failed:?} of 12,000");
}
