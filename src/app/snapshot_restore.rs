//! When a user restores a snapshot or a branch: look, ask which parked disks are untouched, plan, check the quota, record.

use std::collections::BTreeSet;

use super::look::{Look, changed_meanwhile};
use super::plan_view::PlanView;
use super::policy::Rule;
use super::snapshot_create::{Subject, new_branch, new_operation, new_snapshot};
use super::{Answer, App, RequestContext, check_name};
use crate::domain::disk::{DiskSnapshot, Layer, LayerRole, LeftOut, Placement};
use crate::domain::plan::BranchChoice;
use crate::domain::plan::restore::{self, Comeback, RestorePlan, RestoreRequest, RestoreWorld, Safety};
use crate::domain::snapshot::{Snapshot, SnapshotStatus};
use crate::drivers::Source;
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId, OperationId, SnapshotId};
use crate::operations::snapshot_restore::{Incoming, KIND, Origin, Outgoing, Params, STEPS, Slot};
use crate::store::details::SnapshotDetail;
use crate::store::trees::{ServerTree, TreeChange};

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct RestoreSnapshot {
    /// The node.
    pub snapshot_id: SnapshotId,
    /// Only these disks.
    pub disks: Option<Vec<String>>,
    /// Name of the branch that begins.
    pub branch_name: Option<String>,
    /// Whether the present is kept.
    pub safety_snapshot: bool,
    /// Only plan.
    pub dry_run: bool,
    /// The tree must still be of this generation.
    pub tree_generation: Option<i64>,
}

impl App {
    /// Takes a server back to a snapshot, in place.
    ///
    /// # Errors
    /// `BadRequest`, `Forbidden`, `NotFound`, `Conflict`, `QuotaExceeded`: then nothing was changed.
    pub async fn restore_snapshot(
        &self,
        caller: &RequestContext,
        request: RestoreSnapshot,
    ) -> Result<Answer<(SnapshotDetail, OperationId)>> {
        let target = self.get_snapshot(caller, request.snapshot_id).await?.snapshot;
        caller.allow(Rule::SnapshotRestore, &(&target).into()).await?;
        if let Some(name) = &request.branch_name {
            check_name("branch_name", name)?;
        }
        let server = self.visible_server(caller, target.server_id).await?;
        let ignored: Vec<String> = target.left_out.iter().map(|out| out.key.clone()).collect();
        let look = self.look(server, &ignored).await?;
        look.must_be_free(request.tree_generation)?;
        let untouched = self.untouched(&look.tree, target.id).await?;
        let plan = restore::plan(
            &RestoreWorld {
                server: &look.server,
                live: &look.live,
                forest: &look.tree.forest,
                layers: &look.tree.layers,
                disk_snapshots: &look.tree.disk_snapshots,
                unchanged_since: look.unchanged_since,
                untouched: &untouched,
                placement: &|backend| self.drivers.placement(backend),
                nodes_max: self.settings.nodes_max,
                clone_depth_max: self.settings.clone_depth_max,
                copies: &|backend| self.drivers.copies(backend),
            },
            &RestoreRequest {
                target: target.id,
                disks: request.disks.clone(),
                branch_name: request.branch_name.clone(),
                safety: request.safety_snapshot,
            },
        )?;
        self.check_quota(&look.server.project_id, &plan.needs).await?;
        if request.dry_run {
            return Ok(Answer::Plan(Box::new(PlanView::of_restore(&look, &plan, &|backend| {
                self.drivers.placement(backend)
            }))));
        }
        let (change, params) = Rows { app: self, caller, look: &look, plan: &plan, target: &target }.build()?;
        let operation = new_operation(caller, &Subject::of(&look), (KIND, &STEPS), target.id, &params)?;
        let generation = Some(look.tree.record.generation);
        self.store.begin_operation(&operation, &look.server.name, change, generation).await?;
        tracing::info!(operation_id = %operation.id, snapshot_id = %target.id, server_id = %look.server.id, "restore accepted");
        Ok(Answer::Accepted((self.detail_of(target.id).await?, operation.id)))
    }

    /// The parked layers that would serve the node and that their backend confirms to be untouched.
    async fn untouched(&self, tree: &ServerTree, target: SnapshotId) -> Result<BTreeSet<LayerId>> {
        let mut untouched = BTreeSet::new();
        for part in tree.disks_of(target) {
            let parked =
                tree.layers.iter().filter(|layer| layer.role == LayerRole::Parked && layer.equals == Some(part.origin));
            for layer in parked {
                let source =
                    Source { layer: tree.layer(part.layer_id)?, origin: part.origin, backend_id: &part.backend_id };
                if self.drivers.get(&layer.backend)?.equals(layer, source).await.map_err(changed_meanwhile)? {
                    untouched.insert(layer.id);
                }
            }
        }
        Ok(untouched)
    }
}

/// Turns a plan into rows and parameters.
struct Rows<'a> {
    app: &'a App,
    caller: &'a RequestContext,
    look: &'a Look,
    plan: &'a RestorePlan,
    target: &'a Snapshot,
}

impl Rows<'_> {
    fn named(&self, backend: &str) -> bool {
        self.app.drivers.placement(backend) == Placement::Named
    }

    fn build(&self) -> Result<(TreeChange, Params)> {
        let mut change = TreeChange { layers: self.look.seen_layers(), ..TreeChange::default() };
        let mut target = self.target.clone();
        target.status = SnapshotStatus::Restoring;
        change.snapshots.push(target);

        let mut incoming_of_move: Vec<Option<LayerId>> = Vec::new();
        let mut incoming = Vec::new();
        for disk in &self.plan.moves {
            let made = self.incoming(disk, &mut change)?;
            incoming_of_move.push(made.as_ref().map(|made| made.layer));
            incoming.extend(made);
        }
        let (safety, safety_branch_new, parts) = self.safety(&mut change)?;
        let outgoing = self.outgoing(&parts);
        let order_before = self.order_before();
        let order_after = self.order_after(&incoming_of_move)?;
        let current_branch = self.look.tree.forest.current_branch;
        let (branch_after, branch_new) = match &self.plan.branch {
            Some(BranchChoice::Continue(id)) => (Some(*id), None),
            Some(BranchChoice::New(name)) => {
                let branch = new_branch(self.look, name, Some(self.target.id));
                (Some(branch.id), Some((branch.id, branch.name)))
            }
            None => (safety_branch_new.or(current_branch), None),
        };
        let branch_left = current_branch
            .filter(|left| Some(*left) != branch_after && !self.look.tree.forest.has_nodes(*left) && safety.is_none());
        Ok((
            change,
            Params {
                target: self.target.id,
                incoming,
                outgoing,
                volumes_before: self.look.server.volumes.iter().map(|volume| volume.volume_id.clone()).collect(),
                order_before,
                order_after,
                safety,
                was_running: self.plan.stops,
                whole: self.plan.whole,
                keeps: self.plan.moves.iter().any(|disk| disk.comeback == Comeback::Keep),
                current_after: self.plan.current_after,
                branch_after,
                branch_new,
                branch_left,
                prune: self.prune(),
                new_layers: self.look.live.iter().filter(|live| live.is_new).map(|live| live.layer.id).collect(),
                safety_branch_new,
            },
        ))
    }

    fn incoming(&self, disk: &restore::DiskMove, change: &mut TreeChange) -> Result<Option<Incoming>> {
        let part = self.look.tree.disk_snapshot(disk.disk_snapshot)?;
        let source = self.look.tree.layer(part.layer_id)?;
        let named = self.named(&source.backend);
        let gives_way = disk.live.map(|place| &self.look.live[place]);
        let instead_of = gives_way.map(|live| live.layer.id);
        let key = match gives_way {
            Some(live) if named => live.layer.key.clone(),
            None if named => {
                return Err(Error::conflict(format!(
                    "The server has no disk {} now that could be replaced.",
                    source.key
                ))
                .remedy("Was the server resized to another flavor? Restore other disks only."));
            }
            _ => String::new(),
        };
        let (layer, origin) = match disk.comeback {
            Comeback::Keep => return Ok(None),
            Comeback::Reuse(layer) => (layer, Origin::Reused),
            Comeback::Clone | Comeback::Copy => {
                let cloned = disk.comeback == Comeback::Clone;
                let layer = Layer {
                    id: LayerId::new(),
                    server_id: source.server_id,
                    disk_id: source.disk_id,
                    backend: source.backend.clone(),
                    pool: source.pool.clone(),
                    backend_id: String::new(),
                    key,
                    kind: source.kind,
                    role: LayerRole::Preparing,
                    parent: cloned.then_some(part.origin),
                    parent_layer: cloned.then_some(part.layer_id),
                    equals: None,
                    parked_mark: String::new(),
                    facts: source.facts.clone(),
                };
                change.layers.push(layer.clone());
                (layer.id, Origin::Cloned(part.id))
            }
        };
        let size_bytes_min = restore::size_bytes_min(&self.look.server, source.kind, part);
        let copied = disk.comeback == Comeback::Copy;
        Ok(Some(Incoming { layer, origin, instead_of, named, size_bytes_min, copied }))
    }

    /// The safety snapshot's rows, if one is taken: its id, the branch begun for it, its parts.
    #[allow(clippy::type_complexity)]
    fn safety(
        &self,
        change: &mut TreeChange,
    ) -> Result<(Option<SnapshotId>, Option<crate::ids::BranchId>, Vec<DiskSnapshot>)> {
        let Safety::Take(choice) = &self.plan.safety else { return Ok((None, None, vec![])) };
        let (branch_id, begun) = match choice {
            BranchChoice::Continue(id) => (*id, None),
            BranchChoice::New(name) => {
                let branch = new_branch(self.look, name, None);
                let id = branch.id;
                change.branches.push(branch);
                (id, Some(id))
            }
        };
        let towards = match self.look.tree.forest.branch(self.target.branch_id) {
            Some(branch) if self.target.safety => format!("branch {}", branch.name),
            _ => self.target.name.clone(),
        };
        let name: String = format!("before restoring {towards}").chars().take(super::NAME_LENGTH_MAX).collect();
        let mut snapshot = new_snapshot(self.caller, self.look, branch_id, name);
        snapshot.description = "Taken by the restore: what the disks held until then.".to_owned();
        snapshot.safety = true;
        snapshot.parent_id = self.look.tree.forest.current;
        snapshot.left_out.clone_from(&self.look.left_out);
        let mut parts = Vec::new();
        for live in &self.look.live {
            if let Some(reason) = &live.disk.unsupported {
                snapshot.left_out.push(LeftOut {
                    key: live.disk.key.clone(),
                    reason: reason.clone(),
                    disk_id: Some(live.layer.disk_id),
                });
                continue;
            }
            let id = DiskSnapshotId::new();
            parts.push(DiskSnapshot {
                id,
                snapshot_id: snapshot.id,
                layer_id: live.layer.id,
                origin: id,
                backend_id: String::new(),
                position: live.disk.position,
                size_bytes: live.disk.size_bytes,
                attachment: live.disk.attachment.clone(),
            });
        }
        let id = snapshot.id;
        change.disk_snapshots.extend(parts.iter().cloned());
        change.snapshots.push(snapshot);
        Ok((Some(id), begun, parts))
    }

    fn outgoing(&self, safety: &[DiskSnapshot]) -> Vec<Outgoing> {
        let changed =
            self.plan.moves.iter().filter(|disk| disk.comeback != Comeback::Keep).filter_map(|disk| disk.live);
        changed
            .chain(self.plan.leaves.iter().copied())
            .map(|place| {
                let layer = &self.look.live[place].layer;
                let equals = match &self.plan.safety {
                    Safety::Take(_) => safety.iter().find(|part| part.layer_id == layer.id).map(|part| part.origin),
                    Safety::NotNeeded(node) => {
                        restore::equal_part(&self.look.tree.disk_snapshots, *node, layer).map(|part| part.origin)
                    }
                    Safety::Declined => None,
                };
                Outgoing { layer: layer.id, equals }
            })
            .collect()
    }

    /// Safety snapshots that go: those of the plan, and those whose removal an earlier restore could not finish.
    fn prune(&self) -> Vec<SnapshotId> {
        let tree = &self.look.tree;
        let unfinished = tree
            .snapshots
            .iter()
            .filter(|node| node.safety && node.status == SnapshotStatus::Error && !tree.disks_of(node.id).is_empty())
            .map(|node| node.id);
        self.plan.safety_gone.iter().copied().chain(unfinished).collect()
    }

    fn order_before(&self) -> Vec<Slot> {
        self.look
            .live
            .iter()
            .filter(|live| !self.named(&live.disk.backend))
            .map(|live| Slot { layer: live.layer.id, attachment: live.disk.attachment.clone() })
            .collect()
    }

    fn order_after(&self, incoming: &[Option<LayerId>]) -> Result<Vec<Slot>> {
        self.plan
            .order
            .iter()
            .map(|slot| match slot {
                restore::Slot::Stays(place) => {
                    let live = &self.look.live[*place];
                    Ok(Slot { layer: live.layer.id, attachment: live.disk.attachment.clone() })
                }
                restore::Slot::Comes(at) => {
                    let part = self.look.tree.disk_snapshot(self.plan.moves[*at].disk_snapshot)?;
                    let layer =
                        incoming[*at].ok_or_else(|| Error::internal("A disk that stays is planned to come."))?;
                    Ok(Slot { layer, attachment: part.attachment.clone() })
                }
            })
            .collect()
    }
}
