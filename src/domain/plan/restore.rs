//! Plans a restore in place: (tree, layers, live disks, request) -> safety snapshot, what gives way to what, the order of the
//! volumes afterwards, the branch, and all that the caller should know before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::disk::{DiskKind, DiskSnapshot, Layer, LayerRole, LeftOut, Placement};
use crate::domain::forest::Forest;
use crate::domain::plan::{
    BranchChoice, LiveDisk, names_disk, refuse_busy, refuse_unsupported, refuse_without_system_disk,
};
use crate::domain::quota::Need;
use crate::domain::server::{ServerFacts, ServerStatus};
use crate::domain::snapshot::SnapshotStatus;
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId, SnapshotId};

/// What the caller wants.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The node.
    pub target: SnapshotId,
    /// Only these disks, in any of the words that [`names_disk`] knows; `None` = all of the node.
    pub disks: Option<Vec<String>>,
    /// Name for the branch that begins; naming one always begins one.
    pub branch_name: Option<String>,
    /// Whether the present is kept as a snapshot.
    pub safety: bool,
}

/// What is known.
pub struct RestoreWorld<'a> {
    /// Nova's view.
    pub server: &'a ServerFacts,
    /// Disks found just now, in the server's order, each with its layer.
    pub live: &'a [LiveDisk],
    /// The tree.
    pub forest: &'a Forest,
    /// All layers of the server.
    pub layers: &'a [Layer],
    /// All disk snapshots of the server.
    pub disk_snapshots: &'a [DiskSnapshot],
    /// The node that the live disks equal, because the server has not run since.
    pub unchanged_since: Option<SnapshotId>,
    /// Parked layers that their backend has just confirmed to be untouched.
    pub untouched: &'a BTreeSet<LayerId>,
    /// How each backend's disks are placed.
    pub placement: &'a dyn Fn(&str) -> Placement,
    /// Most nodes that one server may have.
    pub nodes_max: usize,
    /// Most clones of clones that a disk may stand on.
    pub clone_depth_max: usize,
    /// Whether a backend can make a disk that is no clone.
    pub copies: &'a dyn Fn(&str) -> bool,
}

/// How a disk of the node comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comeback {
    /// The live disk is the same already.
    Keep,
    /// A parked disk holds exactly this and becomes the head again.
    Reuse(LayerId),
    /// A new disk is made of the disk snapshot.
    Clone,
    /// As [`Comeback::Clone`], but all bytes are copied: the chain of clones would get too long.
    Copy,
}

impl Comeback {
    /// Whether a new disk is made.
    #[must_use]
    pub fn is_new(self) -> bool {
        matches!(self, Self::Clone | Self::Copy)
    }
}

/// One disk of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskMove {
    /// Its part of the node.
    pub disk_snapshot: DiskSnapshotId,
    /// The live disk that gives way (place in [`RestoreWorld::live`]); `None` where the server has none in its place now.
    pub live: Option<usize>,
    /// How it comes back.
    pub comeback: Comeback,
    /// Why so.
    pub reason: String,
}

/// What becomes of the present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Safety {
    /// A snapshot of all live disks that are covered, on this branch.
    Take(BranchChoice),
    /// The live disks equal this node.
    NotNeeded(SnapshotId),
    /// The caller has declined it.
    Declined,
}

/// One attached volume of the server after the restore, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// A live disk that stays (place in [`RestoreWorld::live`]).
    Stays(usize),
    /// A disk of the node (place in [`RestorePlan::moves`]).
    Comes(usize),
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestorePlan {
    /// The disks of the node that were chosen, in its order.
    pub moves: Vec<DiskMove>,
    /// Live disks that the node does not have and that leave the server (places in [`RestoreWorld::live`]).
    pub leaves: Vec<usize>,
    /// Attached volumes afterwards, in order.
    pub order: Vec<Slot>,
    /// How many attached volumes at the beginning of `order` are not touched.
    pub order_kept: usize,
    /// What becomes of the present.
    pub safety: Safety,
    /// The branch afterwards.
    pub branch: Option<BranchChoice>,
    /// The node that the live disks have grown from afterwards; `None` = the safety snapshot.
    pub current_after: Option<SnapshotId>,
    /// Whether all of the node comes back, so that the server then equals it.
    pub whole: bool,
    /// Whether the server runs now, and so must be stopped, and is started again at the end.
    pub stops: bool,
    /// What must be created, per backend.
    pub needs: Vec<(String, Need)>,
    /// What will be lost, in words.
    pub loses: Vec<String>,
    /// Older safety snapshots of the branch that go when the new one is there.
    pub safety_gone: Vec<SnapshotId>,
    /// Disks, by key, that will stand on more clones of clones than they should, with the number: their backends cannot copy.
    pub too_deep: Vec<(String, usize)>,
}

impl RestorePlan {
    /// Whether nothing has to be done at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.moves.iter().all(|disk| disk.comeback == Comeback::Keep)
    }
}

/// What no restore brings back, in words.
pub const NOT_BROUGHT_BACK: [&str; 5] = ["memory", "UEFI variables", "TPM", "flavor", "ports"];

/// Plans a restore in place.
///
/// # Errors
/// `Conflict` with the reason where it cannot be; `BadRequest` naming the field; `NotFound` for the node.
pub fn plan(world: &RestoreWorld<'_>, request: &RestoreRequest) -> Result<RestorePlan> {
    let found: Vec<_> = world.live.iter().map(|live| live.disk.clone()).collect();
    let target = restorable(world, request.target)?;
    refuse_unsupported(world.server)?;
    refuse_busy(world.server, &[ServerStatus::Active, ServerStatus::Shutoff], "restored")?;
    refuse_without_system_disk(world.server, &found)?;

    let (moves, whole) = moves(world, request)?;
    let leaves = if whole { leaves(world, &moves, &target.left_out) } else { vec![] };
    for place in moves.iter().filter_map(|disk| disk.live).chain(leaves.iter().copied()) {
        let disk = &world.live[place].disk;
        if let Some(reason) = &disk.unsupported {
            return Err(Error::conflict(format!("Disk {} cannot be replaced: {reason}.", disk.key))
                .remedy("Detach it, or restore other disks only."));
        }
    }
    let (order, order_kept) = order(world, &moves, &leaves, whole);
    for slot in &order[order_kept..] {
        if let Slot::Stays(place) = slot
            && let Some(reason) = &world.live[*place].disk.unsupported
        {
            let key = &world.live[*place].disk.key;
            return Err(Error::conflict(format!("Disk {key} would have to be detached and attached again: {reason}."))
                .remedy("Detach it first, or restore other disks only."));
        }
    }
    let mut plan = RestorePlan {
        moves,
        leaves,
        order,
        order_kept,
        safety: Safety::Declined,
        branch: None,
        current_after: None,
        whole,
        stops: world.server.status == ServerStatus::Active,
        needs: vec![],
        loses: vec![],
        safety_gone: vec![],
        too_deep: vec![],
    };
    plan.safety = match world.unchanged_since {
        _ if plan.is_empty() => world.unchanged_since.map_or(Safety::Declined, Safety::NotNeeded),
        Some(node) if covers_all_live(world, node, &plan) => Safety::NotNeeded(node),
        _ if request.safety => Safety::Take(match world.forest.current_branch {
            Some(branch) => BranchChoice::Continue(branch),
            None => BranchChoice::New(world.forest.free_branch_name(request.branch_name.as_deref())),
        }),
        _ => Safety::Declined,
    };
    if matches!(plan.safety, Safety::Take(_)) && world.forest.nodes.len() >= world.nodes_max {
        return Err(consequences::one_too_many(world, request.target));
    }
    choose_branch(world, request, &mut plan)?;
    plan.needs = consequences::needs(world, &plan);
    plan.safety_gone = consequences::safety_gone(world, &plan, request.target);
    plan.too_deep = consequences::too_deep(world, &plan);
    if plan.safety == Safety::Declined && !plan.is_empty() {
        plan.loses = plan
            .moves
            .iter()
            .filter(|disk| disk.comeback != Comeback::Keep)
            .filter_map(|disk| disk.live)
            .chain(plan.leaves.iter().copied())
            .map(|place| format!("what disk {} holds beyond its last snapshot", world.live[place].disk.key))
            .collect();
    }
    Ok(plan)
}

fn restorable<'a>(world: &'a RestoreWorld<'_>, id: SnapshotId) -> Result<&'a crate::domain::snapshot::Snapshot> {
    let node = world.forest.node(id).ok_or_else(|| {
        Error::conflict(format!("Snapshot {id} is not complete and cannot be restored."))
            .remedy("Only snapshots with status available can be restored.")
    })?;
    if node.status != SnapshotStatus::Available {
        return Err(Error::conflict(format!("Snapshot {id} is {}.", node.status.as_str())));
    }
    if node.hidden {
        let relatives: Vec<String> = node
            .parent_id
            .into_iter()
            .chain(world.forest.children(Some(id)).into_iter().map(|child| child.id))
            .filter(|id| world.forest.node(*id).is_some_and(|node| !node.hidden))
            .map(|id| id.to_string())
            .collect();
        return Err(Error::conflict(format!("Snapshot {id} was deleted; it is only kept as a joint of the tree."))
            .remedy(format!("Restore one of its relatives: {}.", relatives.join(", "))));
    }
    Ok(node)
}

/// The chosen disks of the node, each with how it comes back; and whether those are all.
fn moves(world: &RestoreWorld<'_>, request: &RestoreRequest) -> Result<(Vec<DiskMove>, bool)> {
    let mut of_node: Vec<&DiskSnapshot> =
        world.disk_snapshots.iter().filter(|disk| disk.snapshot_id == request.target).collect();
    of_node.sort_by_key(|disk| disk.position);
    let mut parts: Vec<(&DiskSnapshot, &Layer)> = Vec::new();
    for part in of_node {
        let layer = world.layers.iter().find(|layer| layer.id == part.layer_id);
        parts.push((part, layer.ok_or_else(|| Error::internal(format!("Layer {} is missing.", part.layer_id)))?));
    }
    // Of all parts, chosen or not: a live disk that is another part's own does not give way to this one.
    let left_out = world.forest.node(request.target).map(|node| node.left_out.as_slice()).unwrap_or_default();
    let pairs = pairs::pairs(world, &parts, left_out);
    let mut chosen = vec![request.disks.is_none(); parts.len()];
    for word in request.disks.iter().flatten() {
        chosen[named_part(world, &parts, &pairs, word)?] = true;
    }
    if !chosen.contains(&true) {
        return Err(Error::bad_field("disks", "Name at least one disk, or leave the field out to restore all."));
    }
    let whole = !chosen.contains(&false);
    let mut moves = Vec::new();
    for (((part, layer), live), _) in parts.iter().zip(pairs).zip(chosen).filter(|(_, chosen)| *chosen) {
        if live.is_none() && (world.placement)(&layer.backend) == Placement::Named {
            return Err(Error::conflict(format!("The server has no disk {} now that could be replaced.", layer.key))
                .remedy("Was the server resized to another flavor? Restore other disks only."));
        }
        let (comeback, reason) = comeback(world, part, layer, live);
        moves.push(DiskMove { disk_snapshot: part.id, live, comeback, reason });
    }
    Ok((moves, whole))
}

/// The part of the node that a word of the caller's means.
fn named_part(
    world: &RestoreWorld<'_>,
    parts: &[(&DiskSnapshot, &Layer)],
    pairs: &[Option<usize>],
    word: &str,
) -> Result<usize> {
    let meant: Vec<usize> = (0..parts.len())
        .filter(|at| {
            let (part, layer) = parts[*at];
            let device = part.attachment.device.as_deref();
            names_disk(word, &layer.key, device, &layer.backend_id, Some(layer.disk_id))
                || pairs[*at].is_some_and(|place| world.live[place].disk.backend_id == *word)
        })
        .collect();
    if let [only] = meant[..] {
        return Ok(only);
    }
    let name =
        |(part, layer): &(&DiskSnapshot, &Layer)| part.attachment.device.clone().unwrap_or_else(|| layer.key.clone());
    let names: Vec<String> = match meant.is_empty() {
        true => parts.iter().map(name).collect(),
        false => meant.iter().map(|at| name(&parts[*at])).collect(),
    };
    let why = if meant.is_empty() { "has no disk" } else { "has several disks" };
    Err(Error::bad_field("disks", format!("The snapshot {why} {word}; it has {}.", names.join(", "))))
}

fn comeback(world: &RestoreWorld<'_>, part: &DiskSnapshot, layer: &Layer, live: Option<usize>) -> (Comeback, String) {
    if let (Some(node), Some(place)) = (world.unchanged_since, live) {
        let same = world.disk_snapshots.iter().any(|other| {
            other.snapshot_id == node
                && other.origin == part.origin
                && (
                    // The live disk is the layer that carries it, or was made of it.
                    other.layer_id == world.live[place].layer.id || world.live[place].layer.parent == Some(part.origin)
                )
        });
        if same {
            return (Comeback::Keep, "the live disk holds exactly this: the server has not run since".to_owned());
        }
    }
    let parked = world.layers.iter().find(|layer| {
        layer.role == LayerRole::Parked
            && layer.equals == Some(part.origin)
            && world.untouched.contains(&layer.id)
            // Its row may be older than an attach by its owner.
            && !world.live.iter().any(|live| live.layer.id == layer.id)
    });
    let too_deep = depth(world.layers, layer) + 1 > world.clone_depth_max && (world.copies)(&layer.backend);
    let (comeback, reason) = match parked {
        // A clone is grown as it is made; one that was parked before a resize would stay as it is.
        Some(_) if part.size_bytes < size_bytes_min(world.server, layer.kind, part) => {
            (Comeback::Clone, "a new disk is cloned and grown: the parked one is smaller than the flavor's disk")
        }
        Some(layer) => (
            Comeback::Reuse(layer.id),
            "the disk that was parked right after this snapshot is untouched and becomes the head again",
        ),
        None if too_deep => (Comeback::Copy, "a new disk is copied: it would stand on too many clones of clones"),
        None => (Comeback::Clone, "a new disk is cloned from the disk snapshot; nothing is copied"),
    };
    (comeback, reason.to_owned())
}

/// How many layers a layer was made of, one out of the other.
#[must_use]
pub fn depth(layers: &[Layer], layer: &Layer) -> usize {
    let above = |layer: &Layer| layer.parent_layer.and_then(|id| layers.iter().find(|other| other.id == id));
    // Rows could form a ring only if they were damaged; no chain is longer than there are rows.
    std::iter::successors(above(layer), |layer| above(layer)).take(layers.len()).count()
}

/// Smallest size in bytes that a disk of the node may come back with: its own then, and the flavor's for the system disk.
#[must_use]
pub fn size_bytes_min(server: &ServerFacts, kind: DiskKind, part: &DiskSnapshot) -> u64 {
    let flavor = if kind == DiskKind::System { server.root_gb << 30 } else { 0 };
    part.size_bytes.max(flavor)
}

/// Live disks that a whole restore takes off the server: attached volumes that the node neither has nor left out on purpose.
fn leaves(world: &RestoreWorld<'_>, moves: &[DiskMove], left_out: &[LeftOut]) -> Vec<usize> {
    let stays_by_choice = |live: &LiveDisk| {
        left_out.iter().any(|out| out.key == live.disk.key || out.disk_id == Some(live.layer.disk_id))
    };
    (0..world.live.len())
        .filter(|place| (world.placement)(&world.live[*place].disk.backend) == Placement::Attached)
        .filter(|place| !moves.iter().any(|disk| disk.live == Some(*place)))
        .filter(|place| !stays_by_choice(&world.live[*place]))
        .collect()
}

/// The attached volumes afterwards, and how many at the beginning stay as they are. Nova's order follows its own rows, so
/// everything behind the first change has to be detached and attached again.
fn order(world: &RestoreWorld<'_>, moves: &[DiskMove], leaves: &[usize], whole: bool) -> (Vec<Slot>, usize) {
    let attached: Vec<usize> = (0..world.live.len())
        .filter(|place| (world.placement)(&world.live[*place].disk.backend) == Placement::Attached)
        .collect();
    let slot_of = |place: usize| -> Option<Slot> {
        match moves.iter().position(|disk| disk.live == Some(place)) {
            Some(at) if moves[at].comeback == Comeback::Keep => Some(Slot::Stays(place)),
            Some(at) => Some(Slot::Comes(at)),
            None if leaves.contains(&place) => None,
            None => Some(Slot::Stays(place)),
        }
    };
    let is_attached = |at: usize| {
        world
            .disk_snapshots
            .iter()
            .find(|part| part.id == moves[at].disk_snapshot)
            .and_then(|part| world.layers.iter().find(|layer| layer.id == part.layer_id))
            .is_some_and(|layer| (world.placement)(&layer.backend) == Placement::Attached)
    };
    let mut order: Vec<Slot> = Vec::new();
    if whole {
        for (at, disk) in moves.iter().enumerate().filter(|(at, _)| is_attached(*at)) {
            order.push(match (disk.comeback, disk.live) {
                (Comeback::Keep, Some(place)) => Slot::Stays(place),
                _ => Slot::Comes(at),
            });
        }
        // What the node left out on purpose stays attached, behind the node's disks.
        order.extend(
            attached
                .iter()
                .filter(|place| !moves.iter().any(|disk| disk.live == Some(**place)))
                .filter_map(|place| slot_of(*place)),
        );
    } else {
        order.extend(attached.iter().filter_map(|place| slot_of(*place)));
        order.extend(
            moves
                .iter()
                .enumerate()
                .filter(|(at, disk)| disk.live.is_none() && is_attached(*at))
                .map(|(at, _)| Slot::Comes(at)),
        );
    }
    let kept = order.iter().zip(&attached).take_while(|(slot, place)| **slot == Slot::Stays(**place)).count();
    (order, kept)
}

/// Whether a node that the live disks equal has a part for every live disk that would give way or leave.
fn covers_all_live(world: &RestoreWorld<'_>, node: SnapshotId, plan: &RestorePlan) -> bool {
    plan.moves
        .iter()
        .filter(|disk| disk.comeback != Comeback::Keep)
        .filter_map(|disk| disk.live)
        .chain(plan.leaves.iter().copied())
        .all(|place| equal_part(world.disk_snapshots, node, &world.live[place].layer).is_some())
}

/// The part of `node` that a live layer equals while the server rests: the one on it, or the one it was made of.
#[must_use]
pub fn equal_part<'a>(parts: &'a [DiskSnapshot], node: SnapshotId, layer: &Layer) -> Option<&'a DiskSnapshot> {
    parts
        .iter()
        .find(|part| part.snapshot_id == node && (part.layer_id == layer.id || layer.parent == Some(part.origin)))
}

fn choose_branch(world: &RestoreWorld<'_>, request: &RestoreRequest, plan: &mut RestorePlan) -> Result<()> {
    if let Some(name) = &request.branch_name {
        if !plan.whole {
            return Err(Error::bad_field(
                "branch_name",
                "A branch begins only where all disks of the snapshot are restored.",
            ));
        }
        if world.forest.branch_named(name).is_some() {
            return Err(Error::conflict(format!("The server has a branch named {name} already."))
                .remedy("Choose another name, or restore that branch."));
        }
    }
    if !plan.whole {
        // The live disks go on from the present; only some of them go back.
        plan.branch = None;
        plan.current_after = match &plan.safety {
            Safety::Take(_) => None,
            Safety::NotNeeded(node) => Some(*node),
            Safety::Declined => world.forest.current,
        };
        return Ok(());
    }
    plan.current_after = Some(request.target);
    let branch = world.forest.node(request.target).map(|node| node.branch_id);
    let safety_moves_tip = matches!(&plan.safety, Safety::Take(BranchChoice::Continue(on)) if Some(*on) == branch);
    plan.branch = Some(match (&request.branch_name, branch) {
        (Some(name), _) => BranchChoice::New(name.clone()),
        (None, Some(branch)) if world.forest.tip(branch) == Some(request.target) && !safety_moves_tip => {
            BranchChoice::Continue(branch)
        }
        // Already here, on a branch that began at this very node and has none of its own yet.
        (None, _)
            if plan.safety == Safety::NotNeeded(request.target)
                && world.forest.current == Some(request.target)
                && world.forest.current_branch.is_some_and(|branch| !world.forest.has_nodes(branch)) =>
        {
            BranchChoice::Continue(world.forest.current_branch.unwrap_or_default())
        }
        (None, _) => {
            let for_safety = match &plan.safety {
                Safety::Take(BranchChoice::New(name)) => Some(name.as_str()),
                _ => None,
            };
            BranchChoice::New(world.forest.free_branch_name(for_safety))
        }
    });
    Ok(())
}

mod consequences;
mod pairs;
#[cfg(test)]
mod tests;
