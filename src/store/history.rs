//! What has ended and is old: operations with their logs, and rows of deleted snapshots.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::rows::{operation, operation_event, snapshot};
use super::{Store, database_error};
use crate::domain::operation::OperationStatus;
use crate::domain::snapshot::SnapshotStatus;
use crate::error::Result;

/// Most rows that go at once, so that nobody waits for them.
const AT_ONCE: u64 = 500;

impl Store {
    /// Forgets operations that began before this and have ended, with their logs. Returns how many.
    ///
    /// # Errors
    /// When the database does not answer: some may be gone then.
    pub async fn forget_operations(&self, before: DateTime<Utc>) -> Result<u64> {
        let ended = OperationStatus::ALL.into_iter().filter(|status| status.is_final()).map(OperationStatus::as_str);
        let query = operation::Entity::find()
            .select_only()
            .column(operation::Column::Id)
            .filter(operation::Column::Status.is_in(ended))
            .filter(operation::Column::CreatedAt.lt(before.naive_utc()))
            .order_by_asc(operation::Column::CreatedAt)
            .limit(AT_ONCE);
        let mut forgotten = 0;
        loop {
            let ids: Vec<String> = query.clone().into_tuple().all(&self.read).await.map_err(database_error)?;
            if ids.is_empty() {
                return Ok(forgotten);
            }
            let tx = self.begin().await?;
            operation_event::Entity::delete_many()
                .filter(operation_event::Column::OperationId.is_in(&ids))
                .exec(&tx)
                .await
                .map_err(database_error)?;
            forgotten += operation::Entity::delete_many()
                .filter(operation::Column::Id.is_in(&ids))
                .exec(&tx)
                .await
                .map_err(database_error)?
                .rows_affected;
            tx.commit().await.map_err(database_error)?;
        }
    }

    /// Forgets snapshots that were deleted before this. Returns how many. One that was made beside an image stays, lest the image
    /// be taken for a new one.
    ///
    /// # Errors
    /// When the database does not answer: some may be gone then.
    pub async fn forget_snapshots(&self, before: DateTime<Utc>) -> Result<u64> {
        let query = snapshot::Entity::find()
            .select_only()
            .column(snapshot::Column::Id)
            .filter(snapshot::Column::Status.eq(SnapshotStatus::Deleted.as_str()))
            .filter(snapshot::Column::Request.is_null())
            .filter(snapshot::Column::UpdatedAt.lt(before.naive_utc()))
            .limit(AT_ONCE);
        let mut forgotten = 0;
        loop {
            let ids: Vec<String> = query.clone().into_tuple().all(&self.read).await.map_err(database_error)?;
            if ids.is_empty() {
                return Ok(forgotten);
            }
            forgotten += snapshot::Entity::delete_many()
                .filter(snapshot::Column::Id.is_in(&ids))
                .exec(&self.write)
                .await
                .map_err(database_error)?
                .rows_affected;
        }
    }
}
