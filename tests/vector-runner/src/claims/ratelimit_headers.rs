//! What clients are told: headers, problem details, statuses.

use serde_json::Value;
use tidegate_policy::http::{grpc, Reply};
use tidegate_policy::ratelimit::headers::{Quota, Style};
use tidegate_policy::ratelimit::reply::{self, Refusal};
use tidegate_policy::time::Span;

use crate::data::{Fault, Node};
use crate::models;

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    let statuses = document.field("grpc")?.items()?;
    statuses.iter().try_for_each(grpc_status)?;
    let mapped = document.field("grpc_to_http")?.fields()?;
    for (status, expected) in &mapped {
        let status =
            status.parse().map_err(|_| expected.malformed("not named after a gRPC status".to_string()))?;
        expected.is(grpc::to_http(status))?;
    }
    let units = document.field("unit_seconds")?.fields()?;
    for (unit, expected) in &units {
        expected.is(models::unit_seconds(unit))?;
    }
    Ok(cases.len() + statuses.len() + mapped.len() + units.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let policies = case.field("policies")?.items()?;
    let quotas = policies.iter().map(quota).collect::<Result<Vec<_>, _>>()?;
    let denied = case.optional("denied")?.map(|denied| Denied::read(&denied)).transpose()?;
    let headers = |style| match &denied {
        Some(denied) => denied.reply(style, &quotas).headers,
        None => reply::quota_headers(style, &quotas),
    };
    same_headers(&case.field("expect")?, &headers(Style::Draft11))?;
    if let Some(expected) = case.optional("expect_envoy_draft03")? {
        let headers = headers(Style::Draft03Envoy).into_iter().filter(|(name, _)| name != "retry-after");
        same_headers(&expected, &headers.collect::<Vec<_>>())?;
    }
    let Some(denied) = denied else { return Ok(()) };
    let reply = denied.reply(Style::Draft11, &quotas);
    case.field("expect_status")?.is(reply.status)?;
    problem(&case.field("expect_problem")?, &reply)
}

/// A policy of a case.
fn quota<'a>(policy: &Node<'a>) -> Result<Quota<'a>, Fault> {
    let text = |name| policy.optional(name)?.map(|node| node.text()).transpose();
    let span = |name| Ok(Span::from_nanos(policy.field(name)?.natural()?));
    Ok(Quota {
        name: policy.field("name")?.text()?,
        units: policy.field("q")?.natural()?,
        unit: text("qu")?,
        window_secs: policy.field("w")?.natural()?,
        partition: text("pk")?,
        remaining: policy.field("remaining")?.natural()?,
        next_unit: span("next_unit_ns")?,
        burst: policy.field("burst")?.natural()?,
    })
}

/// Compares all headers but those of the body, in both directions.
fn same_headers(expected: &Node<'_>, got: &[(String, String)]) -> Result<(), Fault> {
    let got: Vec<_> =
        got.iter().filter(|(name, _)| !matches!(name.as_str(), "content-type" | "cache-control")).collect();
    for (name, value) in &got {
        expected.field(name)?.is(value.as_str())?;
    }
    for (name, value) in expected.fields()? {
        if !got.iter().any(|(other, _)| other == name) {
            return Err(value.wrong(value.text()?, "no such header"));
        }
    }
    Ok(())
}

/// Compares the fields of the problem details that the case names.
fn problem(expected: &Node<'_>, reply: &Reply) -> Result<(), Fault> {
    let got: Value = serde_json::from_str(&reply.body)
        .map_err(|error| expected.wrong("problem details", format!("{:?}: {error}", reply.body)))?;
    for required in ["type", "title", "violated-policies"] {
        let _ = expected.field(required)?;
    }
    for (name, value) in expected.fields()? {
        value.is(got.get(name).cloned().unwrap_or(Value::Null))?;
    }
    match got.get("status").and_then(Value::as_u64) {
        Some(status) if status == u64::from(reply.status) => Ok(()),
        status => Err(expected.wrong(format!("status {}", reply.status), format!("{status:?}"))),
    }
}

/// The gRPC status that a client sees for an HTTP error, or for a refusal of ours.
fn grpc_status(row: &Node<'_>) -> Result<(), Fault> {
    let http: u32 = row.field("http")?.count()?;
    let ours = row.optional("rate_limited_as_resource_exhausted")?.map(|flag| flag.boolean()).transpose()?;
    let refusal = reply::default();
    let expected = row.field(if ours.is_some() { "grpc_status" } else { "default_grpc_status" })?;
    let got = match ours {
        Some(true) if http == refusal.status => refusal.grpc_status,
        _ => grpc::from_http(http),
    };
    expected.is(got)?;
    row.optional("name")?.map_or(Ok(()), |name| name.is(models::grpc_name(got)))
}

/// A request that was refused.
struct Denied<'a> {
    retry_after: Option<Span>,
    violated: Vec<&'a str>,
}

impl<'a> Denied<'a> {
    fn read(denied: &Node<'a>) -> Result<Self, Fault> {
        let wait = denied.field("retry_after_ns")?;
        let retry_after = if wait.is_null() { None } else { Some(Span::from_nanos(wait.natural()?)) };
        let violated = denied.field("violated")?.items()?;
        let violated = violated.iter().map(Node::text).collect::<Result<_, _>>()?;
        Ok(Self { retry_after, violated })
    }

    fn reply(&self, style: Style, quotas: &[Quota<'_>]) -> Reply {
        let refusal = Refusal { violated: &self.violated, retry_after: self.retry_after, grpc: false };
        reply::refused(&reply::default(), style, quotas, refusal)
    }
}
