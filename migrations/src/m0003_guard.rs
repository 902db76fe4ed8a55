//! Servers that Nova no longer knows, rebuilds that were dealt with, and warnings for a server's owner.

use sea_orm_migration::prelude::*;

use crate::schema::{add_columns, drop_columns, text, time, word};

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_guard"
    }
}

const TABLE: &str = "servers";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let b = manager.get_database_backend();
        let columns = vec![time(b, "deleted_at"), word("rebuild_seen", 64), text(b, "warnings")];
        add_columns(manager, TABLE, columns).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_columns(manager, TABLE, &["deleted_at", "rebuild_seen", "warnings"]).await
    }
}
