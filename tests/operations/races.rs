//! The owner, Nova and others do something at the worst moment.

use ratoon::domain::operation::{EventKind, OperationStatus};
use ratoon::domain::snapshot::Consistency;
use ratoon::drivers::fake::dump::Detail;
use ratoon::operations::Verdict;

use crate::lab::Lab;

fn bytes(lab: &Lab) -> Vec<Vec<u64>> {
    lab.cloud.live_bytes(lab.server).into_iter().map(|(_, bytes)| bytes).collect()
}

/// A stopped server with nodes a and b; the live disks equal b.
async fn at_rest() -> Lab {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("b").await;
    lab
}

fn run_for_a_while(lab: &Lab) {
    lab.cloud.owner_start(lab.server).unwrap();
    lab.cloud.guest_write(lab.server).unwrap();
}

#[tokio::test]
async fn a_server_that_was_started_after_a_restore_was_asked_for_loses_nothing() {
    for stopped_again in [true, false] {
        let lab = at_rest().await;
        let id = lab.ask_restore(lab.node("a").await, |_| {}).await.unwrap();
        run_for_a_while(&lab);
        if stopped_again {
            lab.cloud.owner_stop(lab.server).unwrap();
        }
        let (present, status) = (bytes(&lab), lab.status());
        let before = lab.cloud.dump(Detail::WithoutLiveBytes);
        let ended = lab.finish(id).await;
        assert_eq!(ended.status, OperationStatus::Failed, "stopped again: {stopped_again}");
        lab.must_be_clean("restore").await;
        assert_eq!(bytes(&lab), present, "stopped again: {stopped_again}: no safety snapshot would have kept this");
        assert_eq!(lab.status(), status);
        assert_eq!(lab.cloud.dump(Detail::WithoutLiveBytes), before);
    }
}

#[tokio::test]
async fn a_server_that_was_started_after_a_capture_at_rest_was_asked_for_is_not_said_to_equal_it() {
    let lab = at_rest().await;
    let id = lab.ask_capture("c", |_| {}).await.unwrap(); // plans to share b's disk snapshots
    run_for_a_while(&lab);
    lab.cloud.owner_stop(lab.server).unwrap();
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed, "b's disk snapshots are not what the disks hold now");
    lab.must_be_clean("capture").await;
    assert_eq!(lab.status(), "SHUTOFF");
}

#[tokio::test]
async fn a_server_that_was_started_before_its_capture_began_is_not_captured_as_one_moment() {
    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    lab.cloud.owner_start(lab.server).unwrap();
    lab.must_succeed(id).await;
    let node = lab.tree().await.snapshots[0].clone();
    assert!(!node.at_rest);
    assert_eq!(node.consistency.reached, Some(Consistency::None), "{:?}", node.consistency);
    assert!(node.consistency.reason.is_some());
}

#[tokio::test]
async fn a_server_that_starts_while_it_is_captured_at_rest_is_not_captured_as_one_moment() {
    for paused in [false, true] {
        let lab = Lab::with_a_server().await;
        if paused {
            lab.cloud.owner_pause(lab.server).unwrap()
        } else {
            lab.cloud.owner_stop(lab.server).unwrap()
        }
        let id = lab.ask_capture("a", |_| {}).await.unwrap();
        let (cloud, server) = (lab.cloud.clone(), lab.server);
        lab.probe.script(move |step, event| {
            if (step, event) == ("capture", EventKind::Started) {
                if paused { cloud.owner_unpause(server).unwrap() } else { cloud.owner_start(server).unwrap() }
            }
            Verdict::Go
        });
        lab.must_succeed(id).await;
        let node = lab.tree().await.snapshots[0].clone();
        assert!(!node.at_rest, "paused: {paused}");
        assert_eq!(node.consistency.reached, Some(Consistency::None), "paused: {paused}: {:?}", node.consistency);
        assert_eq!(lab.tree().await.record.equals_snapshot_id, None, "paused: {paused}");
    }
}

#[tokio::test]
async fn a_server_that_its_owner_starts_or_stops_before_the_lock_ends_as_the_owner_left_it() {
    for begins_running in [true, false] {
        for fails in [true, false] {
            let lab = Lab::with_a_server().await;
            let a = lab.capture("a").await;
            lab.cloud.guest_write(lab.server);
            if !begins_running {
                lab.cloud.owner_stop(lab.server).unwrap();
            }
            let id = lab.ask_restore(a, |_| {}).await.unwrap();
            if begins_running {
                lab.cloud.owner_stop(lab.server).unwrap()
            } else {
                lab.cloud.owner_start(lab.server).unwrap()
            }
            let left = lab.status();
            if fails {
                lab.probe.once("verify", EventKind::Done, Verdict::Fail(ratoon::error::Error::backend("planned")));
            }
            let ended = lab.finish(id).await;
            assert_eq!(ended.status == OperationStatus::Failed, fails);
            assert_eq!(lab.status(), left, "began running: {begins_running}, fails: {fails}");
            lab.must_be_clean("restore").await;
        }
    }
}

#[tokio::test]
async fn a_server_that_its_owner_pauses_before_the_lock_is_left_paused() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    lab.cloud.owner_pause(lab.server).unwrap();
    let before = lab.cloud.dump(Detail::All);
    assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
    assert_eq!(lab.cloud.dump(Detail::All), before);
}

#[tokio::test]
async fn the_owner_cannot_touch_the_server_from_the_lock_to_the_end() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    let locked = |step| !["lock", "unlock", "prune"].contains(&step);
    lab.probe.script(move |step, event| {
        if locked(step) && event == EventKind::Started {
            let volume = cloud.peek(server).unwrap().volumes[0].volume_id.clone();
            assert!(cloud.owner_start(server).is_err(), "{step}");
            assert!(cloud.owner_stop(server).is_err(), "{step}");
            assert!(cloud.owner_reboot(server).is_err(), "{step}");
            assert!(cloud.owner_detach(server, &volume).is_err(), "{step}");
            assert!(cloud.owner_unlock(server).is_err(), "{step}");
        }
        Verdict::Go
    });
    lab.must_succeed(id).await;
    lab.must_be_clean("restore").await;
}

#[tokio::test]
async fn a_server_that_its_owner_locks_before_us_is_left_alone_and_stays_locked() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    let tree = lab.tree_text().await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    lab.cloud.owner_lock(lab.server, "mine").unwrap();
    let cloud = lab.cloud.dump(Detail::All);
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed);
    assert_eq!(ended.error.unwrap().code, "conflict");
    lab.must_be_clean("restore").await;
    assert_eq!((lab.tree_text().await, lab.cloud.dump(Detail::All)), (tree, cloud));
    assert_eq!(lab.cloud.peek(lab.server).unwrap().locked_reason.as_deref(), Some("mine"));
}

#[tokio::test]
async fn an_image_that_nova_begins_to_make_during_the_swap_is_wholly_of_before_or_after() {
    // Nova's lock does not stop createImage.
    for (step, event) in [("swap", EventKind::Started), ("arrange", EventKind::Done), ("safety", EventKind::Started)] {
        let mut lab = Lab::with_a_server().await;
        lab.world.settings.attempts_max = 2;
        let a = lab.capture("a").await;
        lab.cloud.guest_write(lab.server);
        let before = lab.text(Detail::WithoutLiveBytes).await;
        let id = lab.ask_restore(a, |_| {}).await.unwrap();
        let (cloud, server) = (lab.cloud.clone(), lab.server);
        lab.probe.script(move |at, kind| {
            if (at, kind) == (step, event) {
                cloud.owner_create_image(server).unwrap();
            }
            if kind == EventKind::Failed {
                cloud.end_image(server); // it has finished by the time of the unwinding
            }
            Verdict::Go
        });
        let ended = lab.finish(id).await;
        assert_eq!(ended.status, OperationStatus::Failed, "{step}");
        lab.must_be_clean(step).await;
        assert_eq!(lab.text(Detail::WithoutLiveBytes).await, before, "{step}");
    }
}

#[tokio::test]
async fn what_nova_leaves_on_a_disk_that_was_the_head_for_a_moment_is_taken_away() {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    for succeeds in [true, false] {
        let mut lab = Lab::with_a_server().await;
        lab.world.settings.attempts_max = 2;
        let a = lab.capture("a").await;
        lab.cloud.guest_write(lab.server);
        let (server, cloud) = (lab.server, lab.cloud.clone());
        let before = cloud.our_objects().snapshots.len();
        let id = lab.ask_restore(a, |request| request.safety_snapshot = false).await.unwrap();
        // The second rename of eight, there and back for two disks: the new disk bears the name.
        lab.cloud.plan_fault(Which::Named("rename", 2), When::After, Harm::NovaImages(server));
        if !succeeds {
            lab.probe.once("verify", EventKind::Started, Verdict::Fail(ratoon::error::Error::backend("No.")));
        }
        let ends = tokio::spawn(async move {
            while cloud.peek(server).unwrap().task_state.as_deref() != Some("image_uploading") {
                tokio::task::yield_now().await;
            }
            while !cloud.our_objects().disks.iter().any(|(_, name)| *name == format!("{server}_disk"))
                || cloud.calls().iter().filter(|call| **call == "rename").count() < 8
            {
                tokio::task::yield_now().await;
            }
            cloud.end_image(server); // by the name, which is the old disk's again
        });
        let ended = lab.finish(id).await;
        ends.await.unwrap();
        assert_eq!(ended.status == OperationStatus::Succeeded, succeeds, "{:?}", ended.error);
        assert_eq!(ended.warnings, Vec::<String>::new());
        lab.must_be_clean("restore").await;
        assert_eq!(lab.cloud.our_objects().snapshots.len(), before, "succeeds: {succeeds}");
    }
}

#[tokio::test]
async fn a_foreign_watcher_on_the_head_stops_the_restore_before_the_renames() {
    let mut lab = Lab::with_a_server().await;
    lab.world.settings.attempts_max = 2;
    let a = lab.capture("a").await;
    let before = lab.text(Detail::WithoutLiveBytes).await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    lab.probe.script(move |at, kind| {
        match (at, kind) {
            ("swap", EventKind::Started) => cloud.set_watcher(server, "disk", "rbd map", true),
            ("swap", EventKind::Failed) => cloud.set_watcher(server, "disk", "rbd map", false),
            _ => {}
        }
        Verdict::Go
    });
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed);
    assert!(ended.error.unwrap().message.contains("rbd map"));
    lab.must_be_clean("watcher").await;
    assert_eq!(lab.text(Detail::WithoutLiveBytes).await, before);
}

#[tokio::test]
async fn a_disk_that_comes_or_goes_during_a_capture_makes_the_node_partial() {
    for comes in [true, false] {
        let lab = Lab::with_a_server().await;
        let id = lab.ask_capture("a", |_| {}).await.unwrap();
        let (cloud, server) = (lab.cloud.clone(), lab.server);
        lab.probe.script(move |at, kind| {
            if (at, kind) == ("capture", EventKind::Done) {
                if comes {
                    let volume = cloud.add_volume("late");
                    cloud.owner_attach(server, &volume, &Default::default()).unwrap();
                } else {
                    let volume = cloud.peek(server).unwrap().volumes[1].volume_id.clone();
                    cloud.owner_detach(server, &volume).unwrap();
                }
            }
            Verdict::Go
        });
        let ended = lab.finish(id).await;
        assert_eq!(ended.status, OperationStatus::Succeeded);
        assert_eq!(ended.warnings.len(), 1, "{:?}", ended.warnings);
        assert!(lab.tree().await.snapshots[0].partial);
        lab.must_be_clean("partial").await;
    }
}

#[tokio::test]
async fn a_parked_volume_that_its_owner_used_elsewhere_is_not_used_again() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    let parked = lab.volumes();
    lab.restore(a).await;
    let safety = lab.safety_node().await;
    let expected: Vec<_> = {
        let tree = lab.tree().await;
        let parts = tree.disks_of(safety.id);
        parts
            .iter()
            .map(|part| {
                lab.cloud.snapshot_bytes(&tree.layer(part.layer_id).unwrap().backend_id, &part.backend_id).unwrap()
            })
            .collect()
    };
    lab.cloud.owner_scribble(&parked[0]).unwrap();
    lab.restore(safety.id).await;
    assert_eq!(bytes(&lab), expected);
    let now = lab.volumes();
    assert_ne!(now[0], parked[0], "a clone, since somebody wrote on it");
    assert_eq!(now[1], parked[1], "untouched, and used again");
    lab.must_be_clean("reuse").await;
}

#[tokio::test]
async fn two_requests_at_once_are_one_operation_and_one_conflict() {
    let lab = Lab::with_a_server().await;
    let first = lab.ask_capture("a", |_| {}).await.unwrap();
    let error = lab.ask_capture("b", |_| {}).await.unwrap_err();
    assert!(error.to_string().contains(&first.to_string()), "{error}");
    lab.must_succeed(first).await;
    lab.capture("b").await;
    lab.must_be_clean("two").await;
}

#[tokio::test]
async fn a_stale_engine_is_refused_by_its_generation() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let stale = lab.take().await.unwrap();
    let adopted = lab.take().await.unwrap();
    assert!(adopted.generation > stale.generation);
    assert_eq!(lab.work(&stale).await, ratoon::operations::runner::Outcome::LetGo);
    lab.work(&adopted).await;
    lab.must_succeed(id).await;
    lab.must_be_clean("stale").await;
}

#[tokio::test]
async fn a_safety_snapshot_that_cannot_be_removed_completely_is_not_offered_any_more() {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    for number in [1, 2, 3, 4] {
        let lab = Lab::with_a_server().await;
        let a = lab.capture("a").await;
        lab.cloud.guest_write(lab.server);
        lab.restore(a).await; // main: safety 1
        lab.restore(lab.safety_node().await.id).await;
        lab.cloud.guest_write(lab.server);
        let id = lab.ask_restore(a, |_| {}).await.unwrap(); // main: safety 2; one of the older ones goes
        lab.cloud.plan_fault(Which::Named("remove_volume_snapshot", number), When::Before, Harm::Permanent);
        let ended = lab.finish(id).await;
        lab.cloud.clear_faults();
        assert_eq!(ended.status, OperationStatus::Succeeded, "{:?}", ended.error);
        lab.must_be_clean(&format!("prune fails at {number}: {:?}", ended.warnings)).await;
    }
}

#[tokio::test]
async fn what_nova_leaves_on_the_disk_that_gave_up_the_name_is_taken_away() {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    let before = lab.cloud.our_objects().snapshots.len();
    // Nova had begun an image just before, and will look for its snapshot on the disk that bears the name then.
    lab.cloud.snapshot_for_image(lab.server);
    let id = lab.ask_restore(a, |request| request.safety_snapshot = false).await.unwrap();
    lab.must_succeed(id).await;
    assert_eq!(lab.cloud.our_objects().snapshots.len(), before);
}

#[tokio::test]
async fn what_nova_leaves_on_the_disk_that_gives_up_the_name_and_gets_it_back_is_taken_away() {
    let mut lab = Lab::with_a_server().await;
    lab.world.settings.attempts_max = 1;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    let before = lab.cloud.our_objects().snapshots.len();
    // Nova had begun an image just before, and looked for its snapshot while the new disk bore the name.
    lab.cloud.snapshot_for_image(lab.server);
    let id = lab.ask_restore(a, |request| request.safety_snapshot = false).await.unwrap();
    lab.probe.once("verify", EventKind::Started, Verdict::Fail(ratoon::error::Error::backend("No.")));
    assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
    lab.must_be_clean("an undone restore").await;
    assert_eq!(lab.cloud.our_objects().snapshots.len(), before);
}
