//! The discovery filter: which endpoint gets a request, where endpoints are known from, and what
//! becomes of requests when they, or the registry, fail.

mod asked;
mod balance;
mod chains;
mod choice;
mod cold;
mod config;
mod consul;
mod datacenters;
mod distrust;
mod dns;
mod ejection;
mod failover;
mod grpc;
mod hashing;
mod hostile;
mod large;
mod many;
mod names;
mod outage;
mod reload;
mod retries;
mod setup;
mod steering;
mod streams;
mod targets;
mod vms;
