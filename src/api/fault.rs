//! The one match from an error's kind to a status code, and the error body: API-SIG's `errors[]` plus the `error{}` from which
//! openstacksdk prints its message.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::current_request;
use super::page::Link;
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

/// An error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// One entry, as API-SIG describes it.
    #[schema(min_items = 1, max_items = 1)]
    errors: Vec<ErrorEntry>,
    /// The same words, for openstacksdk.
    error: ErrorSummary,
}

/// An error, as API-SIG describes it.
#[derive(Serialize, ToSchema)]
struct ErrorEntry {
    /// The request's id, as in the header `X-OpenStack-Request-ID`: it finds the request in the log.
    request_id: String,
    /// What is wrong, in a word that is stable: `server-snapshot.conflict`.
    #[schema(pattern = "^server-snapshot\\.[a-z_]+$")]
    code: String,
    /// The status code.
    status: u16,
    /// The status code in words.
    title: &'static str,
    /// For people, with `Remedy:` and what to do about it, if there is anything.
    detail: String,
    /// Empty.
    links: Vec<Link>,
    /// The member or parameter that is wrong; absent if it is not one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
}

/// An error in short.
#[derive(Serialize, ToSchema)]
struct ErrorSummary {
    /// The status code.
    code: u16,
    /// The status code in words.
    title: &'static str,
    /// For people, with `Remedy:` and what to do about it, if there is anything.
    message: String,
}

/// An error body of the API.
pub fn body(status: StatusCode, code: &str, message: &str, field: Option<&str>) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let entry = ErrorEntry {
        request_id: current_request(|request| request.id.clone()),
        code: format!("{SERVICE_TYPE}.{code}"),
        status: status.as_u16(),
        title,
        detail: message.to_owned(),
        links: vec![],
        field: field.map(str::to_owned),
    };
    HttpResponse::build(status).json(ErrorBody {
        errors: vec![entry],
        error: ErrorSummary { code: status.as_u16(), title, message: message.to_owned() },
    })
}

/// The header that carries a request's id.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-openstack-request-id");
