//! Disks of one line: an owner who attaches a parked volume beside its own clone, and restores back and forth.

use ratoon::domain::disk::{DiskKind, LayerRole};
use ratoon::domain::plan::restore::depth;
use ratoon::ids::SnapshotId;

use crate::lab::{DEPTH_MAX, Lab};

/// A stopped server at b; its owner has attached the first volume, parked by a restore of a, beside the clone of it.
async fn beside_its_clone() -> Lab {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    let parked = lab.volumes()[0].clone();
    lab.restore(a).await;
    lab.cloud.owner_attach(lab.server, &parked, &Default::default()).unwrap();
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("b").await;
    lab
}

/// A stopped server at b, which it equals, after a.
async fn at_rest_with_two_nodes() -> (Lab, SnapshotId, SnapshotId) {
    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    let a = lab.capture("a").await;
    lab.cloud.owner_start(lab.server).unwrap();
    lab.cloud.guest_write(lab.server);
    lab.cloud.owner_stop(lab.server).unwrap();
    let b = lab.capture("b").await;
    (lab, a, b)
}

#[tokio::test]
async fn a_server_that_equals_a_node_with_a_disk_and_its_clone_keeps_both() {
    let lab = beside_its_clone().await;
    let before = (lab.volumes(), lab.cloud.live_bytes(lab.server), lab.tree().await.forest.nodes.len());
    lab.restore(lab.node("b").await).await;
    let after = (lab.volumes(), lab.cloud.live_bytes(lab.server), lab.tree().await.forest.nodes.len());
    assert_eq!(after, before);
    lab.must_be_clean("restore").await;
}

#[tokio::test]
async fn a_disk_beside_its_clone_leaves_with_a_restore_and_comes_back_with_the_next() {
    let lab = beside_its_clone().await;
    let present = lab.cloud.live_bytes(lab.server);
    lab.restore(lab.node("a").await).await;
    assert_eq!(lab.volumes().len(), 2, "a has one disk of that line");
    let tree = lab.tree().await;
    for (id, _) in &present {
        let parked = tree.layers.iter().find(|layer| layer.backend_id == *id);
        assert!(parked.is_none_or(|layer| layer.role == LayerRole::Parked), "{parked:?}");
    }
    lab.restore(lab.node("b").await).await;
    assert_eq!(lab.cloud.live_bytes(lab.server), present, "the very disks, in their order");
    lab.must_be_clean("restore").await;
}

#[tokio::test]
async fn going_back_and_forth_at_rest_makes_no_more_disks_than_it_needs() {
    let (lab, a, b) = at_rest_with_two_nodes().await;
    lab.restore(a).await; // clones; the disks that are parked carry b
    let (layers, at_a) = (lab.tree().await.layers.len(), lab.cloud.live_bytes(lab.server));
    lab.restore(b).await;
    for round in 0..2 {
        lab.restore(a).await;
        assert_eq!(lab.cloud.live_bytes(lab.server), at_a, "round {round}: the very clones again");
        lab.restore(b).await;
        assert_eq!(lab.tree().await.layers.len(), layers, "round {round}");
    }
    lab.must_be_clean("back and forth").await;
}

#[tokio::test]
async fn a_clone_that_its_owner_has_used_while_it_was_parked_is_not_taken_for_what_it_was_made_of() {
    let (lab, a, b) = at_rest_with_two_nodes().await;
    lab.restore(a).await;
    let at_a = lab.cloud.live_bytes(lab.server);
    let clone = lab.volumes()[0].clone();
    lab.restore(b).await;
    lab.cloud.owner_scribble(&clone).unwrap();
    lab.restore(a).await;
    assert!(!lab.volumes().contains(&clone));
    let bytes = |disks: Vec<(String, Vec<u64>)>| disks.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    assert_eq!(bytes(lab.cloud.live_bytes(lab.server)), bytes(at_a));
    lab.must_be_clean("a used clone").await;
}

#[tokio::test]
async fn a_system_disk_never_stands_on_more_clones_than_it_may() {
    let lab = Lab::with_a_server().await;
    lab.cloud.set_quota(-1, -1, -1);
    let mut node = lab.capture("0").await;
    for round in 1..=2 * DEPTH_MAX {
        lab.cloud.guest_write(lab.server);
        lab.restore(node).await;
        lab.cloud.guest_write(lab.server);
        let held = lab.cloud.live_bytes(lab.server);
        node = lab.capture(&round.to_string()).await;
        let tree = lab.tree().await;
        for layer in tree.layers.iter().filter(|layer| layer.kind != DiskKind::Volume) {
            assert!(depth(&tree.layers, layer) <= DEPTH_MAX, "round {round}");
        }
        assert_eq!(lab.cloud.live_bytes(lab.server), held, "round {round}");
        lab.must_be_clean(&format!("round {round}")).await;
    }
}
