//! Version 1: one file a resource, with its bodies, its views and its handlers.

pub mod branches;
pub mod discovery;
pub mod operations;
pub mod servers;
pub mod snapshots;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::ApiState;
use super::body::no_body;
use super::page::{Query, base};
use crate::app::RequestContext;
use crate::app::plan_view::PlanView;
use crate::app::policy::{Rule, Target};
use crate::app::snapshot_delete::HowToDelete;
use crate::error::Result;
use crate::ids::OperationId;

/// A time as all views show it: UTC, whole seconds.
fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The answer to a dry run.
fn plan(view: &PlanView) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "plan": view }))
}

/// The answer to an act that has begun: the resource, under its name, with the operation that works on it. `path` is where to
/// look next.
fn accepted(
    state: &ApiState,
    request: &HttpRequest,
    (name, mut view): (&str, Value),
    operation_id: OperationId,
    path: String,
) -> HttpResponse {
    view["operation_id"] = json!(operation_id);
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("{}/v1/{path}", base(state, request))))
        .json(json!({ name: view }))
}

/// How a deletion is asked for: in its query, with these parameters only.
fn how_to_delete(request: &HttpRequest, known: &[&str]) -> Result<HowToDelete> {
    no_body(request)?;
    let query = Query::only(request, known)?;
    Ok(HowToDelete {
        subtree: query.flag("subtree")?,
        dry_run: query.flag("dry_run")?,
        tree_generation: query.number("tree_generation")?,
    })
}

/// The project that a list is limited to: the caller's own, or what an administrator asks for.
async fn project_of(caller: &RequestContext, query: &Query) -> Result<Option<String>> {
    let all = query.flag("all_projects")?;
    match query.text("project_id") {
        Some(project) if project == caller.project_id => Ok(Some(project.to_owned())),
        Some(project) => {
            caller.allow(Rule::AllProjects, &Target::of_project(project)).await?;
            Ok(Some(project.to_owned()))
        }
        None if all => {
            caller.allow(Rule::AllProjects, &caller.own()).await?;
            Ok(None)
        }
        None => Ok(Some(caller.project_id.clone())),
    }
}
