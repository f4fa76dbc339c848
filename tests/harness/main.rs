//! The harness itself, as far as it needs no Envoy.

mod client;
mod config;
mod grpc;
mod load;
mod registry;
mod upstream;

use std::time::Duration;

use tidegate_tests::eventually;

/// How long to wait for what should be there at once.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn eventually_returns_what_it_found() {
    let mut looks = 0;
    let found = eventually("a third look", Duration::from_secs(5), || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found, 3);
}

#[test]
#[should_panic(expected = "in vain for a miracle")]
fn eventually_says_what_it_waited_for() {
    eventually("a miracle", Duration::ZERO, || false);
}
