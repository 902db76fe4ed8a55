//! When a user lists, reads or describes snapshots.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::policy::Rule;
use super::{App, DESCRIPTION_LENGTH_MAX, RequestContext, check_name, check_text};
use crate::domain::disk::{DiskSnapshot, Layer};
use crate::domain::snapshot::{Snapshot, SnapshotStatus};
use crate::error::{Error, Result};
use crate::ids::{OperationId, ServerId, SnapshotId};
use crate::store::Page;
use crate::store::snapshots::SnapshotFilter;
use crate::store::trees::ServerTree;

/// A snapshot with what a view shows besides.
#[derive(Debug, Clone)]
pub struct SnapshotDetail {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Its branch's name.
    pub branch: Option<String>,
    /// Whether the live disks grew from it.
    pub current: bool,
    /// Its disks, in order, each with its layer.
    pub disks: Vec<(DiskSnapshot, Layer)>,
    /// The operation that works on it.
    pub operation_id: Option<OperationId>,
}

impl SnapshotDetail {
    fn of(tree: &ServerTree, snapshot: Snapshot) -> Result<Self> {
        let mut disks = Vec::new();
        for part in tree.disks_of(snapshot.id) {
            disks.push((part.clone(), tree.layer(part.layer_id)?.clone()));
        }
        let busy = matches!(snapshot.status, SnapshotStatus::Creating | SnapshotStatus::Restoring);
        Ok(Self {
            branch: tree.forest.branch(snapshot.branch_id).map(|branch| branch.name.clone()),
            current: tree.forest.current == Some(snapshot.id),
            operation_id: tree.record.operation_id.filter(|_| busy),
            disks,
            snapshot,
        })
    }
}

impl App {
    /// A snapshot that the caller may know of.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, in the same words whether it is missing or another project's.
    pub async fn get_snapshot(&self, caller: &RequestContext, id: SnapshotId) -> Result<SnapshotDetail> {
        caller.allow(Rule::SnapshotGet)?;
        let snapshot = self
            .store
            .snapshot(id)
            .await?
            .filter(|snapshot| caller.owns(&snapshot.project_id))
            .ok_or_else(|| Error::not_found("Snapshot", id))?;
        let tree = self.tree_of(snapshot.server_id).await?;
        SnapshotDetail::of(&tree, snapshot)
    }

    /// A page of snapshots.
    ///
    /// # Errors
    /// `Forbidden`, `BadRequest`; when the database does not answer.
    pub async fn list_snapshots(
        &self,
        caller: &RequestContext,
        filter: &SnapshotFilter,
        page: &Page,
    ) -> Result<Vec<SnapshotDetail>> {
        caller.allow(Rule::SnapshotGet)?;
        let mut trees: HashMap<ServerId, ServerTree> = HashMap::new();
        let mut details = Vec::new();
        for snapshot in self.store.snapshots(filter, page).await? {
            let id = snapshot.server_id;
            let tree = match trees.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(fresh) => fresh.insert(self.tree_of(id).await?),
            };
            details.push(SnapshotDetail::of(tree, snapshot)?);
        }
        Ok(details)
    }

    /// Gives a snapshot other words.
    ///
    /// # Errors
    /// `BadRequest`, `Forbidden`, `NotFound`.
    pub async fn update_snapshot(
        &self,
        caller: &RequestContext,
        id: SnapshotId,
        name: Option<&str>,
        description: Option<&str>,
    ) -> Result<SnapshotDetail> {
        self.get_snapshot(caller, id).await?;
        caller.allow(Rule::SnapshotUpdate)?;
        if let Some(name) = name {
            check_name("name", name)?;
        }
        if let Some(description) = description {
            check_text("description", description, DESCRIPTION_LENGTH_MAX)?;
        }
        self.store.describe_snapshot(id, name, description).await?;
        self.get_snapshot(caller, id).await
    }

    pub(crate) async fn tree_of(&self, id: ServerId) -> Result<ServerTree> {
        self.store.tree(id).await?.ok_or_else(|| Error::internal(format!("Server {id} has no record.")))
    }
}
