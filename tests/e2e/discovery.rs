//! The discovery filter: which endpoint gets a request, where endpoints are known from, and what
//! becomes of requests when they, or the registry, fail.

mod balance;
mod choice;
mod ejection;
mod failover;
mod hashing;
mod retries;
mod setup;
