//! `/` and `/v1`: which versions there are; without a token.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::ApiState;
use crate::api::page::{Link, base};
use crate::api::version::{NEWEST, OLDEST, text};

/// All versions.
#[derive(Serialize, ToSchema)]
pub struct Versions {
    /// The versions.
    versions: Vec<Version>,
}

/// One version.
#[derive(Serialize, ToSchema)]
pub struct OneVersion {
    /// The version.
    version: Version,
}

/// A version of the API.
#[derive(Serialize, ToSchema)]
struct Version {
    /// `v1.0`
    id: &'static str,
    /// `CURRENT`
    status: &'static str,
    /// Its newest microversion, for those who look for it here.
    version: String, // osauth reads `version`, keystoneauth `max_version`
    /// Its oldest microversion.
    min_version: String,
    /// Its newest microversion.
    max_version: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    updated: &'static str,
    /// Its root (`self`) and its OpenAPI document (`describedby`).
    links: Vec<Link>,
}

fn version_one(state: &ApiState, request: &HttpRequest) -> Version {
    let base = base(state, request);
    Version {
        id: "v1.0",
        status: "CURRENT",
        version: text(NEWEST),
        min_version: text(OLDEST),
        max_version: text(NEWEST),
        updated: "2026-11-21T00:00:00Z",
        links: vec![
            Link { rel: "self", href: format!("{base}/v1/") },
            Link { rel: "describedby", href: format!("{base}/v1/openapi.json") },
        ],
    }
}

/// List versions
#[utoipa::path(
    get, path = "/", tag = "versions", operation_id = "list_versions",
    responses((status = 200, description = "The versions.", body = Versions)),
)]
pub async fn versions(state: web::Data<ApiState>, request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(Versions { versions: vec![version_one(&state, &request)] })
}

/// Show version 1
#[utoipa::path(
    get, path = "/v1", tag = "versions", operation_id = "show_version",
    responses((status = 200, description = "The version.", body = OneVersion)),
)]
pub async fn version(state: web::Data<ApiState>, request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(OneVersion { version: version_one(&state, &request) })
}
