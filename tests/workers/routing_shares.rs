//! How many get which variant. Draws are pseudo-random but the same in every run; the bounds are
//! those of a test that a right split fails once in a million runs.

use serde_json::{json, Value};
use tidegate_sim::SimRequest;

use crate::routing::{exchange, routes, split, variant, Workers};

/// The chi-square statistic of these counts against these weights.
fn chi_square(counts: &[u64], weights: &[u64]) -> f64 {
    let (all, total) = (counts.iter().sum::<u64>() as f64, weights.iter().sum::<u64>() as f64);
    let term = |(count, weight): (&u64, &u64)| {
        let expected = all * *weight as f64 / total;
        (*count as f64 - expected).powi(2) / expected
    };
    counts.iter().zip(weights).map(term).sum()
}

/// The quantile of 1 − 10⁻⁶ by degrees of freedom, 1 to 3.
const LIMIT: [f64; 3] = [23.93, 27.63, 30.66];

fn counts(workers: &Workers, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| workers.count(&format!("variant.{name}.requests"))).collect()
}

#[test]
fn requests_split_by_weight() {
    #[rustfmt::skip]
    let cases: [&[u64]; 5] = [
        &[90, 10],
        &[1, 1, 1],
        &[5, 1, 1],
        &[999, 1],
        &[400_000, 300_000, 200_000, 100_000],
    ];
    let names = ["a", "b", "c", "d"];
    for weights in cases {
        let one = |(name, weight)| json!({"name": name, "cluster": "c", "weight": weight});
        let variants: Vec<Value> = names.iter().zip(weights).map(one).collect();
        let json = routes(&json!({"name": "r", "variants": variants}).to_string());
        let workers = Workers::new(1, &json);
        for _ in 0..50_000 {
            let _ = workers.all[0].request(&SimRequest::get("/"));
        }
        let counts = counts(&workers, &names[..weights.len()]);
        let (chi, limit) = (chi_square(&counts, weights), LIMIT[weights.len() - 2]);
        assert!(chi < limit, "{weights:?}: {counts:?}, chi-square {chi}");
    }
}

#[test]
fn clients_split_by_weight() {
    let workers = Workers::new(1, &split(r#""sticky": {"experiment": "e", "by": [{"header": "x-user"}]}"#));
    for n in 0..50_000_u32 {
        let user = format!("user-{n}@example.com");
        let _ = workers.all[0].request(&SimRequest::get("/").header("x-user", user.as_bytes()));
    }
    let counts = counts(&workers, &["stable", "canary"]);
    let chi = chi_square(&counts, &[90, 10]);
    assert!(chi < LIMIT[0], "{counts:?}, chi-square {chi}");
}

#[test]
fn generated_cookies_split_by_weight() {
    let workers = Workers::new(1, &split(r#""sticky": {"experiment": "e", "cookie": {"name": "tg"}}"#));
    for _ in 0..50_000 {
        let _ = workers.all[0].request(&SimRequest::get("/"));
    }
    let counts = counts(&workers, &["stable", "canary"]);
    let chi = chi_square(&counts, &[90, 10]);
    assert!(chi < LIMIT[0], "{counts:?}, chi-square {chi}");
}

/// Who is in one experiment says nothing about who is in another.
#[test]
fn experiments_do_not_depend_on_each_other() {
    let of = |name: &str| {
        let sticky = format!(r#""sticky": {{"experiment": "{name}", "by": [{{"header": "x-user"}}]}}"#);
        Workers::new(1, &split(&sticky).replace("90", "50").replace("10", "50"))
    };
    let (one, other) = (of("one"), of("other"));
    let mut cells = [0; 4];
    for n in 0..20_000_u32 {
        let user = n.to_string();
        let request = SimRequest::get("/").header("x-user", user.as_bytes());
        let canary =
            |workers: &Workers| usize::from(variant(&exchange(&workers.all[0], &request, 200).0) == "canary");
        cells[2 * canary(&one) + canary(&other)] += 1;
    }
    let chi = chi_square(&cells, &[1, 1, 1, 1]);
    assert!(chi < LIMIT[2], "{cells:?}, chi-square {chi}");
}
