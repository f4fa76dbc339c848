//! A response made up by a test, or the lack of one.

use std::collections::BTreeMap;

use tidegate_policy::http::{Attribute, Response};

/// A response with the headers and attributes a test wants.
#[derive(Clone, Debug)]
pub struct SimResponse {
    headers: Vec<(String, Vec<u8>)>,
    attributes: BTreeMap<Attribute, Vec<u8>>,
    end_of_stream: bool,
}

impl SimResponse {
    /// What an upstream answered.
    #[must_use]
    pub fn upstream(status: u32) -> Self {
        Self::none().header(":status", &status.to_string()).attribute(Attribute::Details, b"via_upstream")
    }

    /// What the host answered in place of an upstream, with its reasons.
    #[must_use]
    pub fn local(status: u32, details: &str, flags: u64) -> Self {
        let response = Self::none().header(":status", &status.to_string());
        let response = response.attribute(Attribute::Details, details.as_bytes());
        response.attribute(Attribute::Flags, &flags.to_le_bytes())
    }

    /// No response: the exchange ended before there was one, on a connection to an upstream.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Where there never was a connection.
    #[must_use]
    pub fn unconnected(mut self) -> Self {
        self.attributes.remove(&Attribute::LocalAddress);
        self
    }

    /// With headers that are all of it.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.end_of_stream = true;
        self
    }

    /// With another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// With another attribute.
    #[must_use]
    pub fn attribute(mut self, which: Attribute, value: &[u8]) -> Self {
        self.attributes.insert(which, value.to_vec());
        self
    }
}

impl Default for SimResponse {
    fn default() -> Self {
        let attributes = BTreeMap::from([(Attribute::LocalAddress, b"127.0.0.1:40000".to_vec())]);
        Self { headers: Vec::new(), attributes, end_of_stream: false }
    }
}

impl Response for SimResponse {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.attributes.get(&which).cloned()
    }
}
