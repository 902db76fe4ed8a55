//! Deletes nodes of a tree, at any place. The recipe:
//!
//! 1. `hide` them: from here on nobody can restore them, and there is only forward;
//! 2. `remove` in storage what the plan says can go, in its order. What fails for good stays, with a warning;
//! 3. `settle` the tree by what is really gone: nodes that nothing holds leave it, others stay as hidden joints;
//! 4. `measure` what they still hold, for people.
//!
//! Nothing is stopped, merged or copied, and no disk that is in use is touched: see `domain/plan/delete.rs`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::domain::disk::{Layer, LayerRole};
use crate::domain::operation::Operation;
use crate::domain::plan::delete::{self, DeletePlan, DeleteWorld, Removal, Target, settle};
use crate::domain::snapshot::{Branch, Snapshot, SnapshotStatus};
use crate::drivers::Label;
use crate::error::{Error, Kind, Result};
use crate::ids::{DiskSnapshotId, LayerId, SnapshotId};
use crate::operations::{Drivers, Reversal, Step, StepContext, Work, state_of, typed, untyped};
use crate::store::trees::{ServerTree, TreeChange};

/// The kind's name in rows.
pub const KIND: &str = "snapshot_delete";

/// The steps, in order.
pub const STEPS: [Step; 4] = [
    Step { name: "hide", reversal: Reversal::PointOfNoReturn },
    Step { name: "remove", reversal: Reversal::Optional },
    Step { name: "settle", reversal: Reversal::Forward },
    Step { name: "measure", reversal: Reversal::Optional },
];

/// Where "You are here" moves; a type of its own, since JSON has one null only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MovesTo {
    /// The node; `None` = nowhere.
    pub node: Option<SnapshotId>,
}

/// Version 1 of the parameters: ids only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The nodes that shall be gone.
    pub nodes: Vec<SnapshotId>,
    /// What goes in storage, in order.
    pub removals: Vec<Removal>,
    /// `current` afterwards, where it moves.
    pub current: Option<MovesTo>,
    /// Disks that their owner had taken off the server and that are gone: nothing hangs on them any more.
    pub lost: Vec<LayerId>,
}

/// What earlier deletions had to leave and what can go by now. A backend that may have refused is not asked again and again.
///
/// # Errors
/// `Internal`: rows contradict one another.
pub fn leftovers(drivers: &Drivers, tree: &ServerTree) -> Result<DeletePlan> {
    plan_on(tree, Target::Leftovers, &|backend| drivers.clones_may_hold_snapshots(backend))
}

/// Plans a deletion on a tree as it is recorded.
///
/// # Errors
/// As [`delete::plan`].
pub fn plan_on(tree: &ServerTree, target: Target, clones_hold: &dyn Fn(&str) -> bool) -> Result<DeletePlan> {
    let world = DeleteWorld {
        forest: &tree.forest,
        snapshots: &tree.snapshots,
        layers: &tree.layers,
        disk_snapshots: &tree.disk_snapshots,
        clones_hold,
    };
    delete::plan(&world, target)
}

/// The nodes of the tree as they are while this is under way.
#[must_use]
pub fn leaving(tree: &ServerTree, nodes: &[SnapshotId]) -> Vec<Snapshot> {
    let asked = tree.forest.nodes.iter().filter(|node| nodes.contains(&node.id)).cloned();
    asked.map(|node| Snapshot { status: SnapshotStatus::Deleting, updated_at: clock::now(), ..node }).collect()
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    removed: Vec<Removal>,
    /// Parked disks that their owner may have used since; they are his.
    #[serde(default)]
    left: Vec<LayerId>,
    /// Snapshots that their backend keeps for the disks that were made of them.
    #[serde(default)]
    kept: Vec<DiskSnapshotId>,
}

/// The operation.
pub struct SnapshotDelete {
    params: Params,
    state: State,
}

impl SnapshotDelete {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        let state = state_of(operation)?;
        Ok(Self { params: typed("parameters", &operation.params)?, state })
    }

    async fn hide(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut change = TreeChange { snapshots: leaving(&tree, &self.params.nodes), ..TreeChange::default() };
        change.snapshots.iter_mut().for_each(|node| node.hidden = true);
        if let Some(moves) = &self.params.current {
            change.current = Some((moves.node, tree.forest.current_branch));
        }
        if tree.record.equals_snapshot_id.is_some_and(|equal| self.params.nodes.contains(&equal)) {
            change.equals = Some(None);
        }
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    /// Each removal is tried, also after one has failed: most do not need each other. What its backend keeps for a disk that
    /// was made of it is tried again once more has gone.
    async fn remove(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut failed = None;
        let mut gone = usize::MAX;
        while gone != self.state.removed.len() {
            gone = self.state.removed.len();
            failed = None;
            self.state.kept.clear();
            for removal in self.params.removals.clone() {
                if self.state.is_done(&removal) || self.state.holds(&tree, &removal) {
                    continue;
                }
                match Self::remove_one(cx, &tree, &removal).await {
                    Ok(Fate::Gone) => self.state.removed.push(removal),
                    Ok(Fate::Left(layer)) => self.state.left.push(layer),
                    Ok(Fate::Kept(origin)) => self.state.kept.push(origin),
                    Err(error) => {
                        tracing::warn!(error = %error.chain(), "something of a deleted snapshot could not be removed");
                        failed = Some(error);
                    }
                }
            }
            if self.state.kept.is_empty() {
                break;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn remove_one(cx: &StepContext<'_>, tree: &ServerTree, removal: &Removal) -> Result<Fate> {
        let call = cx.call();
        match removal {
            Removal::Snapshot(origin) => {
                let Some(part) = tree.disk_snapshots.iter().find(|part| part.origin == *origin) else {
                    return Ok(Fate::Gone);
                };
                let layer = tree.layer(part.layer_id)?;
                match cx.world.drivers.get(&layer.backend)?.remove_snapshot(&call, layer, *origin).await {
                    Ok(()) => Ok(Fate::Gone),
                    Err(error) if error.kind() == Kind::Conflict && has_clones(tree, *origin) => {
                        tracing::info!(error = %error.chain(), "a snapshot stays for the disks that were made of it");
                        Ok(Fate::Kept(*origin))
                    }
                    Err(error) => Err(error),
                }
            }
            Removal::Layer(id) => {
                let layer = tree.layer(*id)?;
                let driver = cx.world.drivers.get(&layer.backend)?;
                match driver.purge(&call, layer, layer.parent).await {
                    Ok(true) => return Ok(Fate::Gone),
                    Ok(false) => {}
                    // The answer may have been lost, not the act.
                    Err(error) => return if driver.exists(layer).await? { Err(error) } else { Ok(Fate::Gone) },
                }
                driver.label(&call, layer, Label::InUse).await?;
                tracing::warn!(layer_id = %layer.id, backend_id = %layer.backend_id, "a parked disk may have been used since: it is left to its owner");
                Ok(Fate::Left(layer.id))
            }
        }
    }

    async fn settle(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut change = TreeChange::default();
        let held = self.let_go_of_storage(&tree, &mut change)?;
        let reasons = held.iter().map(|(id, part)| (*id, part.reason.clone())).collect();
        let plan = settle(&tree.forest, &reasons);
        let failed = |node: &Snapshot| node.status == SnapshotStatus::Error && self.params.nodes.contains(&node.id);
        for node in tree.snapshots.iter().filter(|node| node.hidden || failed(node)) {
            let held = held.get(&node.id);
            let mut node = node.clone();
            if plan.gone.contains(&node.id) || failed(&node) && held.is_none() {
                node.status = SnapshotStatus::Deleted;
            } else if held.is_some_and(|part| part.refused) {
                node.status = SnapshotStatus::ErrorDeleting;
                node.fault = held.map(|part| part.reason.clone());
            } else if !failed(&node) {
                node.status = SnapshotStatus::Available;
                node.fault = None;
            }
            node.updated_at = clock::now();
            change.snapshots.push(node);
        }
        for (id, parent) in &plan.moved {
            let known = change.snapshots.iter().position(|node| node.id == *id);
            let mut node = known.map_or_else(|| tree.snapshot(*id).cloned(), |at| Ok(change.snapshots.remove(at)))?;
            node.parent_id = *parent;
            change.snapshots.push(node);
        }
        for (id, fork) in &plan.branches_moved {
            let branch = tree.forest.branch(*id).ok_or_else(|| Error::internal("A branch is missing."))?;
            change.branches_changed.push(Branch { fork_snapshot_id: *fork, ..branch.clone() });
        }
        change.branches_gone.clone_from(&plan.branches_gone);
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    /// Notes how much the deleted nodes still hold.
    async fn measure(cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let plan = leftovers(&cx.world.drivers, &tree)?;
        let mut bytes = 0;
        for id in &plan.pending {
            let layer = tree.layer(*id)?;
            bytes += cx.world.drivers.get(&layer.backend)?.used_bytes(layer).await?;
        }
        for part in &tree.disk_snapshots {
            let shared = tree.disk_snapshots.iter().any(|other| other.origin == part.origin && other.id < part.id);
            if tree.snapshot(part.snapshot_id)?.hidden && !shared {
                bytes += part.size_bytes;
            }
        }
        let change = TreeChange { reclaim_pending_bytes: Some(bytes), ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    /// Forgets the parts and disks that are really gone. Returns the deleted nodes of which storage holds a part.
    fn let_go_of_storage(&self, tree: &ServerTree, change: &mut TreeChange) -> Result<BTreeMap<SnapshotId, HeldPart>> {
        let gone = |removal: Removal| self.state.removed.contains(&removal);
        let is_deleted = |id: SnapshotId| tree.snapshot(id).map(|node| node.hidden || self.params.nodes.contains(&id));
        let mut held: BTreeMap<SnapshotId, HeldPart> = BTreeMap::new();
        for part in &tree.disk_snapshots {
            if !is_deleted(part.snapshot_id)? {
                continue;
            }
            let shared = tree.disk_snapshots.iter().any(|other| {
                other.origin == part.origin && is_deleted(other.snapshot_id).is_ok_and(|deleted| !deleted)
            });
            let removal = Removal::Snapshot(part.origin);
            let refused = self.params.removals.contains(&removal) && !self.state.kept.contains(&part.origin);
            // A disk that is gone has taken with it what its backend had refused, or had seemed to refuse, to remove from it.
            if shared || gone(removal) || gone(Removal::Layer(part.layer_id)) {
                change.disk_snapshots_gone.push(part.id);
            } else if refused || !held.contains_key(&part.snapshot_id) {
                let reason = if refused {
                    "a backend refused to remove a part of it"
                } else {
                    "disks were made of it, and their backend keeps it for them"
                };
                held.insert(part.snapshot_id, HeldPart { refused, reason: reason.to_owned() });
            }
        }
        change.layers_gone.extend(tree.layers.iter().map(|layer| layer.id).filter(|id| gone(Removal::Layer(*id))));
        change.layers_gone.extend(self.params.lost.iter().filter(|id| tree.layer(**id).is_ok()));
        let left = tree.layers.iter().filter(|layer| self.state.left.contains(&layer.id)).cloned();
        change.layers.extend(left.map(|layer| Layer { role: LayerRole::Detached, ..layer }));
        Ok(held)
    }
}

impl State {
    fn is_done(&self, removal: &Removal) -> bool {
        self.removed.contains(removal) || matches!(removal, Removal::Layer(id) if self.left.contains(id))
    }

    /// Whether a disk still carries what its backend keeps for another that goes later: it would be refused.
    fn holds(&self, tree: &ServerTree, removal: &Removal) -> bool {
        let is_kept = |id: &LayerId| {
            tree.disk_snapshots.iter().any(|part| part.layer_id == *id && self.kept.contains(&part.origin))
        };
        matches!(removal, Removal::Layer(id) if is_kept(id))
    }
}

fn has_clones(tree: &ServerTree, origin: DiskSnapshotId) -> bool {
    tree.layers.iter().any(|layer| layer.parent == Some(origin))
}

/// What became of something that was to be removed.
enum Fate {
    /// It is gone.
    Gone,
    /// It is its owner's.
    Left(LayerId),
    /// Its backend keeps it for its clones.
    Kept(DiskSnapshotId),
}

/// Why a part of a deleted node is still in storage.
struct HeldPart {
    /// It was to be removed, and its backend has not done so.
    refused: bool,
    reason: String,
}

#[async_trait]
impl Work for SnapshotDelete {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "hide" => self.hide(cx).await,
            "remove" => self.remove(cx).await,
            "settle" => self.settle(cx).await,
            "measure" => Self::measure(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, _step: &'static str, _cx: &StepContext<'_>) -> Result<()> {
        Ok(()) // there is nothing before the point of no return
    }

    /// Cancelled before its first step.
    async fn unwound(&mut self, cx: &StepContext<'_>, _reason: &str) -> Result<()> {
        let tree = cx.tree().await?;
        let mut snapshots = leaving(&tree, &self.params.nodes);
        for node in &mut snapshots {
            let failed_before = node.fault.is_some();
            node.status = if failed_before { SnapshotStatus::ErrorDeleting } else { SnapshotStatus::Available };
        }
        let change = TreeChange { snapshots, ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&self.state)
    }
}
