//! The Cinder driver: find before create, waiting, marks.

use std::time::Duration;

use ratoon::domain::disk::{DiskFacts, DiskKind, Layer, LayerRole};
use ratoon::drivers::cinder::{CinderDriver, Waiting};
use ratoon::drivers::{Call, NewLayer, SnapshotDriver, Source};
use ratoon::error::Kind;
use ratoon::ids::{DiskId, DiskSnapshotId, LayerId, OperationId, ServerId};
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, query_param};
use wiremock::{MockServer, ResponseTemplate};

use super::wire::{self, CinderEntry, PROJECT, answer, cloud, count, fault, on};

const V: &str = "/volume/v3";

fn driver(server: &MockServer) -> CinderDriver {
    driver_that_waits(server, Duration::from_secs(20))
}

fn driver_that_waits(server: &MockServer, limit: Duration) -> CinderDriver {
    let waiting = Waiting {
        pause_min: Duration::from_millis(1),
        pause_max: Duration::from_millis(2),
        snapshot_timeout: limit,
        volume_timeout: limit,
    };
    CinderDriver::new(wire::openstack(server), waiting)
}

pub fn call(project: &str) -> Call {
    Call { operation_id: OperationId::new(), step: "test", project_id: project.to_owned(), again: true }
}

pub fn layer(volume_id: &str) -> Layer {
    Layer {
        id: LayerId::new(),
        server_id: ServerId::new(),
        disk_id: DiskId::new(),
        backend: "cinder".into(),
        pool: String::new(),
        backend_id: volume_id.to_owned(),
        key: volume_id.to_owned(),
        kind: DiskKind::Volume,
        role: LayerRole::Head,
        parent: None,
        parent_layer: None,
        equals: None,
        parked_mark: String::new(),
        facts: DiskFacts {
            name: Some("data".into()),
            volume_type: Some("ceph".into()),
            availability_zone: Some("nova".into()),
            metadata: [("owner".to_owned(), "me".to_owned())].into(),
            parent_pool: None,
        },
    }
}

async fn snapshots_listed(server: &MockServer, list: Vec<Value>) {
    on("GET", &format!("{V}/snapshots/detail"))
        .and(query_param("volume_id", "v1"))
        .respond_with(answer(200, json!({"snapshots": list})))
        .mount(server)
        .await;
}

async fn states(server: &MockServer, kind: &str, id: &str, statuses: &[&str]) {
    for (index, status) in statuses.iter().enumerate() {
        let mock = on("GET", &format!("{V}/{kind}s/{id}"))
            .respond_with(answer(200, json!({kind: {"id": id, "status": status, "size": 2, "volume_id": "v1"}})));
        let mock = if index + 1 < statuses.len() { mock.up_to_n_times(1) } else { mock };
        mock.mount(server).await;
    }
}

#[tokio::test]
async fn a_capture_is_made_in_the_owners_project_and_waited_for_without_a_look_for_an_earlier_one() {
    let server = cloud(CinderEntry::Zed).await;
    let base = format!("{V}/{PROJECT}");
    let id = DiskSnapshotId::new();
    let wanted = json!({"snapshot": {"volume_id": "v1", "name": format!("ratoon-{id}"),
        "metadata": {"ratoon.disk_snapshot": id.to_string()}}});
    on("POST", &format!("{base}/snapshots"))
        .and(body_partial_json(wanted))
        .respond_with(answer(202, json!({"snapshot": {"id": "s1", "status": "creating", "size": 2}})))
        .mount(&server)
        .await;
    let snapshot = |status: &str| answer(200, json!({"snapshot": {"id": "s1", "status": status, "size": 2}}));
    on("GET", &format!("{base}/snapshots/s1")).respond_with(snapshot("creating")).up_to_n_times(2).mount(&server).await;
    on("GET", &format!("{base}/snapshots/s1")).respond_with(snapshot("available")).mount(&server).await;
    let first = Call { again: false, ..call(PROJECT) };
    let captured = driver(&server).capture(&first, &layer("v1"), id).await.unwrap();
    assert_eq!((captured.backend_id.as_str(), captured.size_bytes), ("s1", 2 << 30));
}

#[tokio::test]
async fn a_capture_whose_answer_was_lost_is_found_again() {
    let server = cloud(CinderEntry::Newest).await;
    let id = DiskSnapshotId::new();
    let other =
        json!({"id": "s0", "name": format!("ratoon-{id}"), "volume_id": "v0", "status": "available", "size": 1});
    let ours = json!({"id": "s1", "name": format!("ratoon-{id}"), "volume_id": "v1", "status": "available", "size": 2});
    snapshots_listed(&server, vec![other, ours]).await;
    states(&server, "snapshot", "s1", &["available"]).await;
    let captured = driver(&server).capture(&call(PROJECT), &layer("v1"), id).await.unwrap();
    assert_eq!(captured.backend_id, "s1");
}

#[tokio::test]
async fn a_capture_ends_in_quota_error_or_deadline_as_it_should() {
    let server = cloud(CinderEntry::Newest).await;
    snapshots_listed(&server, vec![]).await;
    on("POST", &format!("{V}/snapshots"))
        .respond_with(
            fault(413, "overLimit", "SnapshotLimitExceeded: Maximum number of snapshots allowed (10) exceeded")
                .insert_header("Retry-After", "0"),
        )
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let error = driver(&server).capture(&call(PROJECT), &layer("v1"), DiskSnapshotId::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::QuotaExceeded, "{error:?}");

    on("POST", &format!("{V}/snapshots"))
        .respond_with(answer(202, json!({"snapshot": {"id": "s1", "status": "creating"}})))
        .mount(&server)
        .await;
    states(&server, "snapshot", "s1", &["creating", "error"]).await;
    let error = driver(&server).capture(&call(PROJECT), &layer("v1"), DiskSnapshotId::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Backend);
    assert!(error.to_string().contains("volume v1"), "{error}");

    let server = cloud(CinderEntry::Newest).await;
    snapshots_listed(&server, vec![]).await;
    on("POST", &format!("{V}/snapshots"))
        .respond_with(answer(202, json!({"snapshot": {"id": "s1", "status": "creating"}})))
        .mount(&server)
        .await;
    states(&server, "snapshot", "s1", &["creating"]).await;
    let hasty = driver_that_waits(&server, Duration::from_millis(100));
    let error = hasty.capture(&call(PROJECT), &layer("v1"), DiskSnapshotId::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_snapshot_that_the_backend_keeps_is_a_conflict() {
    let server = cloud(CinderEntry::Newest).await;
    let id = DiskSnapshotId::new();
    let ours = json!({"id": "s1", "name": format!("ratoon-{id}"), "volume_id": "v1"});
    snapshots_listed(&server, vec![ours]).await;
    on("DELETE", &format!("{V}/snapshots/s1")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    states(&server, "snapshot", "s1", &["creating", "available", "deleting", "available"]).await;
    let error = driver(&server).remove_snapshot(&call(PROJECT), &layer("v1"), id).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(count(&server, "DELETE", &format!("{V}/snapshots/s1")).await, 1);
}

#[tokio::test]
async fn a_layer_is_prepared_like_its_source_and_not_twice() {
    let server = cloud(CinderEntry::Newest).await;
    let (source_layer, origin) = (layer("v1"), DiskSnapshotId::new());
    let source = Source { layer: &source_layer, origin, backend_id: "s1" };
    let new = NewLayer { id: LayerId::new(), size_bytes_min: (2 << 30) + 1, copied: false };
    let name = format!("ratoon.{}", new.id);
    let volumes = format!("{V}/volumes/detail");
    on("GET", &volumes).respond_with(answer(200, json!({"volumes": []}))).up_to_n_times(1).mount(&server).await;
    states(&server, "snapshot", "s1", &["available"]).await;
    let wanted = json!({"volume": {"name": name, "snapshot_id": "s1", "size": 3, "volume_type": "ceph",
        "availability_zone": "nova", "metadata": {"owner": "me", "ratoon.layer": new.id.to_string(),
        "ratoon.origin": origin.to_string(), "ratoon.name": "data"}}});
    on("POST", &format!("{V}/volumes"))
        .and(body_partial_json(wanted))
        .respond_with(answer(202, json!({"volume": {"id": "v2", "status": "creating"}})))
        .expect(1)
        .mount(&server)
        .await;
    states(&server, "volume", "v2", &["creating", "available"]).await;
    let driver = driver(&server);
    assert_eq!(driver.prepare(&call(PROJECT), source, &new).await.unwrap(), "v2");

    let there = json!({"volumes": [{"id": "v2", "name": name, "status": "available"}]});
    on("GET", &volumes).respond_with(answer(200, there)).mount(&server).await;
    assert_eq!(driver.prepare(&call(PROJECT), source, &new).await.unwrap(), "v2");
}

#[tokio::test]
async fn a_layer_that_somebody_uses_is_not_discarded() {
    let server = cloud(CinderEntry::Newest).await;
    let (source_layer, new) = (layer("v1"), NewLayer { id: LayerId::new(), size_bytes_min: 0, copied: false });
    let source = Source { layer: &source_layer, origin: DiskSnapshotId::new(), backend_id: "s1" };
    let there = json!({"volumes": [{"id": "v2", "name": format!("ratoon.{}", new.id), "status": "in-use"}]});
    on("GET", &format!("{V}/volumes/detail")).respond_with(answer(200, there)).mount(&server).await;
    states(&server, "volume", "v2", &["in-use"]).await;
    let error = driver(&server).discard(&call(PROJECT), source, &new).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

/// Several objects of one name, which go one after the other: each is there until it was deleted.
async fn several(server: &MockServer, kind: &str, name: &str, ids: &[&str]) {
    let entry = |id: &&str| json!({"id": id, "name": name, "volume_id": "v1", "status": "available"});
    for (gone, id) in ids.iter().enumerate() {
        let left: Vec<Value> = ids[gone..].iter().map(entry).collect();
        on("GET", &format!("{V}/{kind}s/detail"))
            .respond_with(answer(200, json!({format!("{kind}s"): left})))
            .up_to_n_times(1)
            .mount(server)
            .await;
        let path = format!("{V}/{kind}s/{id}");
        on("GET", &path).respond_with(answer(200, json!({kind: entry(id)}))).up_to_n_times(1).mount(server).await;
        on("GET", &path).respond_with(fault(404, "itemNotFound", "gone")).mount(server).await;
        on("DELETE", &path).respond_with(ResponseTemplate::new(202)).mount(server).await;
    }
    let none: Vec<Value> = vec![];
    on("GET", &format!("{V}/{kind}s/detail"))
        .respond_with(answer(200, json!({format!("{kind}s"): none})))
        .mount(server)
        .await;
}

#[tokio::test]
async fn all_that_were_made_under_one_name_are_removed() {
    let server = cloud(CinderEntry::Newest).await;
    let (source_layer, new) = (layer("v1"), NewLayer { id: LayerId::new(), size_bytes_min: 0, copied: false });
    let origin = DiskSnapshotId::new();
    let source = Source { layer: &source_layer, origin, backend_id: "s0" };
    several(&server, "volume", &format!("ratoon.{}", new.id), &["v2", "v3"]).await;
    several(&server, "snapshot", &format!("ratoon-{origin}"), &["s1", "s2"]).await;
    let driver = driver(&server);
    driver.discard(&call(PROJECT), source, &new).await.unwrap();
    driver.remove_snapshot(&call(PROJECT), &source_layer, origin).await.unwrap();
    for path in ["volumes/v2", "volumes/v3", "snapshots/s1", "snapshots/s2"] {
        assert_eq!(count(&server, "DELETE", &format!("{V}/{path}")).await, 1, "{path}");
    }
}

#[tokio::test]
async fn a_parked_volume_is_trusted_until_its_time_moves() {
    const THEN: &str = "2026-11-21T03:00:00.000000";
    let server = cloud(CinderEntry::Newest).await;
    let mut parked = layer("v1");
    let (held, of) = (DiskSnapshotId::new(), layer("v0"));
    for (status, updated, mark, equals, expected, what) in [
        ("available", THEN, THEN, Some(held), true, "wherever the snapshot lies"),
        ("available", "2026-11-21T03:00:01.000000", THEN, Some(held), false, "touched"),
        ("in-use", THEN, THEN, Some(held), false, "attached"),
        ("available", THEN, "", Some(held), false, "without a mark"),
        ("available", THEN, THEN, Some(DiskSnapshotId::new()), false, "parked as something else"),
        ("available", THEN, THEN, None, false, "parked as nothing"),
    ] {
        on("GET", &format!("{V}/volumes/v1"))
            .respond_with(answer(200, json!({"volume": {"id": "v1", "status": status, "updated_at": updated}})))
            .up_to_n_times(1)
            .mount(&server)
            .await;
        parked.parked_mark = mark.into();
        parked.equals = equals;
        let source = Source { layer: &of, origin: held, backend_id: "s1" };
        assert_eq!(driver(&server).equals(&parked, source).await.unwrap(), expected, "{what}");
        server.reset().await;
        wire::login(&server, CinderEntry::Newest).await;
    }
}

#[tokio::test]
async fn whoever_has_reserved_a_volume_is_a_user_of_it() {
    let server = cloud(CinderEntry::Newest).await;
    states(&server, "volume", "v1", &["reserved"]).await;
    let list = json!({"attachments": [{"id": "a", "status": "reserved", "instance": "i1", "volume_id": "v1"}]});
    on("GET", &format!("{V}/attachments/detail"))
        .and(query_param("volume_id", "v1"))
        .respond_with(answer(200, list))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    on("GET", &format!("{V}/attachments/detail"))
        .respond_with(answer(200, json!({"attachments": []})))
        .mount(&server)
        .await;
    let driver = driver(&server);
    assert_eq!(driver.users(&layer("v1")).await.unwrap(), ["server i1 (reserved)"]);
    assert_eq!(driver.users(&layer("v1")).await.unwrap(), ["somebody (the volume is reserved)"]);
}
