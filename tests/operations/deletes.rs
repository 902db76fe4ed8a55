//! Deletions: what they must not touch, what makes them stop half way, and what finishes them later.

use ratoon::app::snapshot_delete::HowToDelete;
use ratoon::app::snapshots::UpdateSnapshot;
use ratoon::background::sweep::{Progress, sweep};
use ratoon::domain::disk::LayerRole;
use ratoon::domain::operation::OperationStatus;
use ratoon::domain::snapshot::SnapshotStatus;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::error::Kind;
use ratoon::ids::SnapshotId;

use crate::lab::Lab;

impl Lab {
    /// The live disks are the first of all, with `a` on them. The second ones, which were made of them, carry `b`, the third ones,
    /// which were made of these, carry `c`; all of them are parked.
    pub async fn leave_a_line_of_parked_disks(&self) {
        let a = self.capture("a").await;
        self.cloud.guest_write(self.server);
        self.restore(a).await;
        let main = self.safety_node().await.id;
        self.cloud.guest_write(self.server);
        let b = self.capture("b").await;
        self.cloud.guest_write(self.server);
        self.restore(b).await;
        self.cloud.guest_write(self.server);
        self.capture("c").await;
        self.cloud.guest_write(self.server);
        self.restore(main).await;
    }
}

async fn delete(lab: &Lab, name: &str) {
    let id = lab.ask_delete(name).await.unwrap();
    lab.must_succeed(id).await;
}

fn bytes(lab: &Lab) -> Vec<Vec<u64>> {
    lab.cloud.live_bytes(lab.server).into_iter().map(|(_, bytes)| bytes).collect()
}

async fn names(lab: &Lab) -> Vec<String> {
    let tree = lab.tree().await;
    let drawn = tree.forest.preorder().into_iter();
    drawn.map(|(_, node)| format!("{}{}", if node.hidden { "~" } else { "" }, node.name)).collect()
}

/// Captures after a write, and returns what the disks held.
async fn capture(lab: &Lab, name: &str) -> (SnapshotId, Vec<Vec<u64>>) {
    lab.cloud.guest_write(lab.server);
    let held = bytes(lab);
    (lab.capture(name).await, held)
}

/// apache/cloudstack#10632: there, the restore at the end failed, because the file it needed was gone.
#[tokio::test]
async fn a_leaf_beside_deleted_ones_can_still_be_restored() {
    let lab = Lab::with_a_server().await;
    capture(&lab, "s1").await;
    let (s2, _) = capture(&lab, "s2").await;
    let (s3, held) = capture(&lab, "s3").await;
    lab.restore(s2).await;
    capture(&lab, "s4").await;
    delete(&lab, "s2").await;
    delete(&lab, "s1").await;
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.restore(s3).await;
    assert_eq!(bytes(&lab), held);
    lab.must_be_clean("after all").await;
}

#[tokio::test]
async fn a_server_at_rest_goes_on_from_what_it_holds_though_its_node_is_deleted() {
    let lab = Lab::with_a_server().await;
    capture(&lab, "a").await;
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("b").await;
    let held = bytes(&lab);
    delete(&lab, "b").await;
    assert_eq!(lab.tree().await.forest.current, Some(lab.node("a").await), "it grew from a, too");
    lab.capture("c").await; // nothing of b is shared: b is gone
    assert_eq!(bytes(&lab), held);
    lab.must_be_clean("after the capture").await;
}

#[tokio::test]
async fn what_a_backend_refuses_to_remove_is_said_and_can_be_tried_again() {
    let lab = Lab::with_a_server().await;
    capture(&lab, "a").await;
    capture(&lab, "b").await;
    let id = lab.ask_delete("a").await.unwrap();
    lab.cloud.plan_fault(Which::Every("remove_volume_snapshot"), When::Before, Harm::Permanent);
    let ended = lab.finish(id).await;
    lab.cloud.clear_faults();
    assert_eq!(ended.status, OperationStatus::Succeeded, "what could go is gone");
    assert!(!ended.warnings.is_empty());
    let tree = lab.tree().await;
    let node = &tree.forest.nodes[0];
    assert_eq!((node.status, node.hidden, node.fault.is_some()), (SnapshotStatus::ErrorDeleting, true, true));
    assert!(tree.disks_of(node.id).len() < 4, "the system disk's part is gone");
    lab.must_be_clean("half deleted").await;
    assert!(lab.ask_restore(node.id, |_| {}).await.is_err(), "nobody restores half a node");
    delete(&lab, "a").await;
    assert_eq!(names(&lab).await, ["b"]);
    lab.must_be_clean("deleted").await;
}

#[tokio::test]
async fn the_sweep_removes_what_a_deletion_had_to_leave() {
    let lab = Lab::with_a_server().await;
    let (a, _) = capture(&lab, "a").await;
    capture(&lab, "b").await;
    lab.restore(a).await;
    let safety = lab.safety_node().await.id; // what b's branch held
    let id = lab.ask_delete_branch("main").await.unwrap();
    lab.must_succeed(id).await;
    assert_eq!(names(&lab).await, ["~a"], "the live volumes were made of it");
    sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
    assert!(lab.take().await.is_none(), "nothing can be done about that now");
    // The live volumes are replaced by its owner: nothing was made of a any more.
    for volume in lab.volumes() {
        lab.cloud.owner_detach(lab.server, &volume).unwrap();
        lab.cloud.owner_delete_volume(&volume).unwrap();
    }
    lab.capture("c").await; // looks, and notes that they are gone
    sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
    lab.engine().await;
    assert_eq!(names(&lab).await, ["c"]);
    assert!(lab.tree().await.snapshots.iter().all(|node| node.id != safety));
    lab.must_be_clean("after the sweep").await;
}

/// Cinder refuses to remove a snapshot of which a volume was made, and a volume on which there is one.
#[tokio::test]
async fn a_line_of_volumes_goes_at_once_though_each_holds_the_snapshot_that_the_next_was_made_of() {
    let lab = Lab::with_a_server().await;
    lab.leave_a_line_of_parked_disks().await;
    let how = HowToDelete { subtree: true, ..HowToDelete::default() };
    lab.app.delete_snapshot(&lab.caller(), lab.node("b").await, how).await.unwrap();
    lab.cloud.clear_faults(); // and the log of calls
    let ended = lab.finish(lab.last_operation().await).await;
    assert_eq!((ended.status, ended.warnings), (OperationStatus::Succeeded, vec![]));
    let purges = lab.cloud.calls().iter().filter(|call| **call == "purge_volume").count();
    assert_eq!(purges, 4, "two lines of two volumes: none is asked to go before it can");
    let tree = lab.tree().await;
    assert!(tree.layers.iter().all(|layer| layer.role != LayerRole::Parked), "{:?}", tree.layers);
    assert!(tree.snapshots.iter().all(|node| !node.hidden));
    lab.must_be_clean("after the deletion").await;
}

#[tokio::test]
async fn a_deletion_that_is_cancelled_before_it_began_leaves_all_as_it_was() {
    let lab = Lab::with_a_server().await;
    capture(&lab, "a").await;
    let before = lab.text(ratoon::drivers::fake::dump::Detail::All).await;
    let id = lab.ask_delete("a").await.unwrap();
    assert_eq!(lab.tree().await.forest.nodes[0].status, SnapshotStatus::Deleting);
    lab.app.cancel_operation(&lab.caller(), id).await.unwrap();
    assert_eq!(lab.finish(id).await.status, OperationStatus::Cancelled);
    assert_eq!(lab.text(ratoon::drivers::fake::dump::Detail::All).await, before);
}

#[tokio::test]
async fn a_protected_snapshot_stays_until_its_protection_is_taken_off() {
    let lab = Lab::with_a_server().await;
    let (a, _) = capture(&lab, "a").await;
    capture(&lab, "b").await;
    let protect = |protected| UpdateSnapshot { protected: Some(protected), ..UpdateSnapshot::default() };
    let how = HowToDelete::default();
    lab.app.update_snapshot(&lab.caller(), a, protect(true)).await.unwrap();
    for subtree in [false, true] {
        let refused = lab.app.delete_snapshot(&lab.caller(), a, HowToDelete { subtree, ..how }).await.unwrap_err();
        assert!(refused.kind() == Kind::Conflict && refused.to_string().contains("owner"), "{refused}");
    }
    lab.app.update_snapshot(&lab.caller(), a, protect(false)).await.unwrap();
    delete(&lab, "a").await;
    assert_eq!(names(&lab).await, ["b"]);
}

#[tokio::test]
async fn a_snapshot_that_is_being_deleted_cannot_be_protected_any_more() {
    let lab = Lab::with_a_server().await;
    let (a, _) = capture(&lab, "a").await;
    let id = lab.ask_delete("a").await.unwrap();
    let wanted = UpdateSnapshot { protected: Some(true), ..UpdateSnapshot::default() };
    assert_eq!(lab.app.update_snapshot(&lab.caller(), a, wanted).await.unwrap_err().kind(), Kind::Conflict);
    lab.must_succeed(id).await;
    assert!(lab.tree().await.snapshots.is_empty());
}

#[tokio::test]
async fn a_failed_capture_can_be_deleted() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    lab.cloud.plan_fault(Which::Every("snapshot_volume"), When::Before, Harm::Permanent);
    assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
    lab.cloud.clear_faults();
    let failed = lab.tree().await.snapshots[0].id;
    let answer = lab.app.delete_snapshot(&lab.caller(), failed, HowToDelete::default()).await.unwrap();
    let ratoon::app::Answer::Accepted((_, id)) = answer else { panic!("only planned") };
    lab.must_succeed(id).await;
    assert!(lab.tree().await.snapshots.is_empty());
}

#[tokio::test]
async fn a_backend_that_lets_go_of_a_snapshot_with_clones_is_believed() {
    let lab = Lab::with_a_server().await;
    lab.cloud.let_clones_go();
    let (a, _) = capture(&lab, "a").await;
    capture(&lab, "b").await;
    lab.restore(a).await;
    capture(&lab, "c").await;
    let held = bytes(&lab);
    let id = lab.ask_delete_branch("main").await.unwrap();
    lab.must_succeed(id).await;
    assert_eq!(names(&lab).await, ["c"], "nothing of main is left, though the live disks were made of a");
    assert_eq!(bytes(&lab), held);
    lab.must_be_clean("main is gone").await;
}

#[tokio::test]
async fn with_the_whole_tree_everything_of_ours_goes_that_the_live_disks_do_not_need() {
    let lab = Lab::with_a_server().await;
    let (a, _) = capture(&lab, "a").await;
    capture(&lab, "b").await;
    lab.restore(a).await;
    capture(&lab, "c").await;
    lab.restore(lab.node("b").await).await;
    lab.restore(a).await;
    let held = bytes(&lab);
    let how = HowToDelete::default();
    let answer = lab.app.delete_tree(&lab.caller(), lab.server, how).await.unwrap();
    let ratoon::app::Answer::Accepted((_, id)) = answer else { panic!("only planned") };
    lab.must_succeed(id).await;
    assert_eq!(bytes(&lab), held);
    assert_eq!(names(&lab).await, ["~a"], "the live volumes were made of it");
    assert_eq!(lab.tree().await.forest.current, None);
    lab.must_be_clean("after all").await;
    let tree = lab.tree().await;
    let kept = tree.layers.iter().filter(|layer| layer.role == ratoon::domain::disk::LayerRole::Parked).count();
    assert_eq!(kept, 4, "the four disks that a lies on, and no other");
}

/// Found by the simulation: the rows told of a snapshot on a disk that was gone, and the deletion could not end.
#[tokio::test]
async fn a_disk_that_is_gone_has_taken_with_it_what_its_backend_seemed_to_refuse_to_remove() {
    let lab = Lab::with_a_server().await;
    let (a, _) = capture(&lab, "a").await;
    lab.restore(a).await;
    capture(&lab, "c").await;
    lab.restore(a).await;
    let answer = lab.app.delete_tree(&lab.caller(), lab.server, HowToDelete::default()).await.unwrap();
    let ratoon::app::Answer::Accepted((_, id)) = answer else { panic!("only planned") };
    lab.cloud.plan_fault(Which::Every("remove_volume_snapshot"), When::After, Harm::Permanent);
    let ended = lab.finish(id).await;
    lab.cloud.clear_faults();
    assert_eq!(ended.status, OperationStatus::Succeeded);
    assert!(!ended.warnings.is_empty(), "what was refused is said");
    let left = names(&lab).await;
    assert_eq!(left, ["~a", "~before restoring a"], "c is gone with its disks; these lie on disks that stay");
    lab.must_be_clean("after it").await;
}
