//! A fake cloud: Keystone's login with a catalog that points back at the same server, and short-hands for answers.

use std::sync::Arc;
use std::time::Duration;

use ratoon::clients::{OpenStack, ServiceCredentials};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockBuilder, MockServer, Request, ResponseTemplate};

/// The service project of the fake cloud.
pub const SERVICE_PROJECT: &str = "5e41ce";
/// A customer's project.
pub const PROJECT: &str = "c0ffee";

/// How the catalog lists Cinder.
#[derive(Clone, Copy)]
pub enum CinderEntry {
    /// `block-storage`, URL without a project.
    Newest,
    /// `volumev3`, URL with the token's project.
    Zed,
}

/// A server that lets the service user log in; tokens are `token-<n>`, n counting logins.
pub async fn cloud(cinder: CinderEntry) -> MockServer {
    let server = MockServer::start().await;
    login(&server, cinder).await;
    server
}

/// Lets the service user log in (again, after a reset).
pub async fn login(server: &MockServer, cinder: CinderEntry) {
    let uri = server.uri();
    let logins = std::sync::atomic::AtomicU32::new(0);
    Mock::given(method("POST"))
        .and(path("/v3/auth/tokens"))
        .respond_with(move |request: &Request| {
            let number = logins.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let project = body["auth"]["scope"]["project"]["id"].as_str().unwrap_or(SERVICE_PROJECT).to_owned();
            ResponseTemplate::new(201)
                .insert_header("X-Subject-Token", format!("token-{number}"))
                .set_body_json(token_with_catalog(&uri, cinder, &project))
        })
        .mount(server)
        .await;
}

fn token_with_catalog(uri: &str, cinder: CinderEntry, project: &str) -> Value {
    let entry = |service_type: &str, url: String| {
        json!({"type": service_type, "name": service_type, "id": service_type, "endpoints": [
            {"id": "1", "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}]})
    };
    let block_storage = match cinder {
        CinderEntry::Newest => entry("block-storage", format!("{uri}/volume/v3")),
        CinderEntry::Zed => entry("volumev3", format!("{uri}/volume/v3/{project}")),
    };
    json!({"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": [
        block_storage,
        entry("compute", format!("{uri}/compute/v2.1")),
        entry("image", format!("{uri}/image")),
    ]}})
}

/// Sessions of that cloud.
pub fn openstack(server: &MockServer) -> Arc<OpenStack> {
    openstack_at(&server.uri())
}

/// Sessions of a cloud at this URL.
pub fn openstack_at(uri: &str) -> Arc<OpenStack> {
    OpenStack::new(ServiceCredentials {
        auth_url: uri.to_owned(),
        password: "secret".into(),
        region_name: Some("RegionOne".into()),
        timeout: Duration::from_secs(5),
        ..Default::default()
    })
    .unwrap()
}

/// Begins an expectation.
pub fn on(verb: &str, at: &str) -> MockBuilder {
    Mock::given(method(verb)).and(path(at.to_owned()))
}

/// A JSON answer.
pub fn answer(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

/// A fault as Nova and Cinder write it.
pub fn fault(status: u16, name: &str, message: &str) -> ResponseTemplate {
    answer(status, json!({name: {"code": status, "message": message}}))
}

/// How many requests came for this verb and path.
pub async fn count(server: &MockServer, verb: &str, at: &str) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|request| request.method.as_str() == verb && request.url.path() == at).count()
}
