//! The API over real HTTP and a real database, with the cloud played in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client_tokens;
#[path = "../databases/mod.rs"]
mod databases;
mod deletes;
mod discovery;
mod errors;
mod fuzz;
mod house;
mod like_keystonemiddleware;
mod openapi;
mod pages;
mod policy;
mod reference;
mod refusals;
mod story;
mod tenants;
#[path = "../clients/wire.rs"]
#[allow(dead_code)] // another suite needs the rest
mod wire;
