//! `/v1/snapshots`

pub mod body;
pub mod view;

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::IntoParams;

use super::schema::{Flag, Word};
use super::{DeleteParams, Planned, accepted, acted, how_to_delete, of_member, plan, project_of};
use crate::api::ApiState;
use crate::api::body::{Body, field_id, parse, path_id};
use crate::api::caller::Caller;
use crate::api::fault::{Answer, ErrorBody};
use crate::api::page::{BY_TIME_OR_NAME, ListParams, NameSortParam, Query};
use crate::app;
use crate::domain::snapshot::SnapshotStatus;
use crate::error::{Error, Kind};
use crate::ids::{BranchId, OperationId, ServerId, SnapshotId};
use crate::store::snapshots::SnapshotFilter;
use body::{Restore, SnapshotCreate, SnapshotUpdate};
use view::{OneSnapshot, SnapshotView, Snapshots};

/// Filters of the list of snapshots.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SnapshotParams {
    /// Only what belongs to this server.
    #[param(value_type = Option<ServerId>)]
    pub server_id: Option<String>,
    /// Only snapshots of this status. `deleted` is known, and finds nothing; `deleting` finds most only with `hidden`.
    pub status: Option<SnapshotStatus>,
    /// Only snapshots that were captured on this branch.
    #[param(value_type = Option<BranchId>)]
    pub branch_id: Option<String>,
    /// Only snapshots of exactly this name.
    #[param(value_type = Option<Word>)]
    pub name: Option<String>,
    /// Whether joints, and snapshots on their way out, are listed too.
    #[param(value_type = Option<Flag>)]
    pub hidden: Option<String>,
}

/// How a snapshot's deletion is asked for, besides.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SnapshotDeleteParams {
    /// Whether all that grew from the snapshot is deleted too.
    #[param(value_type = Option<Flag>)]
    pub subtree: Option<String>,
}

/// The answer to an act on a snapshot that has begun.
fn begun(view: impl Into<SnapshotView>, operation_id: OperationId) -> OneSnapshot {
    let mut snapshot = view.into();
    snapshot.operation_id = Some(operation_id);
    OneSnapshot { snapshot }
}

/// List snapshots
#[utoipa::path(
    get, path = "/v1/snapshots", tag = "snapshots", operation_id = "list_snapshots",
    params(SnapshotParams, ListParams, NameSortParam),
    responses((status = 200, description = "A page of snapshots.", body = Snapshots)),
)]
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let query = Query::of::<SnapshotParams>(&request)?;
    let page = query.page(state.settings.limit_max, &BY_TIME_OR_NAME)?;
    let filter = SnapshotFilter {
        project_id: project_of(&caller.0, &query).await?,
        server_id: query.text("server_id").map(|text| field_id("server_id", text)).transpose()?,
        branch_id: query.text("branch_id").map(|text| field_id("branch_id", text)).transpose()?,
        status: query
            .text("status")
            .map(|text| {
                SnapshotStatus::parse(text)
                    .ok_or_else(|| Error::bad_field("status", format!("There is no status {text}.")))
            })
            .transpose()?,
        name: query.text("name").map(str::to_owned),
        hidden: query.flag("hidden")?,
    };
    let details = state.app.list_snapshots(&caller.0, &filter, &page).await?;
    let last = details.last().map(|detail| detail.snapshot.id.to_string());
    let snapshots_links = query.links(&state, &request, &page, last.as_deref(), details.len());
    let snapshots = details.into_iter().map(SnapshotView::from).collect();
    Ok(HttpResponse::Ok().json(Snapshots { snapshots, snapshots_links }))
}

/// Show a snapshot
#[utoipa::path(
    get, path = "/v1/snapshots/{id}", tag = "snapshots", operation_id = "show_snapshot",
    params(("id" = SnapshotId, Path, description = "Id of the snapshot.")),
    responses((status = 200, description = "The snapshot.", body = OneSnapshot)),
)]
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let detail = state.app.get_snapshot(&caller.0, path_id("Snapshot", &id)?).await?;
    Ok(HttpResponse::Ok().json(OneSnapshot { snapshot: detail.into() }))
}

/// Create a snapshot
///
/// Captures all covered disks of a server.
#[utoipa::path(
    post, path = "/v1/snapshots", tag = "snapshots", operation_id = "create_snapshot",
    request_body = SnapshotCreate,
    responses(
        (status = 200, description = "Only the plan was asked for. Nothing is changed.", body = Planned),
        (status = 202, description = "The operation is recorded and runs.", body = OneSnapshot,
            headers(("Location" = String, description = "URL of the new snapshot."))),
        (status = 409, description = "A state of the server or its disks, another operation, or another tree is in the way.",
            body = ErrorBody),
    ),
)]
pub async fn create(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, body: Body) -> Answer {
    let wanted = parse::<SnapshotCreate>(&body.0)?.request()?;
    let answer = match state.app.create_snapshot(&caller.0, wanted).await {
        // The server is named in the body, not in the path.
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(Error::bad_field("snapshot.server_id", error.to_string()).into());
        }
        other => other.map_err(of_member("snapshot"))?,
    };
    match answer {
        app::Answer::Plan(view) => Ok(plan(view)),
        app::Answer::Accepted((detail, operation_id)) => {
            let path = format!("snapshots/{}", detail.snapshot.id);
            Ok(accepted(&state, &request, begun(detail, operation_id), &path))
        }
    }
}

/// Update a snapshot
///
/// Gives it other words, protects it from deletion, or takes the protection off.
#[utoipa::path(
    patch, path = "/v1/snapshots/{id}", tag = "snapshots", operation_id = "update_snapshot",
    params(("id" = SnapshotId, Path, description = "Id of the snapshot.")),
    request_body = SnapshotUpdate,
    responses(
        (status = 200, description = "The snapshot as it is now.", body = OneSnapshot),
        (status = 409, description = "An operation that may remove it is under way, or it is a joint.", body = ErrorBody),
    ),
)]
pub async fn update(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>, body: Body) -> Answer {
    let id = path_id("Snapshot", &id)?;
    let wanted = parse::<SnapshotUpdate>(&body.0)?.request();
    let detail = state.app.update_snapshot(&caller.0, id, wanted).await.map_err(of_member("snapshot"))?;
    Ok(HttpResponse::Ok().json(OneSnapshot { snapshot: detail.into() }))
}

/// Delete a snapshot
#[utoipa::path(
    delete, path = "/v1/snapshots/{id}", tag = "snapshots", operation_id = "delete_snapshot",
    params(("id" = SnapshotId, Path, description = "Id of the snapshot."), SnapshotDeleteParams, DeleteParams),
    responses(
        (status = 200, description = "Only the plan was asked for. Nothing is changed.", body = Planned),
        (status = 202, description = "The operation is recorded and runs.", body = OneSnapshot,
            headers(("Location" = String, description = "URL of the operation."))),
        (status = 409, description = "Another operation, another tree, a protection or a state is in the way.", body = ErrorBody),
    ),
)]
pub async fn delete(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, id: web::Path<String>) -> Answer {
    let id = path_id("Snapshot", &id)?;
    let how = how_to_delete::<SnapshotDeleteParams>(&request)?;
    Ok(acted(&state, &request, state.app.delete_snapshot(&caller.0, id, how).await?, begun))
}

/// Restore a snapshot
///
/// Takes the server back to it, in place.
#[utoipa::path(
    post, path = "/v1/snapshots/{id}/restore", tag = "snapshots", operation_id = "restore_snapshot",
    params(("id" = SnapshotId, Path, description = "Id of the snapshot.")),
    request_body = Restore,
    responses(
        (status = 200, description = "Only the plan was asked for. Nothing is changed.", body = Planned),
        (status = 202, description = "The operation is recorded and runs.", body = OneSnapshot,
            headers(("Location" = String, description = "URL of the operation."))),
        (status = 409, description = "A state of the server, its disks or the snapshot, another operation, or another tree is in the way.",
            body = ErrorBody),
    ),
)]
pub async fn restore(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    body: Body,
) -> Answer {
    let id = path_id("Snapshot", &id)?;
    let wanted = parse::<Restore>(&body.0)?.request(id)?;
    let answer = state.app.restore_snapshot(&caller.0, wanted).await.map_err(of_member("restore"))?;
    Ok(acted(&state, &request, answer, begun))
}
