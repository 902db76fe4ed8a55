//! Disks that Nova keeps in Ceph (`images_type = rbd`): snapshots, copy-on-write clones and renames of RBD images.
//!
//! From the ground up: [`librbd`](self) is opened at run time ([`connection`], [`pool`], [`names`], [`image`] are the only files
//! with `unsafe`, together with the table of C functions); [`cluster`] makes its blocking calls fit for async; above it
//! is what the driver does, one file per act: `discover`, `snapshot`, `prepare`, `swap`; [`driver`] is the door.

mod carrier;
pub mod cluster;
pub mod connection;
mod discover;
pub mod driver;
mod errno;
mod flatten;
pub mod history;
pub mod image;
mod librbd;
mod metadata;
pub mod names;
pub mod naming;
mod open;
pub mod pool;
mod prepare;
mod snapshot;
mod swap;
mod takeover;
pub mod trial;

pub use cluster::{Cluster, RbdConfig};
pub use driver::{RbdDriver, RbdDriverConfig};
