//! Reading the variants of a route: where they are, what they weigh, how they ramp.

use alloc::borrow::ToOwned;
use alloc::string::String;

use super::fields;
use super::shared::basis_points;
use crate::config::{all, distinct_name, Object, Reader};
use crate::routing::judge::Demands;
use crate::routing::ramp::{Ramp, Step};
use crate::routing::variant::{Target, Variant};

/// Reads a variant whose name none of the `earlier` ones has.
#[inline(never)]
pub(super) fn read(object: &Object<'_>, earlier: &[Reader<'_>]) -> Option<Variant> {
    let name = distinct_name(object, &fields::VARIANT_NAME, earlier);
    let max_weight = object.maybe(&fields::MAX_VARIANT_WEIGHT)?;
    let ramp = match object.maybe_inner(&fields::RAMP)? {
        Some(ramp) => Some(read_ramp(&ramp)?),
        None => None,
    };
    let baseline = object.get(&fields::BASELINE)?;
    if baseline && (ramp.is_some() || max_weight.is_some()) {
        object.report("the baseline takes what is left".to_owned(), "no `ramp` and no `max_weight`");
        return None;
    }
    Some(Variant {
        name: name?.into(),
        target: target(object)?,
        weight: object.get(&fields::WEIGHT)?,
        max_weight,
        ramp,
        baseline,
    })
}

fn target(object: &Object<'_>) -> Option<Target> {
    if let Some(cluster) = object.get(&fields::VARIANT_CLUSTER) {
        return Some(Target::Cluster(cluster.into()));
    }
    if let Some(status) = object.get(&fields::STATUS) {
        return Some(Target::Status(status));
    }
    let service = object.inner(&fields::SERVICE)?;
    let pair = |(key, value): (&str, Reader<'_>)| {
        Some((key.to_owned(), value.value::<String>(&fields::METADATA_VALUE)?))
    };
    Some(Target::Service {
        name: service.get(&fields::SERVICE_NAME)?,
        tag: service.maybe(&fields::TAG)?,
        metadata: all(service.entries(&fields::SERVICE_METADATA).into_iter().map(pair))?,
    })
}

#[inline(never)]
fn read_ramp(object: &Object<'_>) -> Option<Ramp> {
    let step = |reader: &Reader<'_>| {
        let step = reader.object()?;
        Some(Step { weight: step.get(&fields::STEP_WEIGHT)?, hold_ms: step.get(&fields::HOLD_MS)? })
    };
    let abort = object.inner(&fields::ABORT)?;
    Some(Ramp {
        steps: all(object.items(&fields::STEPS).iter().map(step))?,
        interval_ms: object.get(&fields::INTERVAL_MS)?,
        start_ms: object.maybe(&fields::START_MS)?,
        paused: object.get(&fields::PAUSED)?,
        demands: demands(&abort)?,
        max_failed: abort.get(&fields::MAX_FAILED)?,
        breaker: abort.maybe(&fields::BREAKER)?.map(ToOwned::to_owned),
    })
}

fn demands(abort: &Object<'_>) -> Option<Demands> {
    let success = basis_points(abort, &fields::MIN_SUCCESS_PERCENT, &fields::MIN_SUCCESS_BASIS_POINTS)?;
    Some(Demands {
        min_success_basis_points: success.unwrap_or(Demands::default().min_success_basis_points),
        tolerance_basis_points: abort.get(&fields::TOLERANCE_BASIS_POINTS)?,
        max_p99_ms: abort.get(&fields::MAX_P99_MS)?,
        p99_percent: abort.get(&fields::P99_PERCENT)?,
        min_samples: abort.get(&fields::MIN_SAMPLES)?,
    })
}
