//! What follows a recorded restore: labels for those who look at the backends, and the older safety snapshot's end.

use super::SnapshotRestore;
use crate::clock;
use crate::domain::snapshot::{Snapshot, SnapshotStatus};
use crate::drivers::Label;
use crate::error::{Error, Result};
use crate::operations::StepContext;
use crate::store::trees::{ServerTree, TreeChange};

impl SnapshotRestore {
    pub(super) async fn label(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let call = cx.call();
        let mut layers = Vec::new();
        let mut failed: Option<Error> = None;
        for incoming in &self.params.incoming {
            let layer = tree.layer(incoming.layer)?;
            if let Err(error) = cx.world.drivers.get(&layer.backend)?.label(&call, layer, Label::InUse).await {
                failed = Some(error);
            }
        }
        for outgoing in &self.params.outgoing {
            let mut layer = tree.layer(outgoing.layer)?.clone();
            let driver = cx.world.drivers.get(&layer.backend)?;
            // An image that Nova began of the old head a moment before it gave up its name: Nova looks for its snapshot on the
            // new one.
            if let Err(error) = driver.clear(&layer).await {
                failed = Some(error);
            }
            let successor = self.params.incoming.iter().find(|incoming| incoming.instead_of == Some(outgoing.layer));
            let successor = successor.map(|incoming| tree.layer(incoming.layer)).transpose()?;
            let label = Label::Parked { replaced_by: successor.map(|layer| layer.backend_id.as_str()) };
            match driver.label(&call, &layer, label).await {
                Ok(mark) => {
                    layer.parked_mark = mark;
                    layers.push(layer);
                }
                Err(error) => failed = Some(error),
            }
        }
        let change = TreeChange { layers, ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await?;
        failed.map_or(Ok(()), Err)
    }

    /// One safety snapshot a branch is kept. The planner has made sure that nothing was made of these.
    pub(super) async fn prune(&mut self, cx: &StepContext<'_>) -> Result<()> {
        for id in self.params.prune.clone() {
            let tree = cx.tree().await?;
            let Ok(node) = tree.snapshot(id) else { continue }; // gone already
            // Somebody may have named it, or begun something at it, since the plan was made.
            if !node.safety || tree.forest.branches.iter().any(|branch| branch.fork_snapshot_id == Some(id)) {
                continue;
            }
            if node.status.is_live() {
                self.take_out(cx, &tree, node).await?;
            }
            for part in tree.disks_of(id) {
                let layer = tree.layer(part.layer_id)?;
                cx.world.drivers.get(&layer.backend)?.remove_snapshot(&cx.call(), layer, part.id).await?;
            }
            let mut gone = node.clone();
            gone.status = SnapshotStatus::Deleted;
            gone.updated_at = clock::now();
            let change =
                TreeChange { snapshots: vec![gone], disk_snapshots_gone_of: vec![id], ..TreeChange::default() };
            cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await?;
        }
        Ok(())
    }

    /// Nobody may restore a node of which a part is gone already: first it leaves the tree, then the backends.
    async fn take_out(&self, cx: &StepContext<'_>, tree: &ServerTree, node: &Snapshot) -> Result<()> {
        let mut leaving = node.clone();
        leaving.status = SnapshotStatus::Error;
        leaving.fault = Some("Its removal has not finished.".to_owned());
        leaving.updated_at = clock::now();
        let mut snapshots = vec![leaving];
        for child in tree.snapshots.iter().filter(|child| child.parent_id == Some(node.id)) {
            let mut child = child.clone();
            child.parent_id = node.parent_id;
            snapshots.push(child);
        }
        let change = TreeChange { snapshots, ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }
}
