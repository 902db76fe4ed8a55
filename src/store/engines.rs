//! Engines: processes that run operations, with the counters by which others see that they live.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};

use super::rows::{engine, operation};
use super::{Store, database_error, from_id};
use crate::clock;
use crate::error::Result;
use crate::ids::EngineId;

/// An engine as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRecord {
    /// New at each start.
    pub id: EngineId,
    /// Host name.
    pub host: String,
    /// Grows while it lives.
    pub beats: i64,
    /// When it entered.
    pub started_at: DateTime<Utc>,
}

impl Store {
    /// Enters an engine.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn enter_engine(&self, id: EngineId, host: &str) -> Result<()> {
        engine::Entity::insert(engine::ActiveModel {
            id: Set(id.to_string()),
            host: Set(host.to_owned()),
            beats: Set(0),
            started_at: Set(clock::now().naive_utc()),
        })
        .exec(&self.write)
        .await
        .map(|_| ())
        .map_err(database_error)
    }

    /// Moves an engine's counter. One that others have taken for dead and forgotten enters again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn beat(&self, id: EngineId, host: &str) -> Result<()> {
        let moved = engine::Entity::update_many()
            .col_expr(engine::Column::Beats, Expr::col(engine::Column::Beats).add(1))
            .filter(engine::Column::Id.eq(id.to_string()))
            .exec(&self.write)
            .await
            .map_err(database_error)?;
        if moved.rows_affected == 0 { self.enter_engine(id, host).await } else { Ok(()) }
    }

    /// The engines that hold operations which are not final, whether or not they are entered, and how many each holds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn engines_at_work(&self) -> Result<BTreeMap<EngineId, u64>> {
        let rows: Vec<(String, i64)> = operation::Entity::find()
            .select_only()
            .column(operation::Column::EngineId)
            .column_as(operation::Column::Id.count(), "number")
            .filter(operation::Column::Status.is_in(["queued", "running", "unwinding"]))
            .filter(operation::Column::EngineId.is_not_null())
            .group_by(operation::Column::EngineId)
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.iter()
            .map(|(id, number)| Ok((from_id("operations.engine_id", id)?, u64::try_from(*number).unwrap_or(0))))
            .collect()
    }

    /// All engines, the oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn engines(&self) -> Result<Vec<EngineRecord>> {
        let oldest = engine::Entity::find().order_by_asc(engine::Column::StartedAt).order_by_asc(engine::Column::Id);
        let rows = oldest.all(&self.read).await.map_err(database_error)?;
        rows.into_iter()
            .map(|row| {
                let id = from_id("engines.id", &row.id)?;
                Ok(EngineRecord { id, host: row.host, beats: row.beats, started_at: row.started_at.and_utc() })
            })
            .collect()
    }

    /// Forgets an engine that has left, or whose operations were adopted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_engine(&self, id: EngineId) -> Result<()> {
        engine::Entity::delete_by_id(id.to_string()).exec(&self.write).await.map(|_| ()).map_err(database_error)
    }
}
