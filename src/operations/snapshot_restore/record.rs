//! What a restore writes into the tree: all of it in one transaction, or, after an unwinding, as if it had never been asked.

use super::{Replaced, SnapshotRestore};
use crate::clock;
use crate::domain::disk::{Layer, LayerRole};
use crate::domain::server::ServerStatus;
use crate::domain::snapshot::{Branch, Consistency, SnapshotStatus};
use crate::error::Result;
use crate::operations::StepContext;
use crate::operations::snapshot_create::forgettable;
use crate::store::trees::{ServerTree, TreeChange};

impl SnapshotRestore {
    pub(super) async fn record(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        self.state.replaced = self.replaced(&tree)?;
        let mut target = tree.snapshot(self.params.target)?.clone();
        if target.status != SnapshotStatus::Restoring {
            return Ok(()); // a lost answer: it was recorded
        }
        let now = clock::now();
        target.status = SnapshotStatus::Available;
        target.updated_at = now;
        let mut change = TreeChange { snapshots: vec![target], ..TreeChange::default() };
        change.layers = self.layers_afterwards(&tree)?;
        if let Some(id) = self.params.safety {
            let mut safety = tree.snapshot(id)?.clone();
            safety.status = SnapshotStatus::Available;
            safety.at_rest = true;
            safety.consistency.reached = Some(Consistency::Crash);
            safety.updated_at = now;
            change.snapshots.push(safety);
            for part in tree.disks_of(id) {
                let mut part = part.clone();
                if let Some((backend_id, size)) = self.state.safety.get(&part.id) {
                    part.backend_id.clone_from(backend_id);
                    part.size_bytes = *size;
                }
                change.disk_snapshots.push(part);
            }
        }
        if let Some((id, name)) = &self.params.branch_new {
            change.branches.push(Branch {
                id: *id,
                server_id: cx.operation.server_id,
                name: name.clone(),
                fork_snapshot_id: Some(self.params.target),
                created_at: now,
            });
        }
        change.branches_gone.extend(self.params.branch_left);
        let current = self.params.current_after.or(self.params.safety);
        change.current = Some((current, self.params.branch_after));
        change.equals = Some(self.equals_afterwards(cx).await?);
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    fn replaced(&self, tree: &ServerTree) -> Result<Vec<Replaced>> {
        let mut replaced = Vec::new();
        for incoming in self.params.incoming.iter().filter(|incoming| !incoming.named) {
            if let Some(old) = incoming.instead_of {
                let (old, new) = (tree.layer(old)?.backend_id.clone(), self.layer(tree, incoming.layer)?.backend_id);
                replaced.push(Replaced { old, new });
            }
        }
        Ok(replaced)
    }

    /// A server that stays stopped equals the node that came back whole, until something starts it.
    async fn equals_afterwards(&self, cx: &StepContext<'_>) -> Result<Option<(crate::ids::SnapshotId, String)>> {
        if self.was_running() || !self.params.whole || self.server_is_gone(cx).await? || !self.has_rested(cx).await? {
            return Ok(None);
        }
        // In this order: whatever starts the server after the look is newer than the mark.
        let actions = cx.world.compute.actions(cx.operation.server_id).await?;
        let server = cx.world.compute.state(cx.operation.server_id).await?;
        if server.status != ServerStatus::Shutoff || server.task_state.is_some() {
            return Ok(None);
        }
        Ok(actions.first().map(|newest| (self.params.target, newest.request_id.clone())))
    }

    fn layers_afterwards(&self, tree: &ServerTree) -> Result<Vec<Layer>> {
        let mut layers = Vec::new();
        for incoming in &self.params.incoming {
            let mut layer = self.layer(tree, incoming.layer)?;
            layer.role = LayerRole::Head;
            layer.equals = None;
            layer.parked_mark = String::new();
            if !incoming.named {
                layer.key.clone_from(&layer.backend_id);
            }
            layers.push(layer);
        }
        for outgoing in &self.params.outgoing {
            let mut layer = tree.layer(outgoing.layer)?.clone();
            layer.role = LayerRole::Parked;
            layer.equals = outgoing.equals;
            layer.parked_mark = self.state.marks.get(&layer.backend_id).cloned().unwrap_or_default();
            layers.push(layer);
        }
        Ok(layers)
    }

    pub(super) async fn record_undone(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut target = tree.snapshot(self.params.target)?.clone();
        target.status = SnapshotStatus::Available;
        target.updated_at = clock::now();
        let mut change = TreeChange { snapshots: vec![target], ..TreeChange::default() };
        if let Some(id) = self.params.safety
            && let Ok(safety) = tree.snapshot(id)
        {
            let mut safety = safety.clone();
            safety.status = SnapshotStatus::Deleted;
            safety.updated_at = clock::now();
            change.layers_gone = forgettable(&tree, &self.params.new_layers, id);
            change.disk_snapshots_gone_of.push(id);
            change.snapshots.push(safety);
        } else {
            change.layers_gone = forgettable(&tree, &self.params.new_layers, self.params.target);
        }
        change.branches_gone.extend(self.params.safety_branch_new);
        for incoming in &self.params.incoming {
            // Done a second time, what is forgotten is not there any more.
            if tree.find_layer(incoming.layer).is_none_or(|layer| layer.role != LayerRole::Preparing) {
                continue;
            }
            let mut layer = self.layer(&tree, incoming.layer)?;
            if self.state.used && !layer.backend_id.is_empty() {
                layer.role = LayerRole::Parked;
                if !incoming.named {
                    layer.key.clone_from(&layer.backend_id);
                }
                change.layers.push(layer);
            } else {
                change.layers_gone.push(layer.id);
            }
        }
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }
}
