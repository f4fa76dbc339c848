//! The specification as data: requests with the verdict each must get.
//!
//! `tests/cases/*.toml` run on the simulator, in virtual time; those that need no passing of
//! time run a second time against Envoy, so that specification and product cannot drift.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

/// One story: a configuration and requests in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A claim.
    pub name: String,
    /// The filter that it is about: the name of its file.
    #[serde(skip)]
    pub filter: String,
    /// The filter's configuration, JSON.
    pub config: String,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One request, or several that are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, in milliseconds since the start.
    #[serde(default)]
    pub at_ms: u64,
    /// How many times in a row.
    #[serde(default = "once")]
    pub times: usize,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The request target.
    #[serde(default = "root")]
    pub path: String,
    /// Headers; a name may have several values.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// Who sends it. Such cases run on the simulator only.
    pub from: Option<IpAddr>,
    /// What the upstream answers to each of them that passes.
    #[serde(default = "well")]
    pub answers: u32,
    /// What each of them gets.
    pub expect: Expect,
    /// Headers of the request that goes on; an empty text means that it is absent.
    #[serde(default)]
    pub sends: BTreeMap<String, String>,
    /// Headers of the response or the reply; an empty text means that it is absent.
    #[serde(default)]
    pub gives: BTreeMap<String, String>,
    /// The word for access logs; an empty text means that there is none.
    pub logs: Option<String>,
}

/// One value or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One.
    One(String),
    /// Several, each on its own line.
    Many(Vec<String>),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// It goes on.
    Admit,
    /// It is answered by the filter.
    Refuse,
}

#[derive(Deserialize)]
struct File {
    case: Vec<Case>,
}

fn once() -> usize {
    1
}

fn well() -> u32 {
    200
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

/// Every case about a filter, in order.
///
/// # Panics
/// As [`all`].
#[must_use]
pub fn of(filter: &str) -> Vec<Case> {
    all().into_iter().filter(|case| case.filter == filter).collect()
}

/// Every case of `tests/cases/`, in order, with the file's name before the case's.
///
/// # Panics
/// When a file cannot be read or is not of this shape.
#[must_use]
pub fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let named =
            |case: Case| Case { name: format!("{stem}: {}", case.name), filter: stem.clone(), ..case };
        cases.extend(file.case.into_iter().map(named));
    }
    cases
}

// === impl Case ===

impl Case {
    /// Whether it is true of a real server, too: it takes no time, no address, no answer of the
    /// upstream and no cluster.
    #[must_use]
    pub fn is_timeless(&self) -> bool {
        let plain = |step: &Step| step.at_ms == 0 && step.from.is_none() && step.answers == well();
        let alone = ["discovery", "ratelimit"].contains(&self.filter.as_str());
        alone && self.steps.iter().all(plain)
    }
}

// === impl Step ===

impl Step {
    /// Headers as pairs, repeated ones repeatedly.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().flat_map(|(name, values)| {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            };
            values.iter().map(move |value| (name.as_str(), value.as_str()))
        })
    }
}
