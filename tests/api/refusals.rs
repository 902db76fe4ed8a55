//! Bad input and bad states: each has a status, a message that names the field or the remedy, and changes nothing.

use std::time::Duration;

use ratoon::clock;
use ratoon::domain::server::ServerStatus;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::House;

/// (method, path, body, status, what the message says)
type Case = (&'static str, String, Option<Value>, u16, &'static str);

async fn all_refused(house: &House, cases: Vec<Case>) {
    let before = house.cloud.our_objects();
    for (method, path, body, status, says) in cases {
        let what = format!("{method} {path} {}", body.as_ref().map(ToString::to_string).unwrap_or_default());
        let answer = house.send(method, &path, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.message().contains(says), "{what}: {}", answer.message());
        assert!(answer.body["errors"][0]["code"].as_str().unwrap().starts_with("server-snapshot."), "{what}");
    }
    assert_eq!(house.cloud.our_objects(), before, "a refused request has changed the cloud");
    assert_eq!(house.send("GET", "/v1/operations?status=queued", None).await.body["operations"], json!([]));
}

#[tokio::test]
async fn a_malformed_request_is_refused_with_the_name_of_the_field() {
    let house = House::without_engine().await;
    let server = house.server();
    let create = |fields: Value| {
        let mut snapshot = json!({ "server_id": server });
        snapshot.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Some(json!({ "snapshot": snapshot }))
    };
    let post = || ("POST", "/v1/snapshots".to_owned());
    let mut cases: Vec<Case> = Vec::new();
    for (body, says) in [
        (None, "no body"),
        (Some(json!([])), "cannot be read"),
        (Some(json!({})), "missing field `snapshot`"),
        (Some(json!({ "snapshot": {} })), "server_id"),
        (Some(json!({ "snapshot": { "server_id": 5 } })), "snapshot.server_id"),
        (Some(json!({ "snapshot": { "server_id": "web" } })), "snapshot.server_id is not a uuid"),
        (Some(json!({ "snapshot": { "server_id": server }, "more": 1 })), "unknown field `more`"),
        (create(json!({ "colour": "red" })), "unknown field `colour`"),
        (create(json!({ "name": 7 })), "snapshot.name"),
        (create(json!({ "name": "" })), "name must not be empty"),
        (create(json!({ "name": "  " })), "name must not be empty"),
        (create(json!({ "name": "x".repeat(256) })), "256 characters; at most 255"),
        (create(json!({ "name": "a\u{0}b" })), "control characters"),
        (create(json!({ "description": "x".repeat(4097) })), "at most 4096"),
        (create(json!({ "consistency": "perfect" })), "none of auto, none, crash"),
        (create(json!({ "pause_limit_ms": -1 })), "pause_limit_ms"),
        (create(json!({ "pause_limit_ms": 3_600_000 })), "pause_limit_ms is at most"),
        (create(json!({ "exclude_disks": "vdb" })), "exclude_disks"),
        (create(json!({ "exclude_disks": ["vdz"] })), "no disk vdz"),
        (create(json!({ "exclude_disks": ["vda"] })), "system disk cannot be excluded"),
        (create(json!({ "exclude_disks": vec!["x"; 65] })), "At most 64"),
    ] {
        let (method, path) = post();
        cases.push((method, path, body, 400, says));
    }
    for (path, says) in [
        ("/v1/snapshots?colour=red", "no query parameter colour"),
        ("/v1/snapshots?limit=0", "limit"),
        ("/v1/snapshots?limit=x", "limit"),
        ("/v1/snapshots?limit=9223372036854775808", "limit"),
        ("/v1/snapshots?limit=1&limit=2", "given twice"),
        ("/v1/snapshots?status=happy", "no status happy"),
        ("/v1/snapshots?server_id=web", "server_id is not a uuid"),
        ("/v1/snapshots?marker=00000000-0000-0000-0000-000000000000", "to go on from"),
        ("/v1/snapshots?sort=size", "cannot be sorted by size"),
        ("/v1/snapshots?all_projects=maybe", "true or false"),
        ("/v1/snapshots?hidden=perhaps", "true or false"),
        ("/v1/operations?status=happy", "no status happy"),
        ("/v1/servers?sort=created_at:asc", "order of their ids"),
        ("/v1/servers?sort=name", "order of their ids"),
        ("/v1/operations?sort=name", "cannot be sorted by name"),
    ] {
        cases.push(("GET", path.to_owned(), None, 400, says));
    }
    all_refused(&house, cases).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let house = House::without_engine().await;
    let answer =
        house.send("POST", "/v1/snapshots", Some(json!({ "snapshot": { "name": "x".repeat(200_000) } }))).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let house = House::without_engine().await;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let restore = || Some(json!({ "restore": {} }));
    let mut cases: Vec<Case> = Vec::new();
    for id in [nobody, "web-01", "..%2f..%2fetc"] {
        for (method, path, body) in [
            ("GET", format!("/v1/snapshots/{id}"), None),
            ("PATCH", format!("/v1/snapshots/{id}"), Some(json!({ "snapshot": { "name": "x" } }))),
            ("DELETE", format!("/v1/snapshots/{id}"), None),
            ("POST", format!("/v1/snapshots/{id}/restore"), restore()),
            ("GET", format!("/v1/branches/{id}"), None),
            ("PATCH", format!("/v1/branches/{id}"), Some(json!({ "branch": { "name": "x" } }))),
            ("DELETE", format!("/v1/branches/{id}"), None),
            ("POST", format!("/v1/branches/{id}/restore"), restore()),
            ("GET", format!("/v1/servers/{id}"), None),
            ("GET", format!("/v1/servers/{id}/tree"), None),
            ("DELETE", format!("/v1/servers/{id}/tree"), None),
            ("GET", format!("/v1/servers/{id}/branches"), None),
            ("GET", format!("/v1/operations/{id}"), None),
            ("POST", format!("/v1/operations/{id}/cancel"), None),
        ] {
            cases.push((method, path, body, 404, "could not be found"));
        }
    }
    // A server that is named in a body is a bad reference, not a missing resource.
    cases.push((
        "POST",
        "/v1/snapshots".into(),
        Some(json!({ "snapshot": { "server_id": nobody } })),
        400,
        "could not be found",
    ));
    all_refused(&house, cases).await;
}

#[tokio::test]
async fn a_server_in_the_wrong_state_is_refused_with_the_reason() {
    let house = House::without_engine().await;
    let capture = |server| Some(json!({ "snapshot": { "server_id": server } }));
    let edit = |change: fn(&mut ratoon::domain::server::ServerFacts)| {
        let server = house.server();
        house.cloud.edit_server(server, change);
        server
    };
    let locked = house.server();
    house.cloud.owner_lock(locked, "mine").unwrap();
    let multi = house.server();
    let volume = house.cloud.peek(multi).unwrap().volumes[0].volume_id.clone();
    house.cloud.set_unsupported(&volume, Some("it is multi-attached"));
    let mut cases: Vec<Case> = Vec::new();
    for (server, says) in [
        (edit(|facts| facts.status = ServerStatus::Other("SUSPENDED".into())), "SUSPENDED"),
        (edit(|facts| facts.status = ServerStatus::Other("SHELVED_OFFLOADED".into())), "SHELVED_OFFLOADED"),
        (edit(|facts| facts.status = ServerStatus::Other("ERROR".into())), "captured only when"),
        (edit(|facts| facts.task_state = Some("rebuilding".into())), "rebuilding"),
        (edit(|facts| facts.image_id = None), "boots from a volume"),
        (edit(|facts| drop(facts.extra_specs.insert("hw:tpm_version".into(), "2.0".into()))), "TPM"),
        (edit(|facts| drop(facts.extra_specs.insert("hw:ephemeral_encryption".into(), "true".into()))), "encrypted"),
        (locked, "openstack server unlock"),
        (multi, "multi-attached"),
    ] {
        cases.push(("POST", "/v1/snapshots".into(), capture(server), 409, says));
    }
    all_refused(&house, cases).await;
}

#[tokio::test]
async fn a_server_whose_image_asks_for_a_tpm_is_refused() {
    let house = House::without_engine().await;
    house.cloud.set_image_property("hw_tpm_version", "2.0");
    let body = json!({ "snapshot": { "server_id": house.server() } });
    all_refused(&house, vec![("POST", "/v1/snapshots".into(), Some(body), 409, "image:hw_tpm_version")]).await;
}

#[tokio::test]
async fn too_little_quota_is_refused_with_the_numbers_before_anything_is_touched() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    house.cloud.set_quota(3, 10, 1000);
    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let before = house.cloud.our_objects();
    let answer = house.send("POST", &path, Some(json!({ "restore": {} }))).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(answer.message().contains("volumes: 2 more needed, 2 of 3 in use"), "{}", answer.message());
    assert_eq!(answer.body["errors"][0]["code"], "server-snapshot.quota_exceeded");
    assert_eq!(house.cloud.our_objects(), before);
    assert_eq!(house.cloud.peek(server).unwrap().status, ServerStatus::Active);
}

#[tokio::test]
async fn a_restore_names_only_disks_and_branches_that_make_sense() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let mut cases: Vec<Case> = Vec::new();
    for (fields, status, says) in [
        (json!({ "disks": ["vdz"] }), 400, "no disk vdz"),
        (json!({ "disks": [] }), 400, "at least one disk"),
        (json!({ "branch_name": "" }), 400, "branch_name must not be empty"),
        (json!({ "branch_name": "main" }), 409, "a branch named main"),
        (json!({ "branch_name": "x", "disks": ["disk"] }), 400, "all disks"),
        (json!({ "safety": false }), 400, "unknown field `safety`"),
        (json!({ "safety_snapshot": "no" }), 400, "restore.safety_snapshot"),
    ] {
        cases.push(("POST", path.clone(), Some(json!({ "restore": fields })), status, says));
    }
    all_refused(&house, cases).await;
}

#[tokio::test]
async fn a_token_is_needed_and_keystones_absence_is_not_the_callers_fault() {
    let house = House::without_engine().await;
    for (token, status, says) in [
        ("", 401, "requires authentication"),
        ("garbage", 401, "requires authentication"),
        ("unscoped", 403, "not scoped to a project"),
        ("restricted", 401, "requires authentication"),
        ("down", 503, "Check that Keystone runs"),
    ] {
        let answer = house.send_as(token, "GET", "/v1/snapshots", None).await;
        assert_eq!(answer.status, status, "{token}");
        assert!(answer.message().contains(says), "{token}: {}", answer.message());
        assert!(!answer.text.contains("10.0.0.5"), "an address inside the cloud: {}", answer.text);
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Keystone uri=\"http://keystone:5000\"");
        }
        if status == 503 {
            assert_eq!(answer.header("retry-after"), "5");
        }
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_off() {
    let house = House::hasty().await;
    let (mut answer, mut request) = house.connect().await.into_split();
    let head = "POST /v1/snapshots HTTP/1.1\r\nhost: x\r\nx-auth-token: project/member\r\ncontent-length: 9000\r\n\r\n";
    request.write_all(head.as_bytes()).await.unwrap();
    let trickle = tokio::spawn(async move {
        while request.write_all(b" ").await.is_ok() {
            clock::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut text = String::new();
    let cut = tokio::time::timeout(Duration::from_secs(20), answer.read_to_string(&mut text)).await;
    assert!(cut.is_ok(), "the connection is kept: {text}");
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("did not arrive in time"), "{text}");
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_away_is_said_and_nothing_is_changed() {
    use sea_orm::ConnectionTrait;
    let house = House::hasty().await;
    let server = house.cloud.add_server("web");
    let before = house.cloud.dump(ratoon::drivers::fake::dump::Detail::All);
    let capture = || Some(json!({ "snapshot": { "server_id": server } }));
    let outage = house.database_is_away().await;
    let held = house.send_as("project/member", "POST", "/v1/snapshots", capture()).await;
    outage.end().await;
    let sql = house.sql().await;
    sql.execute_unprepared("ALTER TABLE snapshots RENAME TO moved_away").await.unwrap();
    let broken = house.send_as("project/member", "GET", "/v1/snapshots", None).await;
    sql.execute_unprepared("ALTER TABLE moved_away RENAME TO snapshots").await.unwrap();
    for answer in [held, broken] {
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert!(answer.message().contains("database") && answer.message().contains("request id"), "{}", answer.text);
        assert!(!answer.text.contains("locked") && !answer.text.contains("no such table"), "{}", answer.text);
    }
    assert_eq!(house.cloud.dump(ratoon::drivers::fake::dump::Detail::All), before);
    let listed = house.send_as("project/member", "GET", "/v1/snapshots", None).await;
    assert_eq!(listed.body["snapshots"], json!([]));
    assert_eq!(house.send_as("project/member", "POST", "/v1/snapshots", capture()).await.status, 202);
}

#[tokio::test]
async fn what_stands_where_it_would_be_passed_over_is_refused_and_nothing_happens() {
    let house = House::open().await;
    let server = house.server();
    let node = house.captured(server, "a").await;
    let before = house.cloud.dump(ratoon::drivers::fake::dump::Detail::All);
    let (id, branch) = (node["id"].as_str().unwrap(), node["branch_id"].as_str().unwrap());
    let act = |kind: &str| Some(json!({ kind: {} }));
    let dry = || Some(json!({ "dry_run": true }));
    for (method, path, body, word) in [
        ("POST", format!("/v1/snapshots/{id}/restore?dry_run=true"), act("restore"), "body"),
        ("POST", format!("/v1/branches/{branch}/restore?dry_run"), act("restore"), "body"),
        ("POST", "/v1/snapshots?dry_run=true".into(), Some(json!({ "snapshot": { "server_id": server } })), "body"),
        ("PATCH", format!("/v1/snapshots/{id}?name=b"), Some(json!({ "snapshot": {} })), "body"),
        ("DELETE", format!("/v1/snapshots/{id}"), dry(), "query"),
        ("DELETE", format!("/v1/branches/{branch}"), dry(), "query"),
        ("DELETE", format!("/v1/servers/{server}/tree"), dry(), "query"),
        ("DELETE", format!("/v1/snapshots/{id}?limit=1"), None, "limit"),
        ("POST", format!("/v1/operations/{id}/cancel"), dry(), "query"),
        ("POST", format!("/v1/operations/{id}/cancel?dry_run=true"), None, "none"),
    ] {
        let answer = house.send(method, &path, body).await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text);
        assert!(answer.message().contains(word), "{method} {path}: {}", answer.text);
    }
    assert_eq!(house.cloud.dump(ratoon::drivers::fake::dump::Detail::All), before);
    let operations = house.send("GET", &format!("/v1/operations?server_id={server}"), None).await.body;
    assert_eq!(operations["operations"].as_array().unwrap().len(), 1, "the capture alone");
}
