//! One worker, one cluster: when the breaker opens, probes and closes; its replies, logs and metrics.

use crate::breaker::{ask, config, end, up, Workers};

/// Three consecutive failures or half of six open it for a second; two probes.
const SMALL: &str = r#""consecutive_failures": 3, "minimum_calls": 6, "window_ms": 1000, "base_open_ms": 1000,
    "half_open_permits": 2, "max_half_open_ms": 5000"#;

fn small() -> Workers {
    Workers::new(1, &config(SMALL))
}

/// A small breaker that opened at 0 and whose time is over at 1000.
fn opened() -> Workers {
    let workers = small();
    assert_eq!(workers.calls("FFF"), "+++");
    workers
}

#[test]
fn opens_after_five_consecutive_failures_by_default() {
    let workers = Workers::new(1, &config(""));
    assert_eq!(workers.calls("FFFFSFFFFFSS"), "++++++++++--");
    assert_eq!((workers.count("transitions.consecutive"), workers.state()), (1, 1));
}

#[test]
fn opens_when_a_condition_is_fulfilled() {
    #[rustfmt::skip]
    let cases = [
        // name                            calls          expected       reason
        ("three consecutive",              "FFFS",        "+++-",        "consecutive"),
        ("a success between",              "FFSFFS",      "++++++",      "failure_rate"),
        ("half of six",                    "FSFSFSS",     "++++++-",     "failure_rate"),
        ("below half",                     "FSSFSSS",     "+++++++",     ""),
        ("not found is well",              "NNNNNNNN",    "++++++++",    ""),
        // Successes are merged within 100 ms, and by the next failure.
        ("a success fills it on a tick",   "FFSFSS",      "++++++",      "failure_rate"),
        ("throttled counts for no rate",   "TTTSSTS",     "+++++++",     ""),
        ("throttled does not end a run",   "FFTFS",       "++++-",       "consecutive"),
        ("throttled is no run",            "TTTTT",       "+++++",       ""),
        ("clients that left say nothing",  "FFCCCCFS",    "+++++++-",    "consecutive"),
        ("nor do replies of others",       "LLLLLLLLLL",  "++++++++++",  ""),
        ("also between failures",          "FFLLLLFS",    "+++++++-",    "consecutive"),
    ];
    for (name, calls, expected, reason) in cases {
        let workers = small();
        assert_eq!(workers.calls(calls), expected, "{name}");
        workers.at(100).tick();
        let opened = workers.count("transitions.consecutive") + workers.count("transitions.failure_rate");
        assert_eq!(opened, u64::from(!reason.is_empty()), "{name}");
        if !reason.is_empty() {
            assert_eq!(workers.count(&format!("transitions.{reason}")), 1, "{name}");
        }
    }
}

/// One client sent requests that the upstream answered with 429, two of three, and with the defaults
/// the breaker refused another client's 34 of 40.
#[test]
fn a_client_that_is_throttled_costs_another_client_nothing() {
    let workers = Workers::new(1, &config(""));
    for request in 0..40 {
        assert_eq!(workers.at(request * 50).calls("TTS"), "+++", "{request}");
        workers.tick();
    }
    assert_eq!((workers.count("throttled"), workers.count("transitions"), workers.state()), (80, 0, 0));
}

/// Its probes say nothing either: they neither close a breaker nor open it again, and others probe.
#[test]
fn a_throttled_probe_gives_its_permit_back() {
    let workers = opened();
    assert_eq!(workers.at(1_000).calls("TTTTSTSS"), "ppppppp+");
    assert_eq!((workers.count("transitions.probes_passed"), workers.count("throttled")), (1, 5));
}

#[test]
fn throttling_counts_for_the_rate_where_it_is_configured_to() {
    let workers = Workers::new(1, &config(&format!(r#"{SMALL}, "count_throttled": true"#)));
    assert_eq!(workers.calls("TTTTTS"), "++++++", "no consecutive failures");
    assert_eq!(workers.count("transitions.failure_rate"), 0);
    workers.at(100).tick();
    assert_eq!((workers.count("transitions.failure_rate"), workers.state()), (1, 1));
    // Of two permits one failure is half.
    assert_eq!(workers.at(1_100).calls("TSS"), "p--");
    assert_eq!(workers.count("transitions.probes_failed"), 1);
}

#[test]
fn outcomes_that_left_the_window_do_not_count() {
    // Ten slots of 100 ms: an outcome of 50 is gone at 1000.
    for (at, expected) in [(999, "+++-"), (1_000, "++++")] {
        let workers = small();
        assert_eq!(workers.at(50).calls("FSF"), "+++");
        assert_eq!(workers.at(at).calls("SFSS"), expected, "at {at}");
    }
}

#[test]
fn slow_calls_open_at_their_rate() {
    let fields =
        r#""minimum_calls": 4, "slow_call_ms": 200, "slow_rate_percent": 50, "consecutive_failures": 0"#;
    for (took, opens) in [(200, 0), (201, 1)] {
        let workers = Workers::new(1, &config(fields));
        for call in 0..4 {
            workers.at(call * 1_000);
            let (_, exchange) = ask(&workers.all[0], &up());
            workers.at(call * 1_000 + if call % 2 == 0 { took } else { 1 });
            end(&workers.all[0], exchange, 'S');
        }
        let slow = workers.count("slow");
        assert_eq!((workers.count("transitions.slow_rate"), slow), (opens, 2 * opens), "{took} ms");
    }
}

/// Without a request it showed open for ever.
#[test]
fn an_open_breaker_that_gets_no_request_shows_half_open_when_its_time_is_over() {
    let workers = opened();
    assert_eq!((workers.at(999).state(), workers.at(1_000).state()), (1, 2));
    assert_eq!((workers.at(60_000).state(), workers.count("transitions")), (2, 1), "nothing else happened");
    assert_eq!((workers.calls("SSS").as_str(), workers.state()), ("pp+", 0));
}

#[test]
fn admits_as_many_probes_as_permits() {
    let workers = opened();
    let worker = &workers.all[0];
    assert_eq!(workers.at(999).calls("S"), "-");
    workers.at(1_000);
    let asked = [(); 4].map(|()| ask(worker, &up()));
    assert_eq!(asked.each_ref().map(|(word, _)| *word), ['p', 'p', '-', '-']);
    assert_eq!((workers.count("probes"), workers.state()), (2, 2));
    for (word, exchange) in asked {
        if word == 'p' {
            end(worker, exchange, 'S');
        }
    }
    assert_eq!(workers.state(), 0);
    assert_eq!(workers.calls("SS"), "++");
    assert_eq!(workers.count("transitions.probes_passed"), 1);
}

#[test]
fn an_ignored_probe_gives_its_permit_back() {
    for nothing in ['C', 'L'] {
        let workers = opened();
        workers.at(1_000);
        let calls = String::from_iter([nothing, nothing, nothing, 'S', nothing, 'S', 'S']);
        assert_eq!(workers.calls(&calls), "pppppp+", "{nothing}");
        assert_eq!(workers.count("transitions.probes_passed"), 1, "{nothing}");
    }
}

#[test]
fn opens_again_when_the_remaining_probes_cannot_close_it() {
    let workers = opened();
    // Of two permits one failure is half.
    assert_eq!(workers.at(1_000).calls("FSS"), "p--");
    assert_eq!(workers.count("transitions.probes_failed"), 1);
    // Twice as long.
    assert_eq!(workers.at(2_999).calls("S"), "-");
    assert_eq!(workers.at(3_000).calls("SSS"), "pp+");
}

#[test]
fn slow_probes_open_it_again() {
    let workers = Workers::new(1, &config(&format!("{SMALL}, \"slow_call_ms\": 100")));
    assert_eq!(workers.calls("FFF"), "+++");
    workers.at(1_000);
    let probes = [(); 2].map(|()| ask(&workers.all[0], &up()));
    workers.at(1_101);
    for (word, exchange) in probes {
        assert_eq!(word, 'p');
        end(&workers.all[0], exchange, 'S');
    }
    assert_eq!((workers.count("transitions.probes_failed"), workers.state()), (1, 1));
}

#[test]
fn each_open_time_is_twice_the_last_up_to_the_longest() {
    let fields =
        r#""consecutive_failures": 1, "half_open_permits": 1, "base_open_ms": 1000, "max_open_ms": 4000"#;
    let workers = Workers::new(1, &config(fields));
    assert_eq!(workers.calls("F"), "+");
    let mut now = 0;
    for wait in [1_000, 2_000, 4_000, 4_000] {
        assert_eq!(workers.at(now + wait - 1).calls("S"), "-", "{wait}");
        now += wait;
        assert_eq!(workers.at(now).calls("F"), "p", "{wait}");
    }
    now += 4_000;
    assert_eq!(workers.at(now).calls("SF"), "p+", "a good probe closes it");
    assert_eq!(workers.at(now + 999).calls("S"), "-");
    assert_eq!(workers.at(now + 1_000).calls("S"), "p", "and the next time is as short as the first");
}

#[test]
fn without_ticks_the_next_request_gives_lost_probes_up() {
    let workers = opened();
    workers.at(1_000);
    let _lost = [(); 2].map(|()| ask(&workers.all[0], &up()));
    assert_eq!(workers.at(2_000).calls("S"), "-");
    assert_eq!(workers.at(6_000).calls("S"), "-");
    assert_eq!(workers.count("transitions.expired"), 1);
    assert_eq!(workers.at(7_000).calls("S"), "p");
}

/// An outcome is for the state that admitted its request, and for no other.
#[test]
fn late_outcomes_change_nothing() {
    let workers = small();
    let worker = &workers.all[0];
    let late: Vec<_> = (0..6).map(|_| ask(worker, &up()).1).collect();
    assert_eq!(workers.calls("FFF"), "+++");
    let mut late = late.into_iter();
    // Into the open state, the half-open one, and the closed one after it.
    end(worker, late.next().unwrap(), 'S');
    end(worker, late.next().unwrap(), 'F');
    assert_eq!((workers.state(), workers.count("stale")), (1, 2));
    workers.at(1_000);
    assert_eq!(workers.calls("S"), "p");
    late.by_ref().take(2).for_each(|exchange| end(worker, exchange, 'F'));
    assert_eq!((workers.state(), workers.count("stale")), (2, 4));
    assert_eq!(workers.calls("S"), "p");
    late.for_each(|exchange| end(worker, exchange, 'F'));
    assert_eq!(workers.calls("FFSS"), "++++", "two consecutive, not four");
    assert_eq!((workers.state(), workers.count("stale")), (0, 6));
}

#[test]
fn mode_observe_admits_everything_and_counts() {
    let workers = Workers::new(1, &config(&format!("{SMALL}, \"mode\": \"observe\"")));
    assert_eq!(workers.calls("FFFSSS"), "++++++");
    assert_eq!((workers.count("observed"), workers.count("refused"), workers.state()), (3, 0, 1));
    let (_, exchange) = ask(&workers.all[0], &up());
    assert_eq!(workers.outcome(&exchange), "observed:a");
    assert_eq!(workers.at(1_000).calls("SSSS"), "pp++", "and closes by its probes");
}

#[test]
fn held_states_hold() {
    #[rustfmt::skip]
    let cases = [
        // state          calls       expected    state  failed
        ("forced_open",   "SSS",      "---",      3,     0),
        ("disabled",      "FFFFFFFS", "++++++++", 4,     0),
        ("metrics_only",  "FFFFFFFS", "++++++++", 5,     7),
    ];
    for (word, calls, expected, state, failed) in cases {
        let workers = Workers::new(1, &config(&format!("{SMALL}, \"state\": \"{word}\"")));
        assert_eq!(workers.calls(calls), expected, "{word}");
        assert_eq!((workers.at(100_000).state(), workers.count("failed")), (state, failed), "{word}");
        assert_eq!(workers.count("transitions"), 0, "{word}");
        assert_eq!(workers.calls("S"), &expected[..1], "{word}: later, too");
    }
}

#[test]
fn a_soft_breaker_refuses_a_share_and_never_opens() {
    let fields = r#""minimum_calls": 20, "admission": {}"#;
    let workers = Workers::new(1, &config(fields));
    assert_eq!(workers.calls(&"F".repeat(20)), "+".repeat(20));
    // Of this many failures the formula refuses the largest share: 80 %.
    workers.at(100).tick();
    assert_eq!(workers.count("refusing_percent"), 80);
    let said = (0..2_000).map(|_| ask(&workers.all[0], &up()).0);
    let refused = said.filter(|word| *word == '-').count();
    assert!((1_500..1_700).contains(&refused), "{refused} of 2000");
    assert_eq!((workers.state(), workers.count("transitions")), (0, 0));
    assert_eq!(workers.count("refused"), refused as u64);
    // The window passes, and so does everything.
    workers.at(11_000).tick();
    assert_eq!((workers.count("refusing_percent"), workers.calls("SSS").as_str()), (0, "+++"));
}

#[test]
fn each_transition_is_one_log_line() {
    let workers = small();
    let lines = |expected: &[&str]| {
        let notes = workers.notes();
        assert_eq!(notes.len(), expected.len(), "{notes:?}");
        for (note, start) in notes.iter().zip(expected) {
            assert!(note.starts_with(start), "{note}");
        }
    };
    workers.calls("SFFFSS");
    lines(&["a: closed -> open (consecutive): 3 consecutive failures; 3 of 4 calls failed in 1000 ms; open for 1000 ms"]);
    workers.at(1_000).calls("F");
    lines(&["a: open -> half_open (waited_out)", "a: half_open -> open (probes_failed): 1 of 1"]);
    workers.at(3_000).calls("SS");
    lines(&["a: open -> half_open", "a: half_open -> closed (probes_passed): 0 of 2"]);
    workers.at(9_000).tick().calls("SSSS");
    lines(&[]);
}

#[test]
fn metrics_count_admissions_outcomes_and_transitions() {
    let workers = small();
    workers.calls("SSNNTCLFFF");
    workers.calls("SS");
    workers.at(1_000).calls("SS");
    #[rustfmt::skip]
    let expected = [
        ("admitted", 12), ("refused", 2), ("probes", 2), ("succeeded", 6), ("failed", 3), ("throttled", 1),
        ("ignored", 2), ("slow", 0), ("stale", 0), ("observed", 0), ("undecided", 0), ("untracked", 0),
        ("fell_back", 0), ("transitions", 3), ("transitions.consecutive", 1), ("transitions.waited_out", 1),
        ("transitions.probes_passed", 1), ("transitions.failure_rate", 0), ("open", 0), ("state", 0),
    ];
    workers.tick();
    for (what, expected) in expected {
        assert_eq!(workers.count(what), expected, "{what}");
    }
}
