//! The disks' part of a restore: making, capturing, moving, and the way back of each.

use futures::future::join_all;

use super::{Incoming, Origin, Slot, SnapshotRestore};
use crate::domain::disk::{DiskSnapshot, Layer, LayerRole, Placement};
use crate::drivers::Source;
use crate::error::{Error, Result};
use crate::operations::volume_order::{self, Marks, Placed};
use crate::operations::{StepContext, power};
use crate::store::trees::ServerTree;

/// How often the renames are tried between two things that Nova does with the server.
const SWAP_TRIES_MAX: u32 = 20;

/// A part of a node with the layer it lies on.
fn source<'a>(tree: &'a ServerTree, part: &'a DiskSnapshot) -> Result<Source<'a>> {
    Ok(Source { layer: tree.layer(part.layer_id)?, origin: part.origin, backend_id: &part.backend_id })
}

impl SnapshotRestore {
    /// A layer, with the backend id that this operation may only just have learned.
    pub(super) fn layer(&self, tree: &ServerTree, id: crate::ids::LayerId) -> Result<Layer> {
        let mut layer = tree.layer(id)?.clone();
        if let Some(backend_id) = self.state.prepared.get(&id) {
            layer.backend_id.clone_from(backend_id);
        }
        Ok(layer)
    }

    fn cloned(&self) -> impl Iterator<Item = (&Incoming, crate::ids::DiskSnapshotId)> {
        self.params.incoming.iter().filter_map(|incoming| match incoming.origin {
            Origin::Cloned(part) => Some((incoming, part)),
            Origin::Reused => None,
        })
    }

    /// A parked disk that is used again must still hold what was parked: anybody who may attach it may have written to it
    /// since the plan was made.
    async fn reused_must_be_untouched(&self, cx: &StepContext<'_>, tree: &ServerTree) -> Result<()> {
        for incoming in self.params.incoming.iter().filter(|incoming| incoming.origin == Origin::Reused) {
            let layer = tree.layer(incoming.layer)?;
            let parts = tree.disks_of(self.params.target);
            let Some(part) = parts.into_iter().find(|part| layer.equals == Some(part.origin)) else { continue };
            if !cx.world.drivers.get(&layer.backend)?.equals(layer, source(tree, part)?).await? {
                return Err(Error::conflict(format!(
                    "The parked disk {} ({}) was used after this restore was asked for.",
                    layer.key, layer.backend_id
                ))
                .remedy("Ask again: the disk will be made from the snapshot."));
            }
        }
        Ok(())
    }

    pub(super) async fn prepare(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        self.reused_must_be_untouched(cx, &tree).await?;
        let call = cx.call();
        let mut jobs = Vec::new();
        for (incoming, part) in self.cloned() {
            let part = tree.disk_snapshot(part)?;
            let source = source(&tree, part)?;
            let driver = cx.world.drivers.get(&source.layer.backend)?;
            let call = &call;
            jobs.push(async move {
                let new = incoming.new_layer();
                (incoming.layer, driver.prepare(call, source, &new).await)
            });
        }
        let results = join_all(jobs).await;
        let mut failed = None;
        for (layer, result) in results {
            match result {
                Ok(backend_id) => {
                    self.state.prepared.insert(layer, backend_id);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) async fn undo_prepare(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if self.state.used {
            return Ok(()); // see `note_use`
        }
        let tree = cx.tree().await?;
        for (incoming, part) in self.cloned() {
            let source = source(&tree, tree.disk_snapshot(part)?)?;
            let new = incoming.new_layer();
            cx.world.drivers.get(&source.layer.backend)?.discard(&cx.call(), source, &new).await?;
        }
        self.state.prepared.clear();
        Ok(())
    }

    /// Waits until nobody has a named disk open: QEMU lets go a moment after Nova says that the server is stopped.
    pub(super) async fn quiet(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let heads = tree.layers.iter().filter(|layer| {
            layer.role == LayerRole::Head && cx.world.drivers.placement(&layer.backend) == Placement::Named
        });
        for head in heads.filter(|_| self.moves_disks()) {
            let driver = cx.world.drivers.get(&head.backend)?;
            cx.wait("the disks of the stopped server to be let go", cx.world.settings.watcher_timeout, || async {
                Ok(driver.users(head).await?.is_empty().then_some(()))
            })
            .await?;
        }
        if self.moves_disks() && self.state.rest_mark.is_none() {
            self.state.rest_mark = self.newest_request(cx).await?;
        }
        self.reused_must_be_untouched(cx, &tree).await // stopping takes minutes
    }

    pub(super) async fn safety(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let Some(id) = self.params.safety else { return Ok(()) };
        power::idle(cx, cx.world.settings.stop_timeout).await?;
        self.nova_must_rest(cx).await?;
        let tree = cx.tree().await?;
        let call = cx.call();
        let mut jobs = Vec::new();
        for part in tree.disks_of(id) {
            let layer = tree.layer(part.layer_id)?;
            let driver = cx.world.drivers.get(&layer.backend)?;
            let call = &call;
            jobs.push(async move { (part.id, driver.capture(call, layer, part.id).await) });
        }
        for (part, result) in join_all(jobs).await {
            let captured = result.map_err(|error| error.context("The safety snapshot could not be taken"))?;
            self.state.safety.insert(part, (captured.backend_id, captured.size_bytes));
        }
        Ok(())
    }

    pub(super) async fn undo_safety(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let Some(id) = self.params.safety else { return Ok(()) };
        let tree = cx.tree().await?;
        for part in tree.disks_of(id) {
            let layer = tree.layer(part.layer_id)?;
            cx.world.drivers.get(&layer.backend)?.remove_snapshot(&cx.call(), layer, part.id).await?;
        }
        self.state.safety.clear();
        Ok(())
    }

    /// All volumes that this restore takes off or puts on.
    fn known(&self, tree: &ServerTree) -> Result<Vec<Placed>> {
        let mut all = self.placed(tree, &self.params.order_before)?;
        all.extend(self.placed(tree, &self.params.order_after)?);
        Ok(all)
    }

    fn placed(&self, tree: &ServerTree, order: &[Slot]) -> Result<Vec<Placed>> {
        order
            .iter()
            .map(|slot| {
                let layer = self.layer(tree, slot.layer)?;
                Ok(Placed { volume_id: layer.backend_id, attachment: slot.attachment.clone(), backend: layer.backend })
            })
            .collect()
    }

    /// How many attached volumes at the beginning stay where they are.
    fn untouched(&self) -> usize {
        let pairs = self.params.order_before.iter().zip(&self.params.order_after);
        pairs.take_while(|(before, after)| before.layer == after.layer).count()
    }

    /// Asked before anything stops: a volume that could not be attached again would keep the server down.
    pub(super) async fn volumes_must_be_movable(&self, cx: &StepContext<'_>) -> Result<()> {
        let placed = self.placed(&cx.tree().await?, &self.params.order_before)?;
        for volume in placed.iter().skip(self.untouched()) {
            volume_order::must_be_ours_alone(cx, volume).await?;
        }
        Ok(())
    }

    pub(super) async fn arrange(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.moves_disks() {
            return Ok(());
        }
        power::idle(cx, cx.world.settings.stop_timeout).await?;
        self.nova_must_rest(cx).await?;
        self.must_have_rested(cx).await?;
        let tree = cx.tree().await?;
        let (wanted, known) = (self.placed(&tree, &self.params.order_after)?, self.known(&tree)?);
        volume_order::arrange(cx, &wanted, self.untouched(), &known, &mut self.state.marks).await
    }

    pub(super) async fn undo_arrange(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.moves_disks() {
            return Ok(());
        }
        if self.server_is_gone(cx).await? {
            return Ok(()); // Nova has taken its volumes off
        }
        self.note_use(cx).await?;
        let tree = cx.tree().await?;
        let (wanted, known) = (self.placed(&tree, &self.params.order_before)?, self.known(&tree)?);
        volume_order::arrange(cx, &wanted, self.untouched(), &known, &mut Marks::new()).await
    }

    /// The pairs that trade the name which Nova expects: (now head, to be head).
    fn swaps(&self, tree: &ServerTree) -> Result<Vec<(Layer, Layer)>> {
        self.params
            .incoming
            .iter()
            .filter(|incoming| incoming.named)
            .map(|incoming| {
                let head = incoming
                    .instead_of
                    .ok_or_else(|| Error::internal("A named disk comes without one that gives way."))?;
                Ok((self.layer(tree, head)?, self.layer(tree, incoming.layer)?))
            })
            .collect()
    }

    pub(super) async fn swap(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let swaps = self.swaps(&tree)?;
        if swaps.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            power::idle(cx, cx.world.settings.stop_timeout).await?;
            self.nova_must_rest(cx).await?;
            self.must_have_rested(cx).await?;
            // Of a try that was taken back, this one's or another engine's.
            for (incoming, _) in self.cloned().filter(|(incoming, _)| incoming.named) {
                let layer = self.layer(&tree, incoming.layer)?;
                cx.world.drivers.get(&layer.backend)?.clear(&layer).await?;
            }
            for (head, next) in &swaps {
                cx.world.drivers.get(&head.backend)?.swap(&cx.call(), head, next).await?;
            }
            // Whatever Nova began just before the renames may have looked for the disk between them.
            match self.nova_must_rest(cx).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.swap_back(cx).await?;
                    if !error.is_retryable() || tries == SWAP_TRIES_MAX {
                        return Err(error);
                    }
                }
            }
        }
    }

    pub(super) async fn undo_swap(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if self.server_is_gone(cx).await? {
            return Ok(()); // and its head with it, whichever that was
        }
        self.note_use(cx).await?;
        self.swap_back(cx).await
    }

    async fn swap_back(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        for (head, next) in self.swaps(&tree)?.iter().rev() {
            let driver = cx.world.drivers.get(&head.backend)?;
            // What Nova has looked for in vain while another disk bore the name, it does not look for again. What it still
            // needs cannot be cleared, and bears the right name again in a moment.
            if let Err(error) = driver.clear(head).await {
                tracing::info!(error = %error.chain(), "Nova may need what it has left on a disk that gets its name back");
            }
            driver.swap(&cx.call(), next, head).await?;
        }
        Ok(())
    }

    pub(super) async fn verify(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.moves_disks() {
            return Ok(());
        }
        let tree = cx.tree().await?;
        let (wanted, known) = (self.placed(&tree, &self.params.order_after)?, self.known(&tree)?);
        volume_order::verify(cx, &wanted, self.untouched(), &known).await?;
        for (head, next) in self.swaps(&tree)? {
            for layer in [&head, &next] {
                let users = cx.world.drivers.get(&layer.backend)?.users(layer).await?;
                if !users.is_empty() {
                    return Err(Error::conflict(format!("Disk {} is open.", layer.key))
                        .detail(users.join(", "))
                        .retryable());
                }
            }
        }
        Ok(())
    }
}
