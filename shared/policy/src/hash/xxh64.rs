//! XXH64, the hash of Envoy's rings and Maglev tables (Collet's xxHash, 64-bit), as the
//! `xxhash-rust` crate computes it.
//!
//! Envoy's `HashUtil::xxHash64` has seed 0.
//!
//! ```
//! use tidegate_policy::hash::xxh64::xxh64;
//!
//! // A value of the reference implementation.
//! assert_eq!(xxh64(b"xxhash", 20_141_025), 0xb559_b98d_844e_0635);
//! ```

pub use xxhash_rust::xxh64::xxh64;
