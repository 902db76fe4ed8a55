//! Version 1: one file a resource, with its bodies, its views and its handlers; what grows gets a folder.

pub mod branches;
pub mod discovery;
pub mod engines;
pub mod openapi;
pub mod operations;
pub mod schema;
pub mod servers;
pub mod snapshots;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::body::no_body;
use super::page::{Query, base};
use crate::app::plan_view::PlanView;
use crate::app::policy::{Rule, Target};
use crate::app::snapshot_delete::HowToDelete;
use crate::app::{self, RequestContext};
use crate::error::{Error, Result};
use crate::ids::OperationId;
use schema::{Flag, Generation};

/// The answer to a dry run.
#[derive(Serialize, ToSchema)]
pub struct Planned {
    /// What the request would do.
    plan: PlanView,
}

fn plan(plan: Box<PlanView>) -> HttpResponse {
    HttpResponse::Ok().json(Planned { plan: *plan })
}

/// The answer to an act on something that is there: its plan, or what has begun, as `view` shows it; the operation is where to
/// look next.
fn acted<T, View: Serialize>(
    state: &ApiState,
    request: &HttpRequest,
    answer: app::Answer<(T, OperationId)>,
    view: impl FnOnce(T, OperationId) -> View,
) -> HttpResponse {
    match answer {
        app::Answer::Plan(view) => plan(view),
        app::Answer::Accepted((thing, operation_id)) => {
            accepted(state, request, view(thing, operation_id), &format!("operations/{operation_id}"))
        }
    }
}

/// The answer to an act that has begun: the resource, with the operation that works on it. `path` is where to look next.
fn accepted(state: &ApiState, request: &HttpRequest, view: impl Serialize, path: &str) -> HttpResponse {
    HttpResponse::Accepted().insert_header((LOCATION, format!("{}/v1/{path}", base(state, request)))).json(view)
}

/// What an act has found wrong in a field of this object of the body, or in a member beside it.
fn of_member(object: &'static str) -> impl Fn(Error) -> Error {
    move |error| if error.field() == Some("client_token") { error } else { error.within(object) }
}

/// How a deletion is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteParams {
    /// Whether only the plan is asked for.
    #[param(value_type = Option<Flag>)]
    pub dry_run: Option<String>,
    /// The generation that the tree must have; any, if there is none.
    #[param(value_type = Option<Generation>)]
    pub tree_generation: Option<i64>,
}

/// How a deletion is asked for: in its query, with [`DeleteParams`] and these of its own only.
fn how_to_delete<Own: IntoParams>(request: &HttpRequest) -> Result<HowToDelete> {
    no_body(request)?;
    let query = Query::only::<Own, DeleteParams>(request)?;
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
