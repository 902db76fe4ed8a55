//! Drivers against real backends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

mod contract;
mod fake;
mod rbd;
