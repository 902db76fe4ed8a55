//! When Nova deletes, rebuilds or shelves a server: looks at Nova and at the names in storage, and records what
//! `domain/plan/guard.rs` decides. Called after a notification and by the sweep; asked twice, it does nothing twice.

use serde::Serialize;

use super::snapshot_create::{Subject, new_operation};
use super::{App, RequestContext};
use crate::clock;
use crate::domain::disk::{DiskSnapshot, Layer, LayerRole, LeftOut, Placement};
use crate::domain::operation::{Operation, OperationStatus};
use crate::domain::plan::guard::{
    Bearer, Head, Removing, Seen, Verdict, at_rest, decide, heads, needs_actions, newest_replacing, to_retire,
};
use crate::domain::server::{ServerAction, ServerFacts};
use crate::domain::snapshot::{Consistency, ConsistencyRecord, Snapshot, SnapshotStatus};
use crate::error::{Error, Kind, Result, if_found};
use crate::ids::{DiskSnapshotId, LayerId, OperationId, ServerId, SnapshotId};
use crate::operations::{Step, head_giveback, head_retire, head_takeover};
use crate::store::operations::in_the_way;
use crate::store::trees::{ServerTree, TreeChange};

/// What Nova says of a server, and what follows.
struct Situation {
    tree: ServerTree,
    server: Option<ServerFacts>,
    actions: Vec<ServerAction>,
    heads: Vec<Head>,
}

/// Looks after the disks of one server. `deletion_was_told`: a notification says that its deletion has begun.
///
/// # Errors
/// What Nova, a backend or the database fails with; a conflict that passes while another operation works on the server.
pub async fn guard(app: &App, id: ServerId, deletion_was_told: bool) -> Result<Option<OperationId>> {
    let Some(tree) = app.store.tree(id).await?.filter(|tree| tree.record.deleted_at.is_none()) else {
        return Ok(None);
    };
    let heads = heads(&tree.layers, |backend| app.drivers.placement(backend) == Placement::Named);
    let server = if_found(app.compute.server(id).await)?;
    let actions = match server.as_ref().is_some_and(needs_actions) {
        true => if_found(app.compute.actions(id).await)?.unwrap_or_default(),
        false => vec![],
    };
    let was_deleted = server.is_none() && app.compute.was_deleted(id).await?;
    let mut it = Situation { tree, server, actions, heads };
    let mut verdict = decide(Seen {
        server: it.server.as_ref(),
        was_deleted,
        actions: &it.actions,
        heads: &it.heads,
        deletion_was_told,
        rebuild_seen: it.tree.record.rebuild_seen.as_deref(),
        at: clock::now(),
    });
    // An operation moves names itself: what is seen of them meanwhile is no evidence.
    let is_free = it.tree.record.operation_id.is_none();
    if verdict == Verdict::LookAtNames && is_free {
        verdict = it.look_at_names(app).await?;
    }
    if let Verdict::Leave(reason) = verdict {
        tracing::debug!(server_id = %id, reason, "the guard leaves this server alone");
        return Ok(None);
    }
    if verdict == Verdict::Unknown {
        tracing::warn!(server_id = %id, "Nova neither shows this server nor says that it was deleted: its disks and its tree stay as they are");
        return Ok(None);
    }
    // What is taken may be about to be given back: an operation that has begun before Nova did.
    if let Some(operation) = it.tree.record.operation_id {
        return Err(in_the_way(&operation.to_string()).retryable());
    }
    if verdict == Verdict::IsTaken {
        return Ok(None);
    }
    if matches!(verdict, Verdict::Retire(_)) {
        it.nobody_may_use_the_heads(app).await?;
    }
    let begun = match verdict {
        Verdict::TakeOver(why) if it.tree.forest.nodes.is_empty() => {
            tracing::debug!(server_id = %id, ?why, "a server without snapshots: Nova removes its disks itself");
            return Ok(None);
        }
        Verdict::TakeOver(_) if !app.settings.guard => return Ok(None),
        Verdict::TakeOver(why) => it.take_over(why)?,
        Verdict::GiveBack => it.give_back()?,
        Verdict::Retire(why) => it.retire(why)?,
        Verdict::OldDiskCameBack => return it.alarm(app).await.map(|()| None),
        Verdict::Leave(_) | Verdict::IsTaken | Verdict::LookAtNames | Verdict::Unknown => return Ok(None),
    };
    let (operation, change) = begun;
    let failed = |it: &Operation| it.status == OperationStatus::Failed;
    if !matches!(verdict, Verdict::TakeOver(_)) && !app.store.may_begin_unasked(id, &operation.kind, failed).await? {
        let text = format!(
            "{} Ratoon goes on trying; why it failed so far: openstack server snapshot operation list --server {id}",
            match verdict {
                Verdict::GiveBack =>
                    "Disks of this server could not be given back their names: it can be neither captured nor restored.",
                _ => "What Nova has removed of this server could not be kept as a snapshot so far.",
            }
        );
        if app.store.warn_server(id, &text, None).await? {
            tracing::error!(server_id = %id, kind = %operation.kind, "the guard has tried this in vain, and waits");
        }
        return Ok(None);
    }
    let generation = Some(it.tree.record.generation);
    let begun = app.store.begin_operation(&operation, &it.tree.record.name, change, generation).await;
    // Somebody was quicker.
    begun.map_err(|error| if error.kind() == Kind::Conflict { error.retryable() } else { error })?;
    tracing::info!(server_id = %id, operation_id = %operation.id, kind = %operation.kind, "the guard acts");
    Ok(Some(operation.id))
}

impl Situation {
    async fn look_at_names(&mut self, app: &App) -> Result<Verdict> {
        let mut named = Vec::new();
        for head in &mut self.heads {
            let layer = self.tree.layer(head.layer)?;
            let driver = app.drivers.get(&layer.backend)?;
            let bearer = match driver.bearer(layer).await? {
                None => Bearer::Nobody,
                Some(id) if id == layer.backend_id => Bearer::Itself,
                Some(_) => Bearer::Another,
            };
            // One that has lost its name was taken, though an engine died before it could say so.
            let there = bearer == Bearer::Itself || driver.exists(layer).await?;
            head.taken |= bearer == Bearer::Another || bearer == Bearer::Nobody && there;
            if bearer == Bearer::Nobody && !there {
                tracing::error!(server_id = %layer.server_id, disk = %layer.key, backend_id = %layer.backend_id,
                    "the head of this server is missing, and so is its object: the server cannot start");
            }
            named.push((head.clone(), bearer));
        }
        let mut parts = Vec::new();
        for part in &self.tree.disk_snapshots {
            parts.push((part, self.tree.snapshot(part.snapshot_id)?.created_at));
        }
        Ok(at_rest(&named, newest_replacing(&self.actions), self.tree.record.rebuild_seen.as_deref(), &parts))
    }

    /// A guest may run on although Nova has deleted its server: where its host was down. Its disk is not Nova's to remove yet,
    /// and not ours to keep.
    async fn nobody_may_use_the_heads(&self, app: &App) -> Result<()> {
        for id in to_retire(self.server.as_ref(), &self.heads) {
            let layer = self.tree.layer(id)?;
            let driver = app.drivers.get(&layer.backend)?;
            if !driver.exists(layer).await? {
                continue;
            }
            let users = driver.users(layer).await?;
            if !users.is_empty() {
                return Err(Error::conflict(format!(
                    "Disk {} of server {} is still open.",
                    layer.key, layer.server_id
                ))
                .detail(users.join(", "))
                .retryable());
            }
        }
        Ok(())
    }

    fn rebuild(&self) -> Option<String> {
        let newest = newest_replacing(&self.actions).filter(|action| action.action == "rebuild");
        newest.map(|action| action.request_id.clone())
    }

    fn volumes(&self) -> impl Iterator<Item = &Layer> {
        let is_head = |id: LayerId| self.heads.iter().any(|head| head.layer == id);
        self.tree
            .layers
            .iter()
            .filter(move |layer| matches!(layer.role, LayerRole::Head | LayerRole::Taken) && !is_head(layer.id))
    }

    /// The volumes that Nova deletes with the server, as it says now.
    fn doomed_volumes(&self) -> Vec<LayerId> {
        let Some(server) = &self.server else { return vec![] };
        let doomed = |layer: &&Layer| {
            server
                .volumes
                .iter()
                .any(|volume| volume.volume_id == layer.backend_id && volume.attachment.delete_on_termination)
        };
        self.volumes().filter(doomed).map(|layer| layer.id).collect()
    }

    fn take_over(&self, why: Removing) -> Result<(Operation, TreeChange)> {
        let heads = self.heads.iter().filter(|head| !head.taken).map(|head| head.layer).collect();
        let volumes = if why == Removing::Deleting { self.doomed_volumes() } else { vec![] };
        let params = head_takeover::Params { why, heads, volumes };
        let operation = self.operation((head_takeover::KIND, &head_takeover::STEPS), self.about(), &params)?;
        Ok((operation, TreeChange::default()))
    }

    fn give_back(&self) -> Result<(Operation, TreeChange)> {
        let taken = |layer: &&Layer| layer.role == LayerRole::Taken;
        let params = head_giveback::Params {
            heads: self.heads.iter().filter(|head| head.taken).map(|head| head.layer).collect(),
            volumes: self.volumes().filter(taken).map(|layer| layer.id).collect(),
            rebuild: self.rebuild(),
        };
        let operation = self.operation((head_giveback::KIND, &head_giveback::STEPS), self.about(), &params)?;
        Ok((operation, TreeChange::default()))
    }

    fn retire(&self, why: Removing) -> Result<(Operation, TreeChange)> {
        let mut change = TreeChange::default();
        let heads = to_retire(self.server.as_ref(), &self.heads);
        let node = self.kept_node(why);
        let id = node.as_ref().map(|node| node.id);
        if let Some(node) = node {
            let kept = self.tree.layers.iter().filter(|layer| heads.contains(&layer.id));
            for (position, layer) in (0..).zip(kept) {
                let part = DiskSnapshotId::new();
                change.disk_snapshots.push(DiskSnapshot {
                    id: part,
                    snapshot_id: node.id,
                    layer_id: layer.id,
                    origin: part,
                    backend_id: String::new(),
                    position,
                    size_bytes: 0,
                    attachment: Default::default(),
                });
            }
            change.snapshots.push(node);
        }
        let params = head_retire::Params {
            why,
            heads,
            node: id,
            volumes: match why {
                // Of a deletion that was not heard of in time nobody knows whether a volume was still to go with the server: its
                // owner keeps it.
                Removing::Deleting => self.volumes().map(|layer| (layer.id, layer.role == LayerRole::Taken)).collect(),
                _ => vec![],
            },
            rebuild: self.rebuild(),
        };
        let about = id.unwrap_or_else(|| self.about());
        Ok((self.operation((head_retire::KIND, &head_retire::STEPS), about, &params)?, change))
    }

    /// The node that keeps the last state of what Nova has removed, if the tree has a branch to put it on.
    fn kept_node(&self, why: Removing) -> Option<Snapshot> {
        let record = &self.tree.record;
        let branch_id = record.current_branch_id?;
        if self.heads.is_empty() || self.tree.forest.nodes.is_empty() {
            return None;
        }
        let last = self.tree.forest.nodes.last()?;
        let now = clock::now();
        let reason = "only the disks that Nova removed are in this snapshot";
        let left_out = self.volumes().map(|layer| LeftOut {
            key: layer.key.clone(),
            reason: reason.to_owned(),
            disk_id: Some(layer.disk_id),
        });
        Some(Snapshot {
            id: SnapshotId::new(),
            server_id: record.id,
            project_id: record.project_id.clone(),
            user_id: String::new(),
            parent_id: record.current_snapshot_id,
            branch_id,
            sequence: 0, // given by the store
            name: format!("before {}", why.as_str()),
            description: String::new(),
            status: SnapshotStatus::Creating,
            hidden: false,
            safety: true,
            protection: None,
            consistency: ConsistencyRecord::asked(Consistency::Auto),
            partial: false,
            at_rest: true,
            left_out: left_out.collect(),
            beside: None,
            server_name: record.name.clone(),
            flavor: self.server.as_ref().map_or_else(|| last.flavor.clone(), |server| server.flavor.clone()),
            fault: None,
            created_at: now,
            updated_at: now,
        })
    }

    /// A snapshot that the operation can be shown beside.
    fn about(&self) -> SnapshotId {
        let current = self.tree.record.current_snapshot_id;
        let any = current.or(self.tree.snapshots.last().map(|node| node.id));
        // A server of which all snapshots were deleted: an id that nothing has.
        any.unwrap_or_default()
    }

    fn operation(&self, kind: (&str, &[Step]), about: SnapshotId, params: &impl Serialize) -> Result<Operation> {
        let record = &self.tree.record;
        let subject = Subject { server_id: record.id, project_id: record.project_id.clone() };
        new_operation(&RequestContext::service(&record.project_id), &subject, kind, about, params)
    }

    async fn alarm(&self, app: &App) -> Result<()> {
        let Some(request) = self.rebuild() else { return Ok(()) };
        let text = format!(
            "The rebuild {request} has not replaced the server's disk: Nova could not remove the old one, and the server runs on it. \
             Rebuild it again."
        );
        if app.store.warn_server(self.tree.record.id, &text, Some(&request)).await? {
            tracing::error!(server_id = %self.tree.record.id, request_id = %request, "ALARM: after a rebuild this server runs on its old disk; no notification had told of the rebuild in time");
        }
        Ok(())
    }
}
