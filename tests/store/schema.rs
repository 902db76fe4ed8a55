//! The schema: from nothing, from each earlier one with what was in it, and after a change that was cut off.

use std::time::Duration;

use migrations::Migrator;
use ratoon::ids::{BranchId, ServerId, SnapshotId};
use ratoon::store::Store;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use sea_orm_migration::MigratorTrait;

use crate::databases::TestDatabase;

const CHANGES: [&str; 6] =
    ["m0001_initial", "m0002_inbox", "m0003_guard", "m0004_image", "m0005_client_tokens", "m0006_names"];

async fn opened(database: &TestDatabase) -> Store {
    database.open(2, Duration::from_secs(5)).await
}

#[tokio::test]
async fn only_a_schema_of_this_very_version_is_served() {
    let database = TestDatabase::empty().await;
    let store = opened(&database).await;
    let behind = store.check_schema().await.unwrap_err().chain();
    assert!(behind.contains("ratoon manage db upgrade"), "{behind}");
    assert_eq!(store.migrate().await.unwrap(), CHANGES);
    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new(), "a second upgrade finds nothing to do");
    store.check_schema().await.unwrap();
    assert_eq!(store.schema_version().await.unwrap().pop(), Some(Store::schema_needed()));

    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)";
    database.sql().await.execute_unprepared(newer).await.unwrap();
    let ahead = store.check_schema().await.unwrap_err().chain();
    assert!(ahead.contains("newer than this binary"), "{ahead}");
}

#[tokio::test]
async fn of_upgrades_that_begin_at_once_one_does_all_and_the_others_find_nothing_to_do() {
    let database = TestDatabase::empty().await;
    let mut upgrades = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = database.open(2, Duration::from_secs(30)).await;
        upgrades.spawn(async move { store.migrate().await });
    }
    let mut made = vec![];
    while let Some(upgrade) = upgrades.join_next().await {
        made.push(upgrade.unwrap().unwrap());
    }
    made.sort_by_key(Vec::len);
    assert_eq!(made.pop().unwrap(), CHANGES);
    assert_eq!(made.concat(), Vec::<String>::new());
    opened(&database).await.check_schema().await.unwrap();
}

#[tokio::test]
async fn what_an_earlier_schema_held_is_there_after_an_upgrade() {
    for changes in 1..CHANGES.len() {
        let database = TestDatabase::empty().await;
        let sql = database.sql().await;
        Migrator::up(&sql, Some(u32::try_from(changes).unwrap())).await.unwrap();
        let (server, branch, node) = (ServerId::new(), BranchId::new(), SnapshotId::new());
        let at = "'2026-11-20 20:37:10.123456'";
        for row in [
            format!(
                "INSERT INTO servers (id, project_id, name, current_snapshot_id, current_branch_id, generation, \
                 next_sequence, created_at, updated_at) VALUES ('{server}', 'project', 'web', NULL, '{branch}', 3, 2, {at}, {at})"
            ),
            format!(
                "INSERT INTO branches (id, server_id, name, created_at) VALUES ('{branch}', '{server}', 'main', {at})"
            ),
            format!(
                "INSERT INTO snapshots (id, server_id, project_id, user_id, branch_id, sequence, name, description, status, \
                 hidden, safety, partial, at_rest, consistency, left_out, server_name, flavor, created_at, updated_at) VALUES \
                 ('{node}', '{server}', 'project', 'user', '{branch}', 1, 'old', '', 'error', false, false, false, true, \
                 '{{\"requested\":\"auto\",\"reached\":null,\"reason\":null,\"pause_ms\":null,\"skew_ms\":null}}', '[]', \
                 'web', 'tiny', {at}, {at})"
            ),
        ] {
            sql.execute_unprepared(&row).await.unwrap();
        }
        let store = opened(&database).await;
        assert_eq!(store.migrate().await.unwrap(), CHANGES[changes..]);
        let tree = store.tree(server).await.unwrap().unwrap();
        assert_eq!((tree.record.generation, tree.record.deleted_at), (3, None), "from {}", CHANGES[changes - 1]);
        let old = tree.snapshot(node).unwrap();
        assert_eq!((old.name.as_str(), old.at_rest, &old.beside), ("old", true, &None));
        assert_eq!(old.created_at.to_rfc3339(), "2026-11-20T20:37:10.123456+00:00");
    }
}

#[tokio::test]
async fn a_change_that_was_cut_off_at_its_end_is_finished_by_the_next_upgrade() {
    // As MariaDB is left by a process that dies before it has noted the change: it has no transactions around such things.
    for changes in 1..=CHANGES.len() {
        let database = TestDatabase::empty().await;
        let sql = database.sql().await;
        Migrator::up(&sql, Some(u32::try_from(changes).unwrap())).await.unwrap();
        let last = CHANGES[changes - 1];
        sql.execute_unprepared(&format!("DELETE FROM seaql_migrations WHERE version = '{last}'")).await.unwrap();
        let store = opened(&database).await;
        assert_eq!(store.migrate().await.unwrap(), CHANGES[changes - 1..]);
        store.check_schema().await.unwrap();
    }
}

#[tokio::test]
async fn no_column_is_of_a_type_whose_index_postgresql_would_not_use_for_a_text() {
    let database = TestDatabase::empty().await;
    opened(&database).await.migrate().await.unwrap();
    let sql = database.sql().await;
    if sql.get_database_backend() != DbBackend::Postgres {
        return;
    }
    let query = "SELECT table_name || '.' || column_name AS name FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND data_type = 'character'";
    let rows = sql.query_all_raw(Statement::from_string(DbBackend::Postgres, query)).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    assert_eq!(names, Vec::<String>::new());
}
