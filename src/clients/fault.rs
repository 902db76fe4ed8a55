//! From a service's refusal to our [`Error`]: kind, the service's own words, what to do about it.
//!
//! A 404 counts as "not there" only in the service's own fault body, which names the fault. A wrong endpoint or a proxy in
//! between answers 404 too, a path that the service does not know even in JSON, and would otherwise make every "remove it,
//! not there is success" succeed.

use openstack::ErrorKind;
use reqwest::StatusCode;
use serde_json::Value;

use super::service::Service;
use super::session::Scope;
use crate::error::{Error, Kind};

/// Longest text of a service that is repeated.
const TEXT_MAX: usize = 500;

/// What a service's answer that is no success means.
pub(super) fn refusal(service: Service, scope: &Scope, status: StatusCode, body: &[u8]) -> Error {
    let fault = Fault::parse(body);
    let text = &fault.text;
    // A service's refusal is meant for people. What it says when it is broken, or what something in between says, is not:
    // addresses, names of hosts, parts of a traceback.
    let repeated = fault.is_known && status.is_client_error() && status != StatusCode::UNAUTHORIZED && !text.is_empty();
    let said = if repeated {
        format!("{service} answered {}: {}", status.as_u16(), text)
    } else {
        format!("{service} answered {}.", status.as_u16())
    };
    let about_quota = fault.name == "overLimit" || text.to_lowercase().contains("quota");
    let error = match status.as_u16() {
        401 => Error::unavailable(format!("{service} does not accept the token of the service user.")).remedy(format!(
            "Check that {service} and Ratoon ask the same Keystone, and that the service user has the role service \
                 in its project: without it {service} refuses our service token."
        )),
        413 => quota_exceeded(said),
        403 if about_quota => quota_exceeded(said),
        // Ours, not our caller's: he may do what he asked for.
        403 => Error::backend(said).remedy(role_missing(scope)),
        404 if !fault.name.is_empty() || service == Service::Image => Error::new(Kind::NotFound, said),
        404 => Error::backend(format!("{said} It does not know this path."))
            .remedy(format!("Check the URL of {service} in the catalog.")),
        409 => Error::conflict(said),
        406 => Error::backend(said).remedy(format!("This release of {service} is older than what Ratoon needs.")),
        429 => Error::unavailable(said).remedy(format!("Raise {service}'s rate limit for the service user.")),
        502..=504 => Error::unavailable(said).remedy(format!("Look at {service} and what stands before it.")),
        // A 500 is often a database or a broker that changes over; steps are idempotent, so trying again is right.
        500.. => Error::backend(said).remedy(format!("Look into the log of {service}.")).retryable(),
        _ => Error::backend(said),
    };
    if repeated || text.is_empty() { error } else { error.detail(text.as_str()) }
}

/// What a login or the look into the catalog failed with.
pub(super) fn login_failure(service: Service, scope: &Scope, cause: openstack::Error) -> Error {
    match (cause.kind(), scope) {
        (ErrorKind::AuthenticationFailed | ErrorKind::AccessDenied, Scope::Project(id)) => {
            Error::backend(format!("Keystone gives the service user no token for project {id}."))
                .remedy(role_missing(scope))
        }
        (ErrorKind::AuthenticationFailed | ErrorKind::AccessDenied, Scope::Own) => {
            Error::unavailable("Keystone refuses the login of the service user.")
                .remedy("Check user name, password, project and domains in [keystone_authtoken].")
        }
        (ErrorKind::EndpointNotFound, _) => Error::unavailable(format!(
            "The catalog has no endpoint of {service} ({}) for the wanted region and interface.",
            service.catalog_types().join(", ")
        ))
        .remedy("Check region_name and interface in [keystone_authtoken]."),
        (ErrorKind::ProtocolError | ErrorKind::InternalServerError | ErrorKind::OperationTimedOut, _) => {
            Error::unavailable("Keystone does not answer.")
                .remedy("Check that Keystone runs and that auth_url in [keystone_authtoken] is right.")
        }
        _ => Error::backend("Keystone's answer to the login could not be used.")
            .remedy("Check that auth_url in [keystone_authtoken] is Keystone's."),
    }
    .source(cause)
}

/// What sending a request failed with, before there was an answer.
pub(super) fn no_answer(service: Service, cause: openstack::Error) -> Error {
    Error::unavailable(format!("{service} does not answer."))
        .remedy(format!("Check that {service} runs and that its endpoint in the catalog is right."))
        .source(cause)
}

fn quota_exceeded(said: String) -> Error {
    Error::new(Kind::QuotaExceeded, said)
        .remedy("Delete snapshots or volumes that are no longer needed, or ask for a larger quota.")
}

fn role_missing(scope: &Scope) -> String {
    match scope {
        Scope::Own => "Give the service user the roles admin and service in the service project.".to_owned(),
        Scope::Project(_) => {
            "Give the service user the role member, inherited, on the domain of this project.".to_owned()
        }
    }
}

/// A fault body, whatever its dialect.
struct Fault {
    /// Nova's and Cinder's name of the fault: `itemNotFound`.
    name: String,
    text: String,
    /// Whether it is a body that OpenStack services write.
    is_known: bool,
}

impl Fault {
    fn parse(body: &[u8]) -> Self {
        let known = |name: &str, text: &str| Self { name: name.to_owned(), text: shorten(text), is_known: true };
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(map)) => {
                if let Some(first) = map.get("errors").and_then(|errors| errors.get(0)) {
                    let text = first.get("detail").or_else(|| first.get("title"));
                    return known("errors", text.and_then(Value::as_str).unwrap_or_default());
                }
                for (name, value) in &map {
                    if let Some(text) = value.get("message").and_then(Value::as_str) {
                        return known(name, text);
                    }
                }
                match map.get("message").and_then(Value::as_str) {
                    Some(text) => known("", text),
                    None => Self { name: String::new(), text: String::new(), is_known: false },
                }
            }
            _ => Self { name: String::new(), text: shorten(&plain(&String::from_utf8_lossy(body))), is_known: false },
        }
    }
}

/// A text without its HTML tags, blanks folded: Glance and proxies answer in HTML.
fn plain(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut in_tag = false;
    for character in text.chars() {
        match character {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                kept.push(' ');
            }
            other if !in_tag => kept.push(other),
            _ => {}
        }
    }
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_becomes_the_kind_that_callers_act_on() {
        let own = Scope::Own;
        let not_found = r#"{"itemNotFound":{"code":404,"message":"Instance x could not be found."}}"#;
        let over = r#"{"overLimit":{"code":413,"message":"SnapshotLimitExceeded: Maximum number of snapshots (10)"}}"#;
        let busy = r#"{"conflictingRequest":{"code":409,"message":"Cannot 'stop' instance"}}"#;
        let bad = r#"{"badRequest":{"code":400,"message":"Invalid volume: status must be available"}}"#;
        let too_many = r#"{"forbidden":{"code":403,"message":"Quota exceeded for volumes"}}"#;
        let forbidden = r#"{"forbidden":{"code":403,"message":"Policy doesn't allow it"}}"#;
        let unknown_path =
            r#"{"message":"The resource could not be found.","code":"404 Not Found","title":"Not Found"}"#;
        let keystone = r#"{"error":{"code":404,"message":"Could not find token","title":"Not Found"}}"#;
        for (status, body, kind, retry) in [
            (404, not_found, Kind::NotFound, false),
            (404, keystone, Kind::NotFound, false),
            (404, "<html>404 Not Found</html>", Kind::Backend, false),
            (413, over, Kind::QuotaExceeded, false),
            (403, too_many, Kind::QuotaExceeded, false),
            (403, forbidden, Kind::Backend, false),
            (404, unknown_path, Kind::Backend, false),
            (409, busy, Kind::Conflict, false),
            (400, bad, Kind::Backend, false),
            (401, "", Kind::Unavailable, true),
            (500, "", Kind::Backend, true),
            (503, "busy", Kind::Unavailable, true),
            (504, "", Kind::Unavailable, true),
        ] {
            let error = refusal(Service::Compute, &own, StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!((error.kind(), error.is_retryable()), (kind, retry), "{status} {body}");
        }
    }

    #[test]
    fn the_services_own_words_and_the_missing_role_are_named() {
        let body = br#"{"forbidden":{"code":403,"message":"Policy doesn't allow volume:create"}}"#;
        let error = refusal(Service::BlockStorage, &Scope::Project("p".into()), StatusCode::FORBIDDEN, body);
        assert!(error.to_string().contains("Policy doesn't allow volume:create"), "{error}");
        assert!(error.remedy_text().unwrap().contains("member"), "{:?}", error.remedy_text());
    }

    #[test]
    fn html_is_read_as_text() {
        let body = b"<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1>No image<br /></body>";
        let error = refusal(Service::Image, &Scope::Own, StatusCode::NOT_FOUND, body);
        assert_eq!(error.chain(), "Glance answered 404: 404 Not Found 404 Not Found No image");
    }

    #[test]
    fn what_a_broken_service_or_a_proxy_says_is_for_the_log() {
        let proxy = "<p>Apache Server at 10.0.0.5 Port 8774</p>";
        let broken = r#"{"computeFault":{"code":500,"message":"DBConnectionError at 10.0.0.5"}}"#;
        let keystone = r#"{"error":{"code":401,"message":"token of 10.0.0.5","title":"Unauthorized"}}"#;
        for (status, body) in [(404, proxy), (403, proxy), (503, proxy), (500, broken), (401, keystone)] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = refusal(Service::Compute, &Scope::Own, status, body.as_bytes());
            assert!(!error.told().contains("10.0.0.5"), "{}", error.told());
            assert!(error.chain().contains("10.0.0.5"), "{}", error.chain());
        }
    }
}
