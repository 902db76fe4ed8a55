//! Nova's answers, and acts that find their effect already there.

use ratoon::clients::{Compute, Nova};
use ratoon::domain::disk::Attachment;
use ratoon::domain::server::ServerStatus;
use ratoon::error::Kind;
use ratoon::ids::ServerId;
use serde_json::{Value, json};
use wiremock::MockServer;
use wiremock::matchers::{body_json, header, query_param, query_param_is_missing};

use super::wire::{self, CinderEntry, answer, cloud, fault, on};

const ID: &str = "0193a7f0-0000-4000-8000-000000000001";

fn id() -> ServerId {
    ID.parse().unwrap()
}

fn at(rest: &str) -> String {
    format!("/compute/v2.1/servers/{ID}{rest}")
}

fn server(status: &str, task: Value) -> Value {
    json!({"server": {
        "id": ID, "name": "web", "tenant_id": "p1", "user_id": "u1", "status": status, "OS-EXT-STS:task_state": task,
        "locked": true, "locked_reason": "ratoon operation 1", "image": {"id": "img", "links": []},
        "flavor": {"original_name": "small", "disk": 2, "ephemeral": 0, "swap": 0, "vcpus": 1, "ram": 192,
                   "extra_specs": {"hw:cpu_policy": "shared"}},
        "OS-EXT-AZ:availability_zone": "", "metadata": {"k": "v"}, "host_status": "UP"}})
}

async fn with_server(status: &str, task: Value) -> (MockServer, Nova) {
    let cloud = cloud(CinderEntry::Newest).await;
    on("GET", &at("")).respond_with(answer(200, server(status, task))).mount(&cloud).await;
    let nova = Nova::new(&wire::openstack(&cloud));
    (cloud, nova)
}

async fn attachments(cloud: &MockServer, ids: &[&str]) {
    let list: Vec<Value> = ids
        .iter()
        .map(|id| json!({"volumeId": id, "serverId": ID, "device": "/dev/vdb", "tag": null, "delete_on_termination": true}))
        .collect();
    on("GET", &at("/os-volume_attachments"))
        .respond_with(answer(200, json!({"volumeAttachments": list})))
        .mount(cloud)
        .await;
}

#[tokio::test]
async fn a_server_is_read_with_volumes_in_novas_order_while_glance_is_away() {
    let (cloud, nova) = with_server("ACTIVE", json!(null)).await;
    attachments(&cloud, &["v9", "v1", "v5"]).await;
    on("GET", "/image/v2/images/img").respond_with(fault(500, "error", "Glance is broken.")).mount(&cloud).await;
    let facts = nova.server(id()).await.unwrap();
    assert_eq!(facts.volumes.iter().map(|v| v.volume_id.as_str()).collect::<Vec<_>>(), ["v9", "v1", "v5"]);
    assert!(facts.volumes[0].attachment.delete_on_termination);
    assert_eq!(facts.extra_specs.len(), 1, "{:?}", facts.extra_specs);
    assert_eq!((facts.status, facts.root_gb, facts.image_id.as_deref()), (ServerStatus::Active, 2, Some("img")));
    assert!(facts.locked);
}

#[tokio::test]
async fn of_an_images_properties_those_that_matter_are_read_and_an_image_that_is_gone_has_none() {
    let cloud = cloud(CinderEntry::Newest).await;
    on("GET", "/image/v2/images/img")
        .respond_with(answer(200, json!({"id": "img", "hw_tpm_version": "2.0", "os_distro": "debian", "tags": []})))
        .mount(&cloud)
        .await;
    on("GET", "/image/v2/images/gone").respond_with(wiremock::ResponseTemplate::new(404)).mount(&cloud).await;
    let nova = Nova::new(&wire::openstack(&cloud));
    let known = nova.image_properties("img").await.unwrap();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), [("hw_tpm_version".to_owned(), "2.0".to_owned())]);
    assert!(nova.image_properties("gone").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_image_that_is_there_has_a_name_and_one_that_is_gone_or_going_has_none() {
    let cloud = cloud(CinderEntry::Newest).await;
    for (id, body) in [
        ("img", json!({"id": "img", "name": "nightly", "status": "active"})),
        ("bare", json!({"id": "bare", "name": null})),
        ("deleted", json!({"id": "deleted", "name": "old", "status": "deleted"})),
        ("going", json!({"id": "going", "name": "old", "status": "pending_delete"})),
    ] {
        on("GET", &format!("/image/v2/images/{id}")).respond_with(answer(200, body)).mount(&cloud).await;
    }
    on("GET", "/image/v2/images/gone").respond_with(wiremock::ResponseTemplate::new(404)).mount(&cloud).await;
    on("GET", "/image/v2/images/hidden").respond_with(fault(403, "forbidden", "Not yours.")).mount(&cloud).await;
    let nova = Nova::new(&wire::openstack(&cloud));
    for (id, expected) in
        [("img", Some("nightly")), ("bare", Some("")), ("deleted", None), ("going", None), ("gone", None)]
    {
        assert_eq!(nova.image_name(id).await.unwrap().as_deref(), expected, "{id}");
    }
    assert!(nova.image_name("hidden").await.is_err(), "not to be asked is not gone");
}

#[tokio::test]
async fn a_server_that_boots_from_a_volume_and_one_in_an_unknown_status_are_read_too() {
    let (cloud, nova) = with_server("VERIFY_RESIZE", json!("resize_finish")).await;
    attachments(&cloud, &[]).await;
    let facts = nova.server(id()).await.unwrap();
    assert_eq!(facts.status, ServerStatus::Other("VERIFY_RESIZE".into()));

    let cloud = wire::cloud(CinderEntry::Newest).await;
    let mut body = server("ACTIVE", json!(null));
    body["server"]["image"] = json!("");
    on("GET", &at("")).respond_with(answer(200, body)).mount(&cloud).await;
    attachments(&cloud, &[]).await;
    let facts = Nova::new(&wire::openstack(&cloud)).server(id()).await.unwrap();
    assert_eq!(facts.image_id, None);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_found() {
    let cloud = cloud(CinderEntry::Newest).await;
    on("GET", &at("")).respond_with(fault(404, "itemNotFound", "Instance could not be found.")).mount(&cloud).await;
    let nova = Nova::new(&wire::openstack(&cloud));
    assert_eq!(nova.server(id()).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_refused_stop_is_success_conflict_or_a_matter_of_time() {
    for (status, task, why, expected) in [
        ("SHUTOFF", json!(null), "vm_state stopped", Ok(())),
        ("ACTIVE", json!("image_snapshot"), "task_state image_snapshot", Err(true)),
        // The task has ended between the refusal and the look.
        ("ACTIVE", json!(null), "task_state image_uploading", Err(true)),
        ("PAUSED", json!(null), "vm_state paused", Err(false)),
    ] {
        let (cloud, nova) = with_server(status, task).await;
        on("POST", &at("/action"))
            .and(body_json(json!({"os-stop": null})))
            .and(header("OpenStack-API-Version", "compute 2.93"))
            .respond_with(fault(409, "conflictingRequest", &format!("Cannot 'stop' instance x while it is in {why}")))
            .mount(&cloud)
            .await;
        let outcome = nova.stop(id()).await.map_err(|error| {
            assert_eq!(error.kind(), Kind::Conflict);
            assert!(error.chain().contains("Cannot 'stop'"), "{}", error.chain());
            error.is_retryable()
        });
        assert_eq!(outcome, expected, "{status}");
    }
}

#[tokio::test]
async fn attaching_what_is_attached_and_detaching_what_is_not_succeeds() {
    let (cloud, nova) = with_server("SHUTOFF", json!(null)).await;
    attachments(&cloud, &["v1"]).await;
    let wanted = json!({"volumeAttachment": {"volumeId": "v1", "tag": "data", "delete_on_termination": false}});
    on("POST", &at("/os-volume_attachments"))
        .and(body_json(wanted))
        .respond_with(fault(400, "badRequest", "Invalid volume: volume v1 is already attached"))
        .mount(&cloud)
        .await;
    let attachment = Attachment { tag: Some("data".into()), ..Default::default() };
    nova.attach(id(), "v1", &attachment).await.unwrap();

    on("DELETE", &at("/os-volume_attachments/v2"))
        .respond_with(fault(404, "itemNotFound", "volume v2 not attached"))
        .mount(&cloud)
        .await;
    nova.detach(id(), "v2").await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_attached_is_a_conflict_and_a_detach_under_way_passes() {
    let (cloud, nova) = with_server("SHUTOFF", json!(null)).await;
    attachments(&cloud, &["v1"]).await;
    on("POST", &at("/os-volume_attachments"))
        .respond_with(fault(400, "badRequest", "Invalid volume: status must be available"))
        .mount(&cloud)
        .await;
    let error = nova.attach(id(), "v3", &Attachment::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false));
    on("DELETE", &at("/os-volume_attachments/v1"))
        .respond_with(fault(400, "badRequest", "Invalid volume: Unable to detach volume. status must be in-use"))
        .mount(&cloud)
        .await;
    let error = nova.detach(id(), "v1").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
}

#[tokio::test]
async fn locked_servers_are_found_on_every_page() {
    let cloud = cloud(CinderEntry::Newest).await;
    let other = "0193a7f0-0000-4000-8000-000000000002";
    let entry = |id: &str, reason: Value| json!({"id": id, "locked": true, "locked_reason": reason});
    on("GET", "/compute/v2.1/servers/detail")
        .and(query_param("locked", "true"))
        .and(query_param("all_tenants", "1"))
        .and(query_param_is_missing("marker"))
        .respond_with(answer(
            200,
            json!({
            "servers": [entry(ID, json!("ratoon operation 7")), entry(other, json!(null))],
            "servers_links": [{"rel": "next", "href": "http://ignored/"}]}),
        ))
        .mount(&cloud)
        .await;
    on("GET", "/compute/v2.1/servers/detail")
        .and(query_param("marker", other))
        .respond_with(answer(
            200,
            json!({"servers": [
            entry("0193a7f0-0000-4000-8000-000000000003", json!("ratoon operation 8")),
            entry("0193a7f0-0000-4000-8000-000000000004", json!("by hand"))]}),
        ))
        .mount(&cloud)
        .await;
    let found = Nova::new(&wire::openstack(&cloud)).locked_servers("ratoon operation").await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], id());
}
