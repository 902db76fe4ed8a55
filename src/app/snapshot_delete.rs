//! When a user deletes a snapshot, a subtree, a branch or a whole tree: plan on what is recorded, then the operation. Nova is
//! not asked: a tree may outlive its server.

use super::branches::BranchDetail;
use super::plan_view::PlanView;
use super::policy::Rule;
use super::snapshot_create::{Subject, new_operation};
use super::snapshots::SnapshotDetail;
use super::{Answer, App, RequestContext};
use crate::domain::disk::LayerRole;
use crate::domain::plan::delete::{DeletePlan, Joint, Target};
use crate::domain::snapshot::SnapshotStatus;
use crate::error::{Error, Kind, Result};
use crate::ids::{BranchId, LayerId, OperationId, ServerId, SnapshotId};
use crate::operations::snapshot_delete::{KIND, MovesTo, Params, SnapshotDelete, leaving, leftovers, plan_on};
use crate::operations::{Drivers, untyped};
use crate::store::Store;
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
        caller.allow(Rule::SnapshotDelete)?;
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
        caller.allow(Rule::BranchDelete)?;
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
        caller.allow(Rule::TreeDelete)?;
        if tree.snapshots.is_empty() {
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
        if how.dry_run {
            return Ok(Answer::Plan(Box::new(PlanView::of_delete(&tree, &plan))));
        }
        begin(&self.store, caller, &tree, plan, lost, target).await.map(Answer::Accepted)
    }

    /// The hidden nodes of a tree, each with the reason why it stays.
    ///
    /// # Errors
    /// `Internal`: rows contradict one another.
    pub fn joints(&self, tree: &ServerTree) -> Result<Vec<Joint>> {
        Ok(leftovers(&self.drivers, tree)?.joints)
    }
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
    let service = RequestContext {
        project_id: tree.record.project_id.clone(),
        user_id: String::new(),
        roles: vec![],
        request_id: format!("req-{}", OperationId::new()),
    };
    match begin(store, &service, &tree, plan, lost, Target::Leftovers).await {
        Ok(operation) => Ok(Some(operation)),
        Err(error) if error.kind() == Kind::Conflict => Ok(None), // somebody was quicker
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
    let about = about.ok_or_else(|| Error::conflict("There is nothing to delete."))?;
    let params = Params {
        nodes: plan.deleted().collect(),
        removals: plan.removals,
        current: plan.current.map(|node| MovesTo { node }),
        lost,
    };
    let subject = Subject { server_id: tree.record.id, project_id: tree.record.project_id.clone() };
    let operation = new_operation(caller, &subject, KIND, about, untyped(&params)?, SnapshotDelete::steps_total());
    let change = TreeChange { snapshots: leaving(tree, &params.nodes), ..TreeChange::default() };
    store.begin_operation(&operation, &tree.record.name, change, Some(tree.record.generation)).await?;
    tracing::info!(operation_id = %operation.id, server_id = %tree.record.id, "deletion accepted");
    Ok(operation.id)
}
