//! What a restore's plan costs in quota, and which older safety snapshots its own makes superfluous.

use super::{Comeback, RestorePlan, RestoreWorld, Safety, depth};
use crate::domain::disk::Placement;
use crate::domain::plan::capture::{add_need, gibibytes};
use crate::domain::plan::{BranchChoice, what_could_go};
use crate::domain::quota::Need;
use crate::error::Error;
use crate::ids::SnapshotId;

/// The refusal of a safety snapshot for which there is no room in the tree.
pub(super) fn one_too_many(world: &RestoreWorld<'_>, target: SnapshotId) -> Error {
    let for_example = what_could_go(world.forest, Some(target)).map(|names| format!(", for example {names}"));
    Error::conflict(format!(
        "The safety snapshot would be one more than the {} snapshots that one server may have.",
        world.nodes_max
    ))
    .remedy(format!(
        "Delete a snapshot first{}, or decline the safety snapshot and lose the present.",
        for_example.unwrap_or_default()
    ))
}

/// What a plan creates, per backend.
pub(super) fn needs(world: &RestoreWorld<'_>, plan: &RestorePlan) -> Vec<(String, Need)> {
    let mut needs = Vec::new();
    if matches!(plan.safety, Safety::Take(_)) {
        for live in world.live.iter().filter(|live| live.disk.unsupported.is_none()) {
            if (world.placement)(&live.disk.backend) == Placement::Attached {
                add_need(
                    &mut needs,
                    &live.disk.backend,
                    Need { volumes: 0, snapshots: 1, gigabytes: gibibytes(live.disk.size_bytes) },
                );
            }
        }
    }
    for disk in plan.moves.iter().filter(|disk| disk.comeback.is_new()) {
        let Some(part) = world.disk_snapshots.iter().find(|part| part.id == disk.disk_snapshot) else { continue };
        let Some(layer) = world.layers.iter().find(|layer| layer.id == part.layer_id) else { continue };
        if (world.placement)(&layer.backend) == Placement::Attached {
            add_need(
                &mut needs,
                &layer.backend,
                Need { volumes: 1, snapshots: 0, gigabytes: gibibytes(part.size_bytes) },
            );
        }
    }
    needs
}

/// Disks that are cloned although they then stand on more clones of clones than they should.
pub(super) fn too_deep(world: &RestoreWorld<'_>, plan: &RestorePlan) -> Vec<(String, usize)> {
    let cloned = plan.moves.iter().filter(|disk| disk.comeback == Comeback::Clone);
    cloned
        .filter_map(|disk| {
            let part = world.disk_snapshots.iter().find(|part| part.id == disk.disk_snapshot)?;
            let layer = world.layers.iter().find(|layer| layer.id == part.layer_id)?;
            let depth = depth(world.layers, layer) + 1;
            (depth > world.clone_depth_max).then(|| (layer.key.clone(), depth))
        })
        .collect()
}

/// One safety snapshot a branch is kept: older ones go when a new one is taken there, unless somebody named them, something
/// was made of them, a parked disk waits to become theirs again, a branch begins at them, or they are what is being restored.
pub(super) fn safety_gone(world: &RestoreWorld<'_>, plan: &RestorePlan, target: SnapshotId) -> Vec<SnapshotId> {
    let Safety::Take(BranchChoice::Continue(branch)) = &plan.safety else { return vec![] };
    world
        .forest
        .nodes
        .iter()
        .filter(|node| node.safety && node.branch_id == *branch && node.id != target)
        .filter(|node| world.forest.children(Some(node.id)).iter().all(|child| child.branch_id == *branch))
        .filter(|node| !world.forest.branches.iter().any(|branch| branch.fork_snapshot_id == Some(node.id)))
        .filter(|node| {
            world.disk_snapshots.iter().filter(|part| part.snapshot_id == node.id).all(|part| {
                let shared =
                    world.disk_snapshots.iter().any(|other| other.origin == part.origin && other.id != part.id);
                let needed = world
                    .layers
                    .iter()
                    .any(|layer| layer.parent == Some(part.origin) || layer.equals == Some(part.origin));
                !shared && !needed
            })
        })
        .map(|node| node.id)
        .collect()
}
