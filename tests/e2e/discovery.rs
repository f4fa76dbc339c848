//! The discovery filter: which endpoint gets a request, where endpoints are known from, and what
//! becomes of requests when they, or the registry, fail.

mod asked;
mod cold;
mod consul;
mod datacenters;
mod dns;
mod follow;
mod hostile;
mod local;
mod names;
mod outage;
mod setup;
