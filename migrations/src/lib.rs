//! Ratoon's database schema: one numbered file a change. Changes expand first and contract in a later release, so that the
//! release before still works beside a newer schema.
//!
//! Portable on purpose: ids are `char(36)` text that an operator can read in any client, documents are JSON text, times are
//! UTC with microseconds.

use sea_orm_migration::prelude::*;

mod m0001_initial;
mod m0002_inbox;
mod m0003_guard;
mod m0004_image;
mod m0005_client_tokens;
mod m0006_names;
mod schema;

/// All changes, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0002_inbox::Migration),
            Box::new(m0003_guard::Migration),
            Box::new(m0004_image::Migration),
            Box::new(m0005_client_tokens::Migration),
            Box::new(m0006_names::Migration),
        ]
    }
}
