//! Microversions: `OpenStack-API-Version: server-snapshot 1.0`. Absent = the oldest; `latest` = the newest.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName};

/// Service type, as in Keystone's catalog.
pub const SERVICE_TYPE: &str = "server-snapshot";
/// Oldest microversion.
pub const OLDEST: (u16, u16) = (1, 0);
/// Newest microversion.
pub const NEWEST: (u16, u16) = (1, 0);
/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("openstack-api-version");

/// The microversion that a request asks for.
///
/// # Errors
/// Status and message: 400 for what cannot be read, 406 for what we do not have.
pub fn negotiate(headers: &HeaderMap) -> Result<(u16, u16), (StatusCode, String)> {
    for value in headers.get_all(HEADER) {
        let Ok(text) = value.to_str() else {
            return Err((StatusCode::BAD_REQUEST, "The header OpenStack-API-Version is not text.".to_owned()));
        };
        for item in text.split(',') {
            let mut words = item.split_whitespace();
            if words.next() != Some(SERVICE_TYPE) {
                continue; // another service's
            }
            return match words.next() {
                Some("latest") => Ok(NEWEST),
                Some(wanted) => numbers(wanted),
                None => Err((
                    StatusCode::BAD_REQUEST,
                    format!("The header OpenStack-API-Version names no version: {text}."),
                )),
            };
        }
    }
    Ok(OLDEST)
}

fn numbers(wanted: &str) -> Result<(u16, u16), (StatusCode, String)> {
    let parsed = wanted.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match parsed {
        None => Err((StatusCode::BAD_REQUEST, format!("\"{wanted}\" is no version; write it like 1.0, or latest."))),
        Some(version) if version < OLDEST || version > NEWEST => Err((
            StatusCode::NOT_ACCEPTABLE,
            format!("Version {wanted} is not supported; versions {} to {} are.", text(OLDEST), text(NEWEST)),
        )),
        Some(version) => Ok(version),
    }
}

/// A version as text.
#[must_use]
pub fn text(version: (u16, u16)) -> String {
    format!("{}.{}", version.0, version.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_version_is_negotiated_as_api_sig_says() {
        for (header, expected) in [
            (None, Ok(OLDEST)),
            (Some("server-snapshot 1.0"), Ok((1, 0))),
            (Some("server-snapshot latest"), Ok(NEWEST)),
            (Some("compute 2.93"), Ok(OLDEST)),
            (Some("compute 2.93, server-snapshot 1.0"), Ok((1, 0))),
            (Some("server-snapshot 1.99"), Err(StatusCode::NOT_ACCEPTABLE)),
            (Some("server-snapshot 0.9"), Err(StatusCode::NOT_ACCEPTABLE)),
            (Some("server-snapshot one"), Err(StatusCode::BAD_REQUEST)),
            (Some("server-snapshot"), Err(StatusCode::BAD_REQUEST)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(HEADER, HeaderValue::from_static(header));
            }
            assert_eq!(negotiate(&headers).map_err(|(status, _)| status), expected, "{header:?}");
        }
    }
}
