//! Reading to which requests a route applies.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use super::fields;
use super::shared::basis_points;
use crate::config::{all, Reader};
use crate::hash::xxh64::xxh64;
use crate::http::Matcher;
use crate::routing::rules::{Condition, MetadataMatch, Share};

/// Reads the conditions of the route `name`.
pub(super) fn read_all(readers: &[Reader<'_>], name: &str) -> Option<Vec<Condition>> {
    all(readers.iter().map(|reader| read(reader, name)))
}

fn read(reader: &Reader<'_>, name: &str) -> Option<Condition> {
    let object = reader.object()?;
    let metadata = object.items(&fields::METADATA);
    let share = basis_points(&object, &fields::PERCENT, &fields::BASIS_POINTS)?;
    Some(Condition::new(
        Matcher::read(&object)?,
        all(metadata.iter().map(read_metadata))?,
        share.map(|share| Share::new(share, xxh64(name.as_bytes(), 1))),
    ))
}

fn read_metadata(reader: &Reader<'_>) -> Option<MetadataMatch> {
    let object = reader.object()?;
    let path = core::iter::once(object.get(&fields::FILTER)?).chain(object.list(&fields::PATH)?);
    Some(MetadataMatch {
        path: path.map(ToOwned::to_owned).collect(),
        exact: object.maybe(&fields::EXACT)?,
        invert: object.get(&fields::INVERT)?,
    })
}
