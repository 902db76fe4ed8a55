//! Servers, branches, snapshots, layers, disk snapshots, operations with their log, engines.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

fn id(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.char_len(36);
    column
}

fn text(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.text();
    column
}

fn word(name: &'static str, length: u32) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.string_len(length);
    column
}

fn number(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.big_integer();
    column
}

fn flag(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.boolean();
    column
}

/// MariaDB's `datetime` keeps whole seconds unless told, and its `timestamp` ends in 2038.
fn time(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    match backend {
        DbBackend::MySql => column.custom(Alias::new("datetime(6)")),
        _ => column.date_time(),
    };
    column
}

fn table(name: &'static str, columns: Vec<ColumnDef>) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name)).if_not_exists();
    for column in columns {
        table.col(column);
    }
    table
}

fn index(table: &'static str, columns: &[&'static str], unique: bool) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("ix_{table}_{}", columns.join("_"))).table(Alias::new(table)).if_not_exists();
    for column in columns {
        index.col(Alias::new(*column));
    }
    if unique {
        index.unique();
    }
    index
}

const TABLES: [&str; 8] =
    ["servers", "branches", "snapshots", "layers", "disk_snapshots", "operations", "operation_events", "engines"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let b = manager.get_database_backend();
        let tables = [
            table(
                "servers",
                vec![
                    id("id").primary_key().not_null().take(),
                    word("project_id", 64).not_null().take(),
                    word("name", 255).not_null().take(),
                    id("current_snapshot_id"),
                    id("current_branch_id"),
                    number("generation").not_null().take(),
                    number("next_sequence").not_null().take(),
                    id("operation_id"),
                    id("equals_snapshot_id"),
                    number("reclaim_pending_bytes"),
                    word("equals_mark", 255),
                    time(b, "created_at").not_null().take(),
                    time(b, "updated_at").not_null().take(),
                ],
            ),
            table(
                "branches",
                vec![
                    id("id").primary_key().not_null().take(),
                    id("server_id").not_null().take(),
                    word("name", 255).not_null().take(),
                    id("fork_snapshot_id"),
                    time(b, "created_at").not_null().take(),
                ],
            ),
            table(
                "snapshots",
                vec![
                    id("id").primary_key().not_null().take(),
                    id("server_id").not_null().take(),
                    word("project_id", 64).not_null().take(),
                    word("user_id", 64).not_null().take(),
                    id("parent_id"),
                    id("branch_id").not_null().take(),
                    number("sequence").not_null().take(),
                    word("name", 255).not_null().take(),
                    text("description").not_null().take(),
                    word("status", 32).not_null().take(),
                    flag("hidden").not_null().take(),
                    flag("safety").not_null().take(),
                    text("protection"),
                    flag("partial").not_null().take(),
                    flag("at_rest").not_null().take(),
                    text("consistency").not_null().take(),
                    text("left_out").not_null().take(),
                    word("server_name", 255).not_null().take(),
                    word("flavor", 255).not_null().take(),
                    text("fault"),
                    time(b, "created_at").not_null().take(),
                    time(b, "updated_at").not_null().take(),
                ],
            ),
            table(
                "layers",
                vec![
                    id("id").primary_key().not_null().take(),
                    id("server_id").not_null().take(),
                    id("disk_id").not_null().take(),
                    word("backend", 64).not_null().take(),
                    word("pool", 255).not_null().take(),
                    word("backend_id", 255).not_null().take(),
                    word("key", 255).not_null().take(),
                    word("kind", 32).not_null().take(),
                    word("role", 32).not_null().take(),
                    id("parent_disk_snapshot_id"),
                    id("parent_layer_id"),
                    id("equals_disk_snapshot_id"),
                    word("parked_mark", 255).not_null().take(),
                    text("facts").not_null().take(),
                ],
            ),
            table(
                "disk_snapshots",
                vec![
                    id("id").primary_key().not_null().take(),
                    id("server_id").not_null().take(),
                    id("snapshot_id").not_null().take(),
                    id("layer_id").not_null().take(),
                    id("origin_id").not_null().take(),
                    word("backend_id", 255).not_null().take(),
                    number("position").not_null().take(),
                    number("size_bytes").not_null().take(),
                    text("attachment").not_null().take(),
                ],
            ),
            table(
                "operations",
                vec![
                    id("id").primary_key().not_null().take(),
                    word("kind", 64).not_null().take(),
                    word("status", 32).not_null().take(),
                    id("server_id").not_null().take(),
                    id("snapshot_id").not_null().take(),
                    word("project_id", 64).not_null().take(),
                    word("user_id", 64).not_null().take(),
                    word("request_id", 64).not_null().take(),
                    text("params").not_null().take(),
                    text("state").not_null().take(),
                    number("step").not_null().take(),
                    number("steps_total").not_null().take(),
                    word("phase", 64),
                    flag("committed").not_null().take(),
                    flag("cancel_requested").not_null().take(),
                    text("warnings").not_null().take(),
                    text("error"),
                    id("engine_id"),
                    number("generation").not_null().take(),
                    time(b, "created_at").not_null().take(),
                    time(b, "started_at"),
                    time(b, "finished_at"),
                ],
            ),
            table(
                "operation_events",
                vec![
                    number("id").primary_key().auto_increment().not_null().take(),
                    id("operation_id").not_null().take(),
                    time(b, "at").not_null().take(),
                    word("step", 64).not_null().take(),
                    word("kind", 32).not_null().take(),
                    text("detail"),
                ],
            ),
            table(
                "engines",
                vec![
                    id("id").primary_key().not_null().take(),
                    word("host", 255).not_null().take(),
                    number("beats").not_null().take(),
                    time(b, "started_at").not_null().take(),
                ],
            ),
        ];
        for statement in tables {
            manager.create_table(statement).await?;
        }
        let indexes = [
            index("servers", &["project_id", "id"], false),
            index("branches", &["server_id", "name"], true),
            index("snapshots", &["server_id", "sequence"], true),
            index("snapshots", &["project_id", "created_at", "id"], false),
            index("layers", &["server_id"], false),
            index("layers", &["backend", "backend_id"], false),
            index("disk_snapshots", &["server_id"], false),
            index("disk_snapshots", &["snapshot_id"], false),
            index("operations", &["status", "created_at"], false),
            index("operations", &["project_id", "created_at", "id"], false),
            index("operations", &["server_id"], false),
            index("operation_events", &["operation_id", "id"], false),
        ];
        for statement in indexes {
            manager.create_index(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in TABLES {
            manager.drop_table(Table::drop().table(Alias::new(name)).if_exists().take()).await?;
        }
        Ok(())
    }
}
