//! Servers that Nova no longer knows, rebuilds that were dealt with, and warnings for a server's owner.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_guard"
    }
}

const TABLE: &str = "servers";
const COLUMNS: [&str; 3] = ["deleted_at", "rebuild_seen", "warnings"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut deleted_at = ColumnDef::new(Alias::new("deleted_at"));
        match manager.get_database_backend() {
            DbBackend::MySql => deleted_at.custom(Alias::new("datetime(6)")),
            _ => deleted_at.date_time(),
        };
        let mut rebuild_seen = ColumnDef::new(Alias::new("rebuild_seen"));
        rebuild_seen.string_len(64);
        let mut warnings = ColumnDef::new(Alias::new("warnings"));
        warnings.text();
        // One at a time: SQLite adds one column a statement.
        for column in [deleted_at, rebuild_seen, warnings] {
            let mut table = Table::alter();
            manager.alter_table(table.table(Alias::new(TABLE)).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            let mut table = Table::alter();
            manager.alter_table(table.table(Alias::new(TABLE)).drop_column(Alias::new(column)).to_owned()).await?;
        }
        Ok(())
    }
}
