//! The breaker filter, made to trap on demand, for tests of what becomes of probes.

tidegate_glue::filter!(tidegate_sim::trap::Trap<tidegate_policy::breaker::CircuitBreaker>);
