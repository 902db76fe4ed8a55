//! Administrators, other servers, failing backends: what happens behind an operation's back, between any two of its steps.

use std::sync::{Arc, Mutex};

use ratoon::domain::disk::LayerRole;
use ratoon::domain::operation::{EventKind, OperationStatus};
use ratoon::drivers::fake::dump::{Detail, fingerprint};
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::error::Error;
use ratoon::ids::SnapshotId;
use ratoon::operations::{Drivers, Verdict};

use crate::cases::CASES;
use crate::lab::Lab;
use crate::loops::Undisturbed;

fn bytes(lab: &Lab) -> Vec<Vec<u64>> {
    lab.cloud.live_bytes(lab.server).into_iter().map(|(_, bytes)| bytes).collect()
}

async fn bytes_of(lab: &Lab, node: SnapshotId) -> Vec<Vec<u64>> {
    let tree = lab.tree().await;
    let parts = tree.disks_of(node);
    let of = |part: &&ratoon::domain::disk::DiskSnapshot| {
        lab.cloud.snapshot_bytes(&tree.layer(part.layer_id).unwrap().backend_id, &part.backend_id).unwrap()
    };
    parts.iter().map(of).collect()
}

/// A running server with a node to go back to, and something written since.
async fn written_since() -> (Lab, SnapshotId) {
    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    (lab, a)
}

fn planned() -> Verdict {
    Verdict::Fail(Error::backend("planned by a test"))
}

#[tokio::test]
async fn a_volume_that_is_attached_after_a_restore_was_asked_for_stops_it_and_stays() {
    let (lab, a) = written_since().await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    let late = lab.cloud.add_volume("late");
    lab.cloud.owner_attach(lab.server, &late, &Default::default()).unwrap();
    let before = lab.cloud.dump(Detail::All);
    assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
    assert_eq!(lab.cloud.dump(Detail::All), before);
    lab.must_be_clean("late").await;
}

#[tokio::test]
async fn a_volume_that_moves_to_another_server_after_a_restore_was_asked_for_stops_it_and_stays() {
    let (lab, a) = written_since().await;
    let id = lab.ask_restore(a, |request| request.disks = Some(vec!["disk".into()])).await.unwrap();
    let other = lab.cloud.add_server("other");
    let volume = lab.volumes()[1].clone();
    lab.cloud.owner_detach(lab.server, &volume).unwrap();
    lab.cloud.owner_attach(other, &volume, &Default::default()).unwrap();
    let before = lab.cloud.dump(Detail::All);
    assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
    assert_eq!(lab.cloud.dump(Detail::All), before);
}

/// A server two of whose disks are volumes, where only images have a driver.
async fn with_unserved_volumes() -> Lab {
    let mut lab = Lab::with_a_server().await;
    let only_images = Drivers::new(vec![lab.cloud.named()]);
    (lab.world.drivers, lab.app.drivers) = (only_images.clone(), only_images);
    lab
}

#[tokio::test]
async fn a_volume_that_no_driver_serves_is_refused_by_name_with_the_remedy() {
    let lab = with_unserved_volumes().await;
    let before = lab.cloud.dump(Detail::All);
    let error = lab.ask_capture("a", |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ratoon::error::Kind::Conflict);
    assert!(error.to_string().contains(&lab.volumes()[0]), "{error}");
    assert!(error.remedy_text().unwrap().contains("exclude_disks"), "{error}");
    assert_eq!(lab.cloud.dump(Detail::All), before);
    assert!(lab.world.store.tree(lab.server).await.unwrap().is_none(), "not even a record");
}

#[tokio::test]
async fn a_volume_that_no_driver_serves_stays_attached() {
    let lab = with_unserved_volumes().await;
    let volumes = lab.volumes();
    let unserved = volumes.clone();
    let id = lab.ask_capture("a", |request| request.exclude_disks = unserved).await.unwrap();
    lab.must_succeed(id).await;
    lab.cloud.guest_write(lab.server);
    lab.restore(lab.node("a").await).await;
    assert_eq!(lab.volumes(), volumes);
    assert!(!lab.cloud.history(lab.server).contains(&"detach_volume".to_owned()));
    lab.cloud.edit_server(lab.server, |facts| {
        for (volume, device) in facts.volumes.iter_mut().zip(["/dev/vdb", "/dev/vdc"]) {
            volume.attachment.device = Some(device.to_owned());
        }
    });
    let by_device = vec!["/dev/vdb".to_owned(), "vdc".to_owned()];
    let id = lab.ask_capture("b", |request| request.exclude_disks = by_device).await.unwrap();
    lab.must_succeed(id).await;
}

#[tokio::test]
async fn a_volume_that_is_written_to_elsewhere_while_its_restore_still_runs_is_not_used_again() {
    for (step, event) in [
        ("arrange", EventKind::Done),
        ("record", EventKind::Done),
        ("label", EventKind::Done),
        ("start", EventKind::Done),
    ] {
        let (lab, a) = written_since().await;
        let parked = lab.volumes();
        let id = lab.ask_restore(a, |_| {}).await.unwrap();
        let (cloud, volume) = (lab.cloud.clone(), parked[0].clone());
        lab.probe.script(move |at, kind| {
            if (at, kind) == (step, event) {
                cloud.owner_scribble(&volume).unwrap();
            }
            Verdict::Go
        });
        lab.must_succeed(id).await;
        lab.probe.calm();
        let safety = lab.safety_node().await.id;
        let kept = bytes_of(&lab, safety).await;
        lab.restore(safety).await;
        assert_eq!(bytes(&lab), kept, "written at {step}");
        assert_ne!(lab.volumes()[0], parked[0], "written at {step}: a clone");
        assert_eq!(lab.volumes()[1], parked[1], "written at {step}: the other one is used again");
    }
}

#[tokio::test]
async fn a_server_that_an_administrator_starts_before_a_restore_is_recorded_is_not_said_to_equal_the_node() {
    let (lab, a) = written_since().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    lab.probe.script(move |at, kind| {
        if (at, kind) == ("record", EventKind::Started) {
            cloud.admin_start(server).unwrap();
        }
        Verdict::Go
    });
    lab.must_succeed(id).await;
    assert_eq!(lab.tree().await.record.equals_snapshot_id, None);
}

#[tokio::test]
async fn what_a_guest_wrote_on_the_new_disks_before_its_restore_failed_is_kept() {
    let (lab, a) = written_since().await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    let wrote = Arc::new(Mutex::new(vec![]));
    let written = wrote.clone();
    lab.probe.script(move |at, kind| {
        if (at, kind) == ("arrange", EventKind::Done) {
            cloud.admin_start(server).unwrap();
            cloud.guest_write(server);
            *written.lock().unwrap() = cloud.live_bytes(server);
        }
        Verdict::Go
    });
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed, "{:?}", ended.error);
    assert_eq!(ended.warnings.len(), 1, "{:?}", ended.warnings);
    assert!(ended.warnings[0].contains("parked"), "{:?}", ended.warnings);
    let all = lab.cloud.dump(Detail::All);
    for (disk, bytes) in wrote.lock().unwrap().iter() {
        assert!(all.contains(&fingerprint(bytes)), "what the guest wrote on {disk} is nowhere:\n{all}");
    }
    let parked = lab.tree().await.layers.iter().filter(|layer| layer.role == LayerRole::Parked).count();
    assert_eq!(parked, 4, "none of them was thrown away");
    lab.must_be_clean("used").await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_removed_on_the_way_back_does_not_keep_the_server_stopped_and_locked() {
    for harm in [Harm::Permanent, Harm::Temporary] {
        let (lab, a) = written_since().await;
        let id = lab.ask_restore(a, |_| {}).await.unwrap();
        lab.probe.once("safety", EventKind::Done, planned());
        lab.cloud.plan_fault(Which::Every("remove_volume_snapshot"), When::Before, harm);
        let ended = lab.finish(id).await;
        assert_eq!(ended.status, OperationStatus::Failed);
        assert!(ended.warnings.iter().any(|warning| warning.contains("safety")), "{:?}", ended.warnings);
        assert_eq!(lab.status(), "ACTIVE", "{harm:?}");
        assert!(!lab.cloud.peek(lab.server).unwrap().locked, "{harm:?}");
    }
}

#[tokio::test]
async fn a_server_that_nova_does_not_start_on_the_way_back_is_unlocked_with_a_warning() {
    let (lab, a) = written_since().await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    lab.probe.once("safety", EventKind::Done, planned());
    lab.cloud.plan_fault(Which::Every("start"), When::Before, Harm::Permanent);
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed);
    assert!(ended.warnings.iter().any(|warning| warning.contains("could not be started")), "{:?}", ended.warnings);
    assert!(!lab.cloud.peek(lab.server).unwrap().locked);
}

#[tokio::test]
async fn an_operation_whose_server_is_deleted_ends_and_orphans_nothing() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for (step, event) in &all.events {
            let what = format!("{case:?}: deleted at {step} {}", event.as_str());
            let (lab, id) = all.again().await;
            let (cloud, server, at) = (lab.cloud.clone(), lab.server, (*step, *event));
            let mut left = true;
            lab.probe.script(move |step, event| {
                if (step, event) == at && std::mem::take(&mut left) {
                    cloud.owner_delete_server(server);
                }
                Verdict::Go
            });
            let ended = lab.finish(id).await;
            assert!(ended.status.is_final(), "{what}");
            lab.nothing_may_be_orphaned(&what).await;
            assert_eq!(lab.tree().await.record.operation_id, None, "{what}: the lease is still held");
        }
    }
}

#[tokio::test]
async fn a_volume_that_cinder_has_lost_is_no_concern_of_a_restore_that_leaves_it_alone() {
    let (lab, a) = written_since().await;
    lab.cloud.lose_attachment(&lab.volumes()[0]);
    let second = lab.volumes()[1].clone();
    let id = lab.ask_restore(a, |request| request.disks = Some(vec!["disk".into(), second])).await.unwrap();
    lab.must_succeed(id).await;
    assert_eq!(lab.status(), "ACTIVE");
}

#[tokio::test]
async fn a_volume_that_could_not_be_attached_again_stops_a_restore_before_the_server() {
    let (lab, a) = written_since().await;
    let (first, second) = (lab.volumes()[0].clone(), lab.volumes()[1].clone());
    lab.cloud.lose_attachment(&second); // behind the first, so it would have to be detached for the order's sake
    let id = lab.ask_restore(a, |request| request.disks = Some(vec![first])).await.unwrap();
    let before = lab.cloud.dump(Detail::All);
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed);
    assert!(ended.error.as_ref().unwrap().message.contains(&second), "{:?}", ended.error);
    assert_eq!(lab.cloud.dump(Detail::All), before, "the guest has not even noticed");
}

#[tokio::test]
async fn a_server_that_ran_while_its_engine_was_dead_keeps_what_it_wrote() {
    for last in ["safety", "quiet", "arrange"] {
        let (lab, a) = written_since().await;
        let id = lab.ask_restore(a, |_| {}).await.unwrap();
        lab.probe.once(last, EventKind::Started, Verdict::Die);
        assert_eq!(lab.engine().await, ratoon::operations::runner::Outcome::LetGo);
        lab.probe.calm();
        lab.cloud.admin_start(lab.server).unwrap();
        lab.cloud.guest_write(lab.server);
        lab.cloud.admin_stop(lab.server).unwrap();
        let present = bytes(&lab);
        let ended = lab.finish(id).await;
        if last == "quiet" {
            // It had not come to rest for us yet: the safety snapshot, taken afterwards, holds all of it.
            assert_eq!(ended.status, OperationStatus::Succeeded);
            assert_eq!(bytes_of(&lab, lab.safety_node().await.id).await, present);
        } else {
            assert_eq!(ended.status, OperationStatus::Failed, "{last}");
            assert_eq!(ended.error.as_ref().unwrap().code, "conflict", "{last}");
            for (now, then) in bytes(&lab).iter().zip(&present) {
                assert!(now == then || lab.status() == "ACTIVE", "{last}: nothing is lost");
            }
        }
        lab.must_be_clean(last).await;
    }
}

#[tokio::test]
async fn an_engine_that_drains_does_not_leave_a_server_stopped_because_a_step_failed_for_now() {
    let (lab, a) = written_since().await;
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    lab.cloud.plan_fault(Which::Named("attach", 1), When::Before, Harm::Temporary);
    lab.probe.script(move |step, event| {
        if (step, event) == ("arrange", EventKind::Started) {
            stop.send_replace(true);
        }
        Verdict::Go
    });
    let operation = lab.take().await.unwrap();
    ratoon::operations::runner::run(&lab.world, &operation, stopped).await.unwrap();
    assert_eq!(lab.status(), "ACTIVE");
    lab.must_succeed(id).await;
}

#[tokio::test]
async fn an_operation_goes_on_when_a_database_that_was_away_is_back() {
    let mut lab = Lab::with_a_server().await;
    lab.be_hasty().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let operation = lab.take().await.unwrap();
    let outage = lab.database_is_away().await;
    let comes_back = async {
        ratoon::clock::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(lab.status(), "ACTIVE", "nothing is done that cannot be written down");
        outage.end().await;
    };
    tokio::join!(lab.work(&operation), comes_back);
    lab.must_succeed(id).await;
    lab.must_be_clean("the database was away").await;
}

#[tokio::test]
async fn a_parked_volume_that_its_owner_uses_after_a_restore_was_asked_for_stops_it() {
    for asked in ["before it begins", "while the server stops"] {
        let (lab, a) = written_since().await;
        let parked = lab.volumes();
        lab.restore(a).await;
        lab.cloud.guest_write(lab.server);
        let id = lab.ask_restore(lab.safety_node().await.id, |_| {}).await.unwrap();
        let (cloud, volume, server) = (lab.cloud.clone(), parked[0].clone(), lab.server);
        if asked == "before it begins" {
            cloud.owner_scribble(&volume).unwrap();
        } else {
            lab.probe.script(move |at, kind| {
                if (at, kind) == ("stop", EventKind::Done) {
                    cloud.owner_scribble(&volume).unwrap();
                }
                Verdict::Go
            });
        }
        let before = lab.volumes();
        let ended = lab.finish(id).await;
        lab.probe.calm();
        assert_eq!(ended.status, OperationStatus::Failed, "{asked}");
        assert!(ended.error.unwrap().message.contains(&parked[0]), "{asked}");
        assert_eq!((lab.volumes(), lab.status().as_str()), (before, "ACTIVE"), "{asked}");
        assert!(!lab.cloud.peek(server).unwrap().locked, "{asked}");
    }
}

#[tokio::test]
async fn what_a_guest_wrote_between_the_swap_and_the_record_is_not_said_to_equal_the_node() {
    let (lab, a) = written_since().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    let id = lab.ask_restore(a, |_| {}).await.unwrap();
    lab.probe.once("swap", EventKind::Done, Verdict::Die);
    lab.engine().await;
    lab.probe.calm();
    lab.cloud.admin_start(lab.server).unwrap();
    lab.cloud.guest_write(lab.server);
    lab.cloud.admin_stop(lab.server).unwrap();
    assert_eq!(lab.finish(id).await.status, OperationStatus::Succeeded);
    assert_eq!(lab.tree().await.record.equals_snapshot_id, None);
    let written = bytes(&lab);
    lab.restore(a).await;
    assert_eq!(bytes_of(&lab, lab.safety_node().await.id).await, written, "it is in the safety snapshot");
}
