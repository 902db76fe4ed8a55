//! The sweep: lost heads of servers that rest, of servers that Nova is at work on, and of servers that are gone.

use ratoon::background::sweep::sweep;
use ratoon::domain::disk::LayerRole;
use ratoon::domain::server::ServerStatus;

use crate::lab::Lab;

/// A stopped server with a snapshot, whose system disk has lost the name that Nova expects.
async fn with_a_lost_head() -> Lab {
    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("a").await;
    let tree = lab.tree().await;
    let head = tree.layers.iter().find(|layer| layer.key == "disk").unwrap();
    lab.cloud.rename_image(&format!("{}_disk", lab.server), &format!("ratoon.{}", head.id));
    lab
}

fn has_its_disk(lab: &Lab) -> bool {
    lab.cloud.live_bytes(lab.server).iter().any(|(key, _)| key == "disk")
}

#[tokio::test]
async fn a_lost_head_of_a_server_at_rest_gets_its_name_again() {
    for status in ["SHUTOFF", "ERROR"] {
        let lab = with_a_lost_head().await;
        lab.cloud.edit_server(lab.server, |facts| facts.status = ServerStatus::from_nova(status));
        sweep(&lab.world).await.unwrap();
        assert!(has_its_disk(&lab), "{status}");
    }
}

#[tokio::test]
async fn a_lost_head_is_left_to_whoever_is_at_work_on_its_server() {
    let lab = with_a_lost_head().await;
    lab.cloud.edit_server(lab.server, |facts| facts.task_state = Some("rebuild_spawning".into()));
    sweep(&lab.world).await.unwrap();
    assert!(!has_its_disk(&lab), "Nova makes another");

    let lab = with_a_lost_head().await;
    lab.cloud.edit_server(lab.server, |facts| facts.status = ServerStatus::from_nova("SHELVED_OFFLOADED"));
    sweep(&lab.world).await.unwrap();
    assert!(!has_its_disk(&lab), "Nova makes another when it is unshelved");

    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    lab.capture("a").await;
    lab.ask_capture("b", |_| {}).await.unwrap();
    let head = lab.tree().await.layers.iter().find(|layer| layer.key == "disk").unwrap().id;
    lab.cloud.rename_image(&format!("{}_disk", lab.server), &format!("ratoon.{head}"));
    sweep(&lab.world).await.unwrap();
    assert!(!has_its_disk(&lab), "the operation moves the names itself");
}

#[tokio::test]
async fn heads_of_a_deleted_server_are_not_healed_and_not_looked_for_again() {
    let lab = with_a_lost_head().await;
    lab.cloud.owner_delete_server(lab.server);
    let nodes = lab.tree().await.forest.nodes.len();
    sweep(&lab.world).await.unwrap();
    assert!(!has_its_disk(&lab), "nobody needs it under that name");
    let tree = lab.tree().await;
    assert_eq!(tree.forest.nodes.len(), nodes, "the tree stays");
    assert!(tree.layers.iter().all(|layer| layer.role == LayerRole::Detached), "{:?}", tree.layers);
    assert_eq!(lab.world.store.heads().await.unwrap(), []);
}

#[tokio::test]
async fn while_nova_does_not_answer_no_head_is_given_up() {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    let lab = with_a_lost_head().await;
    lab.cloud.plan_fault(Which::Every("server"), When::Before, Harm::Temporary);
    sweep(&lab.world).await.unwrap();
    assert!(!lab.world.store.heads().await.unwrap().is_empty());
    lab.cloud.clear_faults();
    sweep(&lab.world).await.unwrap();
    assert!(has_its_disk(&lab));
}

#[tokio::test]
async fn a_server_that_nova_cannot_show_does_not_keep_others_from_being_healed() {
    use ratoon::drivers::fake::faults::{Harm, When, Which};
    for number in [1, 2] {
        let lab = with_a_lost_head().await;
        lab.cloud.rename_image(&format!("{}_disk.eph0", lab.server), "ratoon.lost-too");
        lab.cloud.owner_lock(lab.server, &format!("ratoon operation {}", lab.last_operation().await)).unwrap();
        lab.cloud.plan_fault(Which::Named("server", number), When::Before, Harm::Permanent);
        sweep(&lab.world).await.unwrap();
        assert!(!lab.cloud.peek(lab.server).unwrap().locked, "a lock that was left is taken off all the same");
        assert_eq!(has_its_disk(&lab), number == 2, "it can be told when Nova is asked for the other disk's sake");
    }
}

#[tokio::test]
async fn a_server_that_a_capture_of_ours_left_paused_is_resumed_and_its_owners_pause_is_not_ended() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.late_pause(lab.server).unwrap();
    sweep(&lab.world).await.unwrap();
    assert_eq!(lab.status(), "ACTIVE");
    lab.cloud.owner_pause(lab.server).unwrap();
    sweep(&lab.world).await.unwrap();
    assert_eq!(lab.status(), "PAUSED");
}
