//! `/v1/operations`

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::{project_of, time};
use crate::api::ApiState;
use crate::api::body::{field_id, no_body, path_id};
use crate::api::caller::Caller;
use crate::api::fault::Answer;
use crate::api::page::Query;
use crate::domain::operation::{Operation, OperationEvent, OperationStatus};
use crate::error::Error;
use crate::store::operations::OperationFilter;

fn view(operation: &Operation) -> Value {
    let status = operation.status;
    json!({
        "id": operation.id,
        "kind": operation.kind,
        "status": status.as_str(),
        "server_id": operation.server_id,
        "snapshot_id": operation.snapshot_id,
        "project_id": operation.project_id,
        "user_id": operation.user_id,
        "request_id": operation.request_id,
        "phase": operation.phase,
        "steps_done": operation.step.max(0),
        "steps_total": operation.steps_total,
        "cancellable": !operation.committed && matches!(status, OperationStatus::Queued | OperationStatus::Running),
        "cancel_requested": operation.cancel_requested,
        "warnings": operation.warnings,
        "replaced": operation.state.get("replaced").unwrap_or(&json!([])),
        "error": operation.error,
        "created_at": time(operation.created_at),
        "started_at": operation.started_at.map(time),
        "finished_at": operation.finished_at.map(time),
    })
}

fn event_view(event: &OperationEvent) -> Value {
    json!({
        "at": event.at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "step": event.step,
        "event": event.kind.as_str(),
        "detail": event.detail,
    })
}

/// `GET /v1/operations`
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["server_id", "snapshot_id", "status", "project_id", "all_projects"])?;
    let page = query.page(state.settings.limit_max)?;
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
    let links = query.links(&state, &request, &page, last.as_deref(), operations.len());
    Ok(HttpResponse::Ok().json(json!({
        "operations": operations.iter().map(view).collect::<Vec<_>>(),
        "operations_links": links,
    })))
}

/// `GET /v1/operations/{id}`
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let (operation, events) = state.app.get_operation(&caller.0, path_id("Operation", &id)?).await?;
    let mut body = view(&operation);
    body["events"] = json!(events.iter().map(event_view).collect::<Vec<_>>());
    Ok(HttpResponse::Ok().json(json!({ "operation": body })))
}

/// `POST /v1/operations/{id}/cancel`
pub async fn cancel(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, id: web::Path<String>) -> Answer {
    no_body(&request)?;
    Query::only(&request, &[])?;
    let operation = state.app.cancel_operation(&caller.0, path_id("Operation", &id)?).await?;
    Ok(HttpResponse::Accepted().json(json!({ "operation": view(&operation) })))
}
