//! Keeps with the tree what Nova has done with: the head of a server that was deleted, rebuilt or shelved becomes a parked disk
//! and, as a snapshot at rest, the tip of its branch. Volumes that Nova was to delete and could not, because our snapshots
//! lie on them, become parked volumes of the tree; the others are their owner's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::domain::disk::{Layer, LayerRole, Placement};
use crate::domain::operation::Operation;
use crate::domain::plan::guard::{Head, Removing, Verdict};
use crate::domain::snapshot::{Consistency, SnapshotStatus};
use crate::drivers::{Label, StandIn};
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId, SnapshotId};
use crate::operations::head_takeover::decide_now;
use crate::operations::{Reversal, Step, StepContext, Work, state_of, typed, untyped};
use crate::store::trees::{ServerTree, TreeChange};

/// The kind's name in rows.
pub const KIND: &str = "head_retire";

/// The steps, in order.
pub const STEPS: [Step; 6] = [
    Step { name: "take", reversal: Reversal::Undo },
    Step { name: "quiet", reversal: Reversal::Nothing("only waits") },
    Step { name: "keep", reversal: Reversal::UndoOrLeave },
    Step { name: "volumes", reversal: Reversal::Nothing("only looks") },
    Step { name: "record", reversal: Reversal::PointOfNoReturn },
    Step { name: "label", reversal: Reversal::Optional },
];

/// Version 1 of the parameters: ids only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// What Nova has done.
    pub why: Removing,
    /// Heads that take their place by name, taken before or left behind by Nova.
    pub heads: Vec<LayerId>,
    /// The snapshot of them; its row and its parts' rows are there, status `creating`.
    pub node: Option<SnapshotId>,
    /// Volumes of a deleted server, and whether Nova was to delete them.
    pub volumes: Vec<(LayerId, bool)>,
    /// The rebuild, by its request.
    pub rebuild: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// A head still had its name: Nova had given up on it.
    #[serde(default)]
    left_behind: bool,
    /// Heads that are not there: Nova was quicker.
    lost: Vec<LayerId>,
    kept: BTreeMap<DiskSnapshotId, (String, u64)>,
    volumes: BTreeMap<LayerId, Fate>,
}

/// What became of a volume of a deleted server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    /// Nova has deleted it.
    Gone,
    /// It belongs to the tree now; with its mark.
    Parked(String),
    /// It is its owner's.
    Left,
}

/// The operation.
pub struct HeadRetire {
    params: Params,
    state: State,
}

impl HeadRetire {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        let state = state_of(operation)?;
        Ok(Self { params: typed("parameters", &operation.params)?, state })
    }

    async fn take(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        self.state.lost.clear();
        for id in &self.params.heads {
            let layer = tree.layer(*id)?;
            let bearer = cx.world.drivers.get(&layer.backend)?.bearer(layer).await?;
            self.state.left_behind |= bearer.as_deref() == Some(layer.backend_id.as_str());
        }
        self.nova_must_have_done(cx, &tree).await?;
        for id in &self.params.heads {
            let layer = tree.layer(*id)?;
            if !cx.world.drivers.get(&layer.backend)?.take_over(layer, StandIn::None).await? {
                tracing::warn!(layer_id = %id, backend_id = %layer.backend_id, "this head went with its server");
                self.state.lost.push(*id);
                // What it was made through, in Glance's pool, has nobody any more.
                if let Err(error) = cx.world.drivers.get(&layer.backend)?.purge(&cx.call(), layer, layer.parent).await {
                    tracing::warn!(layer_id = %id, error = %error.chain(), "what this head was made through stays");
                }
            }
        }
        Ok(())
    }

    /// What Nova had left behind, under its name, it may have taken for the server's disk again since that was decided.
    async fn nova_must_have_done(&self, cx: &StepContext<'_>, tree: &ServerTree) -> Result<()> {
        if !self.state.left_behind {
            return Ok(());
        }
        let role = |id: &LayerId| tree.layer(*id).is_ok_and(|layer| layer.role == LayerRole::Taken);
        let heads: Vec<_> = self.params.heads.iter().map(|id| Head { layer: *id, taken: role(id) }).collect();
        if decide_now(cx, tree, &heads, false).await? == Verdict::Retire(self.params.why) {
            return Ok(());
        }
        Err(Error::conflict("Nova uses the server's disks again."))
    }

    /// Heads that Nova had left behind are left behind again; those that were taken before stay taken.
    async fn leave_again(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        for id in &self.params.heads {
            let layer = tree.layer(*id)?;
            if layer.role == LayerRole::Head {
                cx.world.drivers.get(&layer.backend)?.heal_head(layer).await?;
            }
        }
        Ok(())
    }

    fn heads_there<'a>(&'a self, tree: &'a ServerTree) -> impl Iterator<Item = &'a Layer> {
        let there = |layer: &&Layer| self.params.heads.contains(&layer.id) && !self.state.lost.contains(&layer.id);
        tree.layers.iter().filter(there)
    }

    async fn quiet(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        for layer in self.heads_there(&tree) {
            let driver = cx.world.drivers.get(&layer.backend)?;
            let what = format!("everybody to let go of disk {}", layer.key);
            cx.wait(&what, cx.world.settings.watcher_timeout, || async move {
                Ok(driver.users(layer).await?.is_empty().then_some(()))
            })
            .await?;
        }
        self.nova_must_have_done(cx, &tree).await
    }

    async fn keep(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let Some(node) = self.params.node else { return Ok(()) };
        let tree = cx.tree().await?;
        for part in tree.disks_of(node) {
            if self.state.lost.contains(&part.layer_id) {
                continue;
            }
            let layer = tree.layer(part.layer_id)?;
            let taken = cx.world.drivers.get(&layer.backend)?.capture(&cx.call(), layer, part.id).await?;
            self.state.kept.insert(part.id, (taken.backend_id, taken.size_bytes));
        }
        Ok(())
    }

    async fn let_go(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let Some(node) = self.params.node else { return Ok(()) };
        let tree = cx.tree().await?;
        for part in tree.disks_of(node) {
            let layer = tree.layer(part.layer_id)?;
            if !self.state.lost.contains(&layer.id) {
                cx.world.drivers.get(&layer.backend)?.remove_snapshot(&cx.call(), layer, part.id).await?;
            }
        }
        self.state.kept.clear();
        Ok(())
    }

    async fn volumes(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        for (id, was_to_go) in &self.params.volumes {
            let layer = tree.layer(*id)?;
            let driver = cx.world.drivers.get(&layer.backend)?;
            let fate = if !driver.exists(layer).await? {
                Fate::Gone
            } else if *was_to_go && driver.users(layer).await?.is_empty() {
                Fate::Parked(driver.mark(layer).await?)
            } else {
                Fate::Left
            };
            self.state.volumes.insert(*id, fate);
        }
        Ok(())
    }

    async fn record(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut change = TreeChange {
            current: Some((None, None)),
            equals: Some(None),
            deleted: self.params.why == Removing::Deleting,
            rebuild_seen: self.params.rebuild.clone(),
            ..TreeChange::default()
        };
        self.record_node(&tree, &mut change);
        // Done a second time, what is forgotten is not there any more.
        for id in &self.params.heads {
            let Some(layer) = tree.find_layer(*id).cloned() else { continue };
            if !self.state.lost.contains(id) {
                let of_node = |part: &&crate::domain::disk::DiskSnapshot| Some(part.snapshot_id) == self.params.node;
                let equals = tree.disk_snapshots.iter().filter(of_node).find(|part| part.layer_id == *id);
                let equals = equals.map(|part| part.id);
                change.layers.push(Layer { role: LayerRole::Parked, equals, ..layer });
            } else {
                forget(&tree, layer, self.params.node, &mut change);
            }
        }
        for (id, fate) in &self.state.volumes {
            let Some(layer) = tree.find_layer(*id).cloned() else { continue };
            match fate {
                Fate::Gone => forget(&tree, layer, None, &mut change),
                Fate::Parked(mark) => {
                    change.layers.push(Layer { role: LayerRole::Parked, parked_mark: mark.clone(), ..layer });
                }
                Fate::Left => change.layers.push(Layer { role: LayerRole::Detached, ..layer }),
            }
        }
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    fn record_node(&self, tree: &ServerTree, change: &mut TreeChange) {
        let node = self.params.node.and_then(|id| tree.find_snapshot(id));
        let Some(mut node) = node.cloned() else { return };
        let id = node.id;
        node.updated_at = clock::now();
        if self.state.kept.is_empty() {
            node.status = SnapshotStatus::Deleted;
            change.disk_snapshots_gone_of.push(id);
        } else {
            node.status = SnapshotStatus::Available;
            node.consistency.reached = Some(Consistency::Crash);
            for part in tree.disks_of(id) {
                match self.state.kept.get(&part.id) {
                    Some((backend_id, size_bytes)) => {
                        let mut part = part.clone();
                        part.backend_id.clone_from(backend_id);
                        part.size_bytes = *size_bytes;
                        change.disk_snapshots.push(part);
                    }
                    None => change.disk_snapshots_gone.push(part.id),
                }
            }
        }
        change.snapshots.push(node);
    }

    async fn label(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let ours = |layer: &&Layer| {
            layer.role == LayerRole::Parked
                && (self.params.heads.contains(&layer.id) || self.state.volumes.contains_key(&layer.id))
        };
        let mut layers = Vec::new();
        let mut failed = None;
        for layer in tree.layers.iter().filter(ours) {
            let driver = cx.world.drivers.get(&layer.backend)?;
            match driver.label(&cx.call(), layer, Label::Parked { replaced_by: None }).await {
                Ok(mark) if driver.capabilities().placement == Placement::Attached => {
                    layers.push(Layer { parked_mark: mark, ..layer.clone() });
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        let change = TreeChange { layers, ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await?;
        failed.map_or(Ok(()), Err)
    }
}

/// A layer whose object is gone: its row goes too, unless snapshots that our rows still have lay on it.
fn forget(tree: &ServerTree, layer: Layer, node: Option<SnapshotId>, change: &mut TreeChange) {
    let carries = tree.disk_snapshots.iter().any(|part| part.layer_id == layer.id && Some(part.snapshot_id) != node);
    if carries {
        tracing::error!(layer_id = %layer.id, backend_id = %layer.backend_id, "a disk with snapshots is gone: they cannot be restored");
        change.layers.push(Layer { role: LayerRole::Detached, ..layer });
    } else {
        change.layers_gone.push(layer.id);
    }
}

#[async_trait]
impl Work for HeadRetire {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "take" => self.take(cx).await,
            "quiet" => self.quiet(cx).await,
            "keep" => self.keep(cx).await,
            "volumes" => self.volumes(cx).await,
            "record" => self.record(cx).await,
            "label" => self.label(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "take" => self.leave_again(cx).await,
            "keep" => self.let_go(cx).await,
            _ => Ok(()),
        }
    }

    async fn unwound(&mut self, cx: &StepContext<'_>, _reason: &str) -> Result<()> {
        let Some(id) = self.params.node else { return Ok(()) };
        let tree = cx.tree().await?;
        let Some(mut node) = tree.find_snapshot(id).cloned() else { return Ok(()) };
        node.status = SnapshotStatus::Deleted;
        node.updated_at = clock::now();
        let change = TreeChange { snapshots: vec![node], disk_snapshots_gone_of: vec![id], ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&self.state)
    }
}
