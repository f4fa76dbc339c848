//! Which queries go to Consul and when, and how soon workers know the answer.

use tidegate_sim::SimQuestion;

use crate::discovery::{answer, bare, config, polled, question, reached, sent, Workers};

const SERVICE: &str = "/v1/health/service/orders";

#[test]
fn the_first_tick_queries_and_the_next_request_of_every_worker_follows() {
    let workers = Workers::new(3, &config("", ""));
    assert!(workers.all[0].host.take_questions().is_empty(), "nothing before the timer");
    assert_eq!(sent(&workers.all[0]), "waits");
    workers.tick();
    let asked = question(&workers.all[0]);
    assert_eq!(asked.subject(), SERVICE);
    let others = |at: usize| workers.all[at].host.take_questions().len();
    assert_eq!((others(1), others(2)), (0, 0), "one worker asks for all");
    workers.all[0].answer(&answer(&asked, 10, &["10.0.0.1:80"]));
    for worker in &workers.all {
        assert_eq!(sent(worker), "10.0.0.1:80");
    }
    // No worker ticks, and yet all know the next one.
    let asked = question(&workers.all[0]);
    assert_eq!(asked.subject(), format!("{SERVICE}?index=10&wait=55s"), "and waits at once for the next");
    workers.all[0].answer(&answer(&asked, 11, &["10.0.0.2:80"]));
    for worker in &workers.all {
        assert_eq!(sent(worker), "10.0.0.2:80");
    }
}

#[test]
fn unchanged_answers_write_nothing_and_notify_no_worker() {
    let workers = Workers::new(2, &polled("", ""));
    let two = ["10.0.0.1:80", "10.0.0.2:80"];
    workers.tick();
    workers.all[0].answer(&answer(&question(&workers.all[0]), 10, &two));
    let before = workers.changes();
    let mut quiet = 0;
    for second in 1..120 {
        workers.at(second * 1_000).tick();
        for asked in workers.all[0].host.take_questions() {
            let before = workers.store.calls();
            workers.all[0].answer(&answer(&asked, 10 + second, &["10.0.0.2:80", "10.0.0.1:80"]));
            assert_eq!(workers.store.calls(), before, "second {second}");
            quiet += 1;
        }
    }
    assert!(quiet >= 8, "asked only {quiet} times in two minutes");
    assert_eq!((workers.changes(), workers.asked("changes")), (before, 1));
    assert_eq!(reached(&workers.all[1]), "1 2");
}

/// Also after a handover, when the first answer is announced whatever it says.
#[test]
fn unchanged_answers_write_nothing_after_a_handover() {
    let json = polled("", "");
    let first = Workers::knowing(1, &json, &["10.0.0.1:80"]);
    let workers = Workers::on(&first.store, 1, &json);
    // A period and its fifth, whatever the draw.
    workers.at(13_000).tick();
    workers.all[0].answer(&answer(&question(&workers.all[0]), 11, &["10.0.0.2:80"]));
    let before = workers.changes();
    workers.at(30_000).tick();
    workers.all[0].answer(&answer(&question(&workers.all[0]), 12, &["10.0.0.2:80"]));
    assert_eq!(workers.changes(), before, "the same answer is announced again");
}

/// The index of an answer, the question that follows.
#[test]
fn the_index_is_followed() {
    #[rustfmt::skip]
    let cases = [
        // name                   indexes                  the last question
        ("first",                 &[Some(10)][..],         "?index=10&wait=55s"),
        ("forward",               &[Some(10), Some(12)],   "?index=12&wait=55s"),
        ("the wait was over",     &[Some(10), Some(10)],   "?index=10&wait=55s"),
        ("backward",              &[Some(10), Some(3)],    ""),
        ("and on from there",     &[Some(10), Some(3), Some(3)], "?index=3&wait=55s"),
        ("0 would not wait",      &[Some(0)],              "?index=1&wait=55s"),
        ("lost on the way",       &[Some(10), None],       ""),
    ];
    for (name, indexes, expected) in cases {
        let workers = Workers::new(1, &config("", ""));
        let worker = &workers.all[0];
        for (step, index) in indexes.iter().enumerate() {
            workers.at(2_000 * step as u64).tick();
            // Always something new, so that nothing is slowed.
            let asked = question(worker);
            let endpoint = format!("10.0.0.{}:80", step + 1);
            let list = [endpoint.as_str()];
            worker.answer(&index.map_or_else(|| bare(&asked, &list), |index| answer(&asked, index, &list)));
            assert_eq!(sent(worker), endpoint, "{name}");
            if index.is_none() {
                workers.at(15_000).tick();
            }
        }
        assert_eq!(question(worker).subject(), format!("{SERVICE}{expected}"), "{name}");
    }
}

/// Times between questions, of a registry that answers at once.
fn gaps(json: &str, says: &mut dyn FnMut(&SimQuestion) -> tidegate_sim::SimAnswer, to: u64) -> Vec<u64> {
    let workers = Workers::new(1, json);
    let asked = workers.run(0, to, &mut |_, question| Some(says(question)));
    asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn without_an_index_queries_come_each_ttl_with_a_fifth_of_jitter() {
    let one = ["10.0.0.1:80"];
    for json in [config("", ""), polled("", "")] {
        let gaps = gaps(&json, &mut |question| bare(question, &one), 1_000_000);
        assert!((80..=125).contains(&gaps.len()), "{} questions", gaps.len());
        assert!(gaps.iter().all(|gap| (8_000..=12_100).contains(gap)), "{gaps:?}");
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*least < 9_000 && *most > 11_000, "all alike: {least} to {most}");
    }
    let gaps = gaps(&polled(r#""ttl_ms": 1000"#, ""), &mut |question| bare(question, &one), 60_000);
    assert!(gaps.iter().all(|gap| (800..=1_300).contains(gap)), "{gaps:?}");
}

#[test]
fn an_index_that_moves_without_changes_is_slowed_and_changes_are_not() {
    let mut index = 10;
    let chatty = gaps(
        &config("", ""),
        &mut |question| {
            index += 1;
            answer(question, index, &["10.0.0.1:80"])
        },
        300_000,
    );
    // The first answer is new. Two more are free, then one each 15 s.
    assert_eq!(chatty[..3], [0, 0, 0]);
    assert!(chatty[3..].iter().all(|gap| (15_000..=15_100).contains(gap)), "{chatty:?}");
    let workers = Workers::new(1, &config("", ""));
    for n in 1..200_u64 {
        workers.at(n * 100).tick();
        let endpoint = format!("10.0.0.{n}:80");
        workers.all[0].answer(&answer(&question(&workers.all[0]), n, &[&endpoint]));
        assert_eq!(sent(&workers.all[0]), endpoint);
    }
    workers.at(20_000).tick();
    assert_eq!(workers.all[0].host.take_questions().len(), 1, "and waits for the next");
}

/// A wait that is over because its time is up is no haste: the next one follows, however short it is.
#[test]
fn a_blocking_query_is_repeated_when_nothing_changes() {
    for (wait_ms, word) in [(1_000, "1s"), (5_000, "5s"), (55_000, "55s")] {
        let json = config("", "")
            .replace(r#""cluster": "consul""#, &format!(r#""cluster": "consul", "wait_ms": {wait_ms}"#));
        let workers = Workers::knowing(1, &json, &["10.0.0.1:80"]);
        let worker = &workers.all[0];
        let mut now = 0;
        for round in 0..10 {
            let asked = question(worker);
            assert_eq!(asked.subject(), format!("{SERVICE}?index=10&wait={word}"), "{round}");
            now += wait_ms + wait_ms / 20;
            // The lease is kept meanwhile.
            workers.run(now - wait_ms, now, &mut |_, _| None);
            worker.answer(&answer(&asked, 10, &["10.0.0.1:80"]));
        }
        assert_eq!(worker.host.take_questions().len(), 1, "{word}");
    }
}

#[test]
fn a_query_without_an_answer_times_out_and_is_repeated() {
    let workers = Workers::knowing(1, &config("", ""), &["10.0.0.1:80"]);
    assert_eq!(question(&workers.all[0]).subject(), format!("{SERVICE}?index=10&wait=55s"));
    // The wait, a sixteenth of it, and time for the answer to come.
    let asked = workers.run(100, 70_000, &mut |_, question| {
        assert_eq!(question.subject(), SERVICE, "it no longer waits for a change");
        None
    });
    assert!(asked.len() == 1 && (60_000..70_000).contains(&asked[0]), "{asked:?}");
    assert_eq!((workers.asked("failures"), sent(&workers.all[0]).as_str()), (1, "10.0.0.1:80"));
    assert_eq!(
        workers.notes(),
        ["registry main: orders: no answer; its last good answer is served on, with 1 endpoints"]
    );
}

#[test]
fn an_answer_to_no_query_changes_nothing() {
    let workers = Workers::new(2, &config("", ""));
    workers.tick();
    let asked = question(&workers.all[0]);
    let late = answer(&asked, 10, &["10.0.0.1:80"]);
    workers.all[1].answer(&late);
    assert_eq!(sent(&workers.all[1]), "waits");
    workers.all[0].answer(&late);
    let next = question(&workers.all[0]);
    // The same once more.
    workers.all[0].answer(&answer(&asked, 10, &["10.0.0.9:80"]));
    assert_eq!(sent(&workers.all[0]), "10.0.0.1:80");
    assert!(workers.all[0].host.take_questions().is_empty());
    workers.all[0].answer(&answer(&next, 11, &["10.0.0.2:80"]));
    assert_eq!(sent(&workers.all[1]), "10.0.0.2:80");
}
