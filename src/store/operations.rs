//! Operations, their logs, and the leases that keep two engines, and two operations on one server, apart.
//!
//! Fencing: each claim counts an operation's generation. Every write of an engine names the generation it holds and is
//! refused when another engine has claimed since ([`Fence`]).

use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::rows::{operation, operation_event, server};
use super::trees::{self, TreeChange};
use super::{Page, Store, database_error, from_id, from_json, from_optional_id, from_word, to_json};
use crate::clock;
use crate::domain::operation::{EventKind, Operation, OperationError, OperationEvent, OperationStatus};
use crate::error::{Error, Kind, Result};
use crate::ids::{EngineId, OperationId, ServerId, SnapshotId};

/// Proof of a claim: which operation, and which claim of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The operation.
    pub operation_id: OperationId,
    /// The claim.
    pub generation: i64,
}

/// What an operation's row becomes after an event.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Status.
    pub status: OperationStatus,
    /// The next step to run or undo.
    pub step: i32,
    /// Name of the step at work.
    pub phase: Option<String>,
    /// Past the point of no return.
    pub committed: bool,
    /// What the steps learned.
    pub state: serde_json::Value,
    /// Why it fails.
    pub error: Option<OperationError>,
}

impl TryFrom<operation::Model> for Operation {
    type Error = Error;
    fn try_from(row: operation::Model) -> Result<Self> {
        let small = |value: i64| i32::try_from(value).map_err(|_| Error::internal("A step number is out of range."));
        Ok(Self {
            id: from_id("operations.id", &row.id)?,
            kind: row.kind,
            status: from_word("operations.status", &row.status, OperationStatus::parse)?,
            server_id: from_id("operations.server_id", &row.server_id)?,
            snapshot_id: from_id("operations.snapshot_id", &row.snapshot_id)?,
            project_id: row.project_id,
            user_id: row.user_id,
            request_id: row.request_id,
            params: from_json("operations.params", &row.params)?,
            state: from_json("operations.state", &row.state)?,
            step: small(row.step)?,
            steps_total: small(row.steps_total)?,
            phase: row.phase,
            committed: row.committed,
            cancel_requested: row.cancel_requested,
            warnings: from_json("operations.warnings", &row.warnings)?,
            error: row.error.as_deref().map(|text| from_json("operations.error", text)).transpose()?,
            engine_id: from_optional_id("operations.engine_id", row.engine_id.as_deref())?,
            generation: row.generation,
            created_at: row.created_at.and_utc(),
            started_at: row.started_at.map(|at| at.and_utc()),
            finished_at: row.finished_at.map(|at| at.and_utc()),
        })
    }
}

fn row_of(operation: &Operation) -> Result<operation::ActiveModel> {
    Ok(operation::ActiveModel {
        id: Set(operation.id.to_string()),
        kind: Set(operation.kind.clone()),
        status: Set(operation.status.as_str().to_owned()),
        server_id: Set(operation.server_id.to_string()),
        snapshot_id: Set(operation.snapshot_id.to_string()),
        project_id: Set(operation.project_id.clone()),
        user_id: Set(operation.user_id.clone()),
        request_id: Set(operation.request_id.clone()),
        params: Set(to_json(&operation.params)?),
        state: Set(to_json(&operation.state)?),
        step: Set(i64::from(operation.step)),
        steps_total: Set(i64::from(operation.steps_total)),
        phase: Set(operation.phase.clone()),
        committed: Set(operation.committed),
        cancel_requested: Set(operation.cancel_requested),
        warnings: Set(to_json(&operation.warnings)?),
        error: Set(operation.error.as_ref().map(to_json).transpose()?),
        engine_id: Set(operation.engine_id.map(|id| id.to_string())),
        generation: Set(operation.generation),
        created_at: Set(operation.created_at.naive_utc()),
        started_at: Set(operation.started_at.map(|at| at.naive_utc())),
        finished_at: Set(operation.finished_at.map(|at| at.naive_utc())),
    })
}

/// What a list of operations is limited to.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// One owner; `None` = all.
    pub project_id: Option<String>,
    /// One server.
    pub server_id: Option<ServerId>,
    /// One snapshot.
    pub snapshot_id: Option<SnapshotId>,
    /// One status.
    pub status: Option<OperationStatus>,
}

/// The words of a conflict with an operation that is under way.
#[must_use]
pub fn in_the_way(operation_id: &str) -> Error {
    Error::conflict(format!("Operation {operation_id} is under way on this server."))
        .remedy("Wait until it has finished, or cancel it.")
}

/// The words of a conflict with a tree that is not the one that was planned on.
#[must_use]
pub fn tree_has_changed(generation: i64, expected: i64) -> Error {
    Error::conflict(format!("The tree has changed since it was looked at (generation {generation}, not {expected})."))
        .remedy("Look at the tree, or the plan, again.")
}

impl Store {
    /// Records an operation with all that its beginning changes, and takes the server's lease: all or nothing.
    ///
    /// New snapshots of the change get their sequence here. `tree_generation`, if given, must still hold.
    ///
    /// # Errors
    /// `Conflict` naming the operation in the way, or a tree that has changed since it was looked at.
    pub async fn begin_operation(
        &self,
        operation: &Operation,
        server_name: &str,
        mut change: TreeChange,
        tree_generation: Option<i64>,
    ) -> Result<()> {
        let tx = self.begin().await?;
        let id = operation.server_id;
        trees::enter_server(&tx, id, &operation.project_id, server_name).await?;
        let taken = server::Entity::update_many()
            .col_expr(server::Column::OperationId, Expr::value(operation.id.to_string()))
            .filter(server::Column::Id.eq(id.to_string()))
            .filter(server::Column::OperationId.is_null())
            .exec(&tx)
            .await
            .map_err(database_error)?;
        let row = server::Entity::find_by_id(id.to_string())
            .one(&tx)
            .await
            .map_err(database_error)?
            .ok_or_else(|| Error::not_found("Server", id))?;
        if taken.rows_affected == 0 {
            return Err(in_the_way(row.operation_id.as_deref().unwrap_or("?")));
        }
        if let Some(expected) = tree_generation.filter(|expected| *expected != row.generation) {
            return Err(tree_has_changed(row.generation, expected));
        }
        let mut sequence = row.next_sequence;
        for snapshot in change.snapshots.iter_mut().filter(|snapshot| snapshot.sequence == 0) {
            snapshot.sequence = sequence;
            sequence += 1;
        }
        server::Entity::update_many()
            .col_expr(server::Column::NextSequence, Expr::value(sequence))
            .filter(server::Column::Id.eq(id.to_string()))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        trees::apply(&tx, id, &change).await?;
        operation::Entity::insert(row_of(operation)?).exec(&tx).await.map_err(database_error)?;
        tx.commit().await.map_err(database_error)?;
        self.begun.notify_one();
        Ok(())
    }

    /// Ends when this process has recorded an operation: its engine need not wait for its next look.
    pub async fn operation_begun(&self) {
        self.begun.notified().await;
    }

    /// Gives an engine the oldest operation that waits, if any, `except` for these; of these `kinds` only, if any are named.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim_next(
        &self,
        engine: EngineId,
        except: &[OperationId],
        kinds: &[&str],
    ) -> Result<Option<Operation>> {
        let mut waiting = Condition::all()
            .add(operation::Column::EngineId.is_null())
            .add(operation::Column::Status.is_in(["queued", "running", "unwinding"]));
        if !kinds.is_empty() {
            waiting = waiting.add(operation::Column::Kind.is_in(kinds.iter().copied()));
        }
        self.claim(engine, waiting, except).await
    }

    /// Gives an engine an operation of an engine that no longer lives, `except` for these.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn adopt_next(
        &self,
        engine: EngineId,
        dead: &[EngineId],
        except: &[OperationId],
    ) -> Result<Option<Operation>> {
        if dead.is_empty() {
            return Ok(None);
        }
        let orphaned = Condition::all()
            .add(operation::Column::EngineId.is_in(dead.iter().map(ToString::to_string)))
            .add(operation::Column::Status.is_in(["queued", "running", "unwinding"]));
        self.claim(engine, orphaned, except).await
    }

    async fn claim(&self, engine: EngineId, which: Condition, except: &[OperationId]) -> Result<Option<Operation>> {
        let tx = self.begin().await?;
        let mut except: Vec<String> = except.iter().map(ToString::to_string).collect();
        let mut found = loop {
            let which = which.clone().add(operation::Column::Id.is_not_in(except.clone()));
            let query = operation::Entity::find()
                .filter(which)
                .order_by_asc(operation::Column::CreatedAt)
                .limit(1)
                .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
            let Some(row) = query.one(&tx).await.map_err(database_error)? else { return Ok(None) };
            let id = row.id.clone();
            match Operation::try_from(row) {
                Ok(operation) => break operation,
                // Damaged, or a later version's: the others' turn comes all the same.
                Err(error) => {
                    tracing::error!(operation_id = %id, error = %error.chain(), "the row of an operation cannot be read");
                    except.push(id);
                }
            }
        };
        found.engine_id = Some(engine);
        found.generation += 1;
        found.started_at = found.started_at.or_else(|| Some(clock::now()));
        if found.status == OperationStatus::Queued {
            found.status = OperationStatus::Running;
        }
        operation::Entity::update(row_of(&found)?).exec(&tx).await.map_err(database_error)?;
        tx.commit().await.map_err(database_error)?;
        Ok(Some(found))
    }

    /// Gives a claim back, so that another engine takes the operation at once (draining).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_claim(&self, fence: Fence) -> Result<()> {
        operation::Entity::update_many()
            .col_expr(operation::Column::EngineId, Expr::value(None::<String>))
            .filter(operation::Column::Id.eq(fence.operation_id.to_string()))
            .filter(operation::Column::Generation.eq(fence.generation))
            .exec(&self.write)
            .await
            .map(|_| ())
            .map_err(database_error)
    }

    /// Appends an event and writes what it makes of the operation's row. A final status gives the server's lease back.
    ///
    /// # Errors
    /// `Cancelled` where it would pass its point of no return and its owner has asked for it to be undone;
    /// `Superseded` when another engine holds the operation now.
    pub async fn record_event(&self, fence: Fence, event: &OperationEvent, progress: &Progress) -> Result<()> {
        let tx = self.begin().await?;
        hold(&tx, fence).await?;
        let id = fence.operation_id.to_string();
        let now = clock::now().naive_utc();
        let row = operation::Entity::find_by_id(id.as_str()).one(&tx).await.map_err(database_error)?;
        let row = row.ok_or_else(|| Error::not_found("Operation", fence.operation_id))?;
        if progress.committed && row.cancel_requested && !row.committed {
            // A cancel that was accepted is kept: the point of no return has not been passed.
            return Err(Error::new(Kind::Cancelled, "Cancelled by its owner."));
        }
        let mut update = operation::Entity::update_many()
            .col_expr(operation::Column::Status, Expr::value(progress.status.as_str()))
            .col_expr(operation::Column::Step, Expr::value(i64::from(progress.step)))
            .col_expr(operation::Column::Phase, Expr::value(progress.phase.clone()))
            .col_expr(operation::Column::Committed, Expr::value(progress.committed))
            .col_expr(operation::Column::State, Expr::value(to_json(&progress.state)?))
            .col_expr(operation::Column::Error, Expr::value(progress.error.as_ref().map(to_json).transpose()?))
            .filter(operation::Column::Id.eq(id.as_str()));
        if progress.status.is_final() {
            update = update.col_expr(operation::Column::FinishedAt, Expr::value(now));
        }
        update.exec(&tx).await.map_err(database_error)?;
        operation_event::Entity::insert(operation_event::ActiveModel {
            id: NotSet,
            operation_id: Set(id.clone()),
            at: Set(event.at.naive_utc()),
            step: Set(event.step.clone()),
            kind: Set(event.kind.as_str().to_owned()),
            detail: Set(event.detail.clone()),
        })
        .exec(&tx)
        .await
        .map_err(database_error)?;
        if progress.status.is_final() {
            server::Entity::update_many()
                .col_expr(server::Column::OperationId, Expr::value(None::<String>))
                .filter(server::Column::Id.eq(row.server_id))
                .filter(server::Column::OperationId.eq(id))
                .exec(&tx)
                .await
                .map_err(database_error)?;
        }
        tx.commit().await.map_err(database_error)
    }

    /// Changes a tree in the name of an operation.
    ///
    /// # Errors
    /// `Superseded` when another engine holds the operation now; `Internal` when the tree would be damaged.
    pub async fn change_tree(&self, fence: Fence, server: ServerId, change: &TreeChange) -> Result<()> {
        let tx = self.begin().await?;
        hold(&tx, fence).await?;
        trees::apply(&tx, server, change).await?;
        tx.commit().await.map_err(database_error)
    }

    /// Adds a warning to an operation.
    ///
    /// # Errors
    /// `Superseded` when another engine holds the operation now.
    pub async fn warn(&self, fence: Fence, warning: &str) -> Result<()> {
        let tx = self.begin().await?;
        hold(&tx, fence).await?;
        let row = operation::Entity::find_by_id(fence.operation_id.to_string())
            .one(&tx)
            .await
            .map_err(database_error)?
            .ok_or_else(|| Error::not_found("Operation", fence.operation_id))?;
        let mut warnings: Vec<String> = from_json("operations.warnings", &row.warnings)?;
        if !warnings.iter().any(|known| known == warning) {
            warnings.push(warning.to_owned());
        }
        operation::Entity::update_many()
            .col_expr(operation::Column::Warnings, Expr::value(to_json(&warnings)?))
            .filter(operation::Column::Id.eq(fence.operation_id.to_string()))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        tx.commit().await.map_err(database_error)
    }

    /// Asks for an operation to be undone; asking again changes nothing. One that no engine has taken yet is still run by one,
    /// which unwinds it at once.
    ///
    /// # Errors
    /// `Conflict` when it is past its point of no return, is being undone because it has failed, or is final.
    pub async fn request_cancel(&self, id: OperationId) -> Result<Operation> {
        let tx = self.begin().await?;
        let asked = operation::Entity::update_many()
            .col_expr(operation::Column::CancelRequested, Expr::value(true))
            .filter(operation::Column::Id.eq(id.to_string()))
            .filter(operation::Column::Committed.eq(false))
            .filter(operation::Column::Status.is_in(["queued", "running"]))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        let row = operation::Entity::find_by_id(id.to_string())
            .one(&tx)
            .await
            .map_err(database_error)?
            .ok_or_else(|| Error::not_found("Operation", id))?;
        let found = Operation::try_from(row)?;
        if asked.rows_affected == 0 {
            return match found.status {
                status if status.is_final() => {
                    Err(Error::conflict(format!("Operation {id} is over: {}.", status.as_str())))
                }
                OperationStatus::Unwinding if found.cancel_requested => Ok(found),
                OperationStatus::Unwinding => {
                    Err(Error::conflict(format!("Operation {id} has failed and is being undone already.")))
                }
                _ => Err(Error::conflict(format!("Operation {id} is past its point of no return and will finish."))),
            };
        }
        tx.commit().await.map_err(database_error)?;
        Ok(found)
    }

    /// Whether its owner has asked for the operation to be undone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancel_requested(&self, id: OperationId) -> Result<bool> {
        Ok(self.operation(id).await?.is_some_and(|operation| operation.cancel_requested))
    }

    /// An operation.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn operation(&self, id: OperationId) -> Result<Option<Operation>> {
        operation::Entity::find_by_id(id.to_string())
            .one(&self.read)
            .await
            .map_err(database_error)?
            .map(Operation::try_from)
            .transpose()
    }

    /// The log of an operation, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn events(&self, id: OperationId) -> Result<Vec<OperationEvent>> {
        let rows = operation_event::Entity::find()
            .filter(operation_event::Column::OperationId.eq(id.to_string()))
            .order_by_asc(operation_event::Column::Id)
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.into_iter()
            .map(|row| {
                Ok(OperationEvent {
                    at: row.at.and_utc(),
                    step: row.step,
                    kind: from_word("operation_events.kind", &row.kind, EventKind::parse)?,
                    detail: row.detail,
                })
            })
            .collect()
    }

    /// A page of operations by age.
    ///
    /// # Errors
    /// `BadRequest` for an unknown marker; when the database does not answer.
    pub async fn operations(&self, filter: &OperationFilter, page: &Page) -> Result<Vec<Operation>> {
        let mut query = operation::Entity::find().limit(page.limit);
        if let Some(project) = &filter.project_id {
            query = query.filter(operation::Column::ProjectId.eq(project.as_str()));
        }
        if let Some(server) = filter.server_id {
            query = query.filter(operation::Column::ServerId.eq(server.to_string()));
        }
        if let Some(snapshot) = filter.snapshot_id {
            query = query.filter(operation::Column::SnapshotId.eq(snapshot.to_string()));
        }
        if let Some(status) = filter.status {
            query = query.filter(operation::Column::Status.eq(status.as_str()));
        }
        // Ids are UUIDv7: their order is the order of creation.
        query = if page.ascending {
            query.order_by_asc(operation::Column::Id)
        } else {
            query.order_by_desc(operation::Column::Id)
        };
        if let Some(marker) = &page.marker {
            operation::Entity::find_by_id(marker.as_str())
                .one(&self.read)
                .await
                .map_err(database_error)?
                .filter(|row| filter.project_id.as_ref().is_none_or(|project| *project == row.project_id))
                .ok_or_else(|| Error::bad_field("marker", format!("No operation {marker} to go on from.")))?;
            query = query.filter(if page.ascending {
                operation::Column::Id.gt(marker.as_str())
            } else {
                operation::Column::Id.lt(marker.as_str())
            });
        }
        let rows = query.all(&self.read).await.map_err(database_error)?;
        rows.into_iter().map(Operation::try_from).collect()
    }
}

/// Locks an operation's row for the rest of the transaction, if this claim still holds it.
async fn hold(connection: &impl ConnectionTrait, fence: Fence) -> Result<()> {
    let held = operation::Entity::update_many()
        .col_expr(operation::Column::Generation, Expr::col(operation::Column::Generation).add(0))
        .filter(operation::Column::Id.eq(fence.operation_id.to_string()))
        .filter(operation::Column::Generation.eq(fence.generation))
        .exec(connection)
        .await
        .map_err(database_error)?;
    if held.rows_affected == 0 {
        return Err(Error::new(
            Kind::Superseded,
            format!("Another engine has taken over operation {}.", fence.operation_id),
        ));
    }
    Ok(())
}
