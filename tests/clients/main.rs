//! The clients against a fake cloud that speaks HTTP, and (with `RATOON_TEST_CLOUD=1`) against a real one.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod catalog;
mod cinder;
mod cloud;
#[path = "../drivers/contract.rs"]
mod contract;
mod keystone;
mod nova;
mod session;
mod wire;
