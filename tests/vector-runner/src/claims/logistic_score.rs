//! Logistic health scores.

use tidegate_policy::balance::score::{health, logistic, weight};

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    for case in &cases {
        let (theta, k) = (case.field("theta")?.number()?, case.field("k")?.number()?);
        let x = case.field("x")?;
        let x = x.items()?.iter().map(Node::number).collect::<Result<Vec<_>, _>>()?;
        let scores: Vec<f64> = x.iter().map(|x| logistic(*x, theta, k)).collect();
        let sum: f64 = scores.iter().sum();
        let parts: Vec<f64> = scores.iter().map(|score| score / sum).collect();
        about(&case.field("F")?, &scores)?;
        about(&case.field("P")?, &parts)?;
        case.field("weight_10000")?.is(scores.iter().map(|score| weight(*score)).collect::<Vec<_>>())?;
    }
    let example = document.field("health_score_example")?;
    example.field("x")?.is("100*success_rate - latency_penalty")?;
    let number = |name: &str| example.field(name)?.number();
    let x = health(number("success_rate")?, number("p95_ms")?, number("target_ms")?);
    example.field("x_value")?.is_about(x, 0.0)?;
    Ok(cases.len() + 1)
}

fn about(list: &Node<'_>, got: &[f64]) -> Result<(), Fault> {
    let items = list.items()?;
    if items.len() != got.len() {
        return Err(list.wrong(format!("{} numbers", items.len()), format!("{}", got.len())));
    }
    items.iter().zip(got).try_for_each(|(expected, got)| expected.is_about(*got, 0.0))
}
