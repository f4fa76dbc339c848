//! The rows of the benchmarks: `bench` measures their time, `count` their instructions.

pub mod caller;
pub mod chains;
pub mod discovery;
mod hops;
pub mod machine;
pub mod rows;
