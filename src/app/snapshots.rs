//! When a user lists, reads or describes snapshots.

use super::policy::Rule;
use super::{App, DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX, RequestContext, check_name, check_text};
use crate::clock;
use crate::domain::snapshot::Protection;
use crate::error::{Error, Result};
use crate::ids::{ServerId, SnapshotId};
use crate::store::Page;
use crate::store::details::SnapshotDetail;
use crate::store::snapshots::{Description, SnapshotFilter};
use crate::store::trees::ServerTree;

/// What a caller wants to be changed; `None` = as it is.
#[derive(Debug, Clone, Default)]
pub struct UpdateSnapshot {
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Whether it is refused to delete it.
    pub protected: Option<bool>,
    /// Why, for those who are refused.
    pub protected_reason: Option<String>,
}

impl App {
    /// A snapshot that the caller may know of.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, in the same words whether it is missing or another project's.
    pub async fn get_snapshot(&self, caller: &RequestContext, id: SnapshotId) -> Result<SnapshotDetail> {
        caller.allow(Rule::SnapshotGet, &caller.own()).await?;
        let missing = || Error::not_found("Snapshot", id);
        let detail = self.store.snapshot_detail(id).await?.ok_or_else(missing)?;
        caller.allow_found(Rule::SnapshotGet, &(&detail.snapshot).into(), missing).await?;
        Ok(detail)
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
        caller.allow(Rule::SnapshotGet, &caller.own()).await?;
        self.store.snapshots(filter, page).await
    }

    /// Gives a snapshot other words, protects it from deletion, or takes the protection off.
    ///
    /// # Errors
    /// `BadRequest`, `Forbidden`, `NotFound`; `Conflict` with an operation that may be removing it.
    pub async fn update_snapshot(
        &self,
        caller: &RequestContext,
        id: SnapshotId,
        wanted: UpdateSnapshot,
    ) -> Result<SnapshotDetail> {
        let found = self.get_snapshot(caller, id).await?.snapshot;
        caller.allow(Rule::SnapshotUpdate, &(&found).into()).await?;
        if let Some(name) = &wanted.name {
            check_name("name", name)?;
        }
        if let Some(description) = &wanted.description {
            check_text("description", description, DESCRIPTION_LENGTH_MAX)?;
        }
        let protection = match (wanted.protected, wanted.protected_reason) {
            (Some(true), None) if found.protection.is_some() => None, // whoever protected it, and why, stays
            (Some(true), reason) => {
                let reason = reason.unwrap_or_default();
                check_text("protected_reason", &reason, NAME_LENGTH_MAX)?;
                if found.hidden {
                    return Err(Error::conflict(format!(
                        "Snapshot {id} was deleted; it is only kept as a joint of the tree."
                    )));
                }
                Some(Some(Protection { user_id: caller.user_id.clone(), reason, since: clock::now() }))
            }
            (_, Some(_)) => {
                return Err(Error::bad_field(
                    "protected_reason",
                    "A reason is given only together with protected: true.",
                ));
            }
            (Some(false), None) => Some(None),
            (None, None) => None,
        };
        let change = Description { name: wanted.name, description: wanted.description, protection };
        self.store.describe_snapshot(id, &change).await?;
        self.get_snapshot(caller, id).await
    }

    /// A snapshot that was there a moment ago.
    pub(super) async fn detail_of(&self, id: SnapshotId) -> Result<SnapshotDetail> {
        self.store.snapshot_detail(id).await?.ok_or_else(|| Error::not_found("Snapshot", id))
    }

    pub(crate) async fn tree_of(&self, id: ServerId) -> Result<ServerTree> {
        self.store.tree(id).await?.ok_or_else(|| Error::internal(format!("Server {id} has no record.")))
    }
}
