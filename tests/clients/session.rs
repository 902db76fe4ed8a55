//! Login, catalog, retries, headers.

use ratoon::clients::cinder::Cinder;
use ratoon::clients::{OpenStack, REQUEST_ID, ServiceCredentials};
use ratoon::error::Kind;
use serde_json::json;
use wiremock::ResponseTemplate;
use wiremock::matchers::header;

use super::wire::{self, CinderEntry, PROJECT, answer, cloud, count, fault, on};

fn volume() -> serde_json::Value {
    json!({"volume": {"id": "v1", "name": null, "status": "awaiting-something-new"}})
}

#[tokio::test]
async fn cinder_is_found_under_its_old_name_and_the_projects_own_url_is_kept() {
    let server = cloud(CinderEntry::Zed).await;
    on("GET", &format!("/volume/v3/{PROJECT}/volumes/v1")).respond_with(answer(200, volume())).mount(&server).await;
    on("GET", &format!("/volume/v3/{}/volumes/v1", wire::SERVICE_PROJECT))
        .respond_with(answer(200, volume()))
        .mount(&server)
        .await;
    let openstack = wire::openstack(&server);

    let own = Cinder::new(openstack.admin().clone()).volume("v1").await.unwrap().unwrap();
    assert_eq!((own.name, own.status.as_str()), (None, "awaiting-something-new"));
    let theirs = Cinder::new(openstack.project(PROJECT).await.unwrap());
    assert!(theirs.volume("v1").await.unwrap().is_some());
    assert_eq!(count(&server, "POST", "/v3/auth/tokens").await, 2, "one login a project");
}

#[tokio::test]
async fn cinder_is_found_under_its_new_name() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", "/volume/v3/volumes/v1")
        .and(header("OpenStack-API-Version", "volume 3.68"))
        .respond_with(answer(200, volume()))
        .mount(&server)
        .await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    assert!(cinder.volume("v1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_service_that_the_catalog_lacks_is_named() {
    let server = cloud(CinderEntry::Newest).await;
    let openstack = OpenStack::new(ServiceCredentials {
        auth_url: server.uri(),
        region_name: Some("Elsewhere".into()),
        ..Default::default()
    })
    .unwrap();
    let error = Cinder::new(openstack.admin().clone()).volume("v1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error.chain().contains("no endpoint of Cinder (block-storage, volumev3, block-store)"),
        "{}",
        error.chain()
    );
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_many_callers() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", "/volume/v3/volumes/v1")
        .and(header("X-Auth-Token", "token-1"))
        .respond_with(fault(401, "unauthorized", "revoked"))
        .mount(&server)
        .await;
    on("GET", "/volume/v3/volumes/v1")
        .and(header("X-Auth-Token", "token-2"))
        .and(header("X-Service-Token", "token-2"))
        .respond_with(answer(200, volume()))
        .mount(&server)
        .await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    let outcomes = futures::future::join_all((0..20).map(|_| cinder.volume("v1"))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(count(&server, "POST", "/v3/auth/tokens").await, 2);
}

#[tokio::test]
async fn a_token_that_is_refused_twice_is_unavailable_and_not_asked_for_again_and_again() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", "/volume/v3/volumes/v1").respond_with(ResponseTemplate::new(401)).mount(&server).await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    assert_eq!(cinder.volume("v1").await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(count(&server, "POST", "/v3/auth/tokens").await, 2);
}

#[tokio::test]
async fn a_refused_login_is_not_repeated_and_a_project_without_our_role_is_forbidden() {
    let server = wiremock::MockServer::start().await;
    let body = json!({"error": {"code": 401, "message": "The request you have made requires authentication."}});
    on("POST", "/v3/auth/tokens").respond_with(answer(401, body)).mount(&server).await;
    let openstack = wire::openstack(&server);

    let error = Cinder::new(openstack.admin().clone()).volume("v1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(count(&server, "POST", "/v3/auth/tokens").await, 1, "Keystone locks accounts");

    let error = Cinder::new(openstack.project(PROJECT).await.unwrap()).volume("v1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Backend);
    assert!(error.remedy_text().unwrap().contains("member"), "{error:?}");
}

#[tokio::test]
async fn a_busy_service_is_asked_again_when_it_says_so() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", "/volume/v3/volumes/v1")
        .respond_with(ResponseTemplate::new(503).insert_header("Retry-After", "0"))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    on("GET", "/volume/v3/volumes/v1").respond_with(answer(200, volume())).mount(&server).await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    assert!(cinder.volume("v1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_create_is_not_sent_twice() {
    let server = cloud(CinderEntry::Newest).await;
    on("POST", "/volume/v3/snapshots").respond_with(ResponseTemplate::new(503)).mount(&server).await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    let error = cinder.create_snapshot("v1", "n", "", &serde_json::Map::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(count(&server, "POST", "/volume/v3/snapshots").await, 1);
}

#[tokio::test]
async fn a_service_that_hangs_costs_one_deadline() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", "/volume/v3/volumes/v1")
        .respond_with(answer(200, volume()).set_delay(std::time::Duration::from_secs(30)))
        .mount(&server)
        .await;
    let openstack = OpenStack::new(ServiceCredentials {
        auth_url: server.uri(),
        timeout: std::time::Duration::from_millis(300),
        ..Default::default()
    })
    .unwrap();
    let begin = ratoon::clock::Instant::now();
    let error = Cinder::new(openstack.admin().clone()).volume("v1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(begin.elapsed() < std::time::Duration::from_secs(2));
}

#[tokio::test]
async fn the_global_request_id_goes_along_if_it_is_one() {
    let server = cloud(CinderEntry::Newest).await;
    let id = "req-7f1e9c2a-0000-4000-8000-00000000abcd";
    on("GET", "/volume/v3/volumes/v1")
        .and(header("X-Openstack-Request-Id", id))
        .respond_with(answer(200, volume()))
        .mount(&server)
        .await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    assert!(REQUEST_ID.scope(id.to_owned(), cinder.volume("v1")).await.unwrap().is_some());

    for odd in ["req-1", "req-7f1e9c2a-0000-4000-8000-00000000abcd\r\nX: y"] {
        let _ = REQUEST_ID.scope(odd.to_owned(), cinder.volume("v2")).await;
    }
    let requests = server.received_requests().await.unwrap();
    let odd = requests.iter().filter(|request| request.url.path().ends_with("v2"));
    assert!(odd.clone().count() == 2 && odd.clone().all(|r| !r.headers.contains_key("x-openstack-request-id")));
}

#[tokio::test]
async fn a_wrong_endpoint_is_not_taken_for_not_there() {
    let server = cloud(CinderEntry::Newest).await;
    on("DELETE", "/volume/v3/snapshots/s1")
        .respond_with(ResponseTemplate::new(404).set_body_string("<html>nginx</html>"))
        .mount(&server)
        .await;
    on("DELETE", "/volume/v3/snapshots/s2")
        .respond_with(fault(404, "itemNotFound", "Snapshot s2 could not be found."))
        .mount(&server)
        .await;
    let cinder = Cinder::new(wire::openstack(&server).admin().clone());
    assert_eq!(cinder.delete_snapshot("s1").await.unwrap_err().kind(), Kind::Backend);
    cinder.delete_snapshot("s2").await.unwrap();
}
