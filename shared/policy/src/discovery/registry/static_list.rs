//! Endpoints that stand in the configuration. Nothing is asked.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::config::{
    self, collect, Field, Form, Kind, List, Map, Misfit, Object, Reader, Table, Text, ANY, PAIRS, TEXT,
};
use crate::discovery::endpoint::{normalize, Endpoint, Key, Names, MAX_ENDPOINTS};
use crate::sort;

/// Services with their endpoints, as the document has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StaticList {
    /// The services by name, each with its endpoints in normal form.
    pub services: Vec<(String, Rc<[Endpoint]>)>,
}

/// Whether an address and port may ever get requests.
pub(crate) type Allowed<'a> = &'a dyn Fn(IpAddr, u16) -> bool;

/// An address that can be connected to.
static ADDRESS_FORM: Form = Form::new(
    |text| {
        let misfit = Misfit { found: "is no address of an endpoint", expected: "one of IPv4 or IPv6" };
        parse(text).is_none().then_some(misfit)
    },
    "^[0-9A-Fa-f:.]+$",
    false,
);

/// IPv4 in IPv6 is IPv4.
fn parse(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok()?.to_canonical();
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

const ENDPOINTS: Kind =
    Kind::List { of: &Kind::Object(&ENDPOINT), least: 1, most: MAX_ENDPOINTS as u16, called: "endpoints" };
static SERVICE_NAMES: config::Names = config::Names {
    names: Text::new("a name", 256, &ANY),
    of: ENDPOINTS,
    least: 1,
    most: 256,
    called: "services",
};
static SERVICES: Field<Map> = Field::map("services", &SERVICE_NAMES)
    .required()
    .says("The endpoints of each service by its name, 1 to 256 bytes.");
/// A registry.
pub(super) static REGISTRY: Table = Table::new("discovery.static", &[SERVICES.def()]);

static ADDRESS: Field<str> = Field::of("address", Kind::formed("an IPv4 or IPv6 address", 64, &ADDRESS_FORM))
    .required()
    .says("An IPv4 or IPv6 address.");
static PORT: Field<u16> = Field::integer("port", 1, 65_535, "").required().says("Its port.");
static WEIGHT: Field<u64> =
    Field::integer("weight", 1, 65_535, "").or_number(1).says("Its part of the sum of all weights.");
static TAGS: Field<List<str>> = Field::list("tags", &TEXT, 1, 32, "tags")
    .or_says("none")
    .says("What [`subset`](#servicessubset) can ask for.");
static ZONE: Field<str> =
    Field::of("zone", TEXT).or_says("none").says("Where it runs, for [`zone_aware`](#serviceszone_aware).");
static PRIORITY: Field<u8> = Field::integer("priority", 0, 15, "")
    .or_number(0)
    .says("Endpoints of a higher number stand in for those of lower ones.");
static METADATA: Field<Map> = Field::map("metadata", &PAIRS)
    .or_says("none")
    .says("What [`subset`](#servicessubset) can ask for; values of 1 to 256 bytes.");
static ENDPOINT: Table = Table::new(
    "discovery.endpoint",
    &[ADDRESS.def(), PORT.def(), WEIGHT.def(), TAGS.def(), ZONE.def(), PRIORITY.def(), METADATA.def()],
);

static SERVICE: Field<str> =
    Field::of("service", TEXT).or_says("`name`").says("Its name in the registry, which has it.");
/// What is asked for.
pub(super) static QUERY: Table = Table::new("discovery.service.static", &[SERVICE.def()]);

fn set(reader: &Reader<'_>, allowed: Allowed<'_>, names: &mut Names) -> Option<Rc<[Endpoint]>> {
    let items = reader.items();
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
        reader.report(format!("{} is there already", SocketAddr::new(*address, *port)), "once");
        sound = false;
    }
    normalize(&mut set);
    sound.then(|| set.into())
}

fn endpoint(reader: &Reader<'_>, allowed: Allowed<'_>, names: &mut Names) -> Option<Endpoint> {
    let object = reader.object()?;
    let (address, port) = (parse(object.get(&ADDRESS)?)?, object.get(&PORT)?);
    let id = SocketAddr::new(address, port).to_string();
    if !allowed(address, port) {
        reader.report(format!("{id} is not in `allow`"), "an endpoint that it has");
        return None;
    }
    let metadata = object.pairs(&METADATA)?;
    let endpoint = Endpoint::new(&id, address, port)?
        .weighing(object.get(&WEIGHT)?)
        .in_zone(object.maybe(&ZONE)?.unwrap_or(""), names)
        .tagged(&mut object.list(&TAGS)?.into_iter(), names)
        .labelled(&mut metadata.into_iter(), names);
    Some(Endpoint { priority: object.get(&PRIORITY)?, ..endpoint })
}

// === impl StaticList ===

impl StaticList {
    /// Reads the field `static` of a registry; each endpoint must be `allowed`.
    #[inline(never)]
    pub(super) fn read(object: &Object<'_>, allowed: Allowed<'_>) -> Option<Self> {
        let mut names = Names::default();
        let service =
            |(name, list): (&str, Reader<'_>)| Some((name.to_string(), set(&list, allowed, &mut names)?));
        let services = object.entries(&SERVICES).into_iter().map(service).fold(Some(Vec::new()), collect)?;
        Some(Self { services })
    }

    /// The endpoints of a service; `None` when the list has no such service.
    #[must_use]
    pub fn endpoints(&self, service: &str) -> Option<&[Endpoint]> {
        self.services.iter().find(|(name, _)| name == service).map(|(_, endpoints)| &**endpoints)
    }

    /// Reads the field `static` of a service that is called `name`: its name in the list. `list` is
    /// `None` when it could not be read; problems of a name that is not given are those of `named`.
    pub(super) fn read_query(
        object: &Object<'_>,
        name: &str,
        list: Option<&Self>,
        registry: &str,
        named: &Reader<'_>,
    ) -> Option<String> {
        let service = object.maybe(&SERVICE)?.unwrap_or(name);
        if list?.endpoints(service).is_none() {
            let found = format!("has no service {service:?} in {registry:?}");
            object.reader(&SERVICE).as_ref().unwrap_or(named).report(found, "one that is there");
            return None;
        }
        Some(service.to_string())
    }
}
