//! What surrounds every request: its id, its span, its microversion, a line in the access log, and the promise that an error
//! leaves as the API's own, whoever made it.

use std::cell::RefCell;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, VARY};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use tracing::Instrument;
use uuid::Uuid;

use super::{ApiState, fault, version};
use crate::clients::REQUEST_ID;
use crate::clock;
use crate::{measures, telemetry};

/// Ids of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestIds {
    /// Ours, new for each request.
    pub id: String,
    /// The caller's, if it gave one, else ours: passed on to all services that we call.
    pub global: String,
    /// What a 401 names.
    pub authenticate_uri: String,
}

tokio::task_local! {
    static CURRENT: RefCell<RequestIds>;
}

/// Reads the ids of the request at work.
pub fn current_request<T: Default>(read: impl FnOnce(&RequestIds) -> T) -> T {
    CURRENT.try_with(|ids| read(&ids.borrow())).unwrap_or_default()
}

/// `req-` and a uuid: what oslo.middleware accepts as a global request id.
fn global_id(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get(fault::REQUEST_ID_HEADER)?.to_str().ok()?;
    let uuid = text.strip_prefix("req-")?;
    (uuid.len() == 36 && Uuid::try_parse(uuid).is_ok()).then(|| text.to_owned())
}

/// The middleware.
///
/// # Errors
/// Never by itself: errors of inner services become responses.
pub async fn envelope(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = format!("req-{}", Uuid::new_v4());
    let given = global_id(&request);
    let global = given.clone().unwrap_or_else(|| id.clone());
    let settings = request.app_data::<web::Data<ApiState>>().map(|state| &state.settings);
    let authenticate_uri = settings.map(|settings| settings.authenticate_uri.clone()).unwrap_or_default();
    let client = match settings {
        Some(settings) if settings.proxy_headers => request.connection_info().realip_remote_addr().map(str::to_owned),
        _ => request.peer_addr().map(|address| address.ip().to_string()),
    }
    .unwrap_or_default();
    let ids = RequestIds { id: id.clone(), global: global.clone(), authenticate_uri };
    request.extensions_mut().insert(ids.clone());
    let span = telemetry::request_span(&id, given.as_deref());
    let begun = clock::Instant::now();
    let line = format!("{} {}", request.method(), request.uri());
    let work = async move {
        let mut response = match version::negotiate(request.headers()) {
            // Handlers' and extractors' errors are responses already; the request must not be cloned before.
            Ok(_) => next.call(request).await?.map_into_boxed_body(),
            Err((status, message)) => {
                let code = if status == StatusCode::NOT_ACCEPTABLE { "version_not_supported" } else { "bad_version" };
                let response = fault::body(status, code, &message, None);
                ServiceResponse::new(request.request().clone(), response)
            }
        };
        if let Some((code, message)) = not_ours(&response) {
            let status = response.status();
            let allow = response.headers().get("allow").cloned();
            let mut ours = fault::body(status, code, &message, None);
            if let Some(allow) = allow {
                ours.headers_mut().insert(actix_web::http::header::ALLOW, allow);
            }
            response = ServiceResponse::new(response.request().clone(), ours);
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(fault::REQUEST_ID_HEADER, value);
        }
        if let Ok(value) =
            HeaderValue::from_str(&format!("{} {}", version::SERVICE_TYPE, version::text(version::NEWEST)))
        {
            headers.insert(version::HEADER, value);
        }
        headers.insert(VARY, HeaderValue::from_static("OpenStack-API-Version"));
        let elapsed = begun.elapsed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let bytes = match response.response().body().size() {
            BodySize::Sized(bytes) => bytes,
            BodySize::None | BodySize::Stream => 0,
        };
        tracing::info!(status = response.status().as_u16(), bytes, elapsed_ms, client, "{line}");
        let route = response.request().match_pattern().unwrap_or_else(|| "other".into());
        measures::request_answered(method(response.request().method()), &route, response.status().as_u16(), elapsed);
        Ok(response)
    };
    CURRENT.scope(RefCell::new(ids), REQUEST_ID.scope(global, work.instrument(span))).await
}

/// Callers may make up methods; a measure has few labels.
fn method(given: &Method) -> &str {
    match *given {
        Method::GET | Method::HEAD | Method::POST | Method::PATCH | Method::DELETE => given.as_str(),
        _ => "other",
    }
}

/// An error that the framework made: its code and message in our words.
fn not_ours(response: &ServiceResponse<BoxBody>) -> Option<(&'static str, String)> {
    let status = response.status();
    let json =
        response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !(status.is_client_error() || status.is_server_error()) || json || response.request().path() == "/healthcheck" {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => ("not_found", format!("There is nothing at {}.", response.request().path())),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method_not_allowed", format!("{} is not allowed here.", response.request().method()))
        }
        StatusCode::REQUEST_TIMEOUT => ("timeout", "The request body did not arrive in time.".to_owned()),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "The request body is too large.".to_owned()),
        other => ("bad_request", other.canonical_reason().unwrap_or("The request cannot be served.").to_owned()),
    })
}
