//! Several workers against one store: whole stages, every order of their store calls.

mod breaker;
mod breaker_cost;
mod breaker_fallback;
mod breaker_faults;
mod breaker_keys;
mod breaker_orders;
mod breaker_outcomes;
mod breaker_schedules;
mod breaker_states;
mod failure;
mod orders;
mod rates;
mod reload;
mod routing;
mod routing_cost;
mod routing_headers;
mod routing_matches;
mod routing_orders;
mod routing_people;
mod routing_ramp;
mod routing_reload;
mod routing_shares;
