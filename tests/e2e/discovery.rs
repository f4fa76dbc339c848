//! The discovery filter: which endpoint gets a request, where endpoints are known from, and what
//! becomes of requests when they, or the registry, fail.

mod balance;
mod chains;
mod choice;
mod config;
mod ejection;
mod failover;
mod grpc;
mod hashing;
mod hostile;
mod large;
mod reload;
mod retries;
mod setup;
mod steering;
mod streams;
