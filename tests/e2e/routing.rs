//! The routing filter: who gets which variant, how ramps move, and what others are told.

mod abort;
mod chains;
mod config;
mod grpc;
mod hostile;
mod matches;
mod metadata;
mod ramps;
mod reload;
mod replies;
mod setup;
mod split;
mod steering;
mod sticky;
mod upstream;
