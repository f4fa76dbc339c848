//! What a release is made of, besides the modules themselves: the version that each says it has, and the
//! images that meshes load it from.
//!
//! An image is a folder in the OCI image layout, which tools such as crane, skopeo and oras push as it is, so
//! its digest is known before there is a registry. Everything is made of the module alone: the same module
//! gives the same bytes on every machine.

#![forbid(unsafe_code)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

pub mod image;
pub mod stamp;
