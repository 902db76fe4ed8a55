//! The storage side of a deletion: which backend snapshots and parked disks go, in which order, and what is held by what.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeletePlan, DeleteWorld, Removal};
use crate::domain::disk::{DiskSnapshot, Layer, LayerRole};
use crate::ids::{DiskSnapshotId, LayerId, SnapshotId};

/// Storage as it will be: what was planned to go is not there any more.
struct Stock<'a> {
    world: &'a DeleteWorld<'a>,
    doomed: &'a BTreeSet<SnapshotId>,
    /// Nothing of the tree stays: parked disks go that equal no node, too.
    all: bool,
    snapshots_gone: BTreeSet<DiskSnapshotId>,
    layers_gone: BTreeSet<LayerId>,
}

/// Plans the removals. Returns the doomed nodes of which a part must stay, each with the reason.
pub(super) fn plan(
    world: &DeleteWorld<'_>,
    doomed: &BTreeSet<SnapshotId>,
    all: bool,
    plan: &mut DeletePlan,
) -> BTreeMap<SnapshotId, String> {
    let mut stock = Stock { world, doomed, all, snapshots_gone: BTreeSet::new(), layers_gone: BTreeSet::new() };
    loop {
        let round = stock.next();
        if round.is_empty() {
            break;
        }
        plan.removals.extend(round);
    }
    let mut held = BTreeMap::new();
    for part in world.disk_snapshots.iter().filter(|part| doomed.contains(&part.snapshot_id)) {
        if let Some(reason) = stock.keeps_snapshot(part).filter(|_| !stock.is_shared(part)) {
            plan.stays.push(format!("{}: {reason}", stock.name_of(part)));
            held.insert(part.snapshot_id, reason);
        }
    }
    for layer in world.layers.iter().filter(|layer| stock.is_useless(layer) && !stock.layers_gone.contains(&layer.id)) {
        plan.stays.push(format!("the parked disk {}: disks that are in use were made of its snapshots", layer.key));
        plan.pending.push(layer.id);
    }
    held
}

impl Stock<'_> {
    /// What can go now.
    fn next(&mut self) -> Vec<Removal> {
        let mut round = Vec::new();
        for part in self.world.disk_snapshots.iter().filter(|part| self.doomed.contains(&part.snapshot_id)) {
            if !self.snapshots_gone.contains(&part.origin) && self.keeps_snapshot(part).is_none() {
                self.snapshots_gone.insert(part.origin);
                round.push(Removal::Snapshot(part.origin));
            }
        }
        for layer in self.world.layers {
            if !self.layers_gone.contains(&layer.id) && self.is_useless(layer) && !self.has_clones(layer) {
                self.layers_gone.insert(layer.id);
                round.push(Removal::Layer(layer.id));
            }
        }
        round
    }

    /// Another node's part that stays is the same backend snapshot.
    fn is_shared(&self, part: &DiskSnapshot) -> bool {
        self.world
            .disk_snapshots
            .iter()
            .any(|other| other.origin == part.origin && !self.doomed.contains(&other.snapshot_id))
    }

    /// Why a backend snapshot cannot be removed, if so.
    fn keeps_snapshot(&self, part: &DiskSnapshot) -> Option<String> {
        if self.is_shared(part) {
            return Some("another snapshot of the tree is the same, because the disk had not changed".to_owned());
        }
        let carrier = self.world.layers.iter().find(|layer| layer.id == part.layer_id)?;
        let clone = self.clones(part.origin).next().filter(|_| (self.world.clones_hold)(&carrier.backend))?;
        Some(format!("{} disk {} was made of it, and its backend keeps it for that", clone.role.as_str(), clone.key))
    }

    /// The objects that were made of a backend snapshot and are there.
    fn clones(&self, origin: DiskSnapshotId) -> impl Iterator<Item = &Layer> {
        let made = move |layer: &&Layer| layer.parent == Some(origin) && !self.layers_gone.contains(&layer.id);
        self.world.layers.iter().filter(made)
    }

    /// A parked disk that was used as a node's content, and carries no snapshot any more. One that never equalled a node holds
    /// what a caller has declined to keep: it goes with the last snapshot on it, or with the whole tree.
    fn is_useless(&self, layer: &Layer) -> bool {
        let parts = || self.world.disk_snapshots.iter().filter(|part| part.layer_id == layer.id);
        let is_there = |origin| self.world.disk_snapshots.iter().any(|part| part.origin == origin);
        let equals_a_node =
            layer.equals.is_some_and(|origin| is_there(origin) && !self.snapshots_gone.contains(&origin));
        layer.role == LayerRole::Parked
            && !equals_a_node
            && parts().all(|part| self.snapshots_gone.contains(&part.origin))
            && (self.all || layer.equals.is_some() || parts().next().is_some())
    }

    /// A snapshot that is removed while a clone needs it is kept by its backend, and its object with it.
    fn has_clones(&self, layer: &Layer) -> bool {
        self.world
            .layers
            .iter()
            .any(|clone| clone.parent_layer == Some(layer.id) && !self.layers_gone.contains(&clone.id))
    }

    fn name_of(&self, part: &DiskSnapshot) -> String {
        let key = self.world.layers.iter().find(|layer| layer.id == part.layer_id).map(|layer| layer.key.as_str());
        format!("the snapshot of disk {}", key.unwrap_or("?"))
    }
}
