//! The breaker filter: what opens it and what does not, how it recovers, and what clients get.

mod config;
mod endpoints;
mod ends;
mod failure;
mod fallback;
mod grpc;
mod hostile;
mod innocent;
mod keys;
mod metrics;
mod recovery;
mod reload;
mod replies;
mod setup;
mod states;
mod trips;
