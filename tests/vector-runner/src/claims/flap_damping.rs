//! The penalty of an endpoint that comes and goes.

use tidegate_policy::discovery::distrust::flap::{Flap, FlapParams};
use tidegate_policy::time::{Span, Timestamp};

use crate::data::{Fault, Node};

/// Penalties are written with three decimals.
const ROUNDED: f64 = 1e-3;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let steps = document.field("steps")?.items()?;
    let mut flap = Flap::new(Timestamp::ZERO);
    let mut up = true;
    for step in &steps {
        let now = Timestamp::ZERO.plus(Span::from_secs(step.field("t_s")?.natural()?));
        // A check sees the endpoint as it was.
        up = step.field("event")?.parsed(
            |event| match event {
                "up" => Some(true),
                "down" => Some(false),
                "check" => Some(up),
                _ => None,
            },
            "up, down or check",
        )?;
        flap = flap.seen(&FlapParams::default(), now, up);
        step.field("penalty")?.is_about(flap.penalty(), ROUNDED)?;
        step.field("suppressed")?.is(flap.is_damped())?;
    }
    Ok(steps.len())
}
