//! Snapshots that were made beside an image of Nova's: of which image, for which request (once each), and whether for a backup.

use sea_orm_migration::prelude::*;

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_image"
    }
}

const TABLE: &str = "snapshots";
const COLUMNS: [&str; 3] = ["image_id", "request", "backup"];
const INDEX: &str = "ux_snapshots_server_id_request";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut image_id = ColumnDef::new(Alias::new("image_id"));
        image_id.char_len(36);
        let mut request = ColumnDef::new(Alias::new("request"));
        request.string_len(64);
        let mut backup = ColumnDef::new(Alias::new("backup"));
        backup.boolean();
        // One at a time: SQLite adds one column a statement.
        for column in [image_id, request, backup] {
            let mut table = Table::alter();
            manager.alter_table(table.table(Alias::new(TABLE)).add_column(column).to_owned()).await?;
        }
        // Any number of snapshots may have no request: no database takes two nulls for the same.
        let index = Index::create()
            .name(INDEX)
            .table(Alias::new(TABLE))
            .col(Alias::new("server_id"))
            .col(Alias::new("request"))
            .unique()
            .to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table(Alias::new(TABLE)).to_owned()).await?;
        for column in COLUMNS {
            let mut table = Table::alter();
            manager.alter_table(table.table(Alias::new(TABLE)).drop_column(Alias::new(column)).to_owned()).await?;
        }
        Ok(())
    }
}
