//! Operations from the outside: every step repeated, failed, undone twice; engines killed at every event; every outside call
//! refused, lost, or the last one that its engine made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)]

mod basics;
mod cases;
#[path = "../databases/mod.rs"]
mod databases;
mod deletes;
mod engines;
mod events;
mod faults;
mod flatten;
mod guard;
mod lab;
mod lineage;
mod loops;
mod outsiders;
mod pause;
mod quota;
mod races;
mod state;
mod sweep;
