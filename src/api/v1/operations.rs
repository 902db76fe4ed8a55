//! `/v1/operations`

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::project_of;
use super::schema::Time;
use crate::api::ApiState;
use crate::api::body::{field_id, no_body, path_id};
use crate::api::caller::Caller;
use crate::api::fault::{Answer, ErrorBody};
use crate::api::page::{BY_TIME, Link, ListParams, Query, SortParam};
use crate::domain::operation::{EventKind, Operation, OperationError, OperationEvent, OperationStatus};
use crate::error::Error;
use crate::ids::{OperationId, ServerId, SnapshotId};
use crate::store::operations::OperationFilter;

/// Filters of the list of operations.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OperationParams {
    /// Only what belongs to this server.
    #[param(value_type = Option<ServerId>)]
    pub server_id: Option<String>,
    /// Only operations that are shown with this snapshot.
    #[param(value_type = Option<SnapshotId>)]
    pub snapshot_id: Option<String>,
    /// Only operations of this status.
    pub status: Option<OperationStatus>,
}

/// An operation.
#[derive(Serialize, ToSchema)]
pub struct OneOperation {
    /// The operation.
    operation: OperationView,
}

/// A page of operations.
#[derive(Serialize, ToSchema)]
pub struct Operations {
    /// The operations.
    operations: Vec<OperationView>,
    /// A link `next` to the next page; empty if this is the last.
    operations_links: Vec<Link>,
}

/// An operation: durable work that goes on after the answer.
#[derive(Serialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    id: OperationId,
    /// Kind of the operation: `snapshot_create`, `snapshot_restore`, `snapshot_delete`, `head_takeover`, `head_giveback`,
    /// `head_retire` or `layer_flatten`.
    kind: String,
    status: OperationStatus,
    server_id: ServerId,
    /// The snapshot that it is about. If it is about several, one of them; if about none, any of the server, or an id that nothing
    /// has.
    snapshot_id: SnapshotId,
    /// Id of the server's project.
    project_id: String,
    /// Id of the user who asked; empty if nobody did.
    user_id: String,
    /// The global request id of the request that asked for it.
    request_id: String,
    /// The step at work; `null` before the first and after the last.
    #[schema(required)]
    phase: Option<String>,
    /// Steps that are done; counts back while it is undone.
    #[schema(minimum = 0)]
    steps_done: i32,
    /// Steps of this kind.
    steps_total: i32,
    /// Whether a cancel would be accepted now.
    cancellable: bool,
    /// Whether its owner has asked for it to be undone.
    cancel_requested: bool,
    /// What went otherwise than asked, without being an error.
    warnings: Vec<String>,
    /// Volumes that have taken the place of others; known once a restore is recorded.
    replaced: Vec<Replaced>,
    /// Why it is being undone or was; else `null`.
    #[schema(required)]
    error: Option<OperationError>,
    /// When it was asked for.
    created_at: Time,
    /// When an engine first took it; `null` before.
    #[schema(required)]
    started_at: Option<Time>,
    /// When it became final; `null` before.
    #[schema(required)]
    finished_at: Option<Time>,
    /// The log, oldest first; absent where operations are listed or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    events: Option<Vec<Event>>,
}

/// A volume that has taken another's place.
#[derive(Serialize, Deserialize, ToSchema)]
struct Replaced {
    /// Id of the volume that gave way.
    old: String,
    /// Id of the volume that came.
    new: String,
}

/// A line of an operation's log.
#[derive(Serialize, ToSchema)]
struct Event {
    at: Time,
    /// The step, or `end`.
    step: String,
    event: EventKind,
    /// More, for people; `null` if there is nothing.
    #[schema(required)]
    detail: Option<String>,
}

impl From<Operation> for OperationView {
    fn from(operation: Operation) -> Self {
        let status = operation.status;
        // Only restores replace volumes, and only from their record on.
        let replaced = operation.state.get("replaced").and_then(|it| Vec::deserialize(it).ok()).unwrap_or_default();
        Self {
            id: operation.id,
            kind: operation.kind,
            status,
            server_id: operation.server_id,
            snapshot_id: operation.snapshot_id,
            project_id: operation.project_id,
            user_id: operation.user_id,
            request_id: operation.request_id,
            phase: operation.phase,
            steps_done: operation.step.max(0),
            steps_total: operation.steps_total,
            cancellable: !operation.committed && matches!(status, OperationStatus::Queued | OperationStatus::Running),
            cancel_requested: operation.cancel_requested,
            warnings: operation.warnings,
            replaced,
            error: operation.error,
            created_at: Time::of(operation.created_at),
            started_at: operation.started_at.map(Time::of),
            finished_at: operation.finished_at.map(Time::of),
            events: None,
        }
    }
}

impl From<OperationEvent> for Event {
    fn from(event: OperationEvent) -> Self {
        Self { at: Time::exactly(event.at), step: event.step, event: event.kind, detail: event.detail }
    }
}

/// List operations
#[utoipa::path(
    get, path = "/v1/operations", tag = "operations", operation_id = "list_operations",
    params(OperationParams, ListParams, SortParam),
    responses((status = 200, description = "A page of operations.", body = Operations)),
)]
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let query = Query::of::<OperationParams>(&request)?;
    let page = query.page(state.settings.limit_max, &BY_TIME)?;
    let filter = OperationFilter {
        project_id: project_of(&caller.0, &query).await?,
        server_id: query.text("server_id").map(|text| field_id("server_id", text)).transpose()?,
        snapshot_id: query.text("snapshot_id").map(|text| field_id("snapshot_id", text)).transpose()?,
        status: query
            .text("status")
            .map(|text| {
                OperationStatus::parse(text)
                    .ok_or_else(|| Error::bad_field("status", format!("There is no status {text}.")))
            })
            .transpose()?,
    };
    let operations = state.app.list_operations(&caller.0, &filter, &page).await?;
    let last = operations.last().map(|operation| operation.id.to_string());
    let operations_links = query.links(&state, &request, &page, last.as_deref(), operations.len());
    let operations = operations.into_iter().map(OperationView::from).collect();
    Ok(HttpResponse::Ok().json(Operations { operations, operations_links }))
}

/// Show an operation
#[utoipa::path(
    get, path = "/v1/operations/{id}", tag = "operations", operation_id = "show_operation",
    params(("id" = OperationId, Path, description = "Id of the operation.")),
    responses((status = 200, description = "The operation, with its log.", body = OneOperation)),
)]
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let (operation, events) = state.app.get_operation(&caller.0, path_id("Operation", &id)?).await?;
    let events = Some(events.into_iter().map(Event::from).collect());
    Ok(HttpResponse::Ok().json(OneOperation { operation: OperationView { events, ..operation.into() } }))
}

/// Cancel an operation
#[utoipa::path(
    post, path = "/v1/operations/{id}/cancel", tag = "operations", operation_id = "cancel_operation",
    params(("id" = OperationId, Path, description = "Id of the operation.")),
    responses(
        (status = 202, description = "The operation is going to be undone.", body = OneOperation),
        (status = 409, description = "It is past its point of no return, is being undone because it has failed, or is final.",
            body = ErrorBody),
    ),
)]
pub async fn cancel(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, id: web::Path<String>) -> Answer {
    no_body(&request)?;
    Query::none(&request)?;
    let operation = state.app.cancel_operation(&caller.0, path_id("Operation", &id)?).await?;
    Ok(HttpResponse::Accepted().json(OneOperation { operation: operation.into() }))
}
