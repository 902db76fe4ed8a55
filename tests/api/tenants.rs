//! Another project's things are not there; a role allows what it says.

use serde_json::{Value, json};

use crate::house::{House, PROJECT};

/// Every route that takes an id, with a body that would be right.
fn routes(
    server: &str,
    snapshot: &str,
    branch: &str,
    operation: &str,
) -> Vec<(&'static str, String, Option<Value>, bool)> {
    let restore = || Some(json!({ "restore": {} }));
    vec![
        ("GET", format!("/v1/servers/{server}"), None, false),
        ("GET", format!("/v1/servers/{server}/tree"), None, false),
        ("GET", format!("/v1/servers/{server}/branches"), None, false),
        ("GET", format!("/v1/snapshots/{snapshot}"), None, false),
        ("PATCH", format!("/v1/snapshots/{snapshot}"), Some(json!({ "snapshot": { "name": "x" } })), true),
        ("POST", format!("/v1/snapshots/{snapshot}/restore"), restore(), true),
        ("DELETE", format!("/v1/snapshots/{snapshot}"), None, true),
        ("DELETE", format!("/v1/branches/{branch}"), None, true),
        ("DELETE", format!("/v1/servers/{server}/tree"), None, true),
        ("GET", format!("/v1/branches/{branch}"), None, false),
        ("PATCH", format!("/v1/branches/{branch}"), Some(json!({ "branch": { "name": "x" } })), true),
        ("POST", format!("/v1/branches/{branch}/restore"), restore(), true),
        ("GET", format!("/v1/operations/{operation}"), None, false),
        ("POST", format!("/v1/operations/{operation}/cancel"), None, true),
    ]
}

/// A message with the id taken out, so that two can be compared.
fn faceless(text: &str, ids: &[&str]) -> String {
    let mut text = text.to_owned();
    for id in ids {
        text = text.replace(id, "ID");
    }
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut value = value;
    value["errors"][0]["request_id"] = json!("");
    value.to_string()
}

#[tokio::test]
async fn another_projects_thing_answers_byte_for_byte_as_a_missing_one() {
    let house = House::open().await;
    let server = house.server().to_string();
    let snapshot = house.captured(server.parse().unwrap(), "fresh").await;
    let ids = [server.as_str(), snapshot["id"].as_str().unwrap(), snapshot["branch_id"].as_str().unwrap()];
    let operations = house.send("GET", "/v1/operations", None).await;
    let operation = operations.body["operations"][0]["id"].as_str().unwrap().to_owned();
    let nobody = "00000000-0000-0000-0000-000000000000";
    let theirs = routes(ids[0], ids[1], ids[2], &operation);
    let missing = routes(nobody, nobody, nobody, nobody);
    for ((method, path, body, _), (_, missing_path, missing_body, _)) in theirs.into_iter().zip(missing) {
        let real = house.send_as("elsewhere/member", method, &path, body).await;
        let none = house.send_as("elsewhere/member", method, &missing_path, missing_body).await;
        assert_eq!(real.status, 404, "{method} {path}");
        let known = [ids[0], ids[1], ids[2], operation.as_str(), nobody];
        assert_eq!(faceless(&real.text, &known), faceless(&none.text, &known), "{method} {path}");
    }
    for list in ["/v1/snapshots", "/v1/servers", "/v1/operations"] {
        let answer = house.send_as("elsewhere/member", "GET", list, None).await;
        let name = list.trim_start_matches("/v1/");
        assert_eq!(answer.body[name], json!([]), "{list}");
        let marker = house.send_as("elsewhere/member", "GET", &format!("{list}?marker={}", ids[1]), None).await;
        assert!(marker.status == 400 || marker.body[name] == json!([]), "{list} by marker");
    }
}

#[tokio::test]
async fn a_reader_reads_a_member_acts_and_nobody_does_neither() {
    let house = House::open().await;
    let server = house.server();
    let snapshot = house.captured(server, "fresh").await;
    let operations = house.send("GET", "/v1/operations", None).await;
    let operation = operations.body["operations"][0]["id"].as_str().unwrap().to_owned();
    let routes = routes(
        &server.to_string(),
        snapshot["id"].as_str().unwrap(),
        snapshot["branch_id"].as_str().unwrap(),
        &operation,
    );
    for (method, path, body, acts) in routes {
        let none = house.send_as(&format!("{PROJECT}/service"), method, &path, body.clone()).await;
        assert_eq!(none.status, 403, "{method} {path} without a role: {}", none.text);
        let reader = house.send_as(&format!("{PROJECT}/reader"), method, &path, body.clone()).await;
        assert_eq!(reader.status, if acts { 403 } else { 200 }, "{method} {path} as reader: {}", reader.text);
        if acts {
            assert!(reader.message().contains("role member"), "{}", reader.message());
        }
    }
}

#[tokio::test]
async fn only_an_administrator_sees_all_projects() {
    let house = House::open().await;
    let server = house.server();
    house.captured(server, "fresh").await;
    for list in ["snapshots", "servers", "operations"] {
        let path = format!("/v1/{list}?all_projects=true");
        let admin = house.send_as("cloud/admin", "GET", &path, None).await;
        assert_eq!(admin.body[list].as_array().map(Vec::len), Some(1), "{list}");
        let member = house.send("GET", &path, None).await;
        assert_eq!(member.status, 403, "{list}");
        let other = house.send("GET", &format!("/v1/{list}?project_id=elsewhere"), None).await;
        assert_eq!(other.status, 403, "{list} of another project");
    }
}
