//! Registries that change what they say with each answer: how much of a worker's time that takes.

use std::collections::VecDeque;

use tidegate_policy::host::Clock;
use tidegate_policy::time::Span;
use tidegate_sim::host::START;
use tidegate_sim::SlowAnswer;

use crate::discovery::{answer, Numbers, Workers};
use crate::discovery_refresh_many::document;

/// One worker whose services are all different with each answer, as many seconds. Answers take so many
/// microseconds to be read and arrive at once. The parts of a thousand of its time that reading took, and how
/// often each service was asked.
fn busy(takes_us: &[u64], secs: u64) -> (u64, Vec<u64>) {
    let workers = Workers::new(1, &document(takes_us.len(), r#", "max_blocking_queries": 200"#));
    let worker = &workers.all[0];
    let end = START.plus(Span::from_secs(secs));
    let (mut busy_us, mut asked, mut index) = (0, vec![0; takes_us.len()], 1);
    let (mut ticks, mut questions) = (0, VecDeque::new());
    while worker.host.now() < end {
        // The timer is not late for more than the answer that is read.
        while worker.host.now().since(START).as_millis() >= 100 * ticks {
            worker.tick();
            ticks += 1;
        }
        questions.extend(worker.host.take_questions());
        let Some(question) = questions.pop_front() else {
            worker.host.set(Span::from_millis(100 * ticks));
            continue;
        };
        let name = question.subject().trim_start_matches("/v1/health/service/s");
        let place: usize = name.split('?').next().unwrap().parse().unwrap();
        index += 1;
        let other = format!("10.0.{}.{}:80", index / 250 % 250, index % 250);
        let takes = Span::from_nanos(1_000 * takes_us[place]);
        let answer = &answer(&question, index, &["10.1.0.1:80", &other]);
        worker.answer(&SlowAnswer { answer, host: &worker.host, takes });
        busy_us += takes_us[place];
        asked[place] += 1;
    }
    let took_us = worker.host.now().since(START).as_nanos() / 1_000;
    (1_000 * busy_us / took_us, asked)
}

/// 5,000 endpoints with all their tags took 41 % of a worker, with a query 50 ms after each answer.
#[test]
fn a_large_catalog_that_always_changes_takes_a_tenth_of_a_worker() {
    for takes_ms in [20, 80, 400] {
        let (share, asked) = busy(&[1_000 * takes_ms], 60);
        assert!(share <= 120, "{takes_ms} ms: {share} of a thousand");
        // It is followed as often as that allows.
        assert!(asked[0] * takes_ms >= 5_000, "{takes_ms} ms: asked {} times", asked[0]);
    }
}

#[test]
fn large_catalogs_share_a_tenth_and_delay_no_small_one() {
    let mut takes_us = vec![80_000; 20];
    takes_us.extend([50; 3]);
    let (share, asked) = busy(&takes_us, 120);
    assert!(share <= 140, "{share} of a thousand");
    let (large, small) = asked.split_at(20);
    assert!(large.iter().all(|n| (5..=14).contains(n)), "{large:?}");
    // More than ten changes a second are followed with each second tick at the latest.
    assert!(small.iter().all(|n| *n >= 1_000), "{small:?}");
}

/// With rests of a minute at most they took 676 of a thousand.
#[test]
fn a_hundred_large_catalogs_share_a_tenth_though_each_rests_for_minutes() {
    let (share, asked) = busy(&[400_000; 100], 2_400);
    assert!(share <= 150, "{share} of a thousand");
    assert!(asked.iter().all(|n| *n >= 4), "{asked:?}");
}

#[test]
fn no_mixture_of_catalogs_takes_more_than_its_share() {
    for seed in 0..6 {
        let numbers = &mut Numbers(seed);
        let services = 1 + numbers.below(30);
        let takes_us: Vec<u64> = (0..services).map(|_| 1_000_u64 << numbers.below(8)).collect();
        let (share, asked) = busy(&takes_us, 120);
        assert!(share <= 150, "seed {seed}: {share} of a thousand: {takes_us:?} {asked:?}");
    }
}

/// Nothing is known yet: there is no reason to wait.
#[test]
fn first_answers_are_not_delayed_by_others() {
    let takes_us = vec![300_000; 40];
    let (_, asked) = busy(&takes_us, 15);
    assert!(asked.iter().all(|n| *n >= 1), "{asked:?}");
}

/// Nine times what its answers take is more than `hold_ms`: what is gone was kept for minutes.
#[test]
fn a_held_back_answer_is_confirmed_in_time_however_much_its_answers_cost() {
    let workers = Workers::new(1, &document(1, ""));
    let worker = &workers.all[0];
    let (mut index, mut asked) = (10, Vec::new());
    let holds = || workers.metric("tidegate.discovery.service.s0.hold_active") == 1;
    while asked.len() < 3 || holds() {
        worker.host.set(worker.host.now().since(START).plus(Span::from_millis(100)));
        worker.tick();
        for question in worker.host.take_questions() {
            index += 1;
            let all = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
            let answer = &answer(&question, index, if index == 11 { &all } else { &all[..1] });
            asked.push(worker.host.now().since(START).floor_secs());
            worker.answer(&SlowAnswer { answer, host: &worker.host, takes: Span::from_secs(5) });
        }
    }
    // It is held from the second answer on, which comes after the rest.
    let took = asked.last().unwrap() - asked[1];
    assert!(took <= 45, "{asked:?}");
    assert!(asked.windows(2).skip(1).all(|two| two[1] - two[0] >= 10), "no more often: {asked:?}");
}
