//! What captures and restores do when nothing goes wrong.

use ratoon::domain::snapshot::Consistency;

use crate::lab::Lab;

#[tokio::test]
async fn a_capture_of_a_running_server_pauses_it_and_is_one_moment() {
    let lab = Lab::with_a_server().await;
    let node = lab.capture("a").await;
    let tree = lab.tree().await;
    let snapshot = tree.snapshot(node).unwrap();
    assert_eq!(snapshot.consistency.reached, Some(Consistency::Crash));
    assert_eq!(tree.disks_of(node).len(), 4);
    assert_eq!(lab.status(), "ACTIVE");
    let live = lab.cloud.live_bytes(lab.server);
    for (part, (key, bytes)) in tree.disks_of(node).into_iter().zip(live) {
        let disk = &tree.layer(part.layer_id).unwrap().backend_id;
        assert_eq!(lab.cloud.snapshot_bytes(disk, &part.backend_id), Some(bytes), "disk {key}");
    }
    lab.must_be_clean("capture").await;
}

#[tokio::test]
async fn a_restore_brings_every_byte_back_and_the_safety_snapshot_keeps_the_present() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    let then: Vec<_> = lab.cloud.live_bytes(lab.server).into_iter().map(|(_, bytes)| bytes).collect();
    lab.cloud.guest_write(lab.server);
    lab.restore(a).await;
    let now: Vec<_> = lab.cloud.live_bytes(lab.server).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(now, then);
    assert_eq!(lab.status(), "ACTIVE");
    lab.must_be_clean("restore").await;
    println!("{}", lab.text(ratoon::drivers::fake::dump::Detail::All).await);
}
