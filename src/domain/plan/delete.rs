//! Plans a deletion: (forest, layers, what shall go) -> which snapshots leave the tree, which stay as hidden joints and why,
//! what becomes of branches and "You are here", and the storage that goes, in the order in which it can.
//!
//! Two graphs. In the *forest* a node with two subtrees is the place where they part: it stays, hidden, until one of them is
//! gone; any other node is taken out and its child put on its parent. In *storage* nothing is ever merged or copied: the
//! snapshots of one object do not need each other, and a clone keeps the content that it needs. What can forbid a removal is a
//! share (another node's part is the same backend snapshot), a backend that keeps snapshots for their clones, and an object
//! that still carries somebody's snapshot. So storage goes by rounds: what goes in one may set free what goes in the next,
//! what earlier deletions had to leave included.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::disk::{DiskSnapshot, Layer};
use crate::domain::forest::Forest;
use crate::domain::snapshot::{Snapshot, SnapshotStatus};
use crate::error::{Error, Result};
use crate::ids::{BranchId, DiskSnapshotId, LayerId, SnapshotId};

/// What shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One node.
    Snapshot(SnapshotId),
    /// A node and all that grew from it.
    Subtree(SnapshotId),
    /// All nodes of a branch, and its name.
    Branch(BranchId),
    /// All nodes of the server.
    Tree,
    /// Nothing more: what earlier deletions had to leave and what can go by now.
    Leftovers,
}

/// What is known.
pub struct DeleteWorld<'a> {
    /// The tree.
    pub forest: &'a Forest,
    /// All snapshots of the server that were not deleted; those whose capture failed are no part of the forest.
    pub snapshots: &'a [Snapshot],
    /// All layers of the server.
    pub layers: &'a [Layer],
    /// All disk snapshots of the server.
    pub disk_snapshots: &'a [DiskSnapshot],
    /// Whether a backend refuses to remove a snapshot while a clone of it exists.
    pub clones_hold: &'a dyn Fn(&str) -> bool,
}

/// One removal in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// The backend snapshot of an origin.
    Snapshot(DiskSnapshotId),
    /// A parked disk that nothing needs any more, whole.
    Layer(LayerId),
}

/// A node that the user does not see any more, and that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// The node.
    pub id: SnapshotId,
    /// Why it stays, for people.
    pub reason: String,
}

/// The plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletePlan {
    /// Nodes that leave the tree, joints of earlier deletions and failed captures included.
    pub gone: Vec<SnapshotId>,
    /// Nodes that are hidden and stay.
    pub joints: Vec<Joint>,
    /// Nodes that get another parent.
    pub moved: Vec<(SnapshotId, Option<SnapshotId>)>,
    /// Branches that disappear.
    pub branches_gone: Vec<BranchId>,
    /// Branches that begin at another node.
    pub branches_moved: Vec<(BranchId, Option<SnapshotId>)>,
    /// "You are here" afterwards, where it moves.
    pub current: Option<Option<SnapshotId>>,
    /// Removals in storage, in the order in which they are possible.
    pub removals: Vec<Removal>,
    /// What stays in storage of the deleted nodes, and why, for people.
    pub stays: Vec<String>,
    /// Parked disks that nothing needs any more, and that stay for what was made of their snapshots.
    pub pending: Vec<LayerId>,
}

impl DeletePlan {
    /// All nodes that are deleted for their owner: those that go, and those that stay as joints.
    pub fn deleted(&self) -> impl Iterator<Item = SnapshotId> {
        self.gone.iter().copied().chain(self.joints.iter().map(|joint| joint.id))
    }
}

/// Plans a deletion.
///
/// # Errors
/// `Conflict` with the reason: a node is not at rest or protected, or the branch is the one that the server is on. `NotFound`.
pub fn plan(world: &DeleteWorld<'_>, target: Target) -> Result<DeletePlan> {
    let forest = world.forest;
    let asked = asked(world, target)?;
    for node in world.snapshots.iter().filter(|node| asked.contains(&node.id)) {
        must_be_deletable(node)?;
    }
    // What was deleted before and had to stay may go now.
    let doomed: BTreeSet<SnapshotId> =
        forest.nodes.iter().filter(|node| node.hidden).map(|node| node.id).chain(asked.iter().copied()).collect();
    let mut plan = DeletePlan::default();
    let held = storage::plan(world, &doomed, target == Target::Tree, &mut plan);
    shape(forest, &doomed, &held, &mut plan);
    plan.gone.extend(asked.iter().filter(|id| forest.node(**id).is_none() && !held.contains_key(id)));
    name_branches(forest, &mut plan);
    if let Some(current) = forest.current.filter(|current| doomed.contains(current)) {
        let above = above(forest, current, |id| doomed.contains(&id));
        plan.current = Some(above);
    }
    Ok(plan)
}

/// What becomes of the forest once storage has changed: hidden nodes that nothing holds any more leave it. `held` says why
/// storage keeps a part of a node, if it does.
#[must_use]
pub fn settle(forest: &Forest, held: &BTreeMap<SnapshotId, String>) -> DeletePlan {
    let doomed = forest.nodes.iter().filter(|node| node.hidden).map(|node| node.id).collect();
    let mut plan = DeletePlan::default();
    shape(forest, &doomed, held, &mut plan);
    name_branches(forest, &mut plan);
    plan
}

/// The nodes that the caller wants to be gone.
fn asked(world: &DeleteWorld<'_>, target: Target) -> Result<BTreeSet<SnapshotId>> {
    let forest = world.forest;
    let failed = || world.snapshots.iter().filter(|node| node.status == SnapshotStatus::Error);
    match target {
        Target::Snapshot(id) | Target::Subtree(id) => {
            if forest.node(id).is_none() && !failed().any(|node| node.id == id) {
                return Err(Error::not_found("Snapshot", id));
            }
            let mut all = BTreeSet::from([id]);
            if matches!(target, Target::Subtree(_)) {
                // Preorder: a parent is met before its children.
                for (_, node) in forest.preorder() {
                    if node.parent_id.is_some_and(|parent| all.contains(&parent)) {
                        all.insert(node.id);
                    }
                }
            }
            Ok(all)
        }
        Target::Branch(id) => {
            let branch = forest.branch(id).ok_or_else(|| Error::not_found("Branch", id))?;
            if forest.current_branch == Some(id) {
                return Err(Error::conflict(format!("The server is on branch {}.", branch.name))
                    .remedy("Restore another branch first, or delete its snapshots one by one."));
            }
            Ok(forest.nodes.iter().filter(|node| node.branch_id == id).map(|node| node.id).collect())
        }
        Target::Tree => Ok(forest.nodes.iter().chain(failed()).map(|node| node.id).collect()),
        Target::Leftovers => Ok(BTreeSet::new()),
    }
}

fn must_be_deletable(node: &Snapshot) -> Result<()> {
    if !matches!(node.status, SnapshotStatus::Available | SnapshotStatus::ErrorDeleting | SnapshotStatus::Error) {
        return Err(Error::conflict(format!("Snapshot {} ({}) is {}.", node.name, node.id, node.status.as_str())));
    }
    if let Some(protection) = &node.protection {
        let reason = if protection.reason.is_empty() { "without a reason" } else { protection.reason.as_str() };
        let since = protection.since.format("%Y-%m-%d %H:%M");
        return Err(Error::conflict(format!(
            "Snapshot {} ({}) is protected by user {} since {since} UTC: {reason}.",
            node.name, node.id, protection.user_id
        ))
        .remedy("Take the protection off first: openstack server snapshot unset --protected"));
    }
    Ok(())
}

/// Which doomed nodes leave the forest and which stay as joints. A node stays while two subtrees part at it, or while storage
/// holds a part of it. What stays below decides what stays above, so the forest is walked from its leaves.
fn shape(forest: &Forest, doomed: &BTreeSet<SnapshotId>, held: &BTreeMap<SnapshotId, String>, plan: &mut DeletePlan) {
    let mut gone: BTreeSet<SnapshotId> = BTreeSet::new();
    for (_, node) in forest.preorder().into_iter().rev().filter(|(_, node)| doomed.contains(&node.id)) {
        let subtrees = below(forest, node.id, &gone).len();
        let reason = match held.get(&node.id) {
            Some(reason) => Some(reason.clone()),
            None if subtrees > 1 => Some(format!("{subtrees} lines of snapshots part here")),
            None => None,
        };
        match reason {
            Some(reason) => plan.joints.push(Joint { id: node.id, reason }),
            None => {
                gone.insert(node.id);
            }
        }
    }
    plan.joints.reverse();
    plan.gone = forest.nodes.iter().map(|node| node.id).filter(|id| gone.contains(id)).collect();
    for node in forest.nodes.iter().filter(|node| !gone.contains(&node.id)) {
        if node.parent_id.is_some_and(|parent| gone.contains(&parent)) {
            plan.moved.push((node.id, above(forest, node.id, |id| gone.contains(&id))));
        }
    }
}

/// The nodes next below that are not gone.
fn below(forest: &Forest, id: SnapshotId, gone: &BTreeSet<SnapshotId>) -> Vec<SnapshotId> {
    let mut found = Vec::new();
    let mut look = vec![id];
    while let Some(parent) = look.pop() {
        for child in forest.children(Some(parent)) {
            if gone.contains(&child.id) { look.push(child.id) } else { found.push(child.id) }
        }
    }
    found
}

/// The nearest ancestor that is not passed over.
fn above(forest: &Forest, id: SnapshotId, passes: impl Fn(SnapshotId) -> bool) -> Option<SnapshotId> {
    let mut at = forest.node(id).and_then(|node| node.parent_id);
    while let Some(id) = at.filter(|id| passes(*id)) {
        at = forest.node(id).and_then(|node| node.parent_id);
    }
    at
}

/// A branch without snapshots that the server is not on disappears; one that began at a node that goes begins above it.
fn name_branches(forest: &Forest, plan: &mut DeletePlan) {
    for branch in &forest.branches {
        let left = forest.nodes.iter().any(|node| node.branch_id == branch.id && !plan.gone.contains(&node.id));
        if !left && forest.current_branch != Some(branch.id) {
            plan.branches_gone.push(branch.id);
        } else if let Some(fork) = branch.fork_snapshot_id.filter(|fork| plan.gone.contains(fork)) {
            plan.branches_moved.push((branch.id, above(forest, fork, |id| plan.gone.contains(&id))));
        }
    }
}

mod storage;
#[cfg(test)]
mod tests;
