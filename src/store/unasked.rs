//! How work that nobody has asked for has gone so far.

use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::rows::operation;
use super::{Store, database_error};
use crate::clock;
use crate::domain::operation::{Operation, UNASKED_HISTORY, may_be_tried_again};
use crate::error::Result;
use crate::ids::ServerId;

impl Store {
    /// Whether an operation of this kind waits or runs, on any server.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_under_way(&self, kind: &str) -> Result<bool> {
        let rows = operation::Entity::find()
            .filter(operation::Column::Kind.eq(kind))
            .filter(operation::Column::Status.is_in(["queued", "running", "unwinding"]))
            .count(&self.read)
            .await
            .map_err(database_error)?;
        Ok(rows > 0)
    }

    /// Whether work of this kind that nobody has asked for may begin on a server, see [`may_be_tried_again`]. `in_vain` says
    /// whether an operation has not done what it was for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn may_begin_unasked(
        &self,
        server: ServerId,
        kind: &str,
        in_vain: fn(&Operation) -> bool,
    ) -> Result<bool> {
        let rows = operation::Entity::find()
            .filter(operation::Column::ServerId.eq(server.to_string()))
            .filter(operation::Column::Kind.eq(kind))
            .order_by_desc(operation::Column::Id)
            .limit(UNASKED_HISTORY)
            .all(&self.read)
            .await
            .map_err(database_error)?;
        let newest_first: Vec<Operation> = rows.into_iter().map(Operation::try_from).collect::<Result<_>>()?;
        Ok(may_be_tried_again(&newest_first, in_vain, clock::now()))
    }
}
