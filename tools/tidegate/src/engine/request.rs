//! A request on its way through the filters.

use std::net::IpAddr;

use tidegate_policy::http::{Attribute, Edit, Header, Request, RequestExt};
use tidegate_sim::SimResponse;

/// A request on its way through the filters.
#[derive(Clone, Debug)]
pub struct Passing {
    /// Its headers, pseudo headers first.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Who sent it.
    pub peer: Option<IpAddr>,
    /// The name of Envoy's route.
    pub route: String,
    /// The cluster of that route.
    pub cluster: String,
    /// What the filters told.
    pub facts: Vec<(String, String)>,
}

/// What a stage sees of it.
pub struct Seen<'p> {
    headers: Vec<Header<'p>>,
    passing: &'p Passing,
}

// === impl Passing ===

impl Passing {
    /// A request without more headers than it must have.
    #[must_use]
    pub fn new(method: &str, path: &str, host: &str, peer: Option<IpAddr>) -> Self {
        let pseudo = [(":method", method), (":path", path), (":authority", host)];
        let headers = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        Self { headers, peer, route: String::new(), cluster: String::new(), facts: Vec::new() }
    }

    /// The value of a header, as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The value of a header.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice())
    }

    /// What a filter told.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str())
    }

    /// The request as a stage sees it.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        Seen { headers: headers.collect(), passing: self }
    }

    pub(super) fn tell(&mut self, name: &str, text: &str) {
        match self.facts.iter_mut().find(|(own, _)| own == name) {
            Some((_, known)) => text.clone_into(known),
            None => self.facts.push((name.to_owned(), text.to_owned())),
        }
    }

    pub(super) fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::AddRequestHeader(name, value) => {
                    self.headers.push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
                }
                Edit::DropRequestHeader(name) | Edit::RemoveRequestHeader(name) => {
                    self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
                }
                Edit::SetRequestHeader(name, value) => {
                    self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
                    self.headers.push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
                }
                _ => {}
            }
        }
    }

    /// A response with what filters can ask of the exchange when it passes by.
    #[must_use]
    pub fn told(&self, mut response: SimResponse) -> SimResponse {
        let facts = [Attribute::Chosen, Attribute::Discovered, Attribute::Guarded, Attribute::Steering];
        for which in [Attribute::Cluster, Attribute::Route].into_iter().chain(facts) {
            if let Some(value) = self.known(which) {
                response = response.attribute(which, &value);
            }
        }
        response.attribute(Attribute::AttemptCount, &1_u64.to_le_bytes())
    }

    fn known(&self, which: Attribute) -> Option<Vec<u8>> {
        let text = match which {
            Attribute::Cluster => &self.cluster,
            Attribute::Route => &self.route,
            _ => self.fact(which.fact()?)?,
        };
        Some(text.as_bytes().to_vec())
    }
}

impl Request for Seen<'_> {
    fn headers(&self) -> &[Header<'_>] {
        &self.headers
    }

    fn peer(&self) -> Option<IpAddr> {
        self.passing.peer
    }

    fn lone_header(&self, name: &str) -> Option<Vec<u8>> {
        RequestExt::header(self, name).map(<[u8]>::to_vec)
    }

    fn end_of_stream(&self) -> bool {
        true
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        self.passing.known(which)
    }
}
