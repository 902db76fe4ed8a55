//! The guard: what becomes of tree, heads and parked disks when Nova deletes, rebuilds or shelves a server, when a notification
//! came in time and when none came.

use ratoon::app::guard::guard;
use ratoon::background::sweep::{Progress, sweep};
use ratoon::domain::disk::LayerRole;
use ratoon::domain::operation::{EventKind, OperationStatus};
use ratoon::drivers::fake::SECTORS;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::error::Kind;
use ratoon::ids::OperationId;
use ratoon::operations::Verdict;

use crate::lab::Lab;

/// Whether a notification comes before Nova acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    InTime,
    Never,
}

/// What a stand-in holds.
const EMPTY: [u64; SECTORS] = [0; SECTORS];

const BOTH: [Told; 2] = [Told::InTime, Told::Never];

/// A running server of four disks, with a snapshot, that has written on.
async fn captured() -> Lab {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    lab
}

/// A notification comes: the guard looks, and what it begins is done.
async fn hear(lab: &Lab) {
    if let Some(operation) = guard(&lab.app, lab.server, false).await.unwrap() {
        lab.must_succeed(operation).await;
    }
}

/// The sweep looks, and what it begins is done.
async fn swept(lab: &Lab) {
    let _ = sweep(&lab.world, &lab.app, &mut Progress::default()).await;
    while let Some(operation) = lab.take().await {
        lab.work(&operation).await;
    }
}

/// What Nova did is heard, or the sweep finds it.
async fn notice(lab: &Lab, told: Told) {
    match told {
        Told::InTime => hear(lab).await,
        Told::Never => swept(lab).await,
    }
}

fn disk_bytes(lab: &Lab) -> Vec<u64> {
    lab.cloud
        .live_bytes(lab.server)
        .into_iter()
        .find(|(key, _)| key == "disk")
        .map(|(_, bytes)| bytes)
        .unwrap_or_default()
}

async fn roles(lab: &Lab) -> Vec<(String, LayerRole)> {
    let mut roles: Vec<_> = lab.tree().await.layers.into_iter().map(|layer| (layer.key, layer.role)).collect();
    roles.sort_by(|a, b| a.0.cmp(&b.0));
    roles
}

/// The bytes of a node's system disk.
async fn node_bytes(lab: &Lab, name: &str) -> Vec<u64> {
    let tree = lab.tree().await;
    let node = lab.node(name).await;
    let part = tree.disks_of(node)[0];
    lab.cloud.snapshot_bytes(&tree.layer(part.layer_id).unwrap().backend_id, &part.backend_id).unwrap()
}

#[tokio::test]
async fn a_deleted_server_leaves_its_tree_with_its_last_state_as_the_tip() {
    for told in BOTH {
        let lab = captured().await;
        let last = disk_bytes(&lab);
        lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
        if told == Told::InTime {
            hear(&lab).await;
            assert_eq!(disk_bytes(&lab), EMPTY, "Nova finds what it can remove under the name");
        }
        lab.cloud.nova_deletes(lab.server);
        notice(&lab, told).await;
        let tree = lab.tree().await;
        assert!(tree.record.deleted_at.is_some(), "{told:?}");
        assert_eq!((tree.forest.current, tree.forest.current_branch), (None, None), "{told:?}");
        let tip = tree.forest.tip(tree.forest.branches[0].id).unwrap();
        assert_eq!(tree.snapshot(tip).unwrap().name, "before deleting", "{told:?}");
        assert_eq!(node_bytes(&lab, "before deleting").await, last, "{told:?}");
        assert_eq!(
            roles(&lab).await,
            [
                ("disk".to_owned(), LayerRole::Parked),
                ("disk.eph0".to_owned(), LayerRole::Parked),
                // data-1 was to be deleted with the server, and has a snapshot; data-2 is its owner's. Where nobody has seen the
                // deletion begin, nobody knows whether its owner had not thought better of it.
                (
                    tree.layers[2].key.clone(),
                    if told == Told::InTime { LayerRole::Parked } else { LayerRole::Detached }
                ),
                (tree.layers[3].key.clone(), LayerRole::Detached),
            ],
            "{told:?}"
        );
        lab.nothing_may_be_orphaned(&format!("{told:?}")).await;
        swept(&lab).await;
        assert_eq!(lab.tree().await.forest.nodes.len(), 2, "{told:?}: a second sweep finds nothing to do");
    }
}

#[tokio::test]
async fn the_tree_of_a_deleted_server_goes_when_its_time_is_over_and_leaves_only_what_its_owner_keeps() {
    for told in BOTH {
        let mut lab = captured().await;
        let volumes = lab.volumes();
        lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
        if told == Told::InTime {
            hear(&lab).await;
        }
        lab.cloud.nova_deletes(lab.server);
        swept(&lab).await;
        assert!(!lab.tree().await.forest.nodes.is_empty(), "{told:?}: its time is not over");
        lab.app.settings.keep_deleted = std::time::Duration::ZERO;
        for _ in 0..4 {
            swept(&lab).await;
        }
        assert!(lab.world.store.tree(lab.server).await.unwrap().is_none(), "{told:?}: its rows are gone too");
        let objects = lab.cloud.our_objects();
        let disks: Vec<_> = objects.disks.iter().map(|(id, _)| id.clone()).collect();
        let kept = if told == Told::InTime { &volumes[1..] } else { &volumes[..] };
        assert_eq!(disks, kept, "{told:?}: the volume that Nova was not to delete, or was not heard of");
        assert!(objects.snapshots.is_empty(), "{told:?}: {:?}", objects.snapshots);
    }
}

#[tokio::test]
async fn a_protected_snapshot_keeps_the_tree_of_a_deleted_server() {
    let mut lab = captured().await;
    let node = lab.node("a").await;
    let protect = ratoon::app::snapshots::UpdateSnapshot { protected: Some(true), ..Default::default() };
    lab.app.update_snapshot(&lab.caller(), node, protect).await.unwrap();
    lab.cloud.owner_delete_server(lab.server);
    lab.app.settings.keep_deleted = std::time::Duration::ZERO;
    for _ in 0..3 {
        swept(&lab).await;
    }
    let tree = lab.tree().await;
    assert_eq!((tree.forest.nodes.len(), tree.record.warnings.len()), (2, 1), "said once: {:?}", tree.record.warnings);
}

#[tokio::test]
async fn a_deletion_that_fails_half_way_leaves_the_server_its_own_disk() {
    for the_end in BOTH {
        let lab = captured().await;
        let last = disk_bytes(&lab);
        lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
        hear(&lab).await;
        lab.cloud.nova_gives_up(lab.server, "ERROR");
        notice(&lab, the_end).await;
        assert_eq!(disk_bytes(&lab), last);
        assert!(roles(&lab).await.iter().all(|(_, role)| *role == LayerRole::Head), "{:?}", roles(&lab).await);
        assert_eq!(lab.tree().await.forest.current, Some(lab.node("a").await));
    }
}

#[tokio::test]
async fn a_server_without_snapshots_is_left_to_nova() {
    let lab = captured().await;
    let volumes = lab.volumes();
    let id = lab.ask_delete("a").await.unwrap();
    lab.must_succeed(id).await;
    lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
    hear(&lab).await;
    assert!(!disk_bytes(&lab).is_empty());
    lab.cloud.nova_deletes(lab.server);
    swept(&lab).await;
    let disks: Vec<_> = lab.cloud.our_objects().disks.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(disks, volumes[1..]);
}

#[tokio::test]
async fn a_rebuild_gives_a_new_disk_and_the_old_one_stays_as_the_tip_of_its_branch() {
    let lab = captured().await;
    let last = disk_bytes(&lab);
    lab.cloud.nova_begins(lab.server, "rebuild", "rebuilding").unwrap();
    hear(&lab).await;
    lab.cloud.nova_rebuilds(lab.server);
    hear(&lab).await;
    assert_ne!(disk_bytes(&lab), last, "really new");
    assert_eq!(node_bytes(&lab, "before rebuilding").await, last);
    let tree = lab.tree().await;
    assert_eq!((tree.forest.current, tree.record.warnings.len()), (None, 0));
    lab.must_be_clean("after the rebuild").await;

    lab.capture("new tree").await;
    let tree = lab.tree().await;
    assert_eq!(tree.forest.children(None).len(), 2, "another tree begins");
    lab.restore(lab.node("before rebuilding").await).await;
    assert_eq!(disk_bytes(&lab), last, "and the old one can be restored");
}

#[tokio::test]
async fn a_rebuild_that_nobody_heard_of_is_never_silent() {
    let lab = captured().await;
    let last = disk_bytes(&lab);
    lab.cloud.nova_begins(lab.server, "rebuild", "rebuilding").unwrap();
    lab.cloud.nova_rebuilds(lab.server);
    assert_eq!(disk_bytes(&lab), last, "the old disk has come back, as in Nova");
    swept(&lab).await;
    let warnings = lab.tree().await.record.warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].text.contains("runs on it"), "{}", warnings[0].text);
    swept(&lab).await;
    assert_eq!(lab.tree().await.record.warnings.len(), 1, "said once");
    assert_eq!(lab.tree().await.forest.nodes.len(), 1, "and nothing was changed");
}

#[tokio::test]
async fn a_rebuild_that_no_host_takes_leaves_the_server_its_own_disk() {
    for the_end in BOTH {
        let lab = captured().await;
        let last = disk_bytes(&lab);
        lab.cloud.nova_begins(lab.server, "rebuild", "rebuilding").unwrap();
        hear(&lab).await;
        lab.cloud.nova_gives_up(lab.server, "ERROR");
        notice(&lab, the_end).await;
        assert_eq!(disk_bytes(&lab), last);
        swept(&lab).await;
        assert!(lab.tree().await.record.warnings.is_empty(), "it was dealt with");
    }
}

#[tokio::test]
async fn an_evacuation_is_never_touched() {
    let lab = captured().await;
    let last = disk_bytes(&lab);
    lab.cloud.nova_begins(lab.server, "rebuild", "rebuilding").unwrap();
    lab.cloud.nova_begins(lab.server, "evacuate", "rebuilding").unwrap();
    hear(&lab).await;
    swept(&lab).await;
    assert_eq!(disk_bytes(&lab), last);
    lab.cloud.nova_gives_up(lab.server, "ACTIVE");
    swept(&lab).await;
    assert!(lab.tree().await.record.warnings.is_empty());
    assert!(roles(&lab).await.iter().all(|(_, role)| *role == LayerRole::Head));
}

#[tokio::test]
async fn a_shelved_server_gets_another_disk_and_its_tree_keeps_the_one_it_had() {
    for told in BOTH {
        let lab = captured().await;
        let last = disk_bytes(&lab);
        lab.cloud.nova_begins(lab.server, "shelve", "shelving_offloading").unwrap();
        if told == Told::InTime {
            hear(&lab).await;
        }
        lab.cloud.nova_offloads(lab.server);
        swept(&lab).await;
        assert!(disk_bytes(&lab).is_empty(), "{told:?}");
        lab.cloud.nova_unshelves(lab.server).unwrap();
        swept(&lab).await;
        assert_ne!(disk_bytes(&lab), last, "{told:?}: Nova has made another");
        assert_eq!(node_bytes(&lab, "before shelving").await, last, "{told:?}");
        lab.must_be_clean(&format!("{told:?}")).await;
    }
}

#[tokio::test]
async fn a_soft_deleted_server_keeps_its_disk_until_it_is_reclaimed() {
    let lab = captured().await;
    let last = disk_bytes(&lab);
    lab.cloud.nova_begins(lab.server, "delete", "soft-deleting").unwrap();
    hear(&lab).await;
    lab.cloud.nova_gives_up(lab.server, "SOFT_DELETED");
    swept(&lab).await;
    assert_eq!(disk_bytes(&lab), last);
    // `instance.delete.start` of the reclaim: nothing else tells that it has begun.
    let operation = guard(&lab.app, lab.server, true).await.unwrap().unwrap();
    lab.must_succeed(operation).await;
    assert_eq!(disk_bytes(&lab), EMPTY);
    swept(&lab).await;
    assert_eq!(disk_bytes(&lab), EMPTY, "Nova shows no task until it is done");
    lab.cloud.nova_deletes(lab.server);
    swept(&lab).await;
    assert_eq!(node_bytes(&lab, "before deleting").await, last);
}

#[tokio::test]
async fn the_guard_waits_for_an_operation_and_acts_when_it_has_ended() {
    let lab = captured().await;
    let capture = lab.ask_capture("b", |_| {}).await.unwrap();
    lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
    let error = guard(&lab.app, lab.server, false).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
    assert_eq!(
        lab.finish(capture).await.status,
        OperationStatus::Failed,
        "a server that is being deleted is not captured"
    );
    hear(&lab).await;
    lab.cloud.nova_deletes(lab.server);
    swept(&lab).await;
    assert!(lab.tree().await.record.deleted_at.is_some());
}

/// Nova confirms a resize before it deletes the server, and shows no task in between: what was taken is about to go back. With
/// what the disks held, and the operation.
async fn being_given_back() -> (Lab, Vec<u64>, OperationId) {
    let lab = captured().await;
    let last = disk_bytes(&lab);
    lab.cloud.nova_begins(lab.server, "resize", "deleting").unwrap();
    hear(&lab).await;
    lab.cloud.edit_server(lab.server, |facts| facts.task_state = None);
    let back = guard(&lab.app, lab.server, false).await.unwrap().unwrap();
    (lab, last, back)
}

#[tokio::test]
async fn a_deletion_that_is_told_while_the_disk_is_given_back_is_not_missed() {
    let (lab, last, back) = being_given_back().await;
    lab.probe.once("give", EventKind::Done, Verdict::Die);
    lab.engine().await;
    lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
    let error = guard(&lab.app, lab.server, true).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
    assert_eq!(lab.finish(back).await.status, OperationStatus::Succeeded);
    hear(&lab).await;
    lab.cloud.nova_deletes(lab.server);
    swept(&lab).await;
    assert_eq!(node_bytes(&lab, "before deleting").await, last);
}

#[tokio::test]
async fn a_disk_is_not_given_back_to_a_server_that_is_being_deleted_by_now() {
    let (lab, last, back) = being_given_back().await;
    lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
    lab.cloud.edit_server(lab.server, |facts| facts.task_state = None);
    assert_eq!(lab.finish(back).await.status, OperationStatus::Failed);
    lab.cloud.nova_deletes(lab.server);
    swept(&lab).await;
    assert_eq!(node_bytes(&lab, "before deleting").await, last);
}

#[tokio::test]
async fn whatever_engine_dies_at_whatever_event_the_guard_comes_to_the_same_end() {
    // Enough for all events of the take-over and of what follows it.
    for number in 0..20 {
        let lab = captured().await;
        let last = disk_bytes(&lab);
        lab.probe.die_at(number);
        lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
        hear(&lab).await;
        lab.cloud.nova_deletes(lab.server);
        swept(&lab).await;
        swept(&lab).await;
        assert_eq!(node_bytes(&lab, "before deleting").await, last, "event {number}");
        assert!(lab.tree().await.record.deleted_at.is_some(), "event {number}");
        lab.nothing_may_be_orphaned(&format!("event {number}")).await;
    }
}

#[tokio::test]
async fn a_take_over_that_fails_half_way_is_finished_by_the_next_look() {
    for number in 1..=2 {
        let lab = captured().await;
        let last = disk_bytes(&lab);
        lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
        lab.cloud.plan_fault(Which::Named("rename", number), When::After, Harm::Permanent);
        let operation = guard(&lab.app, lab.server, false).await.unwrap().unwrap();
        assert_eq!(lab.finish(operation).await.status, OperationStatus::Failed);
        hear(&lab).await;
        lab.cloud.nova_deletes(lab.server);
        swept(&lab).await;
        assert_eq!(node_bytes(&lab, "before deleting").await, last, "rename {number}");
        lab.nothing_may_be_orphaned(&format!("rename {number}")).await;
    }
}

#[tokio::test]
async fn a_decision_that_has_waited_too_long_is_made_anew() {
    let lab = captured().await;
    lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
    let operation = guard(&lab.app, lab.server, false).await.unwrap().unwrap();
    lab.probe.once("take", EventKind::Started, Verdict::Die);
    lab.engine().await;
    use sea_orm::ConnectionTrait;
    let long_ago = "UPDATE operations SET created_at = '2020-01-01 00:00:00' WHERE kind = 'head_takeover'";
    lab.sql().await.execute_unprepared(long_ago).await.unwrap();
    lab.cloud.nova_gives_up(lab.server, "ACTIVE");
    assert_eq!(lab.finish(operation).await.status, OperationStatus::Failed);
    assert!(!disk_bytes(&lab).is_empty(), "the server runs on: its disk was not taken");
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_taken_of_a_deleted_servers_disk_is_tried_again_by_the_next_sweep() {
    let lab = captured().await;
    lab.cloud.owner_delete_server(lab.server);
    lab.cloud.plan_fault(Which::Named("snapshot_image", 1), When::Before, Harm::Permanent);
    swept(&lab).await;
    lab.cloud.clear_faults();
    assert!(lab.tree().await.record.deleted_at.is_none());
    swept(&lab).await;
    assert!(lab.tree().await.record.deleted_at.is_some());
    lab.nothing_may_be_orphaned("after the second try").await;
}

#[tokio::test]
async fn what_the_guard_tries_in_vain_is_told_to_the_owner_once() {
    let lab = captured().await;
    lab.cloud.owner_delete_server(lab.server);
    for _ in 0..3 {
        assert!(lab.tree().await.record.warnings.is_empty());
        lab.cloud.plan_fault(Which::Named("snapshot_image", 1), When::Before, Harm::Permanent);
        swept(&lab).await;
        lab.cloud.clear_faults();
    }
    for _ in 0..2 {
        swept(&lab).await;
        let warnings = lab.tree().await.record.warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].text.contains("could not be kept"), "{warnings:?}");
    }
}

#[tokio::test]
async fn what_no_notification_told_is_an_alarm_and_what_one_told_is_none() {
    use ratoon::background::sweep::guard_servers;
    use ratoon::domain::event::{ServerEvent, What};
    for told in BOTH {
        let lab = captured().await;
        let event = ServerEvent {
            message_id: "m".into(),
            server_id: lab.server,
            what: What::Deleting,
            project_id: None,
            request_id: None,
            image_id: None,
            sent_at: None,
        };
        if told == Told::InTime {
            lab.world.store.take_in(&[event]).await.unwrap();
        }
        assert_eq!(guard_servers(&lab.app, &mut Progress::default()).await.0, [], "{told:?}: nothing has happened");
        lab.cloud.owner_delete_server(lab.server);
        let quiet = lab.fork().await;
        let (unheard, _) = guard_servers(&lab.app, &mut Progress::default()).await;
        assert_eq!(unheard.is_empty(), told == Told::InTime, "{told:?}");
        let mut deaf = quiet;
        deaf.app.settings.listens = false;
        assert_eq!(
            guard_servers(&deaf.app, &mut Progress::default()).await.0,
            [],
            "{told:?}: who does not listen expects nothing"
        );
    }
}

#[tokio::test]
async fn servers_of_which_nova_knows_nothing_keep_their_disks() {
    let lab = captured().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    let last = disk_bytes(&lab);
    lab.cloud.nova_forgets(lab.server);
    swept(&lab).await;
    assert_eq!(disk_bytes(&lab), last, "a wrong region must not cost a cloud its disks");
    assert!(lab.tree().await.record.deleted_at.is_none());
}

/// Nova notes no action where no host has a part in it.
#[tokio::test]
async fn a_shelved_server_that_is_deleted_leaves_its_tree() {
    for told in BOTH {
        let lab = captured().await;
        lab.cloud.nova_begins(lab.server, "shelve", "shelving_offloading").unwrap();
        notice(&lab, told).await;
        lab.cloud.nova_offloads(lab.server);
        swept(&lab).await;
        lab.cloud.nova_deletes(lab.server);
        notice(&lab, told).await;
        assert!(lab.tree().await.record.deleted_at.is_some(), "{told:?}");
        assert_eq!(lab.tree().await.forest.nodes.len(), 2, "{told:?}: the snapshot, and the disk that was shelved");
    }
}

#[tokio::test]
async fn a_guest_that_runs_on_though_its_server_was_deleted_keeps_its_disk_until_it_ends() {
    let lab = captured().await;
    let last = disk_bytes(&lab);
    lab.cloud.owner_delete_server(lab.server);
    lab.cloud.set_watcher(lab.server, "disk", "a host that was down", true);
    swept(&lab).await;
    assert_eq!(disk_bytes(&lab), last);
    assert!(lab.tree().await.record.operation_id.is_none());
    lab.cloud.set_watcher(lab.server, "disk", "a host that was down", false);
    swept(&lab).await;
    assert_eq!(node_bytes(&lab, "before deleting").await, last);
}

#[tokio::test]
async fn while_a_head_is_held_nothing_else_begins_and_the_new_disk_is_left_alone() {
    for stopped in [false, true] {
        let lab = captured().await;
        if stopped {
            lab.cloud.owner_stop(lab.server).unwrap();
        }
        let a = lab.node("a").await;
        lab.cloud.nova_begins(lab.server, "rebuild", "rebuilding").unwrap();
        hear(&lab).await;
        lab.cloud.nova_rebuilds(lab.server);
        lab.cloud.guest_write(lab.server);
        let new = disk_bytes(&lab);
        for refused in [lab.ask_capture("early", |_| {}).await, lab.ask_restore(a, |_| {}).await] {
            let error = refused.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true), "stopped {stopped}: {error}");
        }
        hear(&lab).await;
        assert_eq!(disk_bytes(&lab), new, "stopped {stopped}: what Nova has made stays where it is");
        lab.capture("later").await;
        lab.must_be_clean("afterwards").await;
    }
}

#[tokio::test]
async fn a_volume_that_its_owner_took_off_before_he_deleted_the_server_is_his() {
    for told in BOTH {
        let mut lab = captured().await;
        let volumes = lab.volumes();
        lab.cloud.owner_detach(lab.server, &volumes[0]).unwrap(); // it was to go with the server
        lab.cloud.nova_begins(lab.server, "delete", "deleting").unwrap();
        if told == Told::InTime {
            hear(&lab).await;
        }
        lab.cloud.nova_deletes(lab.server);
        lab.app.settings.keep_deleted = std::time::Duration::ZERO;
        for _ in 0..4 {
            swept(&lab).await;
        }
        let disks: Vec<_> = lab.cloud.our_objects().disks.into_iter().map(|(id, _)| id).collect();
        assert_eq!(disks, volumes, "{told:?}");
    }
}

#[tokio::test]
async fn an_engine_that_dies_within_a_take_over_for_a_rebuild_loses_neither_the_old_disk_nor_the_new_one() {
    for event in [("take", EventKind::Started), ("take", EventKind::Done), ("record", EventKind::Started)] {
        for rebuilt in [false, true] {
            let lab = captured().await;
            let last = disk_bytes(&lab);
            lab.cloud.nova_begins(lab.server, "rebuild", "rebuilding").unwrap();
            guard(&lab.app, lab.server, false).await.unwrap().unwrap();
            lab.probe.once(event.0, event.1, Verdict::Die);
            lab.engine().await;
            lab.probe.calm();
            if rebuilt {
                lab.cloud.nova_rebuilds(lab.server);
            } else {
                lab.cloud.edit_server(lab.server, |facts| facts.task_state = Some("rebuild_spawning".into()));
            }
            swept(&lab).await;
            if !rebuilt {
                lab.cloud.nova_gives_up(lab.server, "ERROR");
            }
            swept(&lab).await;
            swept(&lab).await;
            let moved = event != ("take", EventKind::Started);
            match (moved, rebuilt) {
                (true, true) => assert_eq!(node_bytes(&lab, "before rebuilding").await, last, "{event:?}"),
                _ => assert_eq!(disk_bytes(&lab), last, "{event:?}: Nova has not replaced it"),
            }
            lab.nothing_may_be_orphaned(&format!("{event:?} {rebuilt}")).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_unshelved_before_its_old_disk_is_kept_runs_on_it() {
    let lab = captured().await;
    lab.cloud.nova_begins(lab.server, "shelve", "shelving_offloading").unwrap();
    lab.cloud.nova_offloads(lab.server); // nobody heard: the disk is left, for its snapshots
    let retire = guard(&lab.app, lab.server, false).await.unwrap().unwrap();
    lab.cloud.nova_unshelves(lab.server).unwrap();
    lab.cloud.owner_stop(lab.server).unwrap(); // nobody has the disk open, and it is his all the same
    let last = disk_bytes(&lab);
    assert_eq!(lab.finish(retire).await.status, OperationStatus::Failed);
    assert_eq!(disk_bytes(&lab), last);
    assert!(roles(&lab).await.iter().all(|(_, role)| *role == LayerRole::Head));
    lab.capture("later").await;
    lab.must_be_clean("afterwards").await;
}
