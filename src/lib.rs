//! Ratoon gives every server of an OpenStack cloud a tree of snapshots. `ARCHITECTURE.md` is the map.
//!
//! Rooms, in the order of the ladder: each may use those below it, never those above. `tests/tidy.rs` holds them to it.

pub mod api;
pub mod manage;
pub mod parts;
pub mod serve;

pub mod background;
pub mod consumer;

pub mod app;
pub mod operations;
pub mod policy;

pub mod drivers;
pub mod store;

pub mod clients;

pub mod domain;

pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod measures;
pub mod telemetry;
