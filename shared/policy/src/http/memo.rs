//! A response that is asked each thing once.
//!
//! Every call of a host that returns bytes is dear, and stages of one module ask for the same few:
//! the status, the flags, the details. A memo lasts for one callback, since the response may have
//! changed by the next.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use super::message::{Attribute, Response};

/// A response with what was asked of it so far. Nothing is allocated until then.
pub struct Memo<'a> {
    /// One type for responses, their ends and replies of our own, so that no stage is compiled twice.
    response: &'a dyn Response,
    headers: RefCell<Vec<(String, Option<Vec<u8>>)>>,
    attributes: RefCell<Vec<(Attribute, Option<Vec<u8>>)>>,
    /// What is known to be absent without asking.
    absent: Option<Attribute>,
}

/// The response of a request that was never sent: there is none.
#[derive(Clone, Copy, Debug)]
pub struct NoResponse;

// === impl Memo ===

impl<'a> Memo<'a> {
    /// A response of which nothing is known yet.
    #[must_use]
    pub fn new(response: &'a dyn Response) -> Self {
        Self { response, headers: RefCell::default(), attributes: RefCell::default(), absent: None }
    }

    /// The same, which is known to lack one thing without the host.
    #[must_use]
    pub fn lacking(self, which: Attribute) -> Self {
        Self { absent: Some(which), ..self }
    }
}

impl Response for Memo<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let mut known = self.headers.borrow_mut();
        if let Some((_, value)) = known.iter().find(|(own, _)| own == name) {
            return value.clone();
        }
        let value = self.response.header(name);
        known.push((name.to_string(), value.clone()));
        value
    }

    fn end_of_stream(&self) -> bool {
        self.response.end_of_stream()
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        if self.absent == Some(which) {
            return None;
        }
        let mut known = self.attributes.borrow_mut();
        if let Some((_, value)) = known.iter().find(|(own, _)| *own == which) {
            return value.clone();
        }
        let value = self.response.attribute(which);
        known.push((which, value.clone()));
        value
    }
}

// === impl NoResponse ===

impl Response for NoResponse {
    fn header(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn end_of_stream(&self) -> bool {
        true
    }

    fn attribute(&self, _which: Attribute) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ResponseExt;
    use core::cell::Cell;

    #[derive(Default)]
    struct Counting(Cell<u32>);

    impl Response for Counting {
        fn header(&self, name: &str) -> Option<Vec<u8>> {
            self.0.set(self.0.get() + 1);
            (name == ":status").then(|| b"503".to_vec())
        }

        fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
            self.0.set(self.0.get() + 1);
            (which == Attribute::Flags).then(|| 4_u64.to_le_bytes().to_vec())
        }
    }

    #[test]
    fn each_thing_is_asked_once_even_when_absent() {
        let response = Counting::default();
        let memo = Memo::new(&response);
        for _ in 0..3 {
            assert_eq!((memo.status(), memo.number(Attribute::Flags)), (503, 4));
            assert_eq!((memo.header("grpc-status"), memo.attribute(Attribute::Details)), (None, None));
        }
        assert_eq!(response.0.get(), 4);
    }
}
