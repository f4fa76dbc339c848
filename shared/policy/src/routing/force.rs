//! A caller that may say which variant it gets: a tester, an internal client.
//!
//! Everybody else's wish is not even looked at, and both headers are taken off every request,
//! so that an upstream never sees who asked for what, nor the secret.

use alloc::string::String;
use core::fmt;

use crate::http::matcher::ClientMatch;
use crate::http::{Request, RequestExt};

/// Whose wish is obeyed, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    /// The header with the name of a variant.
    pub header: String,
    /// The header with the secret.
    pub secret_header: String,
    secret: Option<Secret>,
    from: Option<ClientMatch>,
}

#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

// === impl Force ===

impl Force {
    /// Trusts callers that know the secret and those `from` some ranges: at least one of the two.
    pub(super) fn new(
        header: String,
        secret_header: String,
        secret: Option<String>,
        from: Option<ClientMatch>,
    ) -> Self {
        Self { header, secret_header, secret: secret.map(Secret), from }
    }

    /// The variant that a trusted caller asks for. A wish that stands there twice is none.
    #[must_use]
    pub fn wish<'r>(&'r self, request: &'r impl Request) -> Option<&'r [u8]> {
        let mut wishes = request.values(&self.header);
        let wish = wishes.next()?;
        (wishes.next().is_none() && self.trusts(request)).then_some(wish)
    }

    fn trusts(&self, request: &impl Request) -> bool {
        let told = request.header(&self.secret_header);
        let knows = self.secret.as_ref().zip(told).is_some_and(|(secret, told)| secret.is(told));
        knows || self.from.as_ref().is_some_and(|from| from.holds(request))
    }
}

// === impl Secret ===

impl Secret {
    /// Compares in a time that does not depend on where they differ.
    fn is(&self, told: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let differ = secret.iter().zip(told).fold(0_u8, |all, (a, b)| all | (a ^ b));
        core::hint::black_box(differ) == 0 && secret.len() == told.len()
    }
}

/// Says that there is a secret, never which.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
