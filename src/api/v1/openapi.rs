//! `/v1/openapi.json`: the API described for programs. It is made of the handlers' annotations and of the types of their bodies;
//! what [`crate::api::envelope`] and [`crate::api::caller`] do to all routes is added here, once.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{self, Content, Ref, RefOr, Required, Response, ResponseBuilder, ServerBuilder};
use utoipa::{Modify, OpenApi};

use super::schema::{Flag, Generation, Word};
use super::{branches, discovery, engines, operations, servers, snapshots};
use crate::api::page::base;
use crate::api::{ApiState, fault, healthcheck};

/// Routes that need no token have this tag.
const OPEN: &str = "versions";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ratoon",
        version = "1.0",
        description = "Trees of snapshots for servers. Every request is described in the API reference, with what it needs and does.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        discovery::versions, discovery::version, show, healthcheck::get, healthcheck::head,
        servers::list, servers::show, servers::tree, servers::delete_tree,
        snapshots::list, snapshots::show, snapshots::create, snapshots::update, snapshots::delete, snapshots::restore,
        branches::list, branches::show, branches::update, branches::delete, branches::restore,
        operations::list, operations::show, operations::cancel,
        engines::list,
    ),
    // Errors and parameters are not looked through for the types that they name.
    components(schemas(fault::ErrorBody, Flag, Generation, Word)),
    modifiers(&Everywhere),
)]
struct Document;

/// What all routes have.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemes = &mut document.components.get_or_insert_default().security_schemes;
        for (name, header, description) in [
            ("token", "X-Auth-Token", "A Keystone token that is scoped to a project."),
            (
                "service_token",
                "X-Service-Token",
                "A service's own token, beside the token of the user whose request it passes on.",
            ),
        ] {
            let key = ApiKeyValue::with_description(header, description);
            schemes.insert(name.to_owned(), RefOr::T(SecurityScheme::ApiKey(ApiKey::Header(key))));
        }
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations_of(item) {
                describe(path, &method, operation);
            }
        }
    }
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Head, &mut item.head),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Adds what happens to a request before its handler, and to each of its answers.
fn describe(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let version = "The microversion: `server-snapshot 1.0`, or `latest` for the newest; without it, the oldest.";
    let id = "The global request id, if it is `req-` and a UUID: passed on to all services that are called.";
    for (name, description) in [("OpenStack-API-Version", version), ("X-OpenStack-Request-ID", id)] {
        let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
        let header = header.description(Some(description)).schema(Some(text())).build();
        operation.parameters.get_or_insert_default().push(RefOr::T(header));
    }
    let open = operation.tags.iter().flatten().any(|tag| tag == OPEN);
    let mut errors = vec![
        ("400", "A header, a query parameter or the body is malformed, unknown or out of range."),
        ("406", "There is no such microversion."),
    ];
    if !open {
        let none: [&str; 0] = [];
        let token = || SecurityRequirement::new("token", none);
        operation.security = Some(vec![token(), token().add("service_token", none)]);
        errors.extend([
            ("401", "There is no valid token, or the access rules of its application credential do not allow this."),
            ("403", "The role does not allow it, the token is not scoped to a project, or the project's quota is too small."),
            ("500", "The service has met an error of its own."),
            ("502", "A service of the cloud or a backend answered something that it should not."),
            ("503", "The database or a service of the cloud does not answer now."),
        ]);
    }
    if path.contains('{') {
        errors.push(("404", "It does not exist, or it is another project's."));
    }
    if operation.request_body.is_some() {
        errors.extend([("408", "The body did not arrive in time."), ("413", "The body is too large.")]);
    }
    for (status, description) in errors {
        let answer = ResponseBuilder::new().description(description);
        let answer = match method {
            HttpMethod::Head => answer,
            _ => {
                let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Error"))));
                answer.content("application/json", body)
            }
        };
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| answer.build().into());
    }
    for (status, answer) in &mut operation.responses.responses {
        if let RefOr::T(answer) = answer {
            add_headers(status, open, answer);
        }
    }
}

fn add_headers(status: &str, open: bool, answer: &mut Response) {
    let mut add = |name: &str, description: &str, schema: ObjectBuilder| {
        let header = HeaderBuilder::new().description(Some(description)).schema(Some(schema)).build();
        answer.headers.insert(name.to_owned(), header.into());
    };
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    add("X-OpenStack-Request-ID", "This request's id.", text().pattern(Some(format!("^req-{uuid}$"))));
    let version = text().pattern(Some(r"^server-snapshot 1\.[0-9]+$"));
    add("OpenStack-API-Version", "The newest microversion.", version);
    add("Vary", "That answers differ by microversion.", text().enum_values(Some(["OpenStack-API-Version"])));
    match status {
        "401" => add("WWW-Authenticate", "Where Keystone is.", text().pattern(Some("^Keystone uri="))),
        // That of the health check has none: who asks there has an interval of his own.
        "503" if !open => add("Retry-After", "Seconds to wait.", text().pattern(Some("^[0-9]+$"))),
        _ => {}
    }
}

static DOCUMENT: LazyLock<openapi::OpenApi> = LazyLock::new(Document::openapi);

/// Show the OpenAPI document
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "versions", operation_id = "show_openapi",
    responses((status = 200, description = "This document.", body = Object)),
)]
pub async fn show(state: web::Data<ApiState>, request: HttpRequest) -> HttpResponse {
    let here = ServerBuilder::new().url(base(&state, &request)).build();
    let mut document = DOCUMENT.clone();
    document.servers = Some(vec![here]);
    HttpResponse::Ok().json(document)
}
