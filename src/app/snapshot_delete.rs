//! When a user deletes a snapshot, a subtree, a branch or a whole tree: plan on what is recorded, then the operation. Nova is
//! not asked: a tree may outlive its server.

use super::branches::BranchDetail;
use super::plan_view::PlanView;
use super::policy::{self, Rule};
use super::snapshot_create::{Subject, new_operation};
use super::{Answer, App, RequestContext};
use crate::domain::disk::LayerRole;
use crate::domain::operation::{Operation, OperationStatus};
use crate::domain::plan::delete::{DeletePlan, Joint, Removal, Target};
use crate::domain::snapshot::SnapshotStatus;
use crate::error::{Error, Kind, Result};
use crate::ids::{BranchId, LayerId, OperationId, ServerId, SnapshotId};
use crate::operations::Drivers;
use crate::operations::snapshot_delete::{KIND, MovesTo, Params, STEPS, leaving, leftovers, plan_on};
use crate::store::Store;
use crate::store::details::SnapshotDetail;
use crate::store::operations::{in_the_way, tree_has_changed};
use crate::store::trees::{ServerTree, TreeChange};

/// How a deletion is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct HowToDelete {
    /// All that grew from the snapshot, too.
    pub subtree: bool,
    /// Only plan.
    pub dry_run: bool,
    /// The tree must still be of this generation.
    pub tree_generation: Option<i64>,
}

impl App {
    /// Deletes a snapshot, or all that grew from it as well.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `Conflict`: then nothing was changed.
    pub async fn delete_snapshot(
        &self,
        caller: &RequestContext,
        id: SnapshotId,
        how: HowToDelete,
    ) -> Result<Answer<(SnapshotDetail, OperationId)>> {
        let mut detail = self.get_snapshot(caller, id).await?;
        caller.allow(Rule::SnapshotDelete, &(&detail.snapshot).into()).await?;
        let target = if how.subtree { Target::Subtree(id) } else { Target::Snapshot(id) };
        Ok(match self.delete(caller, detail.snapshot.server_id, target, how).await? {
            Answer::Plan(plan) => Answer::Plan(plan),
            Answer::Accepted(operation) => {
                // It may be gone before anybody could read it again.
                if detail.snapshot.status.is_live() {
                    detail.snapshot.status = SnapshotStatus::Deleting;
                }
                Answer::Accepted((detail, operation))
            }
        })
    }

    /// Deletes a branch with its snapshots.
    ///
    /// # Errors
    /// As [`App::delete_snapshot`].
    pub async fn delete_branch(
        &self,
        caller: &RequestContext,
        id: BranchId,
        how: HowToDelete,
    ) -> Result<Answer<(BranchDetail, OperationId)>> {
        let detail = self.get_branch(caller, id).await?;
        caller.allow(Rule::BranchDelete, &self.target_of(detail.branch.server_id).await?).await?;
        Ok(match self.delete(caller, detail.branch.server_id, Target::Branch(id), how).await? {
            Answer::Plan(plan) => Answer::Plan(plan),
            Answer::Accepted(operation) => Answer::Accepted((detail, operation)),
        })
    }

    /// Deletes all snapshots of a server. Returns its tree as it was before.
    ///
    /// # Errors
    /// As [`App::delete_snapshot`].
    pub async fn delete_tree(
        &self,
        caller: &RequestContext,
        id: ServerId,
        how: HowToDelete,
    ) -> Result<Answer<(ServerTree, OperationId)>> {
        let tree = self.server_tree(caller, id).await?;
        caller.allow(Rule::TreeDelete, &policy::Target::of_project(&tree.record.project_id)).await?;
        if tree.snapshots.is_empty() && tree.layers.iter().all(|layer| layer.role != LayerRole::Parked) {
            return Err(Error::conflict(format!("Server {id} has no snapshots.")));
        }
        Ok(match self.delete(caller, id, Target::Tree, how).await? {
            Answer::Plan(plan) => Answer::Plan(plan),
            Answer::Accepted(operation) => Answer::Accepted((tree, operation)),
        })
    }

    async fn delete(
        &self,
        caller: &RequestContext,
        server_id: ServerId,
        target: Target,
        how: HowToDelete,
    ) -> Result<Answer<OperationId>> {
        let mut tree = self.tree_of(server_id).await?;
        if let Some(operation) = tree.record.operation_id {
            return Err(in_the_way(&operation.to_string()));
        }
        if let Some(expected) = how.tree_generation.filter(|expected| *expected != tree.record.generation) {
            return Err(tree_has_changed(tree.record.generation, expected));
        }
        let lost = lost_layers(&self.drivers, &mut tree).await?;
        // Whether a backend lets go of a snapshot that a disk was made of, only it can tell: it is asked.
        let plan = plan_on(&tree, target, &|_| false)?;
        if matches!(target, Target::Subtree(_)) {
            // Of each that goes along, too: a rule may look at who asked for a snapshot.
            let visible = |id: &SnapshotId| tree.forest.node(*id).is_some_and(|node| !node.hidden);
            for id in plan.deleted().filter(visible) {
                caller.allow(Rule::SnapshotDelete, &tree.snapshot(id)?.into()).await?;
            }
        }
        if how.dry_run {
            let freed = self.freed_bytes(&tree, &plan).await;
            let freed =
                freed.inspect_err(|error| tracing::warn!(error = %error.chain(), "a plan could not be measured"));
            return Ok(Answer::Plan(Box::new(PlanView::of_delete(&tree, &plan, freed.ok()))));
        }
        begin(&self.store, caller, &tree, plan, lost, target).await.map(Answer::Accepted)
    }

    /// What the parked disks hold that a deletion removes, in bytes.
    async fn freed_bytes(&self, tree: &ServerTree, plan: &DeletePlan) -> Result<u64> {
        let mut bytes = 0;
        for removal in &plan.removals {
            if let Removal::Layer(id) = removal {
                let layer = tree.layer(*id)?;
                bytes += self.drivers.get(&layer.backend)?.used_bytes(layer).await?;
            }
        }
        Ok(bytes)
    }

    /// The hidden nodes of a tree, each with the reason why it stays.
    ///
    /// # Errors
    /// `Internal`: rows contradict one another.
    pub fn joints(&self, tree: &ServerTree) -> Result<Vec<Joint>> {
        Ok(leftovers(&self.drivers, tree)?.joints)
    }
}

/// Whether a deletion could not remove all that it was to remove.
fn left_something(deletion: &Operation) -> bool {
    deletion.status == OperationStatus::Failed || !deletion.warnings.is_empty()
}

/// Removes what earlier deletions in a tree had to leave and what nothing holds any more. Returns the operation, if there is
/// anything to do and the tree is at rest.
///
/// # Errors
/// When the database does not answer.
pub async fn tidy(store: &Store, drivers: &Drivers, id: ServerId) -> Result<Option<OperationId>> {
    let Some(mut tree) = store.tree(id).await?.filter(|tree| tree.record.operation_id.is_none()) else {
        return Ok(None);
    };
    let lost = lost_layers(drivers, &mut tree).await?;
    let plan = leftovers(drivers, &tree)?;
    if plan.gone.is_empty() && plan.removals.is_empty() {
        return Ok(None);
    }
    if !store.may_begin_unasked(id, KIND, left_something).await? {
        return Ok(None);
    }
    let service = RequestContext::service(&tree.record.project_id);
    match begin(store, &service, &tree, plan, lost, Target::Leftovers).await {
        Ok(operation) => Ok(Some(operation)),
        Err(error) if error.kind() == Kind::Conflict => Ok(None), // somebody was quicker
        Err(error) => Err(error),
    }
}

/// Removes all that is left of a server which Nova has not known for long: its snapshots, the disks that were parked for them,
/// and at last its rows. Returns the operation, if there is anything to do.
///
/// # Errors
/// `Conflict` naming a protected snapshot, for which all of it stays; when the database does not answer.
pub async fn purge(store: &Store, drivers: &Drivers, id: ServerId) -> Result<Option<OperationId>> {
    let Some(mut tree) = store.tree(id).await?.filter(|tree| tree.record.operation_id.is_none()) else {
        return Ok(None);
    };
    if store.forget_server(id).await? {
        tracing::info!(server_id = %id, "nothing is left of this deleted server");
        return Ok(None);
    }
    if tree.forest.nodes.iter().all(|node| node.hidden)
        && tree.layers.iter().all(|layer| layer.role != LayerRole::Parked)
    {
        return Ok(None); // the sweep goes on with joints
    }
    let lost = lost_layers(drivers, &mut tree).await?;
    let plan = plan_on(&tree, Target::Tree, &|_| false)?;
    if !store.may_begin_unasked(id, KIND, left_something).await? {
        return Ok(None);
    }
    let service = RequestContext::service(&tree.record.project_id);
    begin(store, &service, &tree, plan, lost, Target::Tree).await.map(Some)
}

/// Deletes a node that nobody has asked to be deleted, as if somebody had. Returns the operation, if the tree was at rest.
///
/// # Errors
/// When a backend or the database does not answer.
pub(super) async fn delete_unasked(app: &App, id: ServerId, node: SnapshotId) -> Result<Option<OperationId>> {
    let Some(mut tree) = app.store.tree(id).await?.filter(|tree| tree.record.operation_id.is_none()) else {
        return Ok(None);
    };
    let lost = lost_layers(&app.drivers, &mut tree).await?;
    let service = RequestContext::service(&tree.record.project_id);
    let target = Target::Snapshot(node);
    let begun = match plan_on(&tree, target, &|_| false) {
        Ok(plan) => begin(&app.store, &service, &tree, plan, lost, target).await,
        Err(error) => Err(error),
    };
    match begun {
        Ok(operation) => Ok(Some(operation)),
        // Somebody was quicker: it is protected or gone meanwhile, or something else has begun.
        Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Forgets, for the plan, disks that their owner has taken off the server and deleted since: what they were made of is held by
/// them no more. Returns them.
async fn lost_layers(drivers: &Drivers, tree: &mut ServerTree) -> Result<Vec<LayerId>> {
    let mut lost = Vec::new();
    for layer in tree.layers.iter().filter(|layer| layer.role == LayerRole::Detached) {
        let carries = tree.disk_snapshots.iter().any(|part| part.layer_id == layer.id);
        if !carries && !drivers.get(&layer.backend)?.exists(layer).await? {
            lost.push(layer.id);
        }
    }
    tree.layers.retain(|layer| !lost.contains(&layer.id));
    Ok(lost)
}

async fn begin(
    store: &Store,
    caller: &RequestContext,
    tree: &ServerTree,
    plan: DeletePlan,
    lost: Vec<LayerId>,
    target: Target,
) -> Result<OperationId> {
    let about = match target {
        Target::Snapshot(id) | Target::Subtree(id) => Some(id),
        _ => plan.deleted().next().or(tree.snapshots.first().map(|node| node.id)),
    };
    let params = Params {
        nodes: plan.deleted().collect(),
        removals: plan.removals,
        current: plan.current.map(|node| MovesTo { node }),
        lost,
    };
    let subject = Subject { server_id: tree.record.id, project_id: tree.record.project_id.clone() };
    // Of a tree without snapshots: an id that nothing has.
    let about = about.unwrap_or_default();
    let operation = new_operation(caller, &subject, (KIND, &STEPS), about, &params)?;
    let change = TreeChange { snapshots: leaving(tree, &params.nodes), ..TreeChange::default() };
    store.begin_operation(&operation, &tree.record.name, change, Some(tree.record.generation)).await?;
    tracing::info!(operation_id = %operation.id, server_id = %tree.record.id, "deletion accepted");
    Ok(operation.id)
}
