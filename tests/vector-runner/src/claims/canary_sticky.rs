//! Who sees which variant while weights ramp.

use serde_json::{json, Value};
use tidegate_policy::routing::{Policy, Weights};

use crate::data::{Fault, Node};

pub(super) fn check(document: &Node<'_>) -> Result<usize, Fault> {
    let experiment = document.field("experiment")?.text()?;
    let buckets = document.field("buckets")?.fields()?;
    let ramps = document.field("ramps")?.items()?;
    for ramp in &ramps {
        let policy = policy(ramp, &configuration(experiment, ramp)?)?;
        let route = &policy.routes[0];
        let weights = Weights::new(route, &[]);
        let choose = |user: &str| weights.choose(route, None, Some(user.as_bytes()), 0);
        let assigned = ramp.field("assign")?;
        for (user, bucket) in &buckets {
            bucket.is(choose(user).bucket)?;
            assigned.field(user)?.is(route.variants[choose(user).variant].name.to_string())?;
        }
    }
    Ok(buckets.len() + ramps.len())
}

/// A sticky route with these territories; the baseline has what is left of 10,000.
fn configuration(experiment: &str, ramp: &Node<'_>) -> Result<Value, Fault> {
    let (mut variants, mut left) = (vec![Value::Null], 10_000_u64);
    for territory in ramp.field("territories")?.items()? {
        let (weight, cap) = (territory.field("weight_bp")?.natural()?, territory.field("cap_bp")?.natural()?);
        let name = territory.field("name")?.text()?;
        left = left.saturating_sub(weight);
        variants.push(json!({"name": name, "cluster": name, "weight": weight, "max_weight": cap}));
    }
    variants[0] = json!({"name": "baseline", "cluster": "baseline", "weight": left, "baseline": true});
    let sticky = json!({"experiment": experiment, "by": [{"header": "x-user"}]});
    Ok(json!({"routes": [{"name": "r", "sticky": sticky, "variants": variants}]}))
}

/// The policy of a configuration made of `from`.
pub(super) fn policy(from: &Node<'_>, configuration: &Value) -> Result<Policy, Fault> {
    let policy = Policy::parse(configuration.to_string().as_bytes());
    policy.map_err(|error| from.malformed(format!("makes no policy: {error}")))
}
