//! The secret of a host: 16 random bytes, the same for all policies, workers and configurations.
//!
//! It keys every hash whose result a client must not foresee, and seeds draws that must differ
//! from host to host. The driver creates its cell before any other.

use crate::host::{Store, StoreError};

/// The cell that holds it.
pub const CELL: &str = "tidegate/secret";

/// How many bytes it has.
pub const BYTES: usize = 16;

/// Reads it.
///
/// # Errors
/// When the cell cannot be read, is not there, or has another size.
pub fn load(store: &dyn Store) -> Result<[u8; BYTES], StoreError> {
    let (bytes, _) = store.load(CELL)?.ok_or(StoreError::Unavailable)?;
    bytes.as_slice().try_into().map_err(|_| StoreError::Unavailable)
}
