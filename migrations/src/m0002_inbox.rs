//! The inbox: what notifications have said of servers, once each, until it was looked at.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_inbox"
    }
}

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

/// As in the first change: MariaDB's `datetime` keeps whole seconds unless told.
fn time(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = column(name);
    match backend {
        DbBackend::MySql => column.custom(Alias::new("datetime(6)")),
        _ => column.date_time(),
    };
    column
}

fn index(columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("ix_inbox_{}", columns.join("_"))).table(Alias::new("inbox")).if_not_exists();
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let mut inbox = Table::create();
        inbox
            .table(Alias::new("inbox"))
            .if_not_exists()
            .col(column("message_id").string_len(64).not_null().primary_key())
            .col(column("server_id").char_len(36).not_null())
            .col(column("what").string_len(32).not_null())
            .col(column("urgency").big_integer().not_null())
            .col(column("project_id").string_len(64))
            .col(column("request_id").string_len(64))
            .col(column("image_id").char_len(36))
            .col(time(backend, "sent_at"))
            .col(time(backend, "received_at").not_null())
            .col(time(backend, "handled_at"));
        manager.create_table(inbox).await?;
        // What waits, in the order in which it is looked at; what was looked at, by age.
        manager.create_index(index(&["handled_at", "urgency", "received_at"])).await?;
        manager.create_index(index(&["server_id", "received_at"])).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Alias::new("inbox")).if_exists().take()).await
    }
}
