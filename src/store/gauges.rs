//! Numbers for whoever watches the service: what waits, how long, and for whom.

use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::rows::{engine, inbox, operation};
use super::{Store, database_error};
use crate::clock;
use crate::domain::operation::OperationStatus;
use crate::error::Result;
use crate::measures::Gauges;

impl Store {
    /// What is at this moment. Operations that have ended are not counted: their number only grows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn gauges(&self) -> Result<Gauges> {
        let going_on = OperationStatus::ALL.into_iter().filter(|status| !status.is_final());
        let operations = operation::Entity::find()
            .select_only()
            .column(operation::Column::Kind)
            .column(operation::Column::Status)
            .column_as(operation::Column::Id.count(), "number")
            .filter(operation::Column::Status.is_in(going_on.map(OperationStatus::as_str)))
            .group_by(operation::Column::Kind)
            .group_by(operation::Column::Status)
            .into_tuple::<(String, String, i64)>()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        let oldest = operation::Entity::find()
            .filter(operation::Column::Status.eq(OperationStatus::Queued.as_str()))
            .order_by_asc(operation::Column::CreatedAt)
            .one(&self.read)
            .await
            .map_err(database_error)?;
        let waiting = inbox::Entity::find().filter(inbox::Column::HandledAt.is_null());
        let inbox = waiting.count(&self.read).await.map_err(database_error)?;
        let engines = engine::Entity::find().count(&self.read).await.map_err(database_error)?;
        Ok(Gauges {
            operations,
            oldest_queued: oldest
                .and_then(|row| (clock::now() - row.created_at.and_utc()).to_std().ok())
                .unwrap_or_default(),
            inbox: i64::try_from(inbox).unwrap_or(i64::MAX),
            engines: i64::try_from(engines).unwrap_or(i64::MAX),
        })
    }
}
