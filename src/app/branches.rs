//! When a user lists, renames or restores branches.

use super::policy::{Rule, Target};
use super::snapshot_restore::RestoreSnapshot;
use super::{Answer, App, RequestContext, check_name};
use crate::domain::snapshot::Branch;
use crate::error::{Error, Result};
use crate::ids::{BranchId, OperationId, ServerId, SnapshotId};
use crate::store::trees::ServerTree;

/// A branch with what a view shows besides.
#[derive(Debug, Clone)]
pub struct BranchDetail {
    /// The branch.
    pub branch: Branch,
    /// Its newest live node, or where it begins.
    pub tip: Option<SnapshotId>,
    /// Whether the next capture continues it.
    pub current: bool,
}

/// All branches of a tree.
#[must_use]
pub fn details(tree: &ServerTree) -> Vec<BranchDetail> {
    tree.forest
        .branches
        .iter()
        .map(|branch| BranchDetail {
            branch: branch.clone(),
            tip: tree.forest.tip(branch.id),
            current: tree.forest.current_branch == Some(branch.id),
        })
        .collect()
}

impl App {
    /// The branches of a server.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`.
    pub async fn list_branches(&self, caller: &RequestContext, server: ServerId) -> Result<Vec<BranchDetail>> {
        Ok(details(&self.server_tree(caller, server).await?))
    }

    /// A branch that the caller may know of.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, in the same words whether it is missing or another project's.
    pub async fn get_branch(&self, caller: &RequestContext, id: BranchId) -> Result<BranchDetail> {
        caller.allow(Rule::ServerGet, &caller.own()).await?;
        let missing = || Error::not_found("Branch", id);
        let branch = self.store.branch(id).await?.ok_or_else(missing)?;
        let tree = self.tree_of(branch.server_id).await?;
        caller.allow_found(Rule::ServerGet, &Target::of_project(&tree.record.project_id), missing).await?;
        details(&tree).into_iter().find(|detail| detail.branch.id == id).ok_or_else(missing)
    }

    /// A server that has a record, as rules may ask for it.
    pub(super) async fn target_of(&self, server: ServerId) -> Result<Target> {
        let record = self.store.server(server).await?.ok_or_else(|| Error::not_found("Server", server))?;
        Ok(Target::of_project(&record.project_id))
    }

    /// Gives a branch another name.
    ///
    /// # Errors
    /// `BadRequest`, `Forbidden`, `NotFound`, `Conflict`.
    pub async fn rename_branch(&self, caller: &RequestContext, id: BranchId, name: &str) -> Result<BranchDetail> {
        let server = self.get_branch(caller, id).await?.branch.server_id;
        caller.allow(Rule::BranchUpdate, &self.target_of(server).await?).await?;
        check_name("name", name)?;
        self.store.rename_branch(id, name).await?;
        self.get_branch(caller, id).await
    }

    /// Takes the server back to the tip of a branch. `request.snapshot_id` is not looked at.
    ///
    /// # Errors
    /// As [`App::restore_snapshot`].
    pub async fn restore_branch(
        &self,
        caller: &RequestContext,
        id: BranchId,
        mut request: RestoreSnapshot,
    ) -> Result<Answer<(BranchDetail, OperationId)>> {
        let branch = self.get_branch(caller, id).await?;
        request.snapshot_id = branch
            .tip
            .ok_or_else(|| Error::conflict(format!("Branch {} has no snapshot to restore.", branch.branch.name)))?;
        Ok(match self.restore_snapshot(caller, request).await? {
            Answer::Plan(plan) => Answer::Plan(plan),
            Answer::Accepted((_, operation)) => Answer::Accepted((branch, operation)),
        })
    }
}
