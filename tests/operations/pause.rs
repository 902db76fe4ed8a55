//! The pause of a capture: one moment for all disks, bounded, and over whatever happens.

use ratoon::domain::operation::{EventKind, OperationStatus};
use ratoon::domain::snapshot::Consistency;
use ratoon::drivers::fake::dump::Detail;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::operations::Verdict;
use ratoon::operations::runner::Outcome;

use crate::lab::Lab;

/// A disk that is not captured as long as the server stands still.
fn slow_disk(lab: &Lab) {
    lab.cloud.plan_fault(Which::Named("snapshot_volume", 1), When::Before, Harm::WhilePaused(lab.server));
}

#[tokio::test]
async fn when_the_deadline_passes_the_server_is_resumed_and_auto_keeps_the_node_with_the_reason() {
    let lab = Lab::with_a_server().await;
    slow_disk(&lab);
    let id = lab.ask_capture("a", |request| request.pause_limit_ms = Some(10)).await.unwrap();
    lab.must_succeed(id).await;
    let tree = lab.tree().await;
    let record = &tree.snapshot(lab.node("a").await).unwrap().consistency;
    assert_eq!(record.reached, Some(Consistency::None));
    assert!(record.reason.as_ref().unwrap().contains("10 ms"), "{record:?}");
    assert!(record.pause_ms.unwrap() >= 10, "{record:?}");
    lab.must_be_clean("auto").await;
}

#[tokio::test]
async fn when_the_deadline_passes_an_explicit_crash_is_undone() {
    let lab = Lab::with_a_server().await;
    let before = lab.cloud.dump(Detail::WithoutLiveBytes);
    slow_disk(&lab);
    let id = lab
        .ask_capture("a", |request| {
            request.consistency = Consistency::Crash;
            request.pause_limit_ms = Some(10);
        })
        .await
        .unwrap();
    let ended = lab.finish(id).await;
    assert_eq!(ended.status, OperationStatus::Failed);
    assert!(ended.error.unwrap().remedy.unwrap().contains("pause_limit_ms"));
    lab.must_be_clean("crash").await;
    assert_eq!(lab.cloud.dump(Detail::WithoutLiveBytes), before);
    assert_eq!(lab.status(), "ACTIVE");
}

#[tokio::test]
async fn a_disk_that_fails_for_now_does_not_keep_the_server_paused_while_the_step_waits() {
    for consistency in [Consistency::Auto, Consistency::Crash] {
        let mut lab = Lab::with_a_server().await;
        lab.world.settings.attempts_max = 2;
        lab.cloud.plan_fault(Which::Named("snapshot_volume", 2), When::Before, Harm::Temporary);
        let id = lab.ask_capture("a", |request| request.consistency = consistency).await.unwrap();
        let cloud = lab.cloud.clone();
        let ended = lab.finish(id).await;
        let calls = cloud.calls();
        // The second volume is asked a second time only after the server runs again.
        let asked: Vec<usize> =
            calls.iter().enumerate().filter(|(_, call)| **call == "snapshot_volume").map(|(at, _)| at).collect();
        let resumed = calls.iter().position(|call| *call == "unpause").unwrap();
        assert!(asked.len() < 3 || resumed < asked[2], "{consistency:?}: {calls:?}");
        let reached = lab.tree().await.snapshots[0].consistency.reached;
        match consistency {
            Consistency::Auto => {
                assert_eq!((ended.status, reached), (OperationStatus::Succeeded, Some(Consistency::None)))
            }
            _ => assert_eq!((ended.status, reached), (OperationStatus::Failed, None)),
        }
        lab.must_be_clean("a disk fails for now").await;
    }
}

#[tokio::test]
async fn an_engine_that_dies_while_the_server_is_paused_is_adopted_and_the_server_runs_again() {
    for call in ["pause", "snapshot_image", "snapshot_volume"] {
        let lab = Lab::with_a_server().await;
        let id = lab.ask_capture("a", |_| {}).await.unwrap();
        lab.cloud.plan_fault(Which::Named(call, 1), When::After, Harm::Death);
        assert_eq!(lab.engine().await, Outcome::LetGo);
        assert_eq!(lab.status(), "PAUSED", "{call}");
        lab.must_succeed(id).await;
        assert_eq!(lab.status(), "ACTIVE", "{call}");
        lab.must_be_clean(call).await;
    }
}

#[tokio::test]
async fn nothing_is_written_to_the_database_while_the_server_stands_still() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    let paused_at = std::sync::Arc::new(std::sync::Mutex::new(vec![]));
    let seen = paused_at.clone();
    lab.probe.script(move |step, event| {
        if cloud.peek(server).unwrap().status == ratoon::domain::server::ServerStatus::Paused {
            seen.lock().unwrap().push((step, event));
        }
        Verdict::Go
    });
    lab.must_succeed(id).await;
    // All but this one follow a write.
    assert_eq!(*paused_at.lock().unwrap(), [("pause", EventKind::Done)]);
}

#[tokio::test]
async fn disks_of_which_some_were_captured_before_an_engine_died_are_not_called_one_moment() {
    for (consistency, ends, reached) in [
        (Consistency::Auto, OperationStatus::Succeeded, Some(Consistency::None)),
        (Consistency::Crash, OperationStatus::Failed, None),
    ] {
        let lab = Lab::with_a_server().await;
        let id = lab.ask_capture("a", |request| request.consistency = consistency).await.unwrap();
        lab.cloud.plan_fault(Which::Named("unpause", 1), When::After, Harm::Death);
        assert_eq!(lab.engine().await, Outcome::LetGo);
        assert_eq!(lab.status(), "ACTIVE", "the pause was over already");
        lab.cloud.guest_write(lab.server);
        assert_eq!(lab.finish(id).await.status, ends);
        let record = lab.tree().await.snapshots[0].consistency.clone();
        assert_eq!(record.reached, reached, "{record:?}");
        assert_eq!(record.skew_ms, None, "{record:?}: what was captured before answers at once");
        lab.must_be_clean("died after the pause").await;
    }
}

#[tokio::test]
async fn a_pause_that_somebody_else_ends_is_not_called_one_moment() {
    for (consistency, ends, reached) in [
        (Consistency::Auto, OperationStatus::Succeeded, Some(Consistency::None)),
        (Consistency::Crash, OperationStatus::Failed, None),
    ] {
        let lab = Lab::with_a_server().await;
        let id = lab.ask_capture("a", |request| request.consistency = consistency).await.unwrap();
        let (cloud, server) = (lab.cloud.clone(), lab.server);
        lab.probe.script(move |step, _| {
            if step == "pause" {
                cloud.owner_unpause(server).unwrap();
            }
            Verdict::Go
        });
        assert_eq!(lab.finish(id).await.status, ends);
        let record = lab.tree().await.snapshots[0].consistency.clone();
        assert_eq!(record.reached, reached, "{record:?}");
        lab.must_be_clean("the owner resumes").await;
    }
}

#[tokio::test]
async fn an_adopter_that_finds_the_server_paused_does_not_pretend_to_know_since_when() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    lab.cloud.plan_fault(Which::Named("pause", 1), When::After, Harm::Death);
    assert_eq!(lab.engine().await, Outcome::LetGo);
    assert_eq!(lab.status(), "PAUSED");
    lab.must_succeed(id).await;
    let record = lab.tree().await.snapshots[0].consistency.clone();
    assert_eq!(record.reached, Some(Consistency::None), "{record:?}");
    assert_eq!(record.pause_ms, None, "{record:?}");
    lab.must_be_clean("adopted").await;
}

#[tokio::test]
async fn a_resume_that_fails_for_now_is_tried_again() {
    for when in [When::Before, When::After] {
        let lab = Lab::with_a_server().await;
        slow_disk(&lab);
        lab.cloud.plan_fault(Which::Named("unpause", 1), when, Harm::Temporary);
        let id = lab.ask_capture("a", |request| request.pause_limit_ms = Some(5)).await.unwrap();
        lab.must_succeed(id).await;
        assert_eq!(lab.status(), "ACTIVE");
        lab.must_be_clean("resume fails once").await;
    }
}

#[tokio::test]
async fn a_server_that_is_slow_to_obey_is_waited_for() {
    let lab = Lab::with_a_server().await;
    lab.cloud.set_power_looks(3);
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    lab.restore(a).await;
    lab.cloud.peek(lab.server).unwrap();
    assert_eq!(lab.status(), "ACTIVE");
    lab.must_be_clean("slow").await;
}

#[tokio::test]
async fn a_pause_that_comes_late_is_ended_and_said() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    lab.probe.script(move |step, event| {
        if (step, event) == ("capture", EventKind::Done) {
            cloud.late_pause(server).unwrap();
        }
        Verdict::Go
    });
    lab.must_succeed(id).await;
    assert_eq!(lab.status(), "ACTIVE");
    let record = lab.tree().await.snapshots[0].consistency.clone();
    assert_eq!(record.reached, Some(Consistency::None), "{record:?}");
    assert!(record.reason.as_ref().unwrap().contains("late"), "{record:?}");
}

#[tokio::test]
async fn a_server_that_its_owner_pauses_just_before_us_stays_paused() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let (cloud, server) = (lab.cloud.clone(), lab.server);
    lab.probe.script(move |step, event| {
        if (step, event) == ("inspect", EventKind::Done) {
            cloud.owner_pause(server).unwrap();
        }
        Verdict::Go
    });
    lab.finish(id).await;
    assert_eq!(lab.status(), "PAUSED");
}

#[tokio::test]
async fn a_pause_that_nova_refuses_for_now_costs_nothing_but_time() {
    let lab = Lab::with_a_server().await;
    lab.cloud.plan_fault(Which::Named("pause", 1), When::Before, Harm::Temporary);
    let id = lab.ask_capture("a", |request| request.consistency = Consistency::Crash).await.unwrap();
    lab.must_succeed(id).await;
    let record = lab.tree().await.snapshots[0].consistency.clone();
    assert_eq!(record.reached, Some(Consistency::Crash), "{record:?}: no disk had been asked before");
}
