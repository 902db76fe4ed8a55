//! When a user deletes a snapshot, a subtree or a branch: plan on what is recorded, then the operation. Nova is not asked: a
//! tree may outlive its server.

use super::plan_view::PlanView;
use super::policy::Rule;
use super::snapshot_create::{Subject, new_operation};
use super::{Answer, App, RequestContext};
use crate::domain::plan::delete::{self, DeleteWorld, Target};
use crate::error::{Error, Result};
use crate::ids::{BranchId, OperationId, ServerId, SnapshotId};
use crate::operations::snapshot_delete::{KIND, Params, SnapshotDelete};
use crate::operations::untyped;
use crate::store::operations::{in_the_way, tree_has_changed};
use crate::store::trees::TreeChange;

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
    ) -> Result<Answer<OperationId>> {
        let snapshot = self.get_snapshot(caller, id).await?.snapshot;
        caller.allow(Rule::SnapshotDelete)?;
        let target = if how.subtree { Target::Subtree(id) } else { Target::Snapshot(id) };
        self.delete(caller, snapshot.server_id, target, how).await
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
    ) -> Result<Answer<OperationId>> {
        let branch = self.get_branch(caller, id).await?.branch;
        caller.allow(Rule::BranchDelete)?;
        self.delete(caller, branch.server_id, Target::Branch(id), how).await
    }

    async fn delete(
        &self,
        caller: &RequestContext,
        server_id: ServerId,
        target: Target,
        how: HowToDelete,
    ) -> Result<Answer<OperationId>> {
        let tree = self.tree_of(server_id).await?;
        if let Some(operation) = tree.record.operation_id {
            return Err(in_the_way(&operation.to_string()));
        }
        if let Some(expected) = how.tree_generation.filter(|expected| *expected != tree.record.generation) {
            return Err(tree_has_changed(tree.record.generation, expected));
        }
        let plan = delete::plan(
            &DeleteWorld {
                forest: &tree.forest,
                layers: &tree.layers,
                disk_snapshots: &tree.disk_snapshots,
                clones_hold: &|backend| self.drivers.clones_hold_snapshots(backend),
            },
            target,
        )?;
        if how.dry_run {
            return Ok(Answer::Plan(Box::new(PlanView::of_delete(&tree, &plan))));
        }
        let nodes: Vec<SnapshotId> =
            plan.gone.iter().copied().chain(plan.joints.iter().map(|joint| joint.id)).collect();
        let first = *nodes.first().ok_or_else(|| Error::conflict("There is nothing to delete."))?;
        let params = Params { nodes, removals: plan.removals, current: plan.current };
        let subject = Subject { server_id, project_id: tree.record.project_id.clone() };
        let operation =
            new_operation(caller, &subject, KIND, first, untyped(&params)?, SnapshotDelete::steps_total());
        let generation = Some(tree.record.generation);
        self.store.begin_operation(&operation, &tree.record.name, TreeChange::default(), generation).await?;
        tracing::info!(operation_id = %operation.id, server_id = %server_id, "deletion accepted");
        Ok(Answer::Accepted(operation.id))
    }
}
