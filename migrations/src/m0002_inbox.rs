//! The inbox: what notifications have said of servers, once each, until it was looked at.

use sea_orm_migration::prelude::*;

use crate::schema::{id, make_index, make_table, number, table, time, word};

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_inbox"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let b = manager.get_database_backend();
        let columns = vec![
            word("message_id", 64).primary_key().not_null().take(),
            id("server_id").not_null().take(),
            word("what", 32).not_null().take(),
            number("urgency").not_null().take(),
            word("project_id", 64),
            word("request_id", 64),
            id("image_id"),
            time(b, "sent_at"),
            time(b, "received_at").not_null().take(),
            time(b, "handled_at"),
        ];
        make_table(manager, table("inbox", columns)).await?;
        // What waits, in the order in which it is looked at; what was looked at, by age.
        make_index(manager, "inbox", &["handled_at", "urgency", "received_at"], false).await?;
        make_index(manager, "inbox", &["server_id", "received_at"], false).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Alias::new("inbox")).if_exists().take()).await
    }
}
