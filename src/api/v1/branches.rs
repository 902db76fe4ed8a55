//! `/v1/servers/{id}/branches`, `/v1/branches/{id}`

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema::{Name, Time};
use super::snapshots::body::Restore;
use super::{DeleteParams, Planned, acted, how_to_delete, of_member};
use crate::api::ApiState;
use crate::api::body::{Body, parse, path_id};
use crate::api::caller::Caller;
use crate::api::fault::{Answer, ErrorBody};
use crate::api::page::NoParams;
use crate::app::branches::BranchDetail;
use crate::ids::{BranchId, OperationId, ServerId, SnapshotId};

/// A change of a branch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchUpdate {
    /// The branch, as it shall be.
    branch: BranchUpdateFields,
}

/// A branch, as it shall be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BranchUpdateFields {
    /// The new name.
    #[schema(value_type = Name)]
    name: String,
}

/// A branch.
#[derive(Serialize, ToSchema)]
pub struct OneBranch {
    /// The branch.
    branch: BranchView,
}

/// The branches of a server.
#[derive(Serialize, ToSchema)]
pub struct Branches {
    /// The branches, the oldest first.
    branches: Vec<BranchView>,
}

/// A branch: a named line of snapshots.
#[derive(Serialize, ToSchema)]
#[schema(as = Branch)]
pub struct BranchView {
    id: BranchId,
    server_id: ServerId,
    /// Name; unique for its server.
    name: String,
    /// The snapshot that the branch begins at; `null` if it begins with a root.
    #[schema(required)]
    fork_snapshot_id: Option<SnapshotId>,
    /// Its newest snapshot that is no joint; else where it begins; `null` if it begins with a root that is not there yet.
    #[schema(required)]
    tip_snapshot_id: Option<SnapshotId>,
    /// Whether the server is on it: the next snapshot continues it.
    current: bool,
    /// When it began.
    created_at: Time,
    /// The operation that has begun with this answer; absent from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    operation_id: Option<OperationId>,
}

impl From<BranchDetail> for BranchView {
    fn from(BranchDetail { branch, tip, current }: BranchDetail) -> Self {
        Self {
            id: branch.id,
            server_id: branch.server_id,
            name: branch.name,
            fork_snapshot_id: branch.fork_snapshot_id,
            tip_snapshot_id: tip,
            current,
            created_at: Time::of(branch.created_at),
            operation_id: None,
        }
    }
}

/// The answer to an act on a branch that has begun.
fn begun(detail: BranchDetail, operation_id: OperationId) -> OneBranch {
    OneBranch { branch: BranchView { operation_id: Some(operation_id), ..detail.into() } }
}

/// List the branches of a server
#[utoipa::path(
    get, path = "/v1/servers/{id}/branches", tag = "branches", operation_id = "list_branches",
    params(("id" = ServerId, Path, description = "Id of the server, as Nova gave it.")),
    responses((status = 200, description = "The branches.", body = Branches)),
)]
pub async fn list(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let details = state.app.list_branches(&caller.0, path_id("Server", &id)?).await?;
    Ok(HttpResponse::Ok().json(Branches { branches: details.into_iter().map(BranchView::from).collect() }))
}

/// Show a branch
#[utoipa::path(
    get, path = "/v1/branches/{id}", tag = "branches", operation_id = "show_branch",
    params(("id" = BranchId, Path, description = "Id of the branch.")),
    responses((status = 200, description = "The branch.", body = OneBranch)),
)]
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let detail = state.app.get_branch(&caller.0, path_id("Branch", &id)?).await?;
    Ok(HttpResponse::Ok().json(OneBranch { branch: detail.into() }))
}

/// Rename a branch
#[utoipa::path(
    patch, path = "/v1/branches/{id}", tag = "branches", operation_id = "update_branch",
    params(("id" = BranchId, Path, description = "Id of the branch.")),
    request_body = BranchUpdate,
    responses(
        (status = 200, description = "The branch as it is now.", body = OneBranch),
        (status = 409, description = "Another branch of the server has this name, or an operation is under way on the server.",
            body = ErrorBody),
    ),
)]
pub async fn update(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>, body: Body) -> Answer {
    let id = path_id("Branch", &id)?;
    let fields = parse::<BranchUpdate>(&body.0)?.branch;
    let detail = state.app.rename_branch(&caller.0, id, &fields.name).await.map_err(of_member("branch"))?;
    Ok(HttpResponse::Ok().json(OneBranch { branch: detail.into() }))
}

/// Delete a branch
#[utoipa::path(
    delete, path = "/v1/branches/{id}", tag = "branches", operation_id = "delete_branch",
    params(("id" = BranchId, Path, description = "Id of the branch."), DeleteParams),
    responses(
        (status = 200, description = "Only the plan was asked for. Nothing is changed.", body = Planned),
        (status = 202, description = "The operation is recorded and runs; the branch as it was before.", body = OneBranch,
            headers(("Location" = String, description = "URL of the operation."))),
        (status = 409, description = "The server is on it, or another operation, another tree or a protection is in the way.",
            body = ErrorBody),
    ),
)]
pub async fn delete(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, id: web::Path<String>) -> Answer {
    let id = path_id("Branch", &id)?;
    let how = how_to_delete::<NoParams>(&request)?;
    Ok(acted(&state, &request, state.app.delete_branch(&caller.0, id, how).await?, begun))
}

/// Restore a branch
///
/// Takes the server back to the branch's tip, in place.
#[utoipa::path(
    post, path = "/v1/branches/{id}/restore", tag = "branches", operation_id = "restore_branch",
    params(("id" = BranchId, Path, description = "Id of the branch.")),
    request_body = Restore,
    responses(
        (status = 200, description = "Only the plan was asked for. Nothing is changed.", body = Planned),
        (status = 202, description = "The operation is recorded and runs; the branch as it was before.", body = OneBranch,
            headers(("Location" = String, description = "URL of the operation."))),
        (status = 409, description = "A state of the server, its disks or the branch, another operation, or another tree is in the way.",
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
    let id = path_id("Branch", &id)?;
    // The branch's tip takes the place of this id.
    let wanted = parse::<Restore>(&body.0)?.request(SnapshotId::new())?;
    let answer = state.app.restore_branch(&caller.0, id, wanted).await.map_err(of_member("restore"))?;
    Ok(acted(&state, &request, answer, begun))
}
