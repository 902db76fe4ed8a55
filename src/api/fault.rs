//! The one match from an error's kind to a status code, and the error body: API-SIG's `errors[]` plus the `error{}` from which
//! openstacksdk prints its message.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use super::envelope::current_request;
use super::version::SERVICE_TYPE;
use crate::error::{Error, Kind};

/// An [`Error`] on its way out.
#[derive(Debug)]
pub struct Fault(pub Error);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// A handler's answer.
pub type Answer = std::result::Result<HttpResponse, Fault>;

fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadRequest => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden | Kind::QuotaExceeded => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict | Kind::Cancelled | Kind::Superseded => StatusCode::CONFLICT,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Backend => StatusCode::BAD_GATEWAY,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        status_of(self.0.kind())
    }

    fn error_response(&self) -> HttpResponse {
        let error = &self.0;
        let status = self.status_code();
        let (told, chain) = (error.told(), error.chain());
        if status.is_server_error() {
            tracing::error!(error = %chain, status = status.as_u16(), "request failed");
        } else if told != chain {
            tracing::info!(error = %chain, status = status.as_u16(), "request refused; its caller was told less");
        }
        let mut response = body(status, error.kind().code(), &told, error.field());
        match error.kind() {
            Kind::Unauthorized => {
                let uri = current_request(|request| request.authenticate_uri.clone());
                if let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{uri}\"")) {
                    response.headers_mut().insert(WWW_AUTHENTICATE, value);
                }
            }
            Kind::Unavailable => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

/// An error body of the API.
pub fn body(status: StatusCode, code: &str, message: &str, field: Option<&str>) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let request_id = current_request(|request| request.id.clone());
    let mut entry = json!({
        "request_id": request_id,
        "code": format!("{SERVICE_TYPE}.{code}"),
        "status": status.as_u16(),
        "title": title,
        "detail": message,
        "links": [],
    });
    if let Some(field) = field {
        entry["field"] = json!(field);
    }
    HttpResponse::build(status).json(json!({
        "errors": [entry],
        "error": { "code": status.as_u16(), "title": title, "message": message },
    }))
}

/// The header that carries a request's id.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");
