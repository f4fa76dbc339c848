//! The measuring itself: one Envoy, one upstream and one load at a time.

use std::thread;
use std::time::{Duration, Instant};

use tidegate_tests::load::Report;
use tidegate_tests::terminal::{grouped, Progress};
use tidegate_tests::{options, Answer, Envoy, Load, Request, Upstream};

use crate::arms::{Arm, WORKERS};
use crate::options::Options;

/// What became of the requests of one arm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) arm: Arm,
    /// Requests that the upstream counted.
    pub(crate) reached: u64,
    /// Answers that the clients got, from whomever.
    pub(crate) answered: u64,
    /// Answers with another status than 503, and requests without any.
    pub(crate) strange: u64,
}

/// Connections, each with one request under way. [`Load`] works in lock step, so that a thread
/// has few: one that waits must not keep many others from asking.
pub(crate) const CLIENTS: usize = 16;
const THREADS: usize = 4;
/// Time between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Measures one arm after the other.
pub(crate) fn all(options: &Options) -> Vec<Measured> {
    // A module that is missing is missed now, not after the other arms.
    options.arms.iter().for_each(|arm| drop(arm.config(([127, 0, 0, 1], 0).into())));
    let progress = Progress::new("measuring", options.arms.len());
    let arms = options.arms.iter().enumerate();
    let measured = arms.map(|(done, arm)| {
        measure(*arm, Duration::from_secs(options.seconds), |detail| progress.show(done, detail))
    });
    let measured = measured.collect();
    progress.end();
    measured
}

fn measure(arm: Arm, duration: Duration, tell: impl Fn(&str)) -> Measured {
    tell(arm.name);
    let upstream = Upstream::counting(Answer::new(503, "dead"));
    let envoy = Envoy::start(&arm.config(upstream.addr()), &options::Options::workers(WORKERS));
    let envoy = envoy.unwrap_or_else(|failure| panic!("{}: {failure}", arm.name));
    let load = Load::new(envoy.addr()).connections(CLIENTS).threads(THREADS).duration(duration);
    let reached = || u64::try_from(upstream.count()).unwrap_or(u64::MAX);
    let report = thread::scope(|scope| {
        let run = scope.spawn(|| load.repeat(&Request::get("/")));
        let start = Instant::now();
        while !run.is_finished() {
            let left = duration.saturating_sub(start.elapsed());
            tell(&format!("{}: {} reached, {:.0} s left", arm.name, grouped(reached()), left.as_secs_f64()));
            thread::sleep(LOOK.min(left.max(Duration::from_millis(1))));
        }
        run.join().expect("a load that ends")
    });
    Measured::new(arm, reached(), &report)
}

// === impl Measured ===

impl Measured {
    fn new(arm: Arm, reached: u64, report: &Report) -> Self {
        let (answered, dead) = (report.answered(), report.count(503));
        Self { arm, reached, answered, strange: answered - dead + report.lost }
    }

    /// Whether no more reached the upstream than may, if there is a target.
    pub(crate) fn met(&self) -> Option<bool> {
        self.arm.most.map(|most| self.reached <= most)
    }

    /// Why it is not as it should be. An upstream that nothing reached was not protected: it was
    /// never asked.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { arm, reached, strange, .. } = self;
        let reached = match arm.most {
            Some(most) if self.met() == Some(false) => {
                format!("{} requests reached the upstream, expected at most {most}", grouped(*reached))
            }
            _ if *reached == 0 => "no request reached the upstream, expected some".to_owned(),
            _ if *strange > 0 => format!("{} answers were lost or not 503", grouped(*strange)),
            _ => return None,
        };
        Some(format!("{}: {reached}", arm.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::ARMS;

    #[test]
    fn what_is_not_as_it_should_be_is_a_problem() {
        let [none, .., breaker] = ARMS;
        #[rustfmt::skip]
        let cases = [
            // arm    reached  strange  problem
            (none,    400_000, 0,       ""),
            (breaker, 24,      0,       ""),
            (breaker, 1_025,   0,       "breaker: 1,025 requests reached the upstream, expected at most 24"),
            (breaker, 0,       0,       "breaker: no request reached the upstream, expected some"),
            (none,    7,       2,       "none: 2 answers were lost or not 503"),
        ];
        for (arm, reached, strange, problem) in cases {
            let measured = Measured { arm, reached, answered: 500_000, strange };
            assert_eq!(measured.problem().unwrap_or_default(), problem);
        }
    }
}
