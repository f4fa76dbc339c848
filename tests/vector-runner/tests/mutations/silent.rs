//! What may change and nobody notice, and why.

/// Inputs whose change by a little may change no answer, and names, which are free text.
/// `*` stands for any index or name, `**` for all that follows. Every expected value is missing here,
/// and so must be noticed.
#[rustfmt::skip]
pub(super) const SILENT: [&str; 113] = [
    "alias.json/cases/*/picks/*/slot",                                // one alias for several slots
    "alias.json/cases/*/picks/*/u",                                   // the threshold is further away
    "backend_weights.json/cases/*/weights/*",                         // all of the traffic
    "bounded_load.json/cases/*/active/*",                             // slots are rounded up
    "bounded_load.json/cases/*/hash_balance_factor",
    "bounded_load.json/cases/*/weights/*",
    "breaker_backoff.json/envoy_ejection/ejections_in_a_row/*",       // all at the most
    "breaker_backoff.json/recommended/streaks/*",
    "breaker_backoff.json/resilience4j_exponential/multiplier",       // waits are whole milliseconds
    "breaker_backoff.json/resilience4j_randomized/f",
    "breaker_merge.json/cases/*/config/*",                            // no case turns on each
    "breaker_merge.json/cases/*/name",
    "breaker_merge.json/cases/*/ops/*/t",                             // the same slot
    "breaker_transitions.json/cases/*/config/*",
    "breaker_transitions.json/cases/*/events/*/ms",                   // slow is seconds away
    "breaker_transitions.json/cases/*/events/*/t",
    "breaker_transitions.json/cases/*/name",
    "cache_state.json/cases/*/age_s",                                 // a bound is further away
    "cache_state.json/cases/*/last_fetch_failed",                     // fresh, or older than any
    "canary_sticky.json/ramps/*/territories/*/cap_bp",                // nobody lives in that bucket
    "canary_sticky.json/ramps/*/territories/*/name",                  // nobody lives there
    "canary_sticky.json/ramps/*/territories/*/weight_bp",             // nobody lives in that bucket
    "client_ip.json/aggregate/*/ip",                                  // one network
    "client_ip.json/cases/*/peer",                                    // not looked at
    "client_ip.json/cases/*/trusted_hops",                            // 5 or 6 of 1
    "client_ip.json/cases/*/xff",
    "consul_index.json/cases/*/header",                               // further back or on
    "consul_index.json/cases/*/prev",
    "discovery_parse.json/cases/*/name",                              // begins alike
    "discovery_parse.json/cases/*/response_headers/*",                // nothing is missing
    "gcra.json/cases/*/name",
    "gcra.json/cases/*/steps/*/cost",                                 // 101 or 102 of 100: never
    "gcra.json/redis_cell/*/period",                                  // replies are whole seconds
    "gcra.json/redis_cell/*/steps/*/now_ns",
    "jump_hash.json/cases/*/buckets",                                 // few keys move
    "jump_hash.json/cases/*/key",                                     // several keys have a bucket
    "leader_lease.json/steps/*/t_ms",                                 // refused as well
    "leader_lease.json/steps/*/worker",
    "leasing.json/cases/*/lease",                                     // nobody is left with a part of one
    "leasing.json/cases/*/requests",                                  // more are refused as well
    "leasing.json/cases/*/workers",
    "leasing.json/doorman/wants/*",                                   // who wants little gets it anyway
    "least_request.json/effective/*/active/*",                        // a bias of 0
    "least_request.json/effective/*/bias",                            // 1 to any power
    "limiter_comparison.json/rows/*/state",                           // what a limiter stores, in words
    "locality_zone.json/locality/*/weight_x",                         // nobody is left in X
    "locality_zone.json/locality/*/weight_y",
    "locality_zone.json/locality/*/x_healthy_pct",                    // more than enough
    "locality_zone.json/zone_aware/*/upstream_hosts/*",               // all of them in one zone
    "outlier.json/backoff/*/ejection",                                // all at the most
    "outlier.json/consecutive/*/codes/*",                             // 500 and 501 are alike
    "outlier.json/consecutive/*/consecutive_5xx",                     // no case turns on both
    "outlier.json/consecutive/*/consecutive_gateway",
    "outlier.json/failure_percentage/*/success_rate",                 // answers are yes or no
    "outlier.json/failure_percentage/*/threshold",
    "outlier.json/max_ejection_percent/*/already_ejected",
    "outlier.json/max_ejection_percent/*/always_eject_one_host",
    "outlier.json/max_ejection_percent/*/hosts",
    "outlier.json/max_ejection_percent/*/max_ejection_percent",
    "outlier.json/success_rate/*/stdev_factor",                       // all rates are the same
    "overload.json/envoy_admission_control/*/aggression",             // 0 and 1 to any power
    "overload.json/envoy_admission_control/*/max_rejection",          // not reached
    "overload.json/envoy_admission_control/*/sr_threshold",           // no success to divide
    "overload.json/envoy_admission_control/*/success",                // more than enough
    "overload.json/envoy_admission_control/*/total",                  // refuses the most
    "overload.json/envoy_retry_budget/*/active_or_pending",           // the least is the least
    "overload.json/envoy_retry_budget/*/budget_percent",
    "overload.json/envoy_retry_budget/*/min_retry_concurrency",       // more than the least
    "overload.json/google_sre_client_throttling/*/K",                 // nothing was accepted
    "overload.json/google_sre_client_throttling/*/accepts",           // more than enough
    "overload.json/google_sre_client_throttling/*/requests",
    "overload.json/grpc_retry_throttling/tokenRatio",                 // three decimals
    "peak_ewma.json/steps/*/t_ms",                                    // a start, a peak
    "priority_load.json/distribute_only/*/degraded/*",                // more than enough
    "priority_load.json/distribute_only/*/health/*",
    "priority_load.json/rows/*/levels/*/excluded",                    // percent are whole
    "priority_load.json/rows/*/levels/*/healthy",
    "priority_load.json/rows/*/levels/*/total",
    "priority_load.json/select/*/hash_mod_100",                       // the same level
    "progressive.json/argo/*/params/count",                           // it ends otherwise
    "progressive.json/argo/*/params/csl",
    "progressive.json/argo/*/params/fl",
    "progressive.json/flagger/*/maxWeight",                           // the last step is above it
    "progressive.json/flagger/*/threshold",                           // not reached
    "progressive.json/flagger_formulas/*/maxWeight",                  // the last step is above it
    "ratelimit_headers.json/cases/*/denied/retry_after_ns",           // headers are whole seconds
    "ratelimit_headers.json/cases/*/name",
    "ratelimit_headers.json/cases/*/policies/*/burst",                // only the tightest one's
    "ratelimit_headers.json/cases/*/policies/*/next_unit_ns",
    "ratelimit_headers.json/grpc/*/http",                             // 502, 503 and 504 are alike
    "ring_hash.json/min_ring_size",                                   // 15 of 16: rounded up
    "rl_table.json/cases/*/name",
    "rl_table.json/cases/*/steps/*/cost",
    "rl_table.json/cases/*/steps/*/now_ns",
    "rl_table.json/maths/count_min/*/delta",                          // sizes are rounded up
    "rl_table.json/maths/count_min/*/eps",
    "route_match.json/gateway_api/cases/*/headers/*/*",               // no rule asks for them
    "route_match.json/gateway_api/cases/*/method",                    // no rule asks for one
    "route_match.json/gateway_api/cases/*/path",                      // below the same prefix
    "route_match.json/gateway_api/rules/*/matches/*/headers/*/name",  // `foo-v2` goes first
    "route_match.json/gateway_api/rules/*/matches/*/headers/*/value",
    "route_match.json/gateway_api/rules/*/matches/*/path/value",
    "route_match.json/gateway_api/rules/*/name",
    "route_match.json/istio/cases/*/headers/*/*",                     // no rule asks for them
    "route_match.json/istio/cases/*/method",                          // no rule asks for one
    "route_match.json/istio/cases/*/path",                            // beginning alike
    "safe_shrink.json/cases/*/config/*",                             // no case turns on each
    "safe_shrink.json/cases/*/steps/*/t_s",
    "slow_start.json/cases/*/aggression",                             // at the least weight, or over
    "slow_start.json/cases/*/elapsed_ms",
    "slow_start.json/cases/*/min_weight_percent",                     // above the least weight
    "slow_start.json/cases/*/window_ms",                              // at the least weight
    super::ANSWERS,
];
