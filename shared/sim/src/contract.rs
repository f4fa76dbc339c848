//! What any store must do, and what a proxy tells of the route that a request is on.
//!
//! Run against the simulator by a test and inside Envoy by a probe module, so that what is
//! proven on the one holds on the other.

use tidegate_driver::Cells;
use tidegate_policy::host::StoreError;
use tidegate_policy::http::{steering, Attribute, Edit, Request, RequestExt, Response, Verdict};

/// The header that a filter of the route's contract takes away. A proxy for it has two such filters
/// and two routes: to the cluster that this header names, if it is there, and to `plain`.
pub const TO: &str = "x-to";

/// What clients are told of by such a filter: what it [noted](note).
pub const NOTED: &str = "x-noted";

/// What each of two filters tells of an honest request, and of one with the header: the cluster before
/// the router, `!` if the route is not to be believed, and the cluster behind the router. The one
/// nearest to the router tells first.
pub const ROUTE: [(Option<&str>, [&str; 2]); 2] =
    [(None, ["plain>plain", "plain>plain"]), (Some("evil"), ["evil!>plain", "evil>plain"])];

/// The part of such a filter that sees the request: what to note of it.
pub fn note(noted: &mut String, request: &impl Request) -> Verdict {
    *noted = text(request.attribute(Attribute::Cluster));
    if steering::is_forged(request.attribute(Attribute::Steering)) {
        noted.push('!');
    }
    let there = request.header(TO).map(|_| Edit::RemoveRequestHeader(TO.to_owned()));
    Verdict::Continue(there.into_iter().collect())
}

/// The part that sees the response, and tells.
pub fn tell(noted: &str, response: &impl Response) -> Vec<Edit> {
    let cluster = text(response.attribute(Attribute::Cluster));
    vec![Edit::AddResponseHeader(NOTED.to_owned(), format!("{noted}>{cluster}"))]
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Checks a store. `name` makes the cells of this run its own.
///
/// # Errors
/// The first promise that was not kept.
pub fn check(store: &impl Cells, name: &str) -> Result<(), String> {
    let cell = format!("tidegate/contract/{name}");
    let load = || store.load(&cell).map_err(|error| format!("load: {error}"));

    expect("a cell that nobody created is absent", load()?.is_none())?;
    expect("creating a missing cell does it", store.create(&cell, b"one") == Ok(true))?;
    expect("creating it again does not", store.create(&cell, b"two") == Ok(false))?;

    let (bytes, first) = load()?.ok_or("the created cell is absent")?;
    expect("what was created is read back", bytes == b"one")?;
    expect("reading changes no version", load()?.map(|(_, version)| version) == Some(first))?;

    expect("a current version replaces", store.replace(&cell, b"three", first) == Ok(()))?;
    expect("a used version is stale", store.replace(&cell, b"four", first) == Err(StoreError::Stale))?;
    let (bytes, second) = load()?.ok_or("the replaced cell is absent")?;
    expect("what was replaced is read back", bytes == b"three")?;
    expect("each write has its own version", first != second)?;

    expect("replacing by the same bytes is a write", store.replace(&cell, b"three", second) == Ok(()))?;
    let stale = store.replace(&cell, b"three", second);
    expect("so the version before it is stale", stale == Err(StoreError::Stale))?;

    let (_, third) = load()?.ok_or("the cell is absent after three writes")?;
    let all: Vec<u8> = (0..=u8::MAX).cycle().take(70_000).collect();
    expect("a cell takes any bytes, also many", store.replace(&cell, &all, third) == Ok(()))?;
    expect("and gives them back", load()?.map(|(bytes, _)| bytes) == Some(all))?;

    let (_, fourth) = load()?.ok_or("the cell is absent after four writes")?;
    expect("a cell can be empty", store.replace(&cell, b"", fourth) == Ok(()))?;
    expect("and is still there", load()?.map(|(bytes, _)| bytes) == Some(Vec::new()))?;
    expect("so it cannot be created", store.create(&cell, b"five") == Ok(false))?;

    let other = format!("{cell}/other");
    expect("cells are apart", store.create(&other, b"x") == Ok(true))
}

fn expect(promise: &str, kept: bool) -> Result<(), String> {
    if kept {
        Ok(())
    } else {
        Err(format!("not kept: {promise}"))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;

    use tidegate_policy::config::Reader;
    use tidegate_policy::host::{Host, Store};
    use tidegate_policy::http::{Callback, CellSpec, Metric, Placement, Stage};

    use super::*;
    use crate::store::SimStore;
    use crate::{Of, SimChain, SimHost, SimResponse, SimRoute, To, Worker};

    struct Noting;

    impl Stage for Noting {
        const NAME: &'static str = "noting";
        const CALLBACKS: &'static [Callback] = &[Callback::RequestHeaders, Callback::ResponseHeaders];

        type Exchange = String;
        type Memory = ();

        fn read(_reader: &Reader<'_>, _placement: Placement) -> Option<Self> {
            Some(Self)
        }

        fn cells(&self) -> impl Iterator<Item = CellSpec> {
            std::iter::empty()
        }

        fn start(&mut self, _memory: &Rc<()>, _store: &impl Store) -> Result<(), StoreError> {
            Ok(())
        }

        fn metrics(&self) -> Vec<Metric> {
            Vec::new()
        }

        fn on_request(&self, noted: &mut String, request: &impl Request, _host: &impl Host) -> Verdict {
            note(noted, request)
        }

        fn on_response(&self, noted: &mut String, response: &impl Response, _host: &impl Host) -> Vec<Edit> {
            tell(noted, response)
        }
    }

    #[test]
    fn the_simulator_tells_the_route_as_envoy_does() {
        let filter = || Worker::<Noting, _>::new("{}", SimHost::new(Arc::default())).unwrap();
        let [one, two] = [filter(), filter()];
        let named = SimRoute { name: "named", of: Of::Having(TO), to: To::Named(TO) };
        let plain = SimRoute { name: "plain", of: Of::All, to: To::Cluster("plain") };
        let chain = SimChain::new(vec![&one, &two], &[named, plain]);
        for (to, expected) in ROUTE {
            let edits = RefCell::default();
            let headers: Vec<_> = to.into_iter().map(|to| (TO, to)).collect();
            chain.send(&headers, &|_| SimResponse::upstream(200), &edits);
            let expected = expected.map(|told| Edit::AddResponseHeader(NOTED.to_owned(), told.to_owned()));
            assert_eq!(edits.take(), expected);
        }
    }

    #[test]
    fn the_simulator_keeps_it() {
        assert_eq!(check(&SimStore::default(), "sim"), Ok(()));
    }
}
