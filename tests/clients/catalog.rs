//! Our own entry in the catalog.

use ratoon::clients::catalog::{Registration, register};
use ratoon::error::Kind;
use serde_json::{Value, json};
use wiremock::MockServer;
use wiremock::matchers::{body_json, query_param};

use super::wire::{self, CinderEntry, answer, cloud, fault, on};

fn wanted() -> Registration {
    Registration {
        service_type: "server-snapshot".into(),
        name: "ratoon".into(),
        description: "Snapshot trees of servers".into(),
        region: "RegionOne".into(),
        public: "http://new:8790".into(),
        internal: "http://in:8790".into(),
        admin: "http://in:8790".into(),
    }
}

async fn endpoints(server: &MockServer, interface: &str, list: Value) {
    on("GET", "/v3/endpoints")
        .and(query_param("interface", interface))
        .and(query_param("service_id", "s1"))
        .respond_with(answer(200, json!({"endpoints": list})))
        .mount(server)
        .await;
}

#[tokio::test]
async fn only_what_is_missing_or_has_moved_is_touched() {
    let server = cloud(CinderEntry::Newest).await;
    let entry = |id: &str, interface: &str, url: &str| json!({"id": id, "interface": interface, "region_id": "RegionOne", "url": url});
    on("GET", "/v3/regions/RegionOne").respond_with(answer(200, json!({"region": {}}))).mount(&server).await;
    on("GET", "/v3/services")
        .respond_with(answer(200, json!({"services": [{"id": "s0", "name": "other"}, {"id": "s1", "name": "ratoon"}]})))
        .mount(&server)
        .await;
    let mut elsewhere = entry("e0", "public", "http://far:8790");
    elsewhere["region_id"] = json!("RegionTwo");
    endpoints(&server, "public", json!([elsewhere, entry("e1", "public", "http://old:8790")])).await;
    endpoints(&server, "internal", json!([entry("e2", "internal", "http://in:8790")])).await;
    endpoints(&server, "admin", json!([])).await;
    on("PATCH", "/v3/endpoints/e1")
        .and(body_json(json!({"endpoint": {"url": "http://new:8790"}})))
        .respond_with(answer(200, json!({})))
        .expect(1)
        .mount(&server)
        .await;
    on("POST", "/v3/endpoints")
        .and(body_json(json!({"endpoint": {"service_id": "s1", "interface": "admin", "url": "http://in:8790",
            "region_id": "RegionOne"}})))
        .respond_with(answer(201, json!({"endpoint": entry("e3", "admin", "http://in:8790")})))
        .expect(1)
        .mount(&server)
        .await;
    let done = register(&wire::openstack(&server), &wanted()).await.unwrap();
    assert_eq!(
        done,
        ["changed public endpoint from http://old:8790 to http://new:8790", "created admin endpoint http://in:8790",]
    );
}

#[tokio::test]
async fn a_region_that_keystone_does_not_know_is_named() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", "/v3/regions/RegionOne")
        .respond_with(fault(404, "error", "Could not find region: RegionOne."))
        .mount(&server)
        .await;
    let error = register(&wire::openstack(&server), &wanted()).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (Kind::BadRequest, Some("region")));
}
