//! Holds requests back until a question is answered, as the path and the headers of each say.
//!
//! `/hold` asks the cluster `x-ask` within `x-within` milliseconds and goes on with what came of it
//! in `x-answer`, `/refuse` is answered with 503 after 100 ms, `/name` asks for the addresses of
//! `x-name` and is answered with them, `/zone` with the host's zone. Everything else goes on at
//! once. Around attempts, responses get the number of theirs in `x-attempt`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tidegate_policy::config::{ConfigError, Reader};
use tidegate_policy::host::{Answer, CalloutError, Host, Question, Store, StoreError, Token};
use tidegate_policy::http::message::number;
use tidegate_policy::http::{
    Attribute, Callback, CellSpec, Edit, Ending, Metric, Placement, Reply, Request, RequestExt, Response,
    Stage, Verdict,
};
use tidegate_policy::time::{Span, Timestamp};

tidegate_glue::filter!(Waiting);

/// What is known to all configurations: the answers.
#[derive(Default)]
struct Answers(RefCell<BTreeMap<Token, String>>);

struct Waiting {
    placement: Placement,
    answers: Rc<Answers>,
}

/// What a request waits for.
#[derive(Default)]
enum Wait {
    Answer(Token),
    Attempt(u64),
    #[default]
    Nothing,
    Until(Timestamp),
}

const ASKED_AGAIN: usize = 0;
const LEFT: usize = 1;
const TICKS: usize = 2;

/// Most bytes of an answer that are read.
const MOST: usize = 100;
const REFUSE_AFTER: Span = Span::from_millis(100);

impl Stage for Waiting {
    const NAME: &'static str = "waiting";
    const CALLBACKS: &'static [Callback] = &[
        Callback::CalloutResponse,
        Callback::NameResolved,
        Callback::RequestHeaders,
        Callback::ResponseHeaders,
        Callback::Tick,
    ];

    type Exchange = Wait;
    type Memory = Answers;

    fn read(_reader: &Reader<'_>, placement: Placement) -> Option<Self> {
        Some(Self { placement, answers: Rc::default() })
    }

    fn configure(_json: &[u8], placement: Placement) -> Result<Self, ConfigError> {
        Ok(Self { placement, answers: Rc::default() })
    }

    fn cells(&self) -> impl Iterator<Item = CellSpec> {
        std::iter::empty()
    }

    fn start(&mut self, memory: &Rc<Answers>, _store: &impl Store) -> Result<(), StoreError> {
        self.answers = memory.clone();
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |word| Metric::counter(format!("tidegate.waiting.{word}"));
        ["asked_again", "left", "ticks"].map(metric).into()
    }

    fn on_request(&self, wait: &mut Wait, request: &impl Request, host: &impl Host) -> Verdict {
        if self.placement == Placement::Attempt {
            *wait =
                Wait::Attempt(request.attribute(Attribute::AttemptCount).map_or(0, |bytes| number(&bytes)));
            return Verdict::Continue(Vec::new());
        }
        let header = |name| String::from_utf8_lossy(request.header(name).unwrap_or_default()).into_owned();
        let asked = match request.path() {
            b"/hold" => self.ask(&header("x-ask"), header("x-within").parse().unwrap_or(5_000), host),
            b"/name" => host.ask(&Question::Name(&header("x-name"))),
            b"/refuse" => {
                *wait = Wait::Until(host.now().plus(REFUSE_AFTER));
                return Verdict::Await(Vec::new());
            }
            b"/zone" => {
                let zone = request.attribute(Attribute::LocalZone).unwrap_or_else(|| b"absent".to_vec());
                return reply(200, String::from_utf8_lossy(&zone).into_owned());
            }
            _ => return Verdict::Continue(Vec::new()),
        };
        match asked {
            Ok(token) => {
                *wait = Wait::Answer(token);
                Verdict::Await(vec![Edit::SetRequestHeader("x-held".into(), "yes".into())])
            }
            Err(error) => reply(500, error.to_string()),
        }
    }

    fn on_wait(&self, wait: &mut Wait, host: &impl Host) -> Verdict {
        host.add(ASKED_AGAIN, 1);
        match *wait {
            Wait::Until(end) if host.now() >= end => reply(503, "refused".to_owned()),
            Wait::Answer(token) => match (self.answers.0.borrow_mut().remove(&token), token) {
                (None, _) => Verdict::Await(Vec::new()),
                (Some(answer), Token::Http(_)) => {
                    *wait = Wait::Nothing;
                    let set = |name: &str, value: &str| Edit::SetRequestHeader(name.into(), value.into());
                    Verdict::Continue(vec![set("x-answer", &answer), set("x-to", "up")])
                }
                (Some(answer), Token::Name(_)) => reply(200, answer),
            },
            _ => Verdict::Await(Vec::new()),
        }
    }

    fn on_callout(&self, answer: &impl Answer, _host: &impl Host) {
        let status = answer.header(":status").unwrap_or_else(|| b"none".to_vec());
        let (status, body) = (String::from_utf8_lossy(&status).into_owned(), answer.body(MOST));
        let text = match answer.token() {
            Token::Http(_) => format!("{status} {} {}", answer.size(), body.len()),
            Token::Name(_) => addresses(&body),
        };
        self.answers.0.borrow_mut().insert(answer.token(), text);
    }

    fn on_response(&self, wait: &mut Wait, _: &impl Response, _: &impl Host) -> Vec<Edit> {
        match wait {
            Wait::Attempt(number) => vec![Edit::AddResponseHeader("x-attempt".into(), number.to_string())],
            _ => vec![Edit::AddResponseHeader("x-went-on".into(), "yes".into())],
        }
    }

    fn on_end(&self, wait: &mut Wait, _: Ending, _: &impl Response, host: &impl Host) {
        if matches!(wait, Wait::Answer(_) | Wait::Until(_)) {
            host.add(LEFT, 1);
        }
    }

    fn facts(&self, wait: &Wait, tell: &mut dyn FnMut(&'static str, &str)) {
        let word = match wait {
            Wait::Answer(_) => "held",
            Wait::Attempt(_) => return,
            Wait::Nothing => "went_on",
            Wait::Until(_) => "refused",
        };
        tell("tidegate.waiting", word);
    }

    fn on_tick(&self, host: &impl Host) {
        host.add(TICKS, 1);
    }
}

impl Waiting {
    fn ask(&self, cluster: &str, timeout_ms: u32, host: &impl Host) -> Result<Token, CalloutError> {
        let headers = [(":method", "PUT"), (":path", "/ask"), (":authority", "registry"), ("x-asked", "yes")];
        host.ask(&Question::Http { cluster, headers: &headers, body: b"what", timeout_ms })
    }
}

fn reply(status: u32, body: String) -> Verdict {
    let (headers, details) = (Vec::new(), "waiting".to_owned());
    Verdict::Reply(Reply { status, grpc_status: 14, headers, body, details })
}

/// The host's list: a count, so many times to live, so many texts that end in a zero.
fn addresses(bytes: &[u8]) -> String {
    let word = |n: usize| {
        let word = bytes.get(n * 4..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u32::from_le_bytes(*word))
    };
    let count = word(0) as usize;
    let texts = bytes.get(4 + count * 4..).unwrap_or_default();
    let mut list: Vec<_> = texts.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    list.pop();
    format!("{count}: {}", list.join(" "))
}
