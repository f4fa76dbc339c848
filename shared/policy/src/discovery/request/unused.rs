//! Services that no request is for, though many have passed: what is said of them, once for all workers.
//!
//! A request costs nothing: what it counts of its service says that the service has had one.

use alloc::format;
use alloc::string::String;

use crate::discovery::config::policy::Service;
use crate::discovery::metrics::{Places, ServiceMetric};
use crate::discovery::request::downstream::Downstream;
use crate::host::Host;
use crate::http::Placement;

/// Hands what was counted to the host, and says and shows which services have had no request.
pub fn publish(downstream: &Downstream, places: Places, host: &impl Host) {
    let usage = downstream.usage();
    for (at, view) in downstream.views().iter().enumerate() {
        let requests = view.publish(host);
        usage.add(Placement::Downstream, requests);
        if requests > 0 {
            usage.saw(at);
        }
    }
    usage.tell(host, &|at| places.service(at, ServiceMetric::Unused), &|at, requests| {
        let service = downstream.policy().services.get(at);
        service.map_or_else(String::new, |service| line(service, requests))
    });
}

fn line(service: &Service, requests: u64) -> String {
    let why = if service.matches.is_empty() {
        "it has no `match`, and no routing filter before this one chose it"
    } else {
        "its `match` holds for none, or a service that comes first takes them"
    };
    let name = &service.name;
    format!(
        "{name}: no request yet among {requests} requests was for the service: {why}; correct that, or remove the \
         service"
    )
}
