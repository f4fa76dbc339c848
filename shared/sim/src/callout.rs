//! Questions that a stage asked, and the answers that a test makes up.

use tidegate_policy::host::{Answer, Question, Token};
use tidegate_policy::time::Span;

use crate::SimHost;

/// A question, kept for the test that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimQuestion {
    /// Names it in its answer.
    pub token: Token,
    /// What was asked.
    pub asked: Asked,
}

/// What was asked: a [`Question`] of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An HTTP request to a cluster.
    Http {
        /// The name of the cluster.
        cluster: String,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body; empty for none.
        body: Vec<u8>,
        /// How long the whole answer may take.
        timeout_ms: u32,
    },
    /// The addresses of a name.
    Name(String),
}

/// An answer with the headers and the body that a test wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimAnswer {
    token: Token,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer that takes its time to be read: the clock of the host moves by that.
#[derive(Clone, Copy, Debug)]
pub struct SlowAnswer<'a> {
    /// What is answered.
    pub answer: &'a SimAnswer,
    /// Whose clock moves.
    pub host: &'a SimHost,
    /// For how long.
    pub takes: Span,
}

// === impl SimQuestion ===

impl SimQuestion {
    pub(crate) fn new(token: Token, question: &Question<'_>) -> Self {
        let asked = match *question {
            Question::Http { cluster, headers, body, timeout_ms } => Asked::Http {
                cluster: cluster.to_owned(),
                headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
                body: body.to_vec(),
                timeout_ms,
            },
            Question::Name(name) => Asked::Name(name.to_owned()),
        };
        Self { token, asked }
    }

    /// What was asked for: the path of an HTTP question, or the name.
    #[must_use]
    pub fn subject(&self) -> &str {
        match &self.asked {
            Asked::Http { headers, .. } => {
                headers.iter().find(|(name, _)| name == ":path").map_or("", |(_, path)| path)
            }
            Asked::Name(name) => name,
        }
    }

    /// A response with this status.
    #[must_use]
    pub fn answer(&self, status: u32) -> SimAnswer {
        self.failure().header(":status", &status.to_string())
    }

    /// No response: the transport broke, or it was too large. For a name: no addresses.
    #[must_use]
    pub fn failure(&self) -> SimAnswer {
        SimAnswer { token: self.token, headers: Vec::new(), body: Vec::new() }
    }

    /// The addresses of a name with their times to live in seconds, in Envoy's encoding.
    #[must_use]
    pub fn addresses(&self, list: &[(u32, &str)]) -> SimAnswer {
        let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let mut body = count.to_le_bytes().to_vec();
        list.iter().for_each(|(seconds, _)| body.extend(seconds.to_le_bytes()));
        list.iter().for_each(|(_, address)| body.extend(address.bytes().chain([0])));
        self.failure().body(&body)
    }
}

// === impl SimAnswer ===

impl SimAnswer {
    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }
}

impl Answer for SimAnswer {
    fn token(&self) -> Token {
        self.token
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    fn size(&self) -> usize {
        self.body.len()
    }

    fn body(&self, most: usize) -> Vec<u8> {
        self.body.iter().take(most).copied().collect()
    }
}

impl Answer for SlowAnswer<'_> {
    fn token(&self) -> Token {
        self.answer.token()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        Answer::header(self.answer, name)
    }

    fn size(&self) -> usize {
        self.answer.size()
    }

    fn body(&self, most: usize) -> Vec<u8> {
        self.host.pass(self.takes);
        Answer::body(self.answer, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encoded_as_envoy_does() {
        let question = SimQuestion::new(Token::Name(7), &Question::Name("web"));
        let answer = question.addresses(&[(5, "10.0.0.1:0"), (300, "[::1]:0")]);
        let expected = b"\x02\0\0\0\x05\0\0\0\x2c\x01\0\x0010.0.0.1:0\0[::1]:0\0";
        assert_eq!(Answer::body(&answer, usize::MAX), expected);
        assert_eq!((answer.size(), Answer::body(&answer, 2).as_slice()), (31, &b"\x02\0"[..]));
        assert_eq!((answer.token(), Answer::header(&answer, ":status")), (Token::Name(7), None));
    }
}
