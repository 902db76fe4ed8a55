//! Flattening of parked disks: what it is begun for, what it leaves alone, and what can go afterwards.

use ratoon::app::layer_flatten::{Flattening, flatten};
use ratoon::background::sweep::{Progress, sweep};
use ratoon::domain::disk::{Layer, LayerRole};
use ratoon::ids::OperationId;

use crate::lab::{DEPTH_MAX, Lab};

impl Lab {
    /// Of the disks that Nova keeps, the second ones of that line wait, without snapshots, for the third ones.
    pub async fn leave_a_parked_disk_for_another(&self) {
        self.leave_a_line_of_parked_disks().await;
        let id = self.ask_delete_branch("branch-2").await.unwrap();
        self.must_succeed(id).await;
    }

    /// Asks for what the sweep would ask for.
    pub async fn ask_flatten(&self) -> OperationId {
        match flatten(&self.app, self.server, None).await.unwrap() {
            Flattening::Begun(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The parked disks that Nova kept, oldest first.
    async fn parked(&self) -> Vec<Layer> {
        let mut layers = self.tree().await.layers;
        layers.retain(|layer| layer.role == LayerRole::Parked && layer.key.starts_with("disk"));
        layers
    }
}

async fn sweep_and_work(lab: &Lab, progress: &mut Progress) -> usize {
    sweep(&lab.world, &lab.app, progress).await.unwrap();
    let mut operations = 0;
    while let Some(operation) = lab.take().await {
        lab.work(&operation).await;
        operations += 1;
    }
    operations
}

#[tokio::test]
async fn a_disk_that_waited_only_for_parked_ones_goes_once_these_hang_on_nothing() {
    let lab = Lab::with_a_server().await;
    lab.leave_a_parked_disk_for_another().await;
    let before = lab.parked().await;
    assert_eq!(before.len(), 4, "two disks, each with the one that waits and the one it waits for");
    let mut progress = Progress::default();
    while sweep_and_work(&lab, &mut progress).await > 0 {}
    let after = lab.parked().await;
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.iter().all(|layer| layer.parent.is_none() && layer.parent_layer.is_none()), "{after:?}");
    lab.must_be_clean("after the sweeps").await;
    lab.restore(lab.node("c").await).await;
    lab.must_be_clean("after a restore of what was flattened").await;
}

#[tokio::test]
async fn nothing_is_flattened_that_a_live_disk_holds_too_or_that_costs_more_than_it_brings() {
    let mut lab = Lab::with_a_server().await;
    lab.leave_a_parked_disk_for_another().await;
    let generation = lab.tree().await.record.generation;
    for limit in [0, 1] {
        lab.app.settings.flatten_bytes_max = limit;
        assert_eq!(flatten(&lab.app, lab.server, None).await.unwrap(), Flattening::NotWorthIt(generation), "{limit}");
        assert_eq!(sweep_and_work(&lab, &mut Progress::default()).await, 0, "{limit}");
    }

    let lab = Lab::with_a_server().await;
    let a = lab.capture("a").await;
    lab.cloud.guest_write(lab.server);
    lab.restore(a).await;
    lab.must_succeed(lab.ask_delete("a").await.unwrap()).await;
    lab.must_succeed(lab.ask_delete_branch("main").await.unwrap()).await;
    let waiting = lab.parked().await;
    assert!(!waiting.is_empty(), "the old disk waits for the live one");
    assert!(matches!(flatten(&lab.app, lab.server, None).await.unwrap(), Flattening::NotWorthIt(_)));
}

#[tokio::test]
async fn what_is_not_worth_it_is_measured_once_until_the_tree_changes() {
    let mut lab = Lab::with_a_server().await;
    lab.leave_a_parked_disk_for_another().await;
    lab.app.settings.flatten_bytes_max = 1;
    let mut progress = Progress::default();
    let measured = async |progress: &mut Progress| {
        lab.cloud.clear_faults();
        sweep_and_work(&lab, progress).await;
        lab.cloud.calls().iter().filter(|call| **call == "measure_image").count()
    };
    assert!(measured(&mut progress).await > 0);
    assert_eq!(measured(&mut progress).await, 0);
    lab.capture("c").await;
    assert!(measured(&mut progress).await > 0);
}

#[tokio::test]
async fn a_restore_that_would_have_to_copy_needs_not_to_after_its_disk_was_flattened() {
    for limit in [0, u64::MAX] {
        let mut lab = Lab::with_a_bare_server().await;
        lab.app.settings.flatten_bytes_max = limit;
        let mut node = lab.capture("0").await;
        let mut main = None;
        for number in 1..=DEPTH_MAX {
            lab.cloud.guest_write(lab.server);
            lab.restore(node).await;
            main = main.or(Some(lab.safety_node().await.id));
            lab.cloud.guest_write(lab.server);
            node = lab.capture(&number.to_string()).await;
        }
        lab.cloud.guest_write(lab.server);
        assert_eq!(sweep_and_work(&lab, &mut Progress::default()).await, 0, "the server reads by way of the chain");
        lab.restore(main.unwrap()).await;
        assert_eq!(sweep_and_work(&lab, &mut Progress::default()).await, usize::from(limit > 0), "now it does not");
        lab.restore(node).await;
        let tree = lab.tree().await;
        let head = tree.layers.iter().find(|layer| layer.role == LayerRole::Head).unwrap();
        assert_eq!(head.parent.is_some(), limit > 0, "it was cloned, not copied");
        lab.must_be_clean("after all").await;
    }
}
