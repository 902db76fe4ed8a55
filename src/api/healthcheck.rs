//! `/healthcheck`, as oslo.middleware has it: for load balancers, without a token and without details.

use actix_web::{HttpResponse, web};

use super::ApiState;

/// `GET`: 200 `OK`, or 503 when the database does not answer.
pub async fn get(state: web::Data<ApiState>) -> HttpResponse {
    match state.app.store.ping().await {
        Ok(()) => HttpResponse::Ok().content_type("text/plain").body("OK"),
        Err(error) => {
            tracing::error!(error = %error.chain(), "not healthy");
            HttpResponse::ServiceUnavailable().content_type("text/plain").body("The database does not answer.")
        }
    }
}

/// `HEAD`: 204, or 503.
pub async fn head(state: web::Data<ApiState>) -> HttpResponse {
    match state.app.store.ping().await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}
