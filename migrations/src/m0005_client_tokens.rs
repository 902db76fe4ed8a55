//! Callers' own names for their requests: which snapshot each of them asked for, and by which operation it was made.

use sea_orm_migration::prelude::*;

use crate::schema::{id, make_index, make_table, table, time, word};

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_client_tokens"
    }
}

const TABLE: &str = "client_tokens";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let b = manager.get_database_backend();
        let columns = vec![
            id("server_id").not_null().take(),
            word("token", 64).not_null().take(),
            word("digest", 64).not_null().take(),
            id("snapshot_id").not_null().take(),
            id("operation_id").not_null().take(),
            time(b, "created_at").not_null().take(),
        ];
        let mut table = table(TABLE, columns);
        table.primary_key(Index::create().col(Alias::new("server_id")).col(Alias::new("token")));
        make_table(manager, table).await?;
        make_index(manager, TABLE, &["created_at"], false).await // they are forgotten by age
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Alias::new(TABLE)).if_exists().take()).await
    }
}
