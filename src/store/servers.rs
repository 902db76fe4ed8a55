//! Servers that have, or had, a tree.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::rows::{disk_snapshot, layer, server, snapshot};
use super::{Page, Store, database_error, from_id, from_optional_id};
use crate::domain::disk::LayerRole;
use crate::domain::snapshot::SnapshotStatus;
use crate::error::Result;
use crate::ids::{BranchId, OperationId, ProjectId, ServerId, SnapshotId};

/// A server as we remember it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRecord {
    /// Id.
    pub id: ServerId,
    /// Owner.
    pub project_id: ProjectId,
    /// Name when last seen.
    pub name: String,
    /// The node that the live disks grew from.
    pub current_snapshot_id: Option<SnapshotId>,
    /// The branch that the next capture continues.
    pub current_branch_id: Option<BranchId>,
    /// Counts changes of the tree.
    pub generation: i64,
    /// The next snapshot's sequence.
    pub next_sequence: i64,
    /// The operation that holds the server's lease.
    pub operation_id: Option<OperationId>,
    /// The node that the live disks equal, as long as the server has not run since [`ServerRecord::equals_mark`].
    pub equals_snapshot_id: Option<SnapshotId>,
    /// Nova's newest request for the server when that became true.
    pub equals_mark: Option<String>,
    /// What deleted nodes still hold, in bytes, as measured at the end of the last deletion.
    pub reclaim_pending_bytes: u64,
    /// First seen.
    pub created_at: DateTime<Utc>,
}

impl TryFrom<server::Model> for ServerRecord {
    type Error = crate::error::Error;
    fn try_from(row: server::Model) -> Result<Self> {
        Ok(Self {
            id: from_id("servers.id", &row.id)?,
            project_id: row.project_id,
            name: row.name,
            current_snapshot_id: from_optional_id("servers.current_snapshot_id", row.current_snapshot_id.as_deref())?,
            current_branch_id: from_optional_id("servers.current_branch_id", row.current_branch_id.as_deref())?,
            generation: row.generation,
            next_sequence: row.next_sequence,
            operation_id: from_optional_id("servers.operation_id", row.operation_id.as_deref())?,
            equals_snapshot_id: from_optional_id("servers.equals_snapshot_id", row.equals_snapshot_id.as_deref())?,
            equals_mark: row.equals_mark,
            reclaim_pending_bytes: row.reclaim_pending_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            created_at: row.created_at.and_utc(),
        })
    }
}

impl Store {
    /// A server's record, if it has one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn server(&self, id: ServerId) -> Result<Option<ServerRecord>> {
        server::Entity::find_by_id(id.to_string())
            .one(&self.read)
            .await
            .map_err(database_error)?
            .map(ServerRecord::try_from)
            .transpose()
    }

    /// Servers with a record, by id; `project` limits to one owner.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers(&self, project: Option<&str>, page: &Page) -> Result<Vec<ServerRecord>> {
        let mut query = server::Entity::find().order_by_asc(server::Column::Id).limit(page.limit);
        if let Some(project) = project {
            query = query.filter(server::Column::ProjectId.eq(project));
        }
        if let Some(marker) = &page.marker {
            query = query.filter(server::Column::Id.gt(marker.as_str()));
        }
        let rows = query.all(&self.read).await.map_err(database_error)?;
        rows.into_iter().map(ServerRecord::try_from).collect()
    }

    /// Servers whose trees have joints (snapshots that were deleted and had to stay) or parked disks without snapshots.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_with_leftovers(&self) -> Result<Vec<ServerId>> {
        let parts = Query::select().column(disk_snapshot::Column::LayerId).from(disk_snapshot::Entity).to_owned();
        let bare: Vec<String> = layer::Entity::find()
            .select_only()
            .column(layer::Column::ServerId)
            .distinct()
            .filter(layer::Column::Role.eq(LayerRole::Parked.as_str()))
            .filter(layer::Column::Id.not_in_subquery(parts))
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        let mut rows: Vec<String> = snapshot::Entity::find()
            .select_only()
            .column(snapshot::Column::ServerId)
            .distinct()
            .filter(snapshot::Column::Hidden.eq(true))
            .filter(snapshot::Column::Status.ne(SnapshotStatus::Deleted.as_str()))
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.extend(bare);
        rows.sort();
        rows.dedup();
        rows.iter().map(|id| from_id("server_id", id)).collect()
    }

    /// How many snapshots of a server's tree its owner may see.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn snapshot_count(&self, id: ServerId) -> Result<u64> {
        snapshot::Entity::find()
            .filter(snapshot::Column::ServerId.eq(id.to_string()))
            .filter(
                snapshot::Column::Status
                    .is_in(SnapshotStatus::ALL.iter().filter(|status| status.is_live()).map(|status| status.as_str())),
            )
            .filter(snapshot::Column::Hidden.eq(false))
            .count(&self.read)
            .await
            .map_err(database_error)
    }
}
