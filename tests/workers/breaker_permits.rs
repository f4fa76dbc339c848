//! Somebody who keeps all permits of a half-open breaker, and those who want it closed.

use tidegate_sim::{SimRequest, SimResponse};

use crate::breaker::{ask, of, up, Exchange, Sim, Workers};
use crate::breaker_probes::{gone, upload, TARGETS};

/// What somebody does who wants a breaker to stay as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attack {
    /// Bodies that never end.
    Endless,
    /// Responses that never end; those that would soon be judged are asked for anew.
    Streams,
    /// Requests that are reset and asked for again in one write.
    Resets,
    /// The same with bodies.
    ResetUploads,
}

// === impl Attack ===

impl Attack {
    fn request<'a>(self) -> SimRequest<'a> {
        match self {
            Self::Endless | Self::ResetUploads => upload(),
            Self::Streams | Self::Resets => up(),
        }
    }

    /// How long it keeps a request.
    fn keeps_ms(self) -> u64 {
        match self {
            Self::Endless => u64::MAX,
            Self::Streams => 10_000,
            Self::Resets | Self::ResetUploads => 0,
        }
    }

    /// Asks for one more; `true` if it passed.
    fn ask(self, worker: &Sim, ms: u64, held: &mut Vec<(u64, Exchange)>) -> bool {
        let (word, mut exchange) = ask(worker, &self.request());
        if word == 'p' {
            if matches!(self, Self::Streams) {
                worker.respond(&mut exchange, &SimResponse::upstream(200));
            }
            held.push((ms, exchange));
        }
        word == 'p'
    }

    /// Resets what it kept for long enough, and asks again at once for each; then once more.
    pub(crate) fn step(self, worker: &Sim, ms: u64, held: &mut Vec<(u64, Exchange)>) {
        let all = std::mem::take(held);
        let (reset, kept): (_, Vec<_>) = all.into_iter().partition(|(at, _)| ms - at >= self.keeps_ms());
        *held = kept;
        for (_, exchange) in reset {
            worker.abort(exchange, &gone());
            self.ask(worker, ms, held);
        }
        self.ask(worker, ms, held);
    }
}

/// A service that gets nothing but bodies, four a second, each answered after 0.3 s, while somebody has all
/// the permits and asks ten times a second.
#[test]
fn honest_uploads_close_a_breaker_whose_permits_somebody_keeps() {
    let grpc = || upload().header("te", b"trailers").header("content-type", b"application/grpc");
    for attack in [Attack::Endless, Attack::Streams, Attack::Resets, Attack::ResetUploads] {
        for (target, is_grpc) in TARGETS.iter().flat_map(|target| [(target, false), (target, true)]) {
            let workers = Workers::new(2, &of(target, r#""consecutive_failures": 1, "base_open_ms": 1000"#));
            assert_eq!(workers.calls("F"), "+");
            let [attacked, other] = [&workers.all[0], &workers.all[1]];
            let (mut held, mut honest, mut closed) = (Vec::new(), Vec::<(u64, Exchange)>::new(), None);
            for ms in (1_000..31_000).step_by(10) {
                workers.at(ms);
                if ms == 1_000 {
                    (0..5).for_each(|_| assert!(attack.ask(attacked, ms, &mut held), "{attack:?}"));
                } else if ms % 100 == 0 {
                    attack.step(attacked, ms, &mut held);
                }
                if ms % 250 == 130 {
                    let (word, exchange) = ask(other, &if is_grpc { grpc() } else { upload() });
                    if word == 'p' {
                        honest.push((ms, exchange));
                    }
                }
                if honest.first().is_some_and(|(at, _)| ms - at >= 300) {
                    let (_, mut exchange) = honest.remove(0);
                    other.complete(&mut exchange);
                    if is_grpc {
                        let trailers = SimResponse::upstream(200).header("grpc-status", "0");
                        other.end_with_trailers(exchange, &SimResponse::upstream(200), &trailers);
                    } else {
                        other.end(exchange, &SimResponse::upstream(200));
                    }
                }
                workers.tick();
                assert!(held.len() + honest.len() <= 5 + 5 * (ms as usize / 1_000), "{attack:?} {ms}");
                if workers.count("transitions.probes_passed") == 1 {
                    closed = Some(ms);
                    break;
                }
            }
            assert!(closed.is_some_and(|ms| ms < 15_000), "{attack:?} {target} {is_grpc}: {closed:?}");
        }
    }
}
