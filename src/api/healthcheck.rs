//! `/healthcheck`, as oslo.middleware has it: for load balancers, without a token and without details.

use actix_web::{HttpResponse, web};

use super::ApiState;

/// Check health
///
/// For load balancers.
#[utoipa::path(
    get, path = "/healthcheck", tag = "versions", operation_id = "check_health",
    responses(
        (status = 200, description = "The service and its database answer: `OK`.", body = String, content_type = "text/plain"),
        (status = 503, description = "The database does not answer.", body = String, content_type = "text/plain"),
    ),
)]
pub async fn get(state: web::Data<ApiState>) -> HttpResponse {
    match state.app.store.ping().await {
        Ok(()) => HttpResponse::Ok().content_type("text/plain").body("OK"),
        Err(error) => {
            tracing::error!(error = %error.chain(), "not healthy");
            HttpResponse::ServiceUnavailable().content_type("text/plain").body("The database does not answer.")
        }
    }
}

/// Check health without a body
#[utoipa::path(
    head, path = "/healthcheck", tag = "versions", operation_id = "check_health_without_body",
    responses(
        (status = 204, description = "The service and its database answer."),
        (status = 503, description = "The database does not answer."),
    ),
)]
pub async fn head(state: web::Data<ApiState>) -> HttpResponse {
    match state.app.store.ping().await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}
