//! Version 1: one file a resource, with its bodies, its views and its handlers.

pub mod branches;
pub mod discovery;
pub mod operations;
pub mod servers;
pub mod snapshots;

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::app::RequestContext;
use crate::app::plan_view::PlanView;
use crate::app::policy::Rule;
use crate::error::Result;

use super::page::Query;

/// A time as all views show it: UTC, whole seconds.
fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The answer to a dry run.
fn plan(view: &PlanView) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "plan": view }))
}

/// The project that a list is limited to: the caller's own, or what an administrator asks for.
fn project_of(caller: &RequestContext, query: &Query) -> Result<Option<String>> {
    let all = query.flag("all_projects")?;
    match query.text("project_id") {
        Some(project) if project == caller.project_id => Ok(Some(project.to_owned())),
        Some(project) => {
            caller.allow(Rule::AllProjects)?;
            Ok(Some(project.to_owned()))
        }
        None if all => {
            caller.allow(Rule::AllProjects)?;
            Ok(None)
        }
        None => Ok(Some(caller.project_id.clone())),
    }
}
