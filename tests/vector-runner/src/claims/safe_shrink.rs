//! Sets of endpoints that shrink.

use std::net::{IpAddr, Ipv4Addr};

use tidegate_policy::discovery::distrust::shrink::{Action, Guard, ShrinkParams};
use tidegate_policy::discovery::endpoint::Endpoint;
use tidegate_policy::time::{Span, Timestamp};

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    Ok(cases.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let config = case.field("config")?;
    let seconds = |name: &str| Ok(Span::from_secs(config.field(name)?.natural()?));
    let params = ShrinkParams {
        keep_percent: config.field("keep_pct")?.count()?,
        min_size: config.field("min_size")?.count()?,
        hold: seconds("shrink_hold_s")?,
        empty_hold: seconds("empty_hold_s")?,
        confirmations: config.field("confirmations")?.count()?,
        allow_empty: config.field("allow_empty")?.boolean()?,
        window: seconds("ref_window_s")?,
    };
    let mut guard = Guard::new(set(&config.field("start")?)?);
    for step in case.field("steps")?.items()? {
        let now = Timestamp::ZERO.plus(Span::from_secs(step.field("t_s")?.natural()?));
        let judged = guard.fetched(&params, now, set(&step.field("fetched")?)?);
        step.field("ref")?.is(judged.reference)?;
        step.field("floor")?.is(judged.floor)?;
        step.field("action")?.is(match judged.action {
            Action::Apply => "apply",
            Action::ApplyConfirmed => "apply_confirmed",
            Action::Hold => "hold",
        })?;
        let serving: Vec<&str> = guard.serving().iter().map(|endpoint| &*endpoint.id).collect();
        step.field("serving")?.is(serving)?;
    }
    Ok(())
}

/// Endpoints of these names, each with an address that sorts as its name does.
fn set(names: &Node<'_>) -> Result<Vec<Endpoint>, Fault> {
    let endpoint = |name: &Node<'_>| {
        let letter = |text: &str| text.bytes().next().filter(|_| text.len() == 1);
        let last = name.parsed(letter, "a letter")?;
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        Endpoint::new(name.text()?, address, 80).ok_or_else(|| name.malformed("no endpoint".to_string()))
    };
    names.any_items()?.iter().map(endpoint).collect()
}
