//! Slow start.

use tidegate_policy::balance::SlowStart;
use tidegate_policy::time::Span;

use super::lists;
use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    lists(document, &[("cases", case)])
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let slow = SlowStart {
        window: Span::from_millis(case.field("window_ms")?.natural()?),
        aggression: case.field("aggression")?.number()?,
        min_weight_percent: case.field("min_weight_percent")?.count()?,
    };
    let factor = slow.factor(Span::from_millis(case.field("elapsed_ms")?.natural()?));
    case.field("factor")?.is_about(factor, 0.0)?;
    case.field("weight_of_100")?.is_about(100.0 * factor, 0.0)
}
