//! `/v1/servers/{id}/branches`, `/v1/branches/{id}`

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::snapshots::RestoreBody;
use super::{accepted, how_to_delete, plan, time};
use crate::api::ApiState;
use crate::api::body::{Body, parse, path_id};
use crate::api::caller::Caller;
use crate::api::fault::Answer;
use crate::app;
use crate::app::branches::BranchDetail;
use crate::ids::SnapshotId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    branch: UpdateFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateFields {
    name: String,
}

/// A branch as callers see it.
pub(super) fn view(detail: &BranchDetail) -> Value {
    json!({
        "id": detail.branch.id,
        "server_id": detail.branch.server_id,
        "name": detail.branch.name,
        "fork_snapshot_id": detail.branch.fork_snapshot_id,
        "tip_snapshot_id": detail.tip,
        "current": detail.current,
        "created_at": time(detail.branch.created_at),
    })
}

/// `GET /v1/servers/{id}/branches`
pub async fn list(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let details = state.app.list_branches(&caller.0, path_id("Server", &id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "branches": details.iter().map(view).collect::<Vec<_>>() })))
}

/// `GET /v1/branches/{id}`
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let detail = state.app.get_branch(&caller.0, path_id("Branch", &id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "branch": view(&detail) })))
}

/// `PATCH /v1/branches/{id}`
pub async fn update(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>, body: Body) -> Answer {
    let id = path_id("Branch", &id)?;
    let fields = parse::<UpdateBody>(&body.0)?.branch;
    let detail = state.app.rename_branch(&caller.0, id, &fields.name).await?;
    Ok(HttpResponse::Ok().json(json!({ "branch": view(&detail) })))
}

/// `DELETE /v1/branches/{id}?dry_run&tree_generation`
pub async fn delete(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, id: web::Path<String>) -> Answer {
    let id = path_id("Branch", &id)?;
    let how = how_to_delete(&request, &["dry_run", "tree_generation"])?;
    match state.app.delete_branch(&caller.0, id, how).await? {
        app::Answer::Plan(view) => Ok(plan(&view)),
        app::Answer::Accepted((detail, operation_id)) => {
            let path = format!("operations/{operation_id}");
            Ok(accepted(&state, &request, ("branch", view(&detail)), operation_id, path))
        }
    }
}

/// `POST /v1/branches/{id}/restore`
pub async fn restore(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    body: Body,
) -> Answer {
    let id = path_id("Branch", &id)?;
    // The branch's tip takes the place of this id.
    let wanted = parse::<RestoreBody>(&body.0)?.request(SnapshotId::new())?;
    match state.app.restore_branch(&caller.0, id, wanted).await? {
        app::Answer::Plan(view) => Ok(plan(&view)),
        app::Answer::Accepted((branch, operation_id)) => {
            let path = format!("operations/{operation_id}");
            Ok(accepted(&state, &request, ("branch", view(&branch)), operation_id, path))
        }
    }
}
