//! Disks of one line: an owner who attaches a parked volume beside its own clone, and restores back and forth.

use ratoon::domain::disk::LayerRole;

use crate::lab::Lab;

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
