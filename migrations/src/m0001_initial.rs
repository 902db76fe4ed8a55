//! Servers, branches, snapshots, layers, disk snapshots, operations with their log, engines.

use sea_orm_migration::prelude::*;

use crate::schema::{flag, id, make_index, make_table, number, table, text, time, word};

/// See the module's text.
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_initial"
    }
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
                    text(b, "description").not_null().take(),
                    word("status", 32).not_null().take(),
                    flag("hidden").not_null().take(),
                    flag("safety").not_null().take(),
                    text(b, "protection"),
                    flag("partial").not_null().take(),
                    flag("at_rest").not_null().take(),
                    text(b, "consistency").not_null().take(),
                    text(b, "left_out").not_null().take(),
                    word("server_name", 255).not_null().take(),
                    word("flavor", 255).not_null().take(),
                    text(b, "fault"),
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
                    text(b, "facts").not_null().take(),
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
                    text(b, "attachment").not_null().take(),
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
                    text(b, "params").not_null().take(),
                    text(b, "state").not_null().take(),
                    number("step").not_null().take(),
                    number("steps_total").not_null().take(),
                    word("phase", 64),
                    flag("committed").not_null().take(),
                    flag("cancel_requested").not_null().take(),
                    text(b, "warnings").not_null().take(),
                    text(b, "error"),
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
                    text(b, "detail"),
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
            make_table(manager, statement).await?;
        }
        let indexes: [(_, &[_], _); 12] = [
            ("servers", &["project_id", "id"], false),
            ("branches", &["server_id", "name"], true),
            ("snapshots", &["server_id", "sequence"], true),
            ("snapshots", &["project_id", "created_at", "id"], false),
            ("layers", &["server_id"], false),
            ("layers", &["backend", "backend_id"], false),
            ("disk_snapshots", &["server_id"], false),
            ("disk_snapshots", &["snapshot_id"], false),
            ("operations", &["status", "created_at"], false),
            ("operations", &["project_id", "created_at", "id"], false),
            ("operations", &["server_id"], false),
            ("operation_events", &["operation_id", "id"], false),
        ];
        for (table, columns, unique) in indexes {
            make_index(manager, table, columns, unique).await?;
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
