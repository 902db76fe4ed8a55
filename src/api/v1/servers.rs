//! `/v1/servers`, `/v1/servers/{id}/tree`

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{accepted, branches, how_to_delete, plan, project_of, time};
use crate::api::ApiState;
use crate::api::body::path_id;
use crate::api::caller::Caller;
use crate::api::fault::Answer;
use crate::api::page::Query;
use crate::app;
use crate::app::servers::ServerDetail;
use crate::domain::plan::delete::Joint;
use crate::domain::snapshot::Consistency;
use crate::error::Error;
use crate::store::servers::ServerRecord;
use crate::store::trees::ServerTree;

/// When the tree of a deleted server goes.
fn kept_until(record: &ServerRecord, keep: Duration) -> Option<String> {
    let keep = TimeDelta::from_std(keep).ok()?;
    record.deleted_at?.checked_add_signed(keep).map(time)
}

fn warnings(record: &ServerRecord) -> Vec<Value> {
    record.warnings.iter().map(|it| json!({ "at": time(it.at), "text": it.text })).collect()
}

fn view(detail: &ServerDetail, keep: Duration) -> Value {
    let record = &detail.record;
    json!({
        "id": record.id,
        "name": record.name,
        "project_id": record.project_id,
        "tree_generation": record.generation,
        "current_snapshot_id": record.current_snapshot_id,
        "current_branch_id": record.current_branch_id,
        "current_branch": detail.current_branch,
        "snapshot_count": detail.snapshot_count,
        "reclaim_pending_bytes": record.reclaim_pending_bytes,
        "operation_id": record.operation_id,
        "deleted_at": record.deleted_at.map(time),
        "kept_until": kept_until(record, keep),
        "warnings": warnings(record),
    })
}

fn tree_view(tree: &ServerTree, joints: &[Joint], keep: Duration) -> Value {
    let nodes: Vec<Value> = tree
        .forest
        .preorder()
        .into_iter()
        .map(|(depth, node)| {
            let disks = tree.disks_of(node.id);
            json!({
                "id": node.id,
                "parent_id": node.parent_id,
                "depth": depth,
                "name": node.name,
                "description": node.description,
                "status": node.status.as_str(),
                "hidden": node.hidden,
                "hidden_reason": joints.iter().find(|joint| joint.id == node.id).map(|joint| &joint.reason),
                "protected": node.protection.is_some(),
                "safety": node.safety,
                "partial": node.partial,
                "branch_id": node.branch_id,
                "branch": tree.forest.branch(node.branch_id).map(|branch| &branch.name),
                "size_bytes": disks.iter().map(|part| part.size_bytes).sum::<u64>(),
                "disk_count": disks.len(),
                "consistency": node.consistency.reached.map(Consistency::as_str),
                "created_at": time(node.created_at),
            })
        })
        .collect();
    let record = &tree.record;
    json!({
        "server_id": record.id,
        "server_name": record.name,
        "tree_generation": record.generation,
        "current_snapshot_id": record.current_snapshot_id,
        "current_branch_id": record.current_branch_id,
        "operation_id": record.operation_id,
        "reclaim_pending_bytes": record.reclaim_pending_bytes,
        "deleted_at": record.deleted_at.map(time),
        "kept_until": kept_until(record, keep),
        "warnings": warnings(record),
        "nodes": nodes,
        "branches": app::branches::details(tree).iter().map(branches::view).collect::<Vec<_>>(),
    })
}

fn keep(state: &ApiState) -> Duration {
    state.app.settings.keep_deleted
}

/// `GET /v1/servers`
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["project_id", "all_projects"])?;
    let page = query.page(state.settings.limit_max)?;
    if query.text("sort").is_some() {
        return Err(Error::bad_field("sort", "Servers come in the order of their ids.").into());
    }
    let project = project_of(&caller.0, &query).await?;
    let details = state.app.list_servers(&caller.0, project.as_deref(), &page).await?;
    let last = details.last().map(|detail| detail.record.id.to_string());
    let links = query.links(&state, &request, &page, last.as_deref(), details.len());
    Ok(HttpResponse::Ok().json(json!({
        "servers": details.iter().map(|detail| view(detail, keep(&state))).collect::<Vec<_>>(),
        "servers_links": links,
    })))
}

/// `GET /v1/servers/{id}`
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let detail = state.app.get_server(&caller.0, path_id("Server", &id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "server": view(&detail, keep(&state)) })))
}

/// `GET /v1/servers/{id}/tree`
pub async fn tree(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let tree = state.app.server_tree(&caller.0, path_id("Server", &id)?).await?;
    let joints = state.app.joints(&tree)?;
    Ok(HttpResponse::Ok().json(json!({ "tree": tree_view(&tree, &joints, keep(&state)) })))
}

/// `DELETE /v1/servers/{id}/tree?dry_run&tree_generation`
pub async fn delete_tree(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Answer {
    let id = path_id("Server", &id)?;
    let how = how_to_delete(&request, &["dry_run", "tree_generation"])?;
    match state.app.delete_tree(&caller.0, id, how).await? {
        app::Answer::Plan(view) => Ok(plan(&view)),
        app::Answer::Accepted((tree, operation_id)) => {
            let view = tree_view(&tree, &state.app.joints(&tree)?, keep(&state));
            let path = format!("operations/{operation_id}");
            Ok(accepted(&state, &request, ("tree", view), operation_id, path))
        }
    }
}
