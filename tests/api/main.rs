//! The API over real HTTP and a real database, with the cloud played in memory.

mod discovery;
mod house;
mod pages;
mod refusals;
mod story;
mod tenants;
