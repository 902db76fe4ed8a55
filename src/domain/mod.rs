//! What is true of trees, disks and operations, and what to do about requests: no async, no I/O, no SQL, no clock.

pub mod disk;
pub mod event;
pub mod forest;
pub mod operation;
pub mod plan;
pub mod quota;
pub mod server;
pub mod snapshot;
