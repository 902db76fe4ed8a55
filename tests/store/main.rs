//! The store on a real database: SQLite, or the PostgreSQL or MariaDB that RATOON_TEST_DATABASE names.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use ratoon::store::Store;

#[path = "../databases/mod.rs"]
mod databases;

mod gauges;
mod inbox;
mod processes;
mod rows;
mod sample;
mod schema;

/// One with the newest schema.
async fn database() -> (databases::TestDatabase, Store) {
    databases::TestDatabase::with_schema(2, Duration::from_secs(5)).await
}
