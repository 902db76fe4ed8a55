//! `/v1/servers`, `/v1/servers/{id}/tree`

pub mod view;

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{DeleteParams, Planned, accepted, how_to_delete, plan, project_of};
use crate::api::ApiState;
use crate::api::body::path_id;
use crate::api::caller::Caller;
use crate::api::fault::{Answer, ErrorBody};
use crate::api::page::{BY_TIME, ListParams, NoParams, Query};
use crate::app;
use crate::error::Error;
use crate::ids::ServerId;
use view::{OneServer, OneTree, ServerView, Servers, TreeView};

fn keep(state: &ApiState) -> Duration {
    state.app.settings.keep_deleted
}

/// List servers
///
/// Servers that have had snapshots, in the order of their ids.
#[utoipa::path(
    get, path = "/v1/servers", tag = "servers", operation_id = "list_servers",
    params(ListParams),
    responses((status = 200, description = "A page of servers.", body = Servers)),
)]
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let query = Query::of::<NoParams>(&request)?;
    if query.text("sort").is_some() {
        return Err(Error::bad_field("sort", "Servers come in the order of their ids.").into());
    }
    let page = query.page(state.settings.limit_max, &BY_TIME)?;
    let project = project_of(&caller.0, &query).await?;
    let details = state.app.list_servers(&caller.0, project.as_deref(), &page).await?;
    let last = details.last().map(|detail| detail.record.id.to_string());
    let servers_links = query.links(&state, &request, &page, last.as_deref(), details.len());
    let servers = details.iter().map(|detail| ServerView::of(detail, keep(&state))).collect();
    Ok(HttpResponse::Ok().json(Servers { servers, servers_links }))
}

/// Show a server
#[utoipa::path(
    get, path = "/v1/servers/{id}", tag = "servers", operation_id = "show_server",
    params(("id" = ServerId, Path, description = "Id of the server, as Nova gave it.")),
    responses((status = 200, description = "The server.", body = OneServer)),
)]
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let detail = state.app.get_server(&caller.0, path_id("Server", &id)?).await?;
    Ok(HttpResponse::Ok().json(OneServer { server: ServerView::of(&detail, keep(&state)) }))
}

/// Show the tree of a server
///
/// A server that has had no snapshot has an empty one.
#[utoipa::path(
    get, path = "/v1/servers/{id}/tree", tag = "servers", operation_id = "show_tree",
    params(("id" = ServerId, Path, description = "Id of the server, as Nova gave it.")),
    responses((status = 200, description = "The tree.", body = OneTree)),
)]
pub async fn tree(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let tree = state.app.server_tree(&caller.0, path_id("Server", &id)?).await?;
    let joints = state.app.joints(&tree)?;
    Ok(HttpResponse::Ok().json(OneTree { tree: TreeView::of(&tree, &joints, keep(&state)) }))
}

/// Delete all snapshots of a server
#[utoipa::path(
    delete, path = "/v1/servers/{id}/tree", tag = "servers", operation_id = "delete_tree",
    params(("id" = ServerId, Path, description = "Id of the server, as Nova gave it."), DeleteParams),
    responses(
        (status = 200, description = "Only the plan was asked for. Nothing is changed.", body = Planned),
        (status = 202, description = "The operation is recorded and runs; the tree as it was before.", body = OneTree,
            headers(("Location" = String, description = "URL of the operation."))),
        (status = 409, description = "There are no snapshots, or another operation, another tree or a protection is in the way.",
            body = ErrorBody),
    ),
)]
pub async fn delete_tree(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
) -> Answer {
    let id = path_id("Server", &id)?;
    let how = how_to_delete::<NoParams>(&request)?;
    match state.app.delete_tree(&caller.0, id, how).await? {
        app::Answer::Plan(view) => Ok(plan(view)),
        app::Answer::Accepted((tree, operation_id)) => {
            let mut tree = TreeView::of(&tree, &state.app.joints(&tree)?, keep(&state));
            tree.operation_id = Some(operation_id);
            Ok(accepted(&state, &request, OneTree { tree }, &format!("operations/{operation_id}")))
        }
    }
}
