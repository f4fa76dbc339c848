//! Endpoints that stand in the configuration. Nothing is asked.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::config::lists::{named, pairs, texts};
use crate::config::{Object, Reader};
use crate::discovery::endpoint::{normalize, Endpoint, Key, Names, MAX_ENDPOINTS};
use crate::http::matcher::collect;
use crate::sort;

/// Services with their endpoints, as the document has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StaticList {
    /// The services by name, each with its endpoints in normal form.
    pub services: Vec<(String, Rc<[Endpoint]>)>,
}

/// Whether an address and port may ever get requests.
pub(crate) type Allowed<'a> = &'a dyn Fn(IpAddr, u16) -> bool;

const FIELDS: [&str; 7] = ["address", "port", "weight", "tags", "zone", "priority", "metadata"];

fn set(reader: &Reader<'_>, allowed: Allowed<'_>, names: &mut Names) -> Option<Rc<[Endpoint]>> {
    let items = reader.items(1..=MAX_ENDPOINTS, "endpoints")?;
    let read = |item: &Reader<'_>| endpoint(item, allowed, names);
    let mut set: Vec<Endpoint> = items.iter().map(read).fold(Some(Vec::new()), collect)?;
    let mut keys: Vec<(Key, &Reader<'_>)> = set.iter().map(Endpoint::key).zip(&items).collect();
    // Stable: of two alike the one that stands further down is reported.
    sort::sort_by(&mut keys, &|(a, _), (b, _)| a.cmp(b));
    let twice = keys.windows(2).filter_map(|pair| match pair {
        [(one, _), (other, reader)] if one == other => Some((one, reader)),
        _ => None,
    });
    let mut sound = true;
    for ((address, port), reader) in twice {
        reader.report(format!("{} is there already, expected once", SocketAddr::new(*address, *port)));
        sound = false;
    }
    normalize(&mut set);
    sound.then(|| set.into())
}

fn endpoint(reader: &Reader<'_>, allowed: Allowed<'_>, names: &mut Names) -> Option<Endpoint> {
    let object = reader.object(&FIELDS)?;
    let address = object.required("address", "an IPv4 or IPv6 address").and_then(|r| address(&r));
    let port = object.required("port", "an integer, 1 to 65535").and_then(|r| r.integer(1..=65_535, ""));
    let weight = object.natural("weight", 1, 1, 65_535, "");
    let tags = object.or("tags", Vec::new(), |r| texts(r, 32, "tags"));
    let zone = object.or("zone", "", |r| r.text(256));
    let priority = object.natural("priority", 0, 0, 15, "");
    let metadata = object.or("metadata", Vec::new(), pairs);
    let (address, port) = (address?, u16::try_from(port?).ok()?);
    let id = SocketAddr::new(address, port).to_string();
    if !allowed(address, port) {
        reader.report(format!("{id} is not in `allow`, expected an endpoint that it has"));
        return None;
    }
    let endpoint = Endpoint::new(&id, address, port)?
        .weighing(weight?)
        .in_zone(zone?, names)
        .tagged(&mut tags?.into_iter(), names)
        .labelled(&mut metadata?.into_iter(), names);
    Some(Endpoint { priority: u8::try_from(priority?).ok()?, ..endpoint })
}

/// IPv4 in IPv6 is IPv4.
fn address(reader: &Reader<'_>) -> Option<IpAddr> {
    let text = reader.text(64)?;
    match text.parse::<IpAddr>() {
        Ok(address) if !address.to_canonical().is_unspecified() && !address.to_canonical().is_multicast() => {
            Some(address.to_canonical())
        }
        _ => {
            reader.report(format!("{text:?} is no address of an endpoint, expected one of IPv4 or IPv6"));
            None
        }
    }
}

// === impl StaticList ===

impl StaticList {
    /// Reads the field `static` of a registry; each endpoint must be `allowed`.
    #[inline(never)]
    pub(crate) fn read(reader: &Reader<'_>, allowed: Allowed<'_>) -> Option<Self> {
        let object = reader.object(&["services"])?;
        let services = object.required("services", "an object with services")?;
        let mut names = Names::default();
        let service =
            |(name, list): (&str, Reader<'_>)| Some((name.to_string(), set(&list, allowed, &mut names)?));
        let entries = named(&services, 1..=256, "services")?;
        let services = entries.into_iter().map(service).fold(Some(Vec::new()), collect)?;
        Some(Self { services })
    }

    /// The endpoints of a service; `None` when the list has no such service.
    #[must_use]
    pub fn endpoints(&self, service: &str) -> Option<&[Endpoint]> {
        self.services.iter().find(|(name, _)| name == service).map(|(_, endpoints)| &**endpoints)
    }

    /// Reads the field `static` of a service that is called `name`: its name in the list. `list` is
    /// `None` when it could not be read.
    pub(crate) fn read_query(
        object: &Object<'_>,
        name: &str,
        list: Option<&Self>,
        registry: &str,
    ) -> Option<String> {
        let inner = object.inner("static", &["service"])?;
        let service = inner.or("service", name, |r| r.text(256))?;
        if list?.endpoints(service).is_none() {
            let reader = inner.optional("service").or_else(|| object.optional("registry"))?;
            reader.report(format!("has no service {service:?} in {registry:?}, expected one that is there"));
            return None;
        }
        Some(service.to_string())
    }
}
