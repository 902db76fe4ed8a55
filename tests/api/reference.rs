//! The API reference (`api-ref/`): every route is in it, its requests are taken, and its answers have the members of real ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::house::House;

/// The top of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A sample of the reference.
pub fn sample(name: &str) -> Value {
    let path = root().join(format!("api-ref/source/samples/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))).unwrap()
}

/// Where two bodies differ in their members, or in the types of these. What one of them lacks (null, an empty list, a map
/// with names of somebody's own) says nothing.
fn differences(place: &str, sample: &Value, real: &Value) -> Vec<String> {
    match (sample, real) {
        (Value::Null, _) | (_, Value::Null) => vec![],
        (Value::Object(ours), Value::Object(theirs)) if !place.ends_with(".metadata") => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            let lonely = names(ours).symmetric_difference(&names(theirs)).cloned().collect::<Vec<_>>();
            let optional = |name: &String| ["field", "disk_id"].contains(&name.as_str());
            let mut found: Vec<_> = lonely
                .iter()
                .filter(|name| !optional(name))
                .map(|name| format!("{place}.{name} is in one of them"))
                .collect();
            for (name, value) in ours {
                found.extend(
                    theirs
                        .get(name)
                        .into_iter()
                        .flat_map(|other| differences(&format!("{place}.{name}"), value, other)),
                );
            }
            found
        }
        (Value::Array(ours), Value::Array(theirs)) => match (ours.first(), theirs.first()) {
            (Some(one), Some(other)) => differences(&format!("{place}[]"), one, other),
            _ => vec![],
        },
        _ if std::mem::discriminant(sample) == std::mem::discriminant(real) => vec![],
        _ => vec![format!("{place} is {sample} and {real}")],
    }
}

fn alike(name: &str, real: &Value) {
    let found = differences(name, &sample(name), real);
    assert!(found.is_empty(), "{}\n{real:#}", found.join("\n"));
}

#[tokio::test]
async fn samples_are_what_the_service_takes_and_answers() {
    let house = House::open().await;
    let server = house.server();
    house.captured(server, "fresh").await;
    house.cloud.guest_write(server);

    let mut create = sample("snapshot-create-request");
    create["snapshot"]["server_id"] = json!(server);
    create.as_object_mut().unwrap().remove("tree_generation");
    let mut dry = create.clone();
    dry["dry_run"] = json!(true);
    alike("snapshot-create-plan-response", &house.send("POST", "/v1/snapshots", Some(dry)).await.body);
    let created = house.send("POST", "/v1/snapshots", Some(create)).await.body;
    alike("snapshot-create-response", &created);
    house.finished(&created["snapshot"]["operation_id"]).await;
    let node = created["snapshot"]["id"].as_str().unwrap().to_owned();

    let path = format!("/v1/snapshots/{node}");
    alike("snapshot-show-response", &house.send("GET", &path, None).await.body);
    alike("snapshot-update-response", &house.send("PATCH", &path, Some(sample("snapshot-update-request"))).await.body);
    house.send("PATCH", &path, Some(json!({ "snapshot": { "protected": false } }))).await;
    alike("snapshots-list-response", &house.send("GET", "/v1/snapshots?limit=1", None).await.body);

    let first = house.send("GET", "/v1/snapshots?sort=created_at:asc&limit=1", None).await.body["snapshots"][0].clone();
    let path = format!("/v1/snapshots/{}/restore", first["id"].as_str().unwrap());
    let mut restore = sample("snapshot-restore-request");
    restore.as_object_mut().unwrap().remove("tree_generation");
    let mut dry = restore.clone();
    dry["dry_run"] = json!(true);
    alike("snapshot-restore-plan-response", &house.send("POST", &path, Some(dry)).await.body);
    let restored = house.send("POST", &path, Some(restore)).await.body;
    alike("snapshot-restore-response", &restored);
    house.finished(&restored["snapshot"]["operation_id"]).await;
    let path = format!("/v1/operations/{}", restored["snapshot"]["operation_id"].as_str().unwrap());
    alike("operation-show-response", &house.send("GET", &path, None).await.body);
    alike("operations-list-response", &house.send("GET", "/v1/operations?limit=1", None).await.body);

    alike("servers-list-response", &house.send("GET", "/v1/servers", None).await.body);
    alike("server-show-response", &house.send("GET", &format!("/v1/servers/{server}"), None).await.body);
    let tree = house.send("GET", &format!("/v1/servers/{server}/tree"), None).await.body;
    alike("tree-show-response", &tree);
    let branches = house.send("GET", &format!("/v1/servers/{server}/branches"), None).await.body;
    alike("branches-list-response", &branches);
    let other = branches["branches"].as_array().unwrap().iter().find(|branch| branch["current"] == false).unwrap();
    let path = format!("/v1/branches/{}", other["id"].as_str().unwrap());
    alike("branch-show-response", &house.send("GET", &path, None).await.body);
    alike("branch-update-response", &house.send("PATCH", &path, Some(sample("branch-update-request"))).await.body);
    let mut back = sample("branch-restore-request");
    back.as_object_mut().unwrap().remove("tree_generation");
    let answer = house.send("POST", &format!("{path}/restore"), Some(back)).await.body;
    alike("branch-restore-response", &answer);
    house.finished(&answer["branch"]["operation_id"]).await;

    let path = format!("/v1/snapshots/{node}");
    alike("snapshot-delete-plan-response", &house.send("DELETE", &format!("{path}?dry_run=true"), None).await.body);
    let deleted = house.send("DELETE", &path, None).await.body;
    alike("snapshot-delete-response", &deleted);
    house.finished(&deleted["snapshot"]["operation_id"]).await;
    let branches = house.send("GET", &format!("/v1/servers/{server}/branches"), None).await.body;
    let other = branches["branches"].as_array().unwrap().iter().find(|branch| branch["current"] == false).unwrap();
    let deleted = house.send("DELETE", &format!("/v1/branches/{}", other["id"].as_str().unwrap()), None).await.body;
    alike("branch-delete-response", &deleted);
    house.finished(&deleted["branch"]["operation_id"]).await;
    alike("tree-delete-response", &house.send("DELETE", &format!("/v1/servers/{server}/tree"), None).await.body);

    let engines = house.send_as("cloud/admin", "GET", "/v1/engines", None).await.body;
    assert_eq!(engines["engines"].as_array().map(Vec::len), Some(1));
    alike("engines-list-response", &engines);

    alike("versions-list-response", &house.send("GET", "/", None).await.body);
    alike("version-show-response", &house.send("GET", "/v1", None).await.body);
    alike("error-bad-request", &house.send("GET", "/v1/snapshots?limit=x", None).await.body);
}

#[tokio::test]
async fn the_sample_of_a_cancelled_operation_is_one() {
    let house = House::without_engine().await;
    let server = house.server();
    let body = json!({ "snapshot": { "server_id": server } });
    let begun = house.send("POST", "/v1/snapshots", Some(body.clone())).await.body;
    alike("error-conflict", &house.send("POST", "/v1/snapshots", Some(body)).await.body);
    alike("operation-cancel-response", &house.cancel(&begun["snapshot"]["operation_id"]).await.body);
}

/// `GET /v1/snapshots/{id}` and so on, as the code has them.
pub fn routes_of_the_service() -> BTreeSet<String> {
    let source = std::fs::read_to_string(root().join("src/api/mod.rs")).unwrap();
    let mut routes = BTreeSet::new();
    for resource in source.split("web::resource(").skip(1) {
        let path = resource.split('"').nth(1).unwrap();
        let own = resource.split(".service(").next().unwrap();
        for method in ["get", "head", "post", "patch", "put", "delete"] {
            if own.contains(&format!("web::{method}()")) {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    routes
}

#[test]
fn no_parameter_is_described_twice() {
    let text = std::fs::read_to_string(root().join("api-ref/source/parameters.yaml")).unwrap();
    let mut seen = BTreeSet::new();
    for name in text.lines().filter(|line| line.starts_with(|letter: char| letter.is_ascii_alphabetic())) {
        assert!(seen.insert(name), "{name}");
    }
    assert!(seen.len() > 100);
}

#[test]
fn every_route_is_in_the_reference() {
    let mut documented = BTreeSet::new();
    for file in std::fs::read_dir(root().join("api-ref/source/v1")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix(".. rest_method:: ")) {
            // `{snapshot_id}` there is `{id}` here.
            let parts = line.split('/').map(|part| if part.starts_with('{') { "{id}" } else { part });
            documented.insert(parts.collect::<Vec<_>>().join("/"));
        }
    }
    assert_eq!(routes_of_the_service(), documented);
}
