//! `/` and `/v1`: which versions there are; without a token.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::api::ApiState;
use crate::api::page::base;
use crate::api::version::{NEWEST, OLDEST, text};

fn version_one(state: &ApiState, request: &HttpRequest) -> Value {
    json!({
        "id": "v1.0",
        "status": "CURRENT",
        "version": text(NEWEST), // osauth reads `version`, keystoneauth `max_version`
        "min_version": text(OLDEST),
        "max_version": text(NEWEST),
        "updated": "2026-11-21T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{}/v1/", base(state, request)) }],
    })
}

/// `GET /`
pub async fn versions(state: web::Data<ApiState>, request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "versions": [version_one(&state, &request)] }))
}

/// `GET /v1`
pub async fn version(state: web::Data<ApiState>, request: HttpRequest) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "version": version_one(&state, &request) }))
}
