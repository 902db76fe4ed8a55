//! Looks at a server as it is just now: Nova's facts, the disks that the drivers find, and what our rows know of them.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use super::{App, RequestContext};
use crate::clock;
use crate::domain::disk::{FoundDisk, Layer, LayerRole, LeftOut, Placement};
use crate::domain::forest::Forest;
use crate::domain::plan::{LiveDisk, match_layers, names_disk};
use crate::domain::server::{ServerFacts, ServerStatus, may_have_run_since};
use crate::error::{Error, Kind, Result, if_found};
use crate::ids::{ServerId, SnapshotId};
use crate::store::operations::{in_the_way, tree_has_changed};
use crate::store::servers::ServerRecord;
use crate::store::trees::ServerTree;

/// All that a planner needs.
pub struct Look {
    /// Nova's view.
    pub server: ServerFacts,
    /// Our rows; empty ones for a server that was never captured.
    pub tree: ServerTree,
    /// The disks, in the server's order, each with its layer.
    pub live: Vec<LiveDisk>,
    /// What was found and is never covered.
    pub left_out: Vec<LeftOut>,
    /// The node that the live disks equal, because the server has not run since.
    pub unchanged_since: Option<SnapshotId>,
}

impl App {
    /// A server that the caller may know of.
    ///
    /// # Errors
    /// `NotFound`, in the same words whether it is missing or another project's.
    pub(crate) async fn visible_server(&self, caller: &RequestContext, id: ServerId) -> Result<ServerFacts> {
        match if_found(self.compute.server(id).await)? {
            Some(server) if caller.owns(&server.project_id).await? => Ok(server),
            _ => Err(Error::not_found("Server", id)),
        }
    }

    /// Looks at a server. `ignored` are words for disks that nobody needs to serve.
    ///
    /// # Errors
    /// `Conflict` naming a disk that no driver serves; whatever Nova, Glance and the backends fail with.
    pub(crate) async fn look(&self, mut server: ServerFacts, ignored: &[String]) -> Result<Look> {
        if let Some(image_id) = &server.image_id {
            for (name, value) in self.compute.image_properties(image_id).await? {
                server.extra_specs.insert(format!("image:{name}"), value);
            }
        }
        let tree = self.store.tree(server.id).await?.unwrap_or_else(|| empty_tree(&server));
        let found = try_join_all(self.drivers.iter().map(|driver| driver.discover(&server)))
            .await
            .map_err(changed_meanwhile)?;
        let mut disks: Vec<FoundDisk> = Vec::new();
        let mut left_out = Vec::new();
        for part in found {
            disks.extend(part.disks);
            left_out.extend(part.left_out);
        }
        disks.sort_by_key(|disk| (self.drivers.placement(&disk.backend) == Placement::Attached, disk.position));
        for (position, disk) in disks.iter_mut().enumerate() {
            disk.position = u32::try_from(position).unwrap_or(u32::MAX);
        }
        name_unserved(&server, &disks, &mut left_out, ignored)?;
        let live = match_layers(&server, &disks, &tree.layers);
        let unchanged_since = self.unchanged_since(&server, &tree.record, &tree.forest).await?;
        Ok(Look { server, tree, live, left_out, unchanged_since })
    }

    async fn unchanged_since(
        &self,
        server: &ServerFacts,
        record: &ServerRecord,
        forest: &Forest,
    ) -> Result<Option<SnapshotId>> {
        let (Some(node), Some(mark)) = (record.equals_snapshot_id, &record.equals_mark) else { return Ok(None) };
        if server.status != ServerStatus::Shutoff || server.task_state.is_some() || forest.node(node).is_none() {
            return Ok(None);
        }
        let actions = self.compute.actions(server.id).await?;
        Ok((!may_have_run_since(&actions, mark)).then_some(node))
    }
}

impl Look {
    /// Whether a caller's word names a volume that no driver serves, and that is left out for his sake.
    pub(crate) fn is_left_out(&self, word: &str) -> bool {
        let unserved =
            self.server.volumes.iter().filter(|volume| self.left_out.iter().any(|out| out.key == volume.volume_id));
        unserved.into_iter().any(|volume| {
            names_disk(word, &volume.volume_id, volume.attachment.device.as_deref(), &volume.volume_id, None)
        })
    }

    /// Refuses while an operation is under way on the server, while its disks are held by the guard, or where the tree is not
    /// the one that the caller has seen.
    ///
    /// # Errors
    /// `Conflict`, naming the operation or the generations.
    pub(crate) fn must_be_free(&self, tree_generation: Option<i64>) -> Result<()> {
        if let Some(operation) = self.tree.record.operation_id {
            return Err(in_the_way(&operation.to_string()));
        }
        // What the server runs on now may be Nova's new disk, and the tree does not say so yet.
        if self.tree.layers.iter().any(|layer| layer.role == LayerRole::Taken) {
            return Err(Error::conflict(format!(
                "Nova has just deleted, rebuilt or shelved server {}, and what it ran on is being kept.",
                self.server.id
            ))
            .retryable()
            .remedy("Try again in a minute."));
        }
        match tree_generation {
            Some(expected) if expected != self.tree.record.generation => {
                Err(tree_has_changed(self.tree.record.generation, expected))
            }
            _ => Ok(()),
        }
    }

    /// Rows for what was seen: fresh and changed layers, and those of volumes that are no longer on the server.
    #[must_use]
    pub fn seen_layers(&self) -> Vec<Layer> {
        let mut layers: Vec<Layer> = self.live.iter().map(|live| live.layer.clone()).collect();
        let there: BTreeSet<_> = layers.iter().map(|layer| layer.id).collect();
        layers.extend(
            self.tree
                .layers
                .iter()
                .filter(|layer| layer.role == LayerRole::Head && !there.contains(&layer.id))
                .cloned()
                .map(|mut layer| {
                    layer.role = LayerRole::Detached;
                    layer
                }),
        );
        layers
    }
}

/// What a driver misses. Only a server or a snapshot that the caller has named is "not found".
pub(super) fn changed_meanwhile(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => Error::conflict("The server's disks have changed while they were looked at.").source(error),
        _ => error,
    }
}

/// A volume that Nova lists and no driver serves is refused, unless the caller wants it left out: then it is named.
fn name_unserved(
    server: &ServerFacts,
    disks: &[FoundDisk],
    left_out: &mut Vec<LeftOut>,
    ignored: &[String],
) -> Result<()> {
    for volume in &server.volumes {
        if disks.iter().any(|disk| disk.backend_id == volume.volume_id) {
            continue;
        }
        let device = volume.attachment.device.as_deref();
        if !ignored.iter().any(|word| names_disk(word, &volume.volume_id, device, &volume.volume_id, None)) {
            return Err(Error::conflict(format!("No driver serves volume {} of the server.", volume.volume_id))
                .remedy("Enable the driver in ratoon.conf, leave the volume out with exclude_disks, or detach it."));
        }
        left_out.push(LeftOut::never(volume.volume_id.clone(), "excluded by the caller; no driver serves it"));
    }
    Ok(())
}

/// What we know of a server that we have never met.
pub(crate) fn empty_tree(server: &ServerFacts) -> ServerTree {
    ServerTree {
        record: ServerRecord {
            id: server.id,
            project_id: server.project_id.clone(),
            name: server.name.clone(),
            current_snapshot_id: None,
            current_branch_id: None,
            generation: 0,
            next_sequence: 1,
            operation_id: None,
            equals_snapshot_id: None,
            equals_mark: None,
            reclaim_pending_bytes: 0,
            deleted_at: None,
            rebuild_seen: None,
            warnings: vec![],
            created_at: clock::now(),
        },
        forest: Forest::new(server.id, vec![], vec![], None, None, 0),
        snapshots: vec![],
        layers: vec![],
        disk_snapshots: vec![],
    }
}
