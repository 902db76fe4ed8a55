//! Several processes at one database: what only one may have, only one has; and what each writes, stays.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use ratoon::domain::operation::{EventKind, Operation, OperationEvent, OperationStatus};
use ratoon::domain::snapshot::Protection;
use ratoon::error::Kind;
use ratoon::ids::{EngineId, ServerId};
use ratoon::store::Store;
use ratoon::store::operations::{Fence, Progress};
use ratoon::store::snapshots::Description;
use ratoon::store::trees::TreeChange;

use crate::database;
use crate::databases::TestDatabase;
use crate::sample::{capture, operation};

async fn processes(database: &TestDatabase) -> Vec<Store> {
    join_all((0..4).map(|_| database.open(2, Duration::from_secs(20)))).await
}

fn progress(status: OperationStatus, committed: bool) -> Progress {
    Progress { status, step: 1, phase: None, committed, state: serde_json::json!({}), error: None }
}

fn event() -> OperationEvent {
    OperationEvent { at: ratoon::clock::now(), step: "record".into(), kind: EventKind::Done, detail: None }
}

#[tokio::test]
async fn of_operations_on_one_server_one_begins_and_the_others_are_told_which() {
    let (database, store) = database().await;
    let stores = processes(&database).await;
    for _ in 0..5 {
        let server = ServerId::new(); // that nobody knows yet: each enters it
        let asked: Vec<_> = stores.iter().map(|_| capture(server, "main")).collect();
        let begun = join_all(
            stores
                .iter()
                .zip(&asked)
                .map(|(store, (operation, change))| store.begin_operation(operation, "web", change.clone(), None)),
        )
        .await;
        let winner = store.server(server).await.unwrap().unwrap().operation_id.unwrap();
        for ((operation, _), result) in asked.iter().zip(begun) {
            match result {
                Ok(()) => assert_eq!(operation.id, winner),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Conflict, "{}", error.chain());
                    assert!(error.to_string().contains(&winner.to_string()), "{}", error.chain());
                }
            }
        }
        assert_eq!(store.tree(server).await.unwrap().unwrap().snapshots.len(), 1);
    }
}

#[tokio::test]
async fn each_operation_is_claimed_by_one_engine() {
    let (database, store) = database().await;
    let mut waiting = BTreeSet::new();
    for _ in 0..12 {
        let (operation, change) = capture(ServerId::new(), "main");
        store.begin_operation(&operation, "web", change, None).await.unwrap();
        waiting.insert(operation.id.to_string());
    }
    let stores = processes(&database).await;
    let claimed = join_all(stores.iter().map(async |store| {
        let mut claimed = Vec::new();
        while let Some(operation) = store.claim_next(EngineId::new(), &[], &[]).await.unwrap() {
            claimed.push(operation.id.to_string());
        }
        claimed
    }))
    .await;
    let claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 12, "none twice");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), waiting);
}

#[tokio::test]
async fn an_engine_that_has_lost_its_claim_writes_nothing() {
    let (database, store) = database().await;
    let (operation, change) = capture(ServerId::new(), "main");
    store.begin_operation(&operation, "web", change, None).await.unwrap();
    let (slow, quick) = (EngineId::new(), EngineId::new());
    let first = store.claim_next(slow, &[], &[]).await.unwrap().unwrap();
    let other = database.open(2, Duration::from_secs(5)).await;
    let second = other.adopt_next(quick, &[slow], &[]).await.unwrap().unwrap();
    let fence = |generation| Fence { operation_id: operation.id, generation };
    let late = store.record_event(fence(first.generation), &event(), &progress(OperationStatus::Succeeded, true)).await;
    assert_eq!(late.unwrap_err().kind(), Kind::Superseded);
    let late = store.change_tree(fence(first.generation), operation.server_id, &TreeChange::default()).await;
    assert_eq!(late.unwrap_err().kind(), Kind::Superseded);
    other.record_event(fence(second.generation), &event(), &progress(OperationStatus::Succeeded, true)).await.unwrap();
    assert_eq!(store.events(operation.id).await.unwrap().len(), 1);
    assert_eq!(store.server(operation.server_id).await.unwrap().unwrap().operation_id, None, "the lease is given back");
}

#[tokio::test]
async fn a_cancel_is_either_kept_or_refused() {
    let (database, store) = database().await;
    let other = database.open(2, Duration::from_secs(20)).await;
    for _ in 0..10 {
        let (operation, change) = capture(ServerId::new(), "main");
        store.begin_operation(&operation, "web", change, None).await.unwrap();
        let claimed = store.claim_next(EngineId::new(), &[], &[]).await.unwrap().unwrap();
        let fence = Fence { operation_id: claimed.id, generation: claimed.generation };
        let (event, progress) = (event(), progress(OperationStatus::Running, true));
        let (cancelled, passed) =
            tokio::join!(other.request_cancel(claimed.id), store.record_event(fence, &event, &progress));
        assert_ne!(cancelled.is_ok(), passed.is_ok(), "{cancelled:?} {passed:?}");
        let now = store.operation(claimed.id).await.unwrap().unwrap();
        assert_eq!((now.cancel_requested, now.committed), (cancelled.is_ok(), passed.is_ok()));
        let end = store.record_event(fence, &event, &self::progress(OperationStatus::Cancelled, false)).await;
        assert!(end.is_ok(), "{end:?}");
    }
}

#[tokio::test]
async fn a_branch_is_not_renamed_while_an_operation_may_be_entering_that_name() {
    let (database, store) = database().await;
    let other = database.open(2, Duration::from_secs(20)).await;
    for round in 0..10 {
        let server = ServerId::new();
        let (first, change) = capture(server, "main");
        let (branch, node) = (change.branches[0].clone(), change.snapshots[0].id);
        store.begin_operation(&first, "web", change, None).await.unwrap();
        let claimed = store.claim_next(EngineId::new(), &[], &["snapshot_create"]).await.unwrap().unwrap();
        let fence = Fence { operation_id: claimed.id, generation: claimed.generation };
        store.record_event(fence, &event(), &progress(OperationStatus::Succeeded, true)).await.unwrap();

        let second = Operation { kind: "snapshot_restore".into(), ..operation(server, node) };
        let new = ratoon::domain::snapshot::Branch {
            id: ratoon::ids::BranchId::new(),
            name: "new".into(),
            fork_snapshot_id: Some(node),
            ..branch.clone()
        };
        let change = TreeChange { branches: vec![new], ..TreeChange::default() };
        let (renamed, begun) = tokio::join!(
            other.rename_branch(branch.id, "new"),
            store.begin_operation(
                &second,
                "web",
                change,
                Some(store.server(server).await.unwrap().unwrap().generation)
            ),
        );
        assert_ne!(renamed.is_ok(), begun.is_ok(), "round {round}: {renamed:?} {begun:?}");
        let error = renamed.err().or(begun.err()).unwrap();
        assert_eq!(error.kind(), Kind::Conflict, "{}", error.chain());
        let names: Vec<_> =
            store.tree(server).await.unwrap().unwrap().forest.branches.into_iter().map(|it| it.name).collect();
        assert_eq!(names.iter().filter(|name| *name == "new").count(), 1, "{names:?}");
    }
}

#[tokio::test]
async fn what_several_change_of_a_snapshot_at_once_is_all_kept() {
    let (database, store) = database().await;
    let stores = processes(&database).await;
    for _ in 0..5 {
        let (first, mut change) = capture(ServerId::new(), "main");
        change.snapshots[0].safety = false;
        let id = change.snapshots[0].id;
        store.begin_operation(&first, "web", change, None).await.unwrap();
        let claimed = store.claim_next(EngineId::new(), &[], &[]).await.unwrap().unwrap();
        let fence = Fence { operation_id: claimed.id, generation: claimed.generation };
        store.record_event(fence, &event(), &progress(OperationStatus::Succeeded, true)).await.unwrap();
        let protection = Protection { user_id: "user".into(), reason: String::new(), since: ratoon::clock::now() };
        let wanted = [
            Description { name: Some("name".into()), ..Description::default() },
            Description { description: Some("words".into()), ..Description::default() },
            Description { protection: Some(Some(protection.clone())), ..Description::default() },
        ];
        let changed =
            join_all(stores.iter().zip(&wanted).map(|(store, wanted)| store.describe_snapshot(id, wanted))).await;
        assert!(changed.iter().all(Result::is_ok), "{changed:?}");
        let now = store.snapshot(id).await.unwrap().unwrap();
        assert_eq!((now.name.as_str(), now.description.as_str(), now.protection), ("name", "words", Some(protection)));
    }
}

#[tokio::test]
async fn a_caller_that_is_cut_off_leaves_no_transaction_behind() {
    let (database, store) = database().await;
    let (operation, change) = capture(ServerId::new(), "main");
    store.begin_operation(&operation, "web", change, None).await.unwrap();
    let few = database.open(2, Duration::from_secs(20)).await;
    for micros in (0..3000).step_by(50) {
        let warning = few.warn_server(operation.server_id, "never mind", None);
        let _ = tokio::time::timeout(Duration::from_micros(micros), warning).await;
        let text = format!("kept {micros}");
        few.warn_server(operation.server_id, &text, None).await.unwrap();
        let warnings = store.server(operation.server_id).await.unwrap().unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.text == text), "{text}: {warnings:?}");
    }
}

#[tokio::test]
async fn warnings_that_are_left_at_once_are_all_kept() {
    let (database, store) = database().await;
    let (operation, change) = capture(ServerId::new(), "main");
    store.begin_operation(&operation, "web", change, None).await.unwrap();
    let stores = processes(&database).await;
    join_all(stores.iter().enumerate().map(async |(number, store)| {
        for word in ["one", "two"] {
            assert!(store.warn_server(operation.server_id, &format!("{word} of {number}"), None).await.unwrap());
        }
    }))
    .await;
    assert_eq!(store.server(operation.server_id).await.unwrap().unwrap().warnings.len(), 8);
}

#[tokio::test]
async fn an_engine_that_was_taken_for_dead_enters_again_with_its_next_beat() {
    let (_database, store) = database().await;
    let id = EngineId::new();
    store.enter_engine(id, "here").await.unwrap();
    store.forget_engine(id).await.unwrap();
    store.beat(id, "here").await.unwrap();
    assert_eq!(store.engines().await.unwrap().iter().map(|engine| engine.id).collect::<Vec<_>>(), [id]);
}
