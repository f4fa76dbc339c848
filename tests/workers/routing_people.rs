//! Who gets which variant: those who may choose, and those who stick.

use std::net::IpAddr;

use tidegate_sim::SimRequest;

use crate::routing::{exchange, onward, split, variant, Workers};

const SECRET: &[u8] = b"0123456789abcdef";

fn forced(force: &str) -> Workers {
    Workers::new(1, &split("").replacen('{', &format!(r#"{{"force": {force}, "#), 1))
}

fn sticky(fields: &str) -> Workers {
    Workers::new(2, &split(&format!(r#""sticky": {{"experiment": "checkout-v2", {fields}}}"#)))
}

fn label(workers: &Workers, request: &SimRequest<'_>) -> String {
    exchange(&workers.all[0], request, 200).0
}

#[test]
fn a_caller_with_the_secret_may_choose() {
    let workers = forced(r#"{"secret": "0123456789abcdef"}"#);
    let wish = || SimRequest::get("/").header("x-force-variant", b"canary");
    #[rustfmt::skip]
    let cases = [
        // request                                                                        obeyed
        (wish().header("x-force-secret", SECRET),                                          true),
        (wish(),                                                                           false),
        (wish().header("x-force-secret", b"0123456789abcdeF"),                             false),
        (wish().header("x-force-secret", b"0123456789abcde"),                              false),
        (wish().header("x-force-secret", b"0123456789abcdef0"),                            false),
        (wish().header("x-force-secret", b""),                                             false),
        (wish().header("x_force_secret", SECRET),                                          false),
        (wish().header("x-force-variant", b"stable").header("x-force-secret", SECRET),     false),
        (SimRequest::get("/").header("x-force-variant", b"beta").header("x-force-secret", SECRET), false),
    ];
    let mut times = 0;
    for (request, obeyed) in cases {
        for _ in 0..20 {
            let label = label(&workers, &request);
            assert_eq!(label.contains(" canary forced "), obeyed, "{request:?}: {label}");
            let onward = onward(&request, workers.all[0].request(&request));
            let told = onward.all().iter().filter(|(name, _)| name.contains("force"));
            assert_eq!(told.count(), 0, "{request:?}");
            times += if obeyed { 2 } else { 0 };
        }
    }
    assert_eq!(workers.count("forced"), times);
}

#[test]
fn a_caller_from_a_trusted_address_may_choose() {
    let workers = forced(r#"{"from": ["10.0.0.0/8"], "header": "x-pick"}"#);
    let wish = || SimRequest::get("/").header("x-pick", b"canary");
    let inside = wish().from(Some(IpAddr::from([10, 9, 9, 9])));
    assert!((0..20).all(|_| label(&workers, &inside).contains(" canary forced ")));
    let claimed = wish().header("x-forwarded-for", b"10.9.9.9");
    for request in [wish(), wish().from(None), claimed] {
        assert!((0..20).all(|_| label(&workers, &request).contains(" drawn ")), "{request:?}");
    }
}

/// Buckets of the reference: alice 2539, bob 3018, carol 7796.
#[test]
fn clients_stick_to_the_bucket_of_their_first_identity() {
    let by = r#""by": [{"header": "x-user"}, {"cookie": "uid"}, {"query_parameter": "u"}, "client_address"]"#;
    let workers = sticky(by);
    let from = |last| IpAddr::from([192, 0, 2, last]);
    let of_address = label(&workers, &SimRequest::get("/").from(Some(from(7))));
    let bucket = of_address.rsplit(' ').next().unwrap();
    #[rustfmt::skip]
    let cases = [
        // request                                                                             bucket
        (SimRequest::get("/").header("x-user", b"alice"),                                       "2539"),
        (SimRequest::get("/").header("cookie", b"a=b; uid=bob"),                                "3018"),
        (SimRequest::get("/?u=carol"),                                                          "7796"),
        (SimRequest::get("/?u=carol").header("x-user", b"alice").header("cookie", b"uid=bob"),  "2539"),
        (SimRequest::get("/?u=carol").header("x-user", b"").header("cookie", b"uid=bob"),       "3018"),
        (SimRequest::get("/").from(Some(from(7))),                                              bucket),
        (SimRequest::get("/other").from(Some(from(7))),                                         bucket),
    ];
    for (request, bucket) in cases {
        let expected = format!("one r stable sticky {bucket}");
        let chosen = if bucket.parse::<u32>().unwrap() < 1_000 { "two r canary" } else { "one r stable" };
        let expected = expected.replace("one r stable", chosen);
        for worker in &workers.all {
            assert_eq!(exchange(worker, &request, 200), (expected.clone(), Vec::new()), "{request:?}");
        }
    }
    let buckets: std::collections::BTreeSet<_> =
        (0..50).map(|last| label(&workers, &SimRequest::get("/").from(Some(from(last))))).collect();
    assert!(buckets.len() > 40, "{}", buckets.len());
    assert_eq!(workers.count("sticky"), 1 + 7 * 2 + 50);
}

#[test]
fn a_client_without_an_identity_is_drawn() {
    let workers = sticky(r#""by": [{"header": "x-user"}]"#);
    assert!(label(&workers, &SimRequest::get("/")).contains(" drawn "));
    assert_eq!(workers.count("sticky"), 0);
}

#[test]
fn a_client_without_an_identity_gets_a_cookie_and_keeps_its_bucket() {
    let fields = r#""by": [{"header": "x-user"}], "cookie": {"name": "tg", "max_age_ms": 60000, "domain": "a.example"}"#;
    let workers = sticky(fields);
    let mut values = std::collections::BTreeSet::new();
    let mut variants = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let (first, response) = exchange(&workers.all[0], &SimRequest::get("/"), 200);
        let [(name, cookie), (_, marker)] = response.as_slice() else { panic!("{response:?}") };
        assert_eq!(name, "set-cookie");
        assert_eq!(marker.split_once("; ").unwrap().0, "tg-renewed=1");
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Domain=a.example; Max-Age=60; Secure; HttpOnly; SameSite=Lax");
        let both = format!("{pair}; tg-renewed=1");
        let again = SimRequest::get("/").header("cookie", both.as_bytes());
        for worker in &workers.all {
            assert_eq!(exchange(worker, &again, 200), (first.clone(), Vec::new()), "{pair}");
        }
        assert!(values.insert(pair.to_owned()), "{pair} twice");
        assert_eq!(pair.len(), "tg=".len() + 32);
        variants.insert(variant(&first).to_owned());
    }
    assert_eq!(variants.len(), 2, "{variants:?}");
    let known = SimRequest::get("/").header("x-user", b"alice");
    assert_eq!(exchange(&workers.all[0], &known, 200).1, []);
}

#[test]
fn a_cookie_is_sent_whatever_the_status() {
    let workers = sticky(r#""cookie": {"name": "tg"}"#);
    for status in [200, 302, 404, 503] {
        assert_eq!(exchange(&workers.all[0], &SimRequest::get("/"), status).1.len(), 2, "{status}");
    }
}

#[test]
fn a_trusted_wish_comes_before_the_identity() {
    let fields = r#""sticky": {"experiment": "checkout-v2", "by": [{"header": "x-user"}]}"#;
    let json = split(fields).replacen('{', r#"{"force": {"secret": "0123456789abcdef"}, "#, 1);
    let workers = Workers::new(1, &json);
    let carol = || SimRequest::get("/").header("x-user", b"carol");
    let wish = carol().header("x-force-variant", b"canary").header("x-force-secret", SECRET);
    assert_eq!(label(&workers, &wish), "two r canary forced 7796");
    assert_eq!(label(&workers, &carol()), "one r stable sticky 7796");
}
