//! Servers that have, or had, a tree.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, JoinType, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde::{Deserialize, Serialize};

use super::rows::{branch, disk_snapshot, layer, server, snapshot};
use super::trees::ServerTree;
use super::{Page, Store, database_error, from_id, from_json, from_optional_id, to_json};
use crate::clock;
use crate::domain::disk::LayerRole;
use crate::domain::snapshot::SnapshotStatus;
use crate::error::{Error, Result};
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
    /// When it was found that Nova no longer knows it.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The request of the last rebuild that was dealt with.
    pub rebuild_seen: Option<String>,
    /// What its owner should know, newest last.
    pub warnings: Vec<ServerWarning>,
    /// First seen.
    pub created_at: DateTime<Utc>,
}

/// The snapshots of a server that its owner may see: those of its tree, without joints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub snapshots: u64,
    /// Size of all their disks, in bytes.
    pub bytes: u64,
}

impl Totals {
    /// Of a tree that is at hand.
    #[must_use]
    pub fn of(tree: &ServerTree) -> Self {
        let mut totals = Self::default();
        for node in tree.forest.nodes.iter().filter(|node| !node.hidden) {
            totals.snapshots += 1;
            totals.bytes += tree.disks_of(node.id).iter().map(|part| part.size_bytes).sum::<u64>();
        }
        totals
    }
}

/// Something that the owner of a server should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerWarning {
    /// Since when.
    pub at: DateTime<Utc>,
    /// What.
    pub text: String,
}

/// Warnings of one server that are kept.
const WARNINGS_MAX: usize = 10;

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
            deleted_at: row.deleted_at.map(|at| at.and_utc()),
            rebuild_seen: row.rebuild_seen,
            warnings: row.warnings.map_or(Ok(vec![]), |text| from_json("servers.warnings", &text))?,
            created_at: row.created_at.and_utc(),
        })
    }
}

/// A server's row, locked for the rest of the transaction: nobody else changes the server, its tree or its lease meanwhile.
pub(super) async fn lock(connection: &impl ConnectionTrait, id: ServerId) -> Result<Option<server::Model>> {
    server::Entity::find_by_id(id.to_string()).lock_exclusive().one(connection).await.map_err(database_error)
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
    /// `BadRequest` for an unknown marker; when the database does not answer.
    pub async fn servers(&self, project: Option<&str>, page: &Page) -> Result<Vec<ServerRecord>> {
        let mut query = server::Entity::find().order_by_asc(server::Column::Id).limit(page.limit);
        if let Some(project) = project {
            query = query.filter(server::Column::ProjectId.eq(project));
        }
        if let Some(marker) = &page.marker {
            server::Entity::find_by_id(marker.as_str())
                .one(&self.read)
                .await
                .map_err(database_error)?
                .filter(|row| project.is_none_or(|project| project == row.project_id))
                .ok_or_else(|| Error::bad_field("marker", format!("No server {marker} to go on from.")))?;
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

    /// Servers with snapshots that were made beside backups of Nova's, and that go with these.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_with_backups(&self) -> Result<Vec<ServerId>> {
        let rows: Vec<String> = snapshot::Entity::find()
            .select_only()
            .column(snapshot::Column::ServerId)
            .distinct()
            .filter(snapshot::Column::Backup.eq(true))
            .filter(snapshot::Column::ImageId.is_not_null())
            .filter(snapshot::Column::Protection.is_null())
            .filter(snapshot::Column::Hidden.eq(false))
            .filter(snapshot::Column::Status.ne(SnapshotStatus::Deleted.as_str()))
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.iter().map(|id| from_id("snapshots.server_id", id)).collect()
    }

    /// Servers with disks that were taken over, and whose fate is open.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_with_taken(&self) -> Result<Vec<ServerId>> {
        let rows: Vec<String> = layer::Entity::find()
            .select_only()
            .column(layer::Column::ServerId)
            .distinct()
            .filter(layer::Column::Role.eq(LayerRole::Taken.as_str()))
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.iter().map(|id| from_id("layers.server_id", id)).collect()
    }

    /// Servers that are there and have parked disks.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_with_parked(&self) -> Result<Vec<ServerId>> {
        let there = Query::select()
            .column(server::Column::Id)
            .from(server::Entity)
            .and_where(server::Column::DeletedAt.is_null())
            .to_owned();
        let rows: Vec<String> = layer::Entity::find()
            .select_only()
            .column(layer::Column::ServerId)
            .distinct()
            .filter(layer::Column::Role.eq(LayerRole::Parked.as_str()))
            .filter(layer::Column::ServerId.in_subquery(there))
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.iter().map(|id| from_id("layers.server_id", id)).collect()
    }

    /// Servers that are taken for there: those of a record without an end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_there(&self) -> Result<Vec<ServerId>> {
        self.server_ids(server::Column::DeletedAt.is_null()).await
    }

    /// Servers that Nova has not known since `before`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn servers_deleted_before(&self, before: DateTime<Utc>) -> Result<Vec<ServerId>> {
        self.server_ids(server::Column::DeletedAt.lt(before.naive_utc())).await
    }

    async fn server_ids(&self, which: sea_orm::sea_query::SimpleExpr) -> Result<Vec<ServerId>> {
        let rows: Vec<String> = server::Entity::find()
            .select_only()
            .column(server::Column::Id)
            .filter(which)
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.iter().map(|id| from_id("servers.id", id)).collect()
    }

    /// Forgets a server of which nothing is left, with the rows of what it once had. Whether there was such a one: a server with
    /// an operation, or with anything in a backend, stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_server(&self, id: ServerId) -> Result<bool> {
        let tx = self.begin().await?;
        lock(&tx, id).await?;
        let text = id.to_string();
        let held = layer::Entity::find()
            .filter(layer::Column::ServerId.eq(&text))
            .filter(layer::Column::Role.ne(LayerRole::Detached.as_str()))
            .count(&tx)
            .await
            .map_err(database_error)?
            + disk_snapshot::Entity::find()
                .filter(disk_snapshot::Column::ServerId.eq(&text))
                .count(&tx)
                .await
                .map_err(database_error)?;
        if held > 0 {
            return Ok(false);
        }
        let gone = server::Entity::delete_many()
            .filter(server::Column::Id.eq(&text))
            .filter(server::Column::OperationId.is_null())
            .filter(server::Column::DeletedAt.is_not_null())
            .exec(&tx)
            .await
            .map_err(database_error)?;
        if gone.rows_affected == 0 {
            return Ok(false);
        }
        layer::Entity::delete_many()
            .filter(layer::Column::ServerId.eq(&text))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        branch::Entity::delete_many()
            .filter(branch::Column::ServerId.eq(&text))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        snapshot::Entity::delete_many()
            .filter(snapshot::Column::ServerId.eq(&text))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        tx.commit().await.map_err(database_error)?;
        Ok(true)
    }

    /// Leaves a warning for a server's owner; the same words are left once. `rebuild_seen`, if given, is noted with it. Whether
    /// the warning is new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn warn_server(&self, id: ServerId, text: &str, rebuild_seen: Option<&str>) -> Result<bool> {
        let tx = self.begin().await?;
        let Some(row) = lock(&tx, id).await? else { return Ok(false) };
        let mut warnings = ServerRecord::try_from(row)?.warnings;
        if warnings.iter().any(|warning| warning.text == text) {
            return Ok(false);
        }
        warnings.push(ServerWarning { at: clock::now(), text: text.to_owned() });
        let old = warnings.len().saturating_sub(WARNINGS_MAX);
        warnings.drain(..old);
        let mut update = server::Entity::update_many()
            .col_expr(server::Column::Warnings, Expr::value(to_json(&warnings)?))
            .filter(server::Column::Id.eq(id.to_string()));
        if let Some(request) = rebuild_seen {
            update = update.col_expr(server::Column::RebuildSeen, Expr::value(request));
        }
        update.exec(&tx).await.map_err(database_error)?;
        tx.commit().await.map_err(database_error)?;
        Ok(true)
    }

    /// What the trees of these servers come to; a server without snapshots is left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn totals(&self, ids: &[ServerId]) -> Result<HashMap<ServerId, Totals>> {
        // A sum of integers is a decimal number to MariaDB and PostgreSQL.
        let integer = if self.read.get_database_backend() == DbBackend::MySql { "signed" } else { "bigint" };
        let rows: Vec<(String, i64, Option<i64>)> = snapshot::Entity::find()
            .select_only()
            .column(snapshot::Column::ServerId)
            .column_as(snapshot::Column::Id.into_expr().count_distinct(), "number")
            .column_as(disk_snapshot::Column::SizeBytes.sum().cast_as(integer), "bytes")
            .join(
                JoinType::LeftJoin,
                snapshot::Entity::belongs_to(disk_snapshot::Entity)
                    .from(snapshot::Column::Id)
                    .to(disk_snapshot::Column::SnapshotId)
                    .into(),
            )
            .filter(snapshot::Column::ServerId.is_in(ids.iter().map(ServerId::to_string)))
            .filter(
                snapshot::Column::Status
                    .is_in(SnapshotStatus::ALL.iter().filter(|status| status.is_live()).map(|status| status.as_str())),
            )
            .filter(snapshot::Column::Hidden.eq(false))
            .group_by(snapshot::Column::ServerId)
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        rows.iter()
            .map(|(id, snapshots, bytes)| {
                let totals = Totals { snapshots: number(*snapshots), bytes: number(bytes.unwrap_or(0)) };
                Ok((from_id("snapshots.server_id", id)?, totals))
            })
            .collect()
    }
}
