//! What registries answer, as endpoints.
//!
//! The name of a case begins with that of its registry. What a body says beyond what we read is
//! none of our business; everything around it is compared with the request that we would send.

use serde_json::Value;
use tidegate_policy::discovery::endpoint::Endpoint;
use tidegate_policy::discovery::registry::dns::message::Kind;
use tidegate_policy::discovery::registry::dns::{json as doh_json, Answer, Question};
use tidegate_policy::discovery::registry::eureka::{Action, Apps};
use tidegate_policy::discovery::registry::nacos::Version;
use tidegate_policy::discovery::registry::{
    consul, etcd, eureka, kubernetes, nacos, AnswerError, Found, Reply,
};

use crate::data::{Fault, Node};

/// What all cases are about.
const SERVICE: &str = "pay";
const SRV: Question<'static> = Question { name: "_pay._tcp.service.consul", kind: Kind::Srv };

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let cases = document.field("cases")?.items()?;
    cases.iter().try_for_each(case)?;
    Ok(cases.len())
}

fn case(case: &Node<'_>) -> Result<(), Fault> {
    let body = case.field("body")?.raw().to_string();
    let headers = headers(case.optional("response_headers")?.as_ref())?;
    let header = |name: &str| {
        let found = headers.iter().find(|(there, _)| there.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_bytes().to_vec())
    };
    let reply = Reply { status: 200, header: &header, body: body.as_bytes() };
    let name = case.field("name")?;
    let registry = name.text()?.split('_').next().unwrap_or_default();
    let fault =
        |problem: AnswerError| case.field("body").map_or_else(|f| f, |body| body.wrong("endpoints", problem));
    match registry {
        "consul" => of_consul(case, &reply, &fault),
        "eureka" => {
            sends(case, Some(&eureka::path(SERVICE)), &eureka::HEADERS)?;
            let apps = eureka::read(&reply).map_err(fault)?;
            actions(case, &apps)?;
            endpoints(case, &apps.found().map_err(fault)?)
        }
        "nacos" => {
            let v1 = name.text()?.contains("v1");
            let version = if v1 { Version::One } else { Version::Two };
            sends(case, Some(&nacos::path(version, SERVICE)), &[])?;
            endpoints(case, &nacos::read(&reply).map_err(fault)?)
        }
        "etcd" => {
            sends(case, Some(&format!("POST {}", etcd::PATH)), &[])?;
            let request: Value = serde_json::from_str(&etcd::request(b"/services/pay/")).unwrap_or_default();
            case.field("request_body")?.is(request)?;
            endpoints(case, &etcd::read(&reply).map_err(fault)?)
        }
        "k8s" => {
            sends(case, Some(&kubernetes::path("shop", SERVICE, "")), &[])?;
            let page = kubernetes::read(case.field("port_name")?.text()?, &reply).map_err(fault)?;
            endpoints(case, &page.found)
        }
        "doh" => {
            sends(case, Some(&doh_json::path("/resolve", SRV)), &doh_json::HEADERS)?;
            let answer = doh_json::read(SRV, &reply).map_err(fault)?;
            priorities(case, &answer)?;
            endpoints(case, &answer.found(0).map_err(fault)?)
        }
        _ => Err(name.malformed("begins with no registry that is known".to_string())),
    }
}

fn of_consul(case: &Node<'_>, reply: &Reply<'_>, fault: &dyn Fn(AnswerError) -> Fault) -> Result<(), Fault> {
    let query = consul::Query::new(SERVICE);
    // The index is that of the request, after which nothing came.
    let index = consul::index::of(reply).unwrap_or_default();
    sends(case, Some(&query.path(index)), &[])?;
    let found = consul::read(&query, reply).map_err(fault)?;
    endpoints(case, &found)
}

/// Compares the request that we would send, as far as the case says anything of it.
fn sends(case: &Node<'_>, path: Option<&str>, headers: &[(&str, &str)]) -> Result<(), Fault> {
    if let Some(expected) = case.optional("path")? {
        expected.is(path)?;
    }
    if let Some(expected) = case.optional("request_headers")? {
        for (name, value) in expected.fields()? {
            let ours = headers.iter().find(|(there, _)| there.eq_ignore_ascii_case(name));
            value.is(ours.map(|(_, value)| *value))?;
        }
    }
    Ok(())
}

fn headers<'a>(node: Option<&Node<'a>>) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    let Some(node) = node else { return Ok(Vec::new()) };
    node.fields()?.iter().map(|(name, value)| Ok((*name, value.text()?))).collect()
}

/// Compares the endpoints, which are sorted differently in the file, by id.
fn endpoints(case: &Node<'_>, found: &Found) -> Result<(), Fault> {
    let expect = case.field("expect")?;
    let items = expect.items()?;
    if items.len() != found.endpoints.len() {
        return Err(expect.wrong(format!("{} endpoints", items.len()), format!("{}", found.endpoints.len())));
    }
    for item in &items {
        let id = item.field("id")?;
        let same = |endpoint: &&Endpoint| Some(&*endpoint.id) == id.text().ok();
        let got =
            found.endpoints.iter().find(same).ok_or_else(|| id.wrong(id.text().unwrap_or(""), "none"))?;
        item.field("addr")?.is(got.address.to_string())?;
        item.field("port")?.is(got.port)?;
        item.field("weight")?.is(got.weight)?;
        item.field("zone")?.is(Some(&*got.zone).filter(|zone| !zone.is_empty()))?;
        item.field("health")?.is(got.health.word())?;
    }
    Ok(())
}

/// What became of each instance, in the order of the answer.
fn actions(case: &Node<'_>, apps: &Apps) -> Result<(), Fault> {
    for (item, (_, action)) in case.field("expect")?.items()?.iter().zip(&apps.instances) {
        item.field("action")?.is(match action {
            Action::Added => "ADDED",
            Action::Deleted => "DELETED",
            Action::Modified => "MODIFIED",
        })?;
    }
    Ok(())
}

/// The priorities as DNS has them; those of our endpoints are ranks of these.
fn priorities(case: &Node<'_>, answer: &Answer) -> Result<(), Fault> {
    for (item, service) in case.field("expect")?.items()?.iter().zip(&answer.services) {
        item.field("priority")?.is(service.priority)?;
    }
    Ok(())
}
