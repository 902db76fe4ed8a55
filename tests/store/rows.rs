//! What was written is what is read, whichever database keeps it.

use ratoon::domain::disk::DiskSnapshot;
use ratoon::domain::operation::{EventKind, OperationEvent, OperationStatus};
use ratoon::domain::snapshot::{Branch, SnapshotStatus};
use ratoon::ids::{BranchId, DiskSnapshotId, EngineId, ServerId};
use ratoon::store::operations::{Fence, Progress};
use ratoon::store::servers::Totals;
use ratoon::store::snapshots::SnapshotFilter;
use ratoon::store::trees::TreeChange;
use ratoon::store::{Page, SortKey};
use serde_json::json;

use crate::database;
use crate::sample::{capture, operation, snapshot};

#[tokio::test]
async fn a_tree_is_read_as_it_was_written() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    let (operation, change) = capture(server, "main");
    store.begin_operation(&operation, "web", change.clone(), None).await.unwrap();
    let tree = store.tree(server).await.unwrap().unwrap();
    let mut wanted = change.snapshots;
    wanted[0].sequence = 1;
    assert_eq!(tree.snapshots, wanted, "to the microsecond, and with every blank");
    assert_eq!(tree.layers, change.layers);
    assert_eq!(tree.disk_snapshots, change.disk_snapshots);
    assert_eq!(tree.forest.branches, change.branches);
    assert_eq!(store.operation(operation.id).await.unwrap(), Some(operation));
}

#[tokio::test]
async fn what_an_operation_has_learned_may_be_long() {
    let (_database, store) = database().await;
    let (operation, change) = capture(ServerId::new(), "main");
    store.begin_operation(&operation, "web", change, None).await.unwrap();
    let claimed = store.claim_next(EngineId::new(), &[], &[]).await.unwrap().unwrap();
    let fence = Fence { operation_id: claimed.id, generation: claimed.generation };
    let state = json!({ "learned": "🌱".repeat(40_000) });
    let event = OperationEvent {
        at: ratoon::clock::now(),
        step: "capture".into(),
        kind: EventKind::Done,
        detail: Some("d".repeat(70_000)),
    };
    let progress = Progress {
        status: OperationStatus::Running,
        step: 1,
        phase: Some("capture".into()),
        committed: false,
        state: state.clone(),
        error: None,
    };
    store.record_event(fence, &event, &progress).await.unwrap();
    assert_eq!(store.operation(claimed.id).await.unwrap().unwrap().state, state);
    assert_eq!(store.events(claimed.id).await.unwrap(), [event]);
}

#[tokio::test]
async fn names_that_are_not_the_same_to_people_are_not_the_same() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    let (operation, mut change) = capture(server, "main");
    let names = ["Main", "main ", "maín", "MAIN", "ｍａｉｎ"];
    let branch = |name: &str| Branch { id: BranchId::new(), name: name.into(), ..change.branches[0].clone() };
    let more: Vec<_> = names.map(branch).into();
    change.branches.extend(more);
    store.begin_operation(&operation, "web", change.clone(), None).await.unwrap();
    assert_eq!(store.tree(server).await.unwrap().unwrap().forest.branches.len(), 6);
    let named = |name: &str| SnapshotFilter { name: Some(name.into()), ..SnapshotFilter::default() };
    let page = Page { limit: 10, ..Page::default() };
    let name = change.snapshots[0].name.clone();
    assert_eq!(store.snapshots(&named(&name), &page).await.unwrap().len(), 1);
    for other in [name.trim(), &name.to_uppercase()] {
        assert!(store.snapshots(&named(other), &page).await.unwrap().is_empty(), "{other}");
    }
}

#[tokio::test]
async fn pages_come_in_order_and_none_is_missed() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    let (first, mut change) = capture(server, "main");
    let at = change.snapshots[0].created_at;
    for number in 1..7 {
        // Two of them at the same microsecond.
        let at = at + chrono::TimeDelta::microseconds(number / 2);
        let node = snapshot(server, change.branches[0].id);
        let part = ratoon::domain::disk::DiskSnapshot {
            id: ratoon::ids::DiskSnapshotId::new(),
            snapshot_id: node.id,
            ..change.disk_snapshots[0].clone()
        };
        change.disk_snapshots.push(part);
        change.snapshots.push(ratoon::domain::snapshot::Snapshot {
            created_at: at,
            name: ["a", "c", "b"][usize::try_from(number % 3).unwrap()].into(),
            parent_id: Some(change.snapshots[0].id),
            ..node
        });
    }
    let by_time: Vec<_> = change.snapshots.iter().map(|node| node.id).collect();
    let mut named = change.snapshots.clone();
    named.sort_by_key(|node| (node.name.clone(), node.id.to_string()));
    let by_name: Vec<_> = named.iter().map(|node| node.id).collect();
    store.begin_operation(&first, "web", change, None).await.unwrap();
    let orders = [(SortKey::CreatedAt, &by_time), (SortKey::Name, &by_name)];
    for ((key, wanted), ascending) in orders.into_iter().flat_map(|order| [(order, true), (order, false)]) {
        let mut page = Page { limit: 2, marker: None, key, ascending };
        let mut found = Vec::new();
        loop {
            let rows = store.snapshots(&SnapshotFilter::default(), &page).await.unwrap();
            let Some(last) = rows.last() else { break };
            page.marker = Some(last.snapshot.id.to_string());
            found.extend(rows.iter().map(|node| node.snapshot.id));
        }
        if !ascending {
            found.reverse();
        }
        assert_eq!(&found, wanted, "{key:?}");
    }
}

#[tokio::test]
async fn a_change_that_would_damage_the_tree_changes_nothing() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    let (first, change) = capture(server, "main");
    store.begin_operation(&first, "web", change.clone(), None).await.unwrap();
    let claimed = store.claim_next(EngineId::new(), &[], &[]).await.unwrap().unwrap();
    let fence = Fence { operation_id: claimed.id, generation: claimed.generation };
    let before = store.tree(server).await.unwrap().unwrap();
    let parts_gone = TreeChange { disk_snapshots_gone_of: vec![change.snapshots[0].id], ..TreeChange::default() };
    assert!(store.change_tree(fence, server, &parts_gone).await.is_err());
    let after = store.tree(server).await.unwrap().unwrap();
    assert_eq!((after.disk_snapshots, after.record), (before.disk_snapshots, before.record));
}

#[tokio::test]
async fn an_operation_that_finds_another_in_its_way_leaves_nothing() {
    let (_database, store) = database().await;
    let (first, change) = capture(ServerId::new(), "main");
    let second = operation(first.server_id, change.snapshots[0].id);
    store.begin_operation(&first, "web", change, None).await.unwrap();
    let error = store.begin_operation(&second, "web", TreeChange::default(), None).await.unwrap_err();
    assert!(error.to_string().contains(&first.id.to_string()), "it names what is in the way: {}", error.chain());
    assert_eq!(store.operation(second.id).await.unwrap(), None);
}

#[tokio::test]
async fn each_server_has_the_totals_of_its_own_snapshots() {
    let (_database, store) = database().await;
    let (many, few, none) = (ServerId::new(), ServerId::new(), ServerId::new());
    for (server, sizes) in [(many, &[1, 20, 300][..]), (few, &[50_000]), (none, &[4000])] {
        let (operation, mut change) = capture(server, "main");
        let part = change.disk_snapshots.remove(0);
        change.disk_snapshots = sizes.iter().map(|size_bytes| other_part(&part, *size_bytes)).collect();
        if server == none {
            change.snapshots[0].status = SnapshotStatus::Creating;
        }
        let branch = change.branches[0].id;
        store.begin_operation(&operation, "web", change, None).await.unwrap();
        assert_eq!(store.branch_names(&[branch, BranchId::new()]).await.unwrap(), [(branch, "main".to_owned())].into());
    }
    let totals = |snapshots, bytes| Totals { snapshots, bytes };
    let found = store.totals(&[many, few, none, ServerId::new()]).await.unwrap();
    assert_eq!(found, [(many, totals(1, 321)), (few, totals(1, 50_000))].into());
    assert_eq!(store.totals(&[few]).await.unwrap(), [(few, totals(1, 50_000))].into());
    assert!(store.totals(&[]).await.unwrap().is_empty());
}

fn other_part(part: &DiskSnapshot, size_bytes: u64) -> DiskSnapshot {
    let id = DiskSnapshotId::new();
    DiskSnapshot { id, origin: id, size_bytes, ..part.clone() }
}
