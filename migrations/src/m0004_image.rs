//! Snapshots that were made beside an image of Nova's: of which image, for which request (once each), and whether for a backup.

use sea_orm_migration::prelude::*;

use crate::schema::{add_columns, drop_columns, flag, id, make_index, word};

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_image"
    }
}

const TABLE: &str = "snapshots";
const INDEX: &str = "ux_snapshots_server_id_request";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_columns(manager, TABLE, vec![id("image_id"), word("request", 64), flag("backup")]).await?;
        // Any number of snapshots may have no request: no database takes two nulls for the same.
        make_index(manager, TABLE, &["server_id", "request"], true).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table(Alias::new(TABLE)).to_owned()).await?;
        drop_columns(manager, TABLE, &["image_id", "request", "backup"]).await
    }
}
