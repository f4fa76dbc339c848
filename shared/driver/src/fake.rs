//! A proxy for tests of what comes in which order: it notes what it is told, its clock stands where
//! a test put it, and it knows every context but the one that a test says is gone.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use tidegate_policy::host::{Callout, CalloutError, Clock, Question, Store, StoreError, Token, Version};
use tidegate_policy::http::{Attribute, Header, MetricKind, Placement, Reply};
use tidegate_policy::time::Timestamp;

use crate::cells::Cells;
use crate::proxy::{HeaderMap, Level, Proxy, Status};

thread_local! {
    static TOLD: RefCell<String> = const { RefCell::new(String::new()) };
    static NOW: Cell<u64> = const { Cell::new(0) };
    static GONE: Cell<u32> = const { Cell::new(0) };
    static AT_ONCE: Cell<Option<fn(u32)>> = const { Cell::new(None) };
    static RESOLVING: Cell<bool> = const { Cell::new(false) };
}

/// The proxy of the thread.
#[derive(Clone)]
pub(crate) struct Fake;

/// What the proxy was told since the last call, and what others [`tell`]ed.
pub(crate) fn told() -> String {
    TOLD.take().trim_end().to_owned()
}

/// Notes a word.
pub(crate) fn tell(word: &str) {
    TOLD.with_borrow_mut(|told| told.push_str(&format!("{word} ")));
}

/// Moves the clock.
pub(crate) fn set_now(nanos: u64) {
    NOW.set(nanos);
}

/// What happens before a question for a name returns, which is given its number.
pub(crate) fn set_at_once(answer: fn(u32)) {
    AT_ONCE.set(Some(answer));
}

/// The one context that the proxy does not know; 0 for none.
pub(crate) fn set_gone(context: u32) {
    GONE.set(context);
}

impl Clock for Fake {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(NOW.get())
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

impl Store for Fake {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let secret = cell == tidegate_policy::secret::CELL;
        let zeros = vec![0; tidegate_policy::secret::BYTES];
        Ok(secret.then_some((zeros, Version(std::num::NonZeroU32::MIN))))
    }

    fn replace(&self, _cell: &str, _bytes: &[u8], _version: Version) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }
}

impl Cells for Fake {
    fn create(&self, _cell: &str, _bytes: &[u8]) -> Result<bool, StoreError> {
        Ok(true)
    }
}

impl Callout for Fake {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        match question {
            Question::Http { timeout_ms, .. } => {
                tell(&format!("call/{timeout_ms}"));
                Err(CalloutError::NoCluster)
            }
            Question::Name(_) => {
                RESOLVING.set(true);
                if let Some(answer) = AT_ONCE.get() {
                    answer(7);
                }
                RESOLVING.set(false);
                tell("resolve/7");
                Ok(Token::Name(7))
            }
        }
    }
}

impl Proxy for Fake {
    type Headers = Vec<(&'static str, &'static str)>;

    fn request_headers(&self) -> Self::Headers {
        Vec::new()
    }

    fn list<'a>(headers: &'a Self::Headers, list: &mut Vec<Header<'a>>) {
        list.extend(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    }

    fn header(&self, _map: HeaderMap, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn add_header(&self, map: HeaderMap, name: &str, _value: &str) {
        tell(&format!("add/{map:?}/{name}"));
    }

    fn set_header(&self, map: HeaderMap, name: &str, _value: &str) {
        tell(&format!("set/{map:?}/{name}"));
    }

    fn remove_header(&self, map: HeaderMap, name: &str) {
        tell(&format!("remove/{map:?}/{name}"));
    }

    fn peer(&self) -> Option<IpAddr> {
        None
    }

    fn attribute(&self, _which: Attribute) -> Option<Vec<u8>> {
        None
    }

    fn metadata(&self, _path: &[String]) -> Option<Vec<u8>> {
        None
    }

    fn set_fact(&self, name: &'static str, text: &str) {
        tell(&format!("{name}={text}"));
    }

    fn reply(&self, reply: &Reply) -> Result<(), Status> {
        tell(&format!("send/{}", reply.status));
        Ok(())
    }

    fn continue_request(&self) -> Result<(), Status> {
        tell("continue");
        Ok(())
    }

    fn configuration(&self) -> Vec<u8> {
        Vec::new()
    }

    fn placement(&self) -> Placement {
        Placement::Downstream
    }

    fn plugin_name(&self) -> String {
        "fake".to_owned()
    }

    fn root_id(&self) -> String {
        String::new()
    }

    fn random(&self, _bytes: &mut [u8]) -> bool {
        true
    }

    fn set_timer(&self, millis: u32) -> Result<(), Status> {
        tell(&format!("timer/{millis}"));
        Ok(())
    }

    fn enter(&self, context: u32) -> bool {
        let known = GONE.get() != context;
        if known {
            tell(&format!("as/{context}"));
        }
        known
    }

    fn release_root(&self) {
        tell("done/0");
    }

    fn is_resolving(&self) -> bool {
        RESOLVING.get()
    }

    fn answer_header(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn answer_body(&self, _token: Token, _most: usize) -> Vec<u8> {
        Vec::new()
    }

    fn metric(&self, _kind: MetricKind, _name: String) -> Option<u32> {
        None
    }

    fn add_to_metric(&self, _id: u32, _n: u64) {}

    fn read_metric(&self, _id: u32) -> Option<u64> {
        None
    }

    fn set_metric(&self, _id: u32, _value: u64) {}

    fn log(&self, _level: Level, _line: &str) {}
}
