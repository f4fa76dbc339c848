//! What the driver asks of its proxy, answered by Envoy.

use std::cell::RefCell;
use std::net::IpAddr;
use std::num::NonZeroU32;

use tidegate_driver::{Cells, HeaderMap, Level, Proxy, Status};
use tidegate_policy::host::{Callout, CalloutError, Clock, Question, Store, StoreError, Token, Version};
use tidegate_policy::http::{Attribute, Header, MetricKind, Placement, Reply};
use tidegate_policy::net::address;
use tidegate_policy::time::Timestamp;

use crate::{abi, pairs};

/// The host of this module.
#[derive(Clone, Copy, Debug)]
pub struct Envoy;

/// A version that no cell ever has: makes a write create the cell or do nothing.
const NO_VERSION: u32 = u32::MAX;

thread_local! {
    /// Envoy gives every declaration of a metric a new number and never forgets the old one, so the
    /// numbers are kept for the life of the VM, across reconfigurations. Sorted: a map would cost 4 KiB.
    static METRICS: RefCell<Vec<(u32, String, u32)>> = const { RefCell::new(Vec::new()) };
}

impl Clock for Envoy {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(abi::monotonic_nanos())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(abi::wall_nanos())
    }
}

impl Store for Envoy {
    fn load(&self, cell: &str) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        match abi::shared_data(cell) {
            Ok((bytes, version)) => Ok(NonZeroU32::new(version).map(|version| (bytes, Version(version)))),
            Err(abi::NOT_FOUND) => Ok(None),
            Err(_) => Err(StoreError::Unavailable),
        }
    }

    fn replace(&self, cell: &str, bytes: &[u8], version: Version) -> Result<(), StoreError> {
        abi::set_shared_data(cell, bytes, version.0.get()).map_err(|status| match status {
            abi::CAS_MISMATCH => StoreError::Stale,
            _ => StoreError::Unavailable,
        })
    }
}

impl Cells for Envoy {
    fn create(&self, cell: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match abi::set_shared_data(cell, bytes, NO_VERSION) {
            Ok(()) => Ok(true),
            Err(abi::CAS_MISMATCH) => Ok(false),
            Err(_) => Err(StoreError::Unavailable),
        }
    }
}

impl Callout for Envoy {
    fn ask(&self, question: &Question<'_>) -> Result<Token, CalloutError> {
        let asked = match *question {
            Question::Http { cluster, headers, body, timeout_ms } => {
                abi::http_call(cluster, &pairs::encode(headers), body, timeout_ms).map(Token::Http)
            }
            Question::Name(name) => abi::resolve(name).map(Token::Name),
        };
        asked.map_err(|status| match status {
            abi::BAD_ARGUMENT => CalloutError::NoCluster,
            _ => CalloutError::NotSent,
        })
    }
}

impl Proxy for Envoy {
    type Headers = Vec<u8>;

    fn request_headers(&self) -> Vec<u8> {
        abi::header_pairs(abi::REQUEST_HEADERS).unwrap_or_default()
    }

    fn list<'a>(headers: &'a Vec<u8>, list: &mut Vec<Header<'a>>) {
        pairs::decode(headers, list);
    }

    fn header(&self, map: HeaderMap, name: &str) -> Option<Vec<u8>> {
        abi::header(number(map), name).ok()
    }

    fn add_header(&self, map: HeaderMap, name: &str, value: &str) {
        let _ = abi::add_header(number(map), name, value);
    }

    fn set_header(&self, map: HeaderMap, name: &str, value: &str) {
        let _ = abi::replace_header(number(map), name, value);
    }

    fn remove_header(&self, map: HeaderMap, name: &str) {
        let _ = abi::remove_header(number(map), name);
    }

    fn peer(&self) -> Option<IpAddr> {
        address::parse(&abi::property("source\0address").ok()?)
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        abi::property(path(which)?).ok()
    }

    fn metadata(&self, path: &[String]) -> Option<Vec<u8>> {
        let path = path.iter().fold("metadata\0filter_metadata".to_string(), |all, key| all + "\0" + key);
        abi::property(&path).ok()
    }

    fn set_fact(&self, name: &'static str, text: &str) {
        let _ = abi::set_property(name, text.as_bytes());
    }

    fn reply(&self, reply: &Reply) -> Result<(), Status> {
        let list = reply.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = pairs::encode(&list.collect::<Vec<_>>());
        let body = reply.body.as_bytes();
        abi::send_local_response(reply.status, &reply.details, body, &headers, reply.grpc_status)
    }

    fn continue_request(&self) -> Result<(), Status> {
        abi::continue_request()
    }

    fn configuration(&self) -> Vec<u8> {
        abi::buffer(abi::PLUGIN_CONFIGURATION, usize::MAX).unwrap_or_default()
    }

    fn placement(&self) -> Placement {
        Placement::of_root_id(&abi::property("plugin_root_id").unwrap_or_default())
    }

    fn plugin_name(&self) -> String {
        printable("plugin_name")
    }

    fn root_id(&self) -> String {
        printable("plugin_root_id")
    }

    fn random(&self, bytes: &mut [u8]) -> bool {
        abi::random(bytes).is_ok()
    }

    fn set_timer(&self, millis: u32) -> Result<(), Status> {
        abi::set_tick_period(millis)
    }

    fn enter(&self, context: u32) -> bool {
        abi::set_effective_context(context).is_ok()
    }

    fn release_root(&self) {
        let _ = abi::done();
    }

    fn is_resolving(&self) -> bool {
        abi::resolving()
    }

    fn answer_header(&self, name: &str) -> Option<Vec<u8>> {
        abi::header(abi::ANSWER_HEADERS, name).ok()
    }

    fn answer_body(&self, token: Token, most: usize) -> Vec<u8> {
        let buffer = match token {
            Token::Http(_) => abi::ANSWER_BODY,
            Token::Name(_) => abi::CALL_DATA,
        };
        abi::buffer(buffer, most).unwrap_or_default()
    }

    fn metric(&self, kind: MetricKind, name: String) -> Option<u32> {
        let kind = match kind {
            MetricKind::Counter => abi::COUNTER,
            MetricKind::Gauge => abi::GAUGE,
        };
        METRICS.with_borrow_mut(|known| {
            let place = known.binary_search_by(|(own, text, _)| (*own, &**text).cmp(&(kind, &*name)));
            match place {
                Ok(at) => known.get(at).map(|(_, _, id)| *id),
                Err(at) => {
                    let id = abi::define_metric(kind, &name).ok()?;
                    known.insert(at, (kind, name, id));
                    Some(id)
                }
            }
        })
    }

    fn add_to_metric(&self, id: u32, n: u64) {
        let _ = abi::increment(id, n);
    }

    fn read_metric(&self, id: u32) -> Option<u64> {
        abi::metric(id).ok()
    }

    fn set_metric(&self, id: u32, value: u64) {
        let _ = abi::record(id, value);
    }

    fn log(&self, level: Level, line: &str) {
        abi::log(level, line);
    }
}

/// A property, without what would break a line of the log.
fn printable(property: &str) -> String {
    let text = abi::property(property).unwrap_or_default();
    String::from_utf8_lossy(&text).chars().filter(|c| !c.is_control()).collect()
}

fn number(map: HeaderMap) -> u32 {
    match map {
        HeaderMap::Request => abi::REQUEST_HEADERS,
        HeaderMap::Response => abi::RESPONSE_HEADERS,
        HeaderMap::ResponseTrailers => abi::RESPONSE_TRAILERS,
    }
}

/// Where the host keeps an attribute; `None` for one that this glue does not know.
fn path(which: Attribute) -> Option<&'static str> {
    Some(match which {
        // Filter state of ours; Envoy puts `wasm.` before it.
        Attribute::Attempted
        | Attribute::Chosen
        | Attribute::Discovered
        | Attribute::Guarded
        | Attribute::Steering => return which.fact(),
        Attribute::AttemptCount => "upstream\0request_attempt_count",
        Attribute::Cluster => "xds\0cluster_name",
        Attribute::Details => "response\0code_details",
        Attribute::Endpoint => "upstream\0address",
        Attribute::Endpoints => "upstream\0num_endpoints",
        Attribute::Flags => "response\0flags",
        Attribute::ResponseSize => "response\0size",
        Attribute::LocalAddress => "upstream\0local_address",
        Attribute::LocalZone => "xds\0node\0locality\0zone",
        Attribute::Route => "xds\0route_name",
        Attribute::TransportFailure => "upstream\0transport_failure_reason",
        _ => return None,
    })
}
