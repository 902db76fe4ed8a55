//! Lists of snapshots can be sorted by name.

use sea_orm_migration::prelude::*;

use crate::schema::make_index;

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_names"
    }
}

const TABLE: &str = "snapshots";
const INDEX: &str = "ix_snapshots_project_id_name_id";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        make_index(manager, TABLE, &["project_id", "name", "id"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table(Alias::new(TABLE)).to_owned()).await
    }
}
