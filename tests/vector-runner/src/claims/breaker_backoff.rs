//! How long a breaker stays open, the time before and the time after.

use tidegate_policy::balance::outlier;
use tidegate_policy::breaker::BreakerParams;

use crate::data::{Fault, Node};
use crate::models::{LinkerdWait, Resilience4jWait};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    Ok(recommended(&document.field("recommended")?)?
        + envoy(&document.field("envoy_ejection")?)?
        + resilience4j(&document.field("resilience4j_exponential")?)?
        + randomized(&document.field("resilience4j_randomized")?)?
        + linkerd(&document.field("linkerd_exponential")?)?)
}

fn recommended(section: &Node<'_>) -> Result<usize, Fault> {
    begins_with(&section.field("jitter")?, "add floor(wait*jitter_pct*u/100)")?;
    let terms = BreakerParams {
        base_open_ms: section.field("base_ms")?.natural()?,
        backoff_multiplier_percent: section.field("mult_pct")?.count()?,
        max_open_ms: section.field("max_ms")?.natural()?,
        ..BreakerParams::default()
    };
    rows(section, "streaks", "wait_ms", |streak| terms.wait(streak))
}

fn envoy(section: &Node<'_>) -> Result<usize, Fault> {
    let (base_ms, max_ms) = (section.field("base_ms")?.natural()?, section.field("max_ms")?.natural()?);
    let time = |ejection: u16| outlier::ejection_time(ejection.into(), base_ms, max_ms).1;
    rows(section, "ejections_in_a_row", "eject_ms", time)
}

fn resilience4j(section: &Node<'_>) -> Result<usize, Fault> {
    let wait = Resilience4jWait {
        initial_ms: section.field("initial_ms")?.natural()?,
        multiplier: section.field("multiplier")?.number()?,
    };
    let waits = section.field("waits_ms")?.items()?;
    (0..).zip(&waits).try_for_each(|(times, expected)| expected.is(wait.after(times)))?;
    Ok(waits.len())
}

fn randomized(section: &Node<'_>) -> Result<usize, Fault> {
    begins_with(&section.field("formula")?, "min + u*(max-min+1), min=w*(1-f), max=w*(1+f)")?;
    let (wait, factor) = (section.field("w")?.number()?, section.field("f")?.number()?);
    let draws = draws(section)?;
    draws.iter().try_for_each(|(draw, node)| node.is(Resilience4jWait::randomized(wait, factor, *draw)))?;
    Ok(draws.len())
}

fn linkerd(section: &Node<'_>) -> Result<usize, Fault> {
    begins_with(&section.field("formula")?, "base + min(base*ratio*u, max-base)")?;
    let wait = LinkerdWait {
        min_ms: section.field("min_ms")?.number()?,
        max_ms: section.field("max_ms")?.number()?,
        jitter_ratio: section.field("jitter_ratio")?.number()?,
    };
    let mut columns = draws(section)?;
    columns.push((0.0, section.field("base_ms")?));
    let mut cases = 0;
    for (draw, column) in columns {
        for (times, expected) in (0..).zip(column.items()?) {
            expected.is_about(wait.after(times, draw), 0.0)?;
            cases += 1;
        }
    }
    Ok(cases)
}

/// Compares two lists of one length: what `answer` says of each of `inputs`.
fn rows(
    section: &Node<'_>,
    inputs: &str,
    answers: &str,
    answer: impl Fn(u16) -> u64,
) -> Result<usize, Fault> {
    let inputs = section.field(inputs)?.items()?;
    let answers = section.field(answers)?;
    let got: Result<Vec<u64>, Fault> = inputs.iter().map(|input| Ok(answer(input.count()?))).collect();
    answers.is(got?)?;
    Ok(inputs.len())
}

/// The fields `u0.5` and the like, with their number.
fn draws<'a>(section: &Node<'a>) -> Result<Vec<(f64, Node<'a>)>, Fault> {
    let fields = section.fields()?.into_iter();
    let draws = fields.filter_map(|(name, node)| Some((name.strip_prefix('u')?.parse().ok()?, node)));
    let draws: Vec<_> = draws.collect();
    if draws.is_empty() {
        return Err(section.malformed("field `u0.5`, or another number, is missing".to_string()));
    }
    Ok(draws)
}

/// Compares the formula in front of the prose with the one that our code computes.
fn begins_with(node: &Node<'_>, formula: &str) -> Result<(), Fault> {
    let text = node.text()?;
    if text.starts_with(formula) {
        Ok(())
    } else {
        Err(node.wrong(text, formula))
    }
}
