//! Quotas: refused beforehand with the numbers; and when somebody else takes the room meanwhile, undone to the last byte.

use ratoon::domain::operation::OperationStatus;
use ratoon::drivers::fake::dump::Detail;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::error::Kind;

use crate::lab::Lab;

#[tokio::test]
async fn a_capture_that_the_quota_forbids_is_refused_before_anything_is_touched() {
    let lab = Lab::with_a_server().await;
    for (volumes, snapshots, gigabytes, word) in [(-1, 1, -1, "snapshots: 2 more"), (-1, -1, 3, "gigabytes: 2 more")] {
        lab.cloud.set_quota(volumes, snapshots, gigabytes);
        let before = lab.cloud.dump(Detail::All);
        let error = lab.ask_capture("a", |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), Kind::QuotaExceeded);
        assert!(error.chain().contains(word), "{}", error.chain());
        assert_eq!(lab.cloud.dump(Detail::All), before);
        assert!(lab.world.store.tree(lab.server).await.unwrap().is_none(), "nothing was recorded");
    }
}

#[tokio::test]
async fn a_restore_that_the_quota_forbids_is_refused_before_the_server_stops() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    lab.cloud.set_quota(3, -1, -1); // 2 are there, 2 would be made
    let before = lab.text(Detail::All).await;
    let error = lab.ask_restore(a, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::QuotaExceeded);
    assert!(error.chain().contains("volumes: 2 more needed, 2 of 3 in use"), "{}", error.chain());
    assert_eq!(lab.text(Detail::All).await, before);
    assert!(!lab.cloud.history(lab.server).contains(&"stop".to_owned()));
}

#[tokio::test]
async fn when_disk_k_of_n_meets_the_quota_the_first_ones_are_taken_back() {
    let lab = Lab::with_a_server().await;
    for name in ["data-3", "data-4"] {
        let volume = lab.cloud.add_volume(name);
        lab.cloud.owner_attach(lab.server, &volume, &Default::default()).unwrap();
    }
    lab.capture("a").await;
    for room in 0..4 {
        let lab = lab.fork().await;
        let before = lab.text(Detail::WithoutLiveBytes).await;
        let id = lab.ask_capture("b", |_| {}).await.unwrap();
        lab.cloud.set_quota(-1, 4 + room, -1); // somebody else has taken the rest
        let ended = lab.finish(id).await;
        assert_eq!(ended.status, OperationStatus::Failed, "room for {room}");
        assert_eq!(ended.error.as_ref().unwrap().code, "quota_exceeded", "room for {room}: {:?}", ended.error);
        lab.must_be_clean(&format!("room for {room}")).await;
        assert_eq!(lab.text(Detail::WithoutLiveBytes).await, before, "room for {room}");
        assert_eq!(lab.status(), "ACTIVE");
    }
}

#[tokio::test]
async fn when_the_quota_is_met_in_the_middle_of_a_restore_the_server_is_as_before() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    // 2 volumes and 2 snapshots are there; 2 volumes and 2 safety snapshots would be made.
    for (volumes, snapshots) in [(2, -1), (3, -1), (-1, 2), (-1, 3)] {
        let lab = lab.fork().await;
        let before = lab.text(Detail::WithoutLiveBytes).await;
        let id = lab.ask_restore(lab.node("a").await, |_| {}).await.unwrap();
        lab.cloud.set_quota(volumes, snapshots, -1);
        let ended = lab.finish(id).await;
        let what = format!("volumes {volumes} snapshots {snapshots}");
        assert_eq!(ended.status, OperationStatus::Failed, "{what}");
        lab.must_be_clean(&what).await;
        assert_eq!(lab.text(Detail::WithoutLiveBytes).await, before, "{what}");
    }
}

#[tokio::test]
async fn each_disk_that_fails_for_good_undoes_the_capture() {
    let lab = Lab::with_a_server().await;
    for (name, of_name) in
        [("snapshot_image", 1), ("snapshot_image", 2), ("snapshot_volume", 1), ("snapshot_volume", 2)]
    {
        for when in [When::Before, When::After] {
            let lab = lab.fork().await;
            let before = lab.cloud.dump(Detail::WithoutLiveBytes);
            let id = lab.ask_capture("a", |_| {}).await.unwrap();
            lab.cloud.plan_fault(Which::Named(name, of_name), when, Harm::Permanent);
            assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
            lab.must_be_clean(name).await;
            assert_eq!(lab.cloud.dump(Detail::WithoutLiveBytes), before, "{name} {of_name} {when:?}");
        }
    }
}
