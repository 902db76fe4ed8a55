//! The sweep: lost heads of servers that rest, of servers that Nova is at work on, and of servers that are gone.

use std::sync::Arc;
use std::time::Duration;

use ratoon::background::sweep::{self, Progress, sweep};
use ratoon::domain::server::ServerStatus;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::error::{Kind, Result};
use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::watch;

use crate::lab::Lab;

/// A stopped server with a snapshot, whose system disk has lost the name that Nova expects.
async fn with_a_lost_head() -> Lab {
    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("a").await;
    let tree = lab.tree().await;
    let head = tree.layers.iter().find(|layer| layer.key == "disk").unwrap();
    lab.cloud.rename_image(&format!("{}_disk", lab.server), &format!("ratoon.{}", head.id));
    lab
}

/// The sweep looks, and what it begins is done.
async fn swept(lab: &Lab) -> Result<()> {
    let outcome = sweep(&lab.world, &lab.app, &mut Progress::default()).await;
    while let Some(operation) = lab.take().await {
        lab.work(&operation).await;
    }
    outcome
}

fn has_its_disk(lab: &Lab) -> bool {
    lab.cloud.live_bytes(lab.server).iter().any(|(key, _)| key == "disk")
}

#[tokio::test]
async fn a_sweep_that_waits_for_nova_does_not_keep_the_service_from_stopping() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.plan_fault(Which::Named("locked_servers", 1), When::Before, Harm::Death);
    let (stop, stopped) = watch::channel(false);
    let world = Arc::new(lab.world_of_another_process().await);
    let sweeping = tokio::spawn(sweep::run(world, lab.app.clone(), Duration::from_millis(1), stopped));
    lab.cloud.died().await; // the answer never comes
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(30), sweeping).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_lost_head_of_a_server_at_rest_gets_its_name_again() {
    for status in ["SHUTOFF", "ERROR"] {
        let lab = with_a_lost_head().await;
        lab.cloud.edit_server(lab.server, |facts| facts.status = ServerStatus::from_nova(status));
        swept(&lab).await.unwrap();
        assert!(has_its_disk(&lab), "{status}");
    }
}

#[tokio::test]
async fn a_lost_head_is_left_to_whoever_is_at_work_on_its_server() {
    let lab = with_a_lost_head().await;
    lab.cloud.edit_server(lab.server, |facts| facts.task_state = Some("rebuild_spawning".into()));
    swept(&lab).await.unwrap();
    assert!(!has_its_disk(&lab), "Nova makes another");

    let lab = with_a_lost_head().await;
    lab.cloud.edit_server(lab.server, |facts| facts.status = ServerStatus::from_nova("SHELVED_OFFLOADED"));
    swept(&lab).await.unwrap();
    assert!(!has_its_disk(&lab), "Nova makes another when it is unshelved");

    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("a").await;
    lab.ask_capture("b", |_| {}).await.unwrap();
    let head = lab.tree().await.layers.iter().find(|layer| layer.key == "disk").unwrap().id;
    lab.cloud.rename_image(&format!("{}_disk", lab.server), &format!("ratoon.{head}"));
    let waits = sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap_err();
    assert_eq!(waits.kind(), Kind::Conflict);
    assert!(!has_its_disk(&lab), "the operation moves the names itself");
}

#[tokio::test]
async fn heads_of_a_deleted_server_are_not_healed() {
    let lab = with_a_lost_head().await;
    lab.cloud.owner_delete_server(lab.server);
    swept(&lab).await.unwrap();
    assert!(!has_its_disk(&lab), "nobody needs it under that name");
}

#[tokio::test]
async fn while_nova_does_not_answer_no_head_is_given_up() {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    let lab = with_a_lost_head().await;
    lab.cloud.plan_fault(Which::Every("server"), When::Before, Harm::Temporary);
    assert!(swept(&lab).await.is_err());
    assert!(!lab.world.store.heads().await.unwrap().is_empty());
    lab.cloud.clear_faults();
    swept(&lab).await.unwrap();
    assert!(has_its_disk(&lab));
}

#[tokio::test]
async fn a_server_that_cannot_be_looked_at_is_looked_at_again_though_it_has_not_changed_and_locks_are_taken_off_meanwhile()
 {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    let lab = with_a_lost_head().await;
    lab.cloud.owner_lock(lab.server, &format!("ratoon operation {}", lab.last_operation().await)).unwrap();
    lab.cloud.plan_fault(Which::Named("server", 1), When::Before, Harm::Permanent);
    let mut progress = Progress::default();
    assert!(sweep(&lab.world, &lab.app, &mut progress).await.is_err());
    assert!(!lab.cloud.peek(lab.server).unwrap().locked, "a lock that was left is taken off all the same");
    sweep(&lab.world, &lab.app, &mut progress).await.unwrap();
    lab.engine().await;
    assert!(has_its_disk(&lab));
}

#[tokio::test]
async fn a_server_that_a_capture_of_ours_left_paused_is_resumed_and_its_owners_pause_is_not_ended() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.late_pause(lab.server).unwrap();
    sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
    assert_eq!(lab.status(), "ACTIVE");
    lab.cloud.owner_pause(lab.server).unwrap();
    sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
    assert_eq!(lab.status(), "PAUSED");
}

#[tokio::test]
async fn what_cannot_be_removed_is_not_tried_with_every_sweep() {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.capture("b").await;
    lab.cloud.plan_fault(Which::Every("remove_volume_snapshot"), When::Before, Harm::Permanent);
    let id = lab.ask_delete("a").await.unwrap();
    lab.finish(id).await;
    let mut operations = vec![id];
    for _ in 0..6 {
        swept(&lab).await.unwrap();
        operations.push(lab.last_operation().await);
    }
    operations.dedup();
    assert_eq!(operations.len(), 3, "its owner's, and two tries more");
    assert!(lab.tree().await.record.operation_id.is_none());
    // Who asks is not kept waiting.
    lab.cloud.clear_faults();
    let id = lab.ask_delete("a").await.unwrap();
    lab.must_succeed(id).await;
    assert_eq!(lab.tree().await.forest.nodes.len(), 1);
}

#[tokio::test]
async fn operations_that_ended_long_ago_are_forgotten_with_their_logs_and_rows_of_deleted_snapshots_too() {
    let lab = Lab::with_a_server().await;
    lab.capture("old").await;
    lab.must_succeed(lab.ask_delete("old").await.unwrap()).await;
    let kept = lab.capture("kept").await;
    let waits = lab.ask_capture("waits", |_| {}).await.unwrap();
    let sql = lab.sql().await;
    let counts = async || {
        let mut counts = vec![];
        for table in ["operations WHERE status = 'succeeded'", "operation_events", "snapshots WHERE status = 'deleted'"]
        {
            let query =
                Statement::from_string(sql.get_database_backend(), format!("SELECT count(*) AS n FROM {table}"));
            counts.push(sql.query_one_raw(query).await.unwrap().unwrap().try_get::<i64>("", "n").unwrap());
        }
        counts
    };
    let before = counts().await;
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    let _in_use = sweep(&lab.world, &lab.app, &mut Progress::default()).await;
    assert_eq!(counts().await, before, "nothing is old yet");
    for column in ["operations SET created_at", "snapshots SET updated_at"] {
        sql.execute_unprepared(&format!("UPDATE {column} = '2026-01-01 00:00:00.000000'")).await.unwrap();
    }
    let _in_use = sweep(&lab.world, &lab.app, &mut Progress::default()).await;
    assert_eq!(counts().await, [0, 0, 0]);
    assert!(lab.world.store.operation(waits).await.unwrap().is_some(), "what has not ended stays, however old it is");
    assert!(lab.world.store.snapshot(kept).await.unwrap().is_some());
}
