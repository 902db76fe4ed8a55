//! The main job: capture, restore, branch, switch back; dry runs; conflicts; cancel.

use std::time::Duration;

use ratoon::clock;
use ratoon::drivers::fake::ADDRESS;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn a_server_gets_a_tree_goes_back_and_grows_a_branch() {
    let house = House::open().await;
    let server = house.server();
    let empty = house.send("GET", &format!("/v1/servers/{server}/tree"), None).await;
    assert_eq!((empty.status, empty.body["tree"]["nodes"].as_array().map(Vec::len)), (200, Some(0)));

    let fresh = house.captured(server, "fresh").await;
    assert_eq!(
        (fresh["status"].as_str(), fresh["branch"].as_str(), fresh["current"].as_bool()),
        (Some("available"), Some("main"), Some(true))
    );
    assert_eq!(fresh["disks"].as_array().map(Vec::len), Some(3));
    assert_eq!(fresh["consistency"]["reached"], "crash");
    let upgraded = house.captured(server, "upgraded").await;
    assert_eq!(upgraded["parent_id"], fresh["id"]);

    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let answer = house.send("POST", &path, Some(json!({ "restore": {} }))).await;
    assert_eq!(
        (answer.status, answer.body["snapshot"]["status"].as_str()),
        (202, Some("restoring")),
        "{}",
        answer.body
    );
    let operation = answer.body["snapshot"]["operation_id"].clone();
    assert!(answer.header("location").ends_with(&format!("/v1/operations/{}", operation.as_str().unwrap())));
    assert_eq!(house.finished(&operation).await["status"], "succeeded");

    let tree = house.send("GET", &format!("/v1/servers/{server}/tree"), None).await.body["tree"].clone();
    assert_eq!(tree["current_snapshot_id"], fresh["id"]);
    let drawn: Vec<(u64, &str, &str)> = tree["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["depth"].as_u64().unwrap(), node["name"].as_str().unwrap(), node["branch"].as_str().unwrap()))
        .collect();
    assert_eq!(drawn, [(0, "fresh", "main"), (1, "upgraded", "main"), (2, "before restoring fresh", "main")]);
    let branches = house.send("GET", &format!("/v1/servers/{server}/branches"), None).await.body["branches"].clone();
    assert_eq!((branches[1]["name"].as_str(), branches[1]["current"].as_bool()), (Some("branch-2"), Some(true)));
    assert_eq!(branches[1]["fork_snapshot_id"], fresh["id"]);

    house.captured(server, "reworked").await;
    let main = branches[0]["id"].as_str().unwrap();
    let answer = house.send("POST", &format!("/v1/branches/{main}/restore"), Some(json!({ "restore": {} }))).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(house.finished(&answer.body["branch"]["operation_id"]).await["status"], "succeeded");
    let shown = house.send("GET", &format!("/v1/servers/{server}"), None).await.body["server"].clone();
    assert_eq!((shown["current_branch"].as_str(), shown["snapshot_count"].as_u64()), (Some("main"), Some(5)));
    let nodes = house.send("GET", &format!("/v1/servers/{server}/tree"), None).await.body["tree"]["nodes"].clone();
    let sizes = nodes.as_array().unwrap().iter().map(|node| node["size_bytes"].as_u64().unwrap());
    assert_eq!(shown["snapshot_size_bytes"].as_u64(), Some(sizes.sum()));
    let listed = house.send("GET", "/v1/servers", None).await.body["servers"][0].clone();
    assert_eq!(listed, shown, "a list says the same");
}

#[tokio::test]
async fn a_dry_run_tells_the_plan_and_changes_nothing() {
    let house = House::open().await;
    let server = house.server();
    let before = house.cloud.our_objects();
    let body = json!({ "snapshot": { "server_id": server }, "dry_run": true });
    let answer = house.send("POST", "/v1/snapshots", Some(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let plan = &answer.body["plan"];
    assert_eq!(
        (plan["kind"].as_str(), plan["branch"].as_str(), plan["bytes_copied"].as_u64()),
        (Some("snapshot_create"), Some("main"), Some(0))
    );
    assert_eq!(plan["needs"], json!({ "volumes": 0, "snapshots": 2, "gigabytes": 2 }));
    assert_eq!(house.cloud.our_objects(), before);
    assert_eq!(house.send("GET", "/v1/snapshots", None).await.body["snapshots"], json!([]));
}

#[tokio::test]
async fn a_restore_says_which_volume_takes_whose_place() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let plan = house.send("POST", &path, Some(json!({ "restore": {}, "dry_run": true }))).await.body["plan"].clone();
    let of_volumes = plan["disks"].as_array().unwrap().iter().filter(|disk| disk["kind"] == "volume");
    let mut planned: Vec<String> = of_volumes.filter_map(|disk| disk["replaces"].as_str().map(str::to_owned)).collect();
    planned.sort();
    let answer = house.send("POST", &path, Some(json!({ "restore": {} }))).await;
    let operation = house.finished(&answer.body["snapshot"]["operation_id"]).await;
    let replaced = operation["replaced"].as_array().unwrap();
    let mut old: Vec<String> = replaced.iter().map(|one| one["old"].as_str().unwrap().to_owned()).collect();
    old.sort();
    assert_eq!((old.len(), &old), (2, &planned), "{plan} {operation}");
    assert!(replaced.iter().all(|one| one["new"].as_str().is_some_and(|new| !old.contains(&new.to_owned()))));
}

#[tokio::test]
async fn a_tree_that_has_changed_since_the_plan_is_a_conflict() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let body = |generation: i64| json!({ "restore": {}, "tree_generation": generation });
    let answer = house.send("POST", &path, Some(body(0))).await;
    assert_eq!(answer.status, 409);
    assert!(answer.message().contains("has changed since"), "{}", answer.message());
    let tree = house.send("GET", &format!("/v1/servers/{server}/tree"), None).await;
    let now = tree.body["tree"]["tree_generation"].as_i64().unwrap();
    assert_eq!(house.send("POST", &path, Some(body(now))).await.status, 202);
}

#[tokio::test]
async fn a_second_operation_on_a_server_is_told_which_one_is_in_the_way() {
    let house = House::without_engine().await;
    let server = house.server();
    let body = || Some(json!({ "snapshot": { "server_id": server } }));
    let first = house.send("POST", "/v1/snapshots", body()).await;
    let operation = first.body["snapshot"]["operation_id"].as_str().unwrap().to_owned();
    assert!(first.header("location").contains("/v1/snapshots/"));
    let second = house.send("POST", "/v1/snapshots", body()).await;
    assert_eq!(second.status, 409);
    assert!(second.message().contains(&operation), "{}", second.message());
}

#[tokio::test]
async fn a_waiting_operation_can_be_cancelled_and_leaves_no_lease() {
    let house = House::without_engine().await;
    let server = house.server();
    let first = house.send("POST", "/v1/snapshots", Some(json!({ "snapshot": { "server_id": server } }))).await;
    let operation = first.body["snapshot"]["operation_id"].as_str().unwrap().to_owned();
    let cancel = house.send("POST", &format!("/v1/operations/{operation}/cancel"), None).await;
    assert_eq!((cancel.status, cancel.body["operation"]["cancel_requested"].as_bool()), (202, Some(true)));
}

#[tokio::test]
async fn an_operation_that_failed_tells_its_owner_what_and_the_remedy_and_no_address_of_the_cloud() {
    let house = House::open().await;
    let server = house.server();
    house.cloud.plan_fault(Which::Every("pause"), When::Before, Harm::Permanent);
    let answer = house.send("POST", "/v1/snapshots", Some(json!({ "snapshot": { "server_id": server } }))).await;
    let operation = house.finished(&answer.body["snapshot"]["operation_id"]).await;
    let error = &operation["error"];
    assert_eq!(
        (&error["message"], &error["remedy"]),
        (&json!("The fake cloud refuses pause."), &json!("Pick another cloud."))
    );
    let path = format!("/v1/snapshots/{}", answer.body["snapshot"]["id"].as_str().unwrap());
    let snapshot = house.send("GET", &path, None).await.body["snapshot"].clone();
    assert_eq!(snapshot["fault"], "The fake cloud refuses pause. Remedy: Pick another cloud.");
    assert!(!operation.to_string().contains(ADDRESS), "{operation}");
}

#[tokio::test]
async fn an_operation_that_is_being_undone_after_a_failure_cannot_be_cancelled_too() {
    let house = House::open().await;
    let server = house.server();
    house.cloud.plan_fault(Which::Every("unpause"), When::Before, Harm::Temporary);
    house.cloud.plan_fault(Which::Named("pause", 1), When::After, Harm::Permanent);
    let answer = house.send("POST", "/v1/snapshots", Some(json!({ "snapshot": { "server_id": server } }))).await;
    let operation = answer.body["snapshot"]["operation_id"].clone();
    house.is_(&operation, "unwinding").await;
    let cancel = house.cancel(&operation).await;
    assert_eq!(cancel.status, 409, "{}", cancel.text);
    assert!(cancel.message().contains("being undone already"), "{}", cancel.message());
}

#[tokio::test]
async fn a_cancel_that_was_accepted_is_accepted_again() {
    let house = House::open().await;
    let server = house.server();
    // The server never finishes pausing, so the operation neither goes on nor is it ever undone.
    house.cloud.set_power_looks(u32::MAX);
    let answer = house.send("POST", "/v1/snapshots", Some(json!({ "snapshot": { "server_id": server } }))).await;
    let operation = answer.body["snapshot"]["operation_id"].clone();
    while house.cloud.peek(server).unwrap().task_state.is_none() {
        clock::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(house.cancel(&operation).await.status, 202);
    house.is_(&operation, "unwinding").await;
    let again = house.cancel(&operation).await;
    assert_eq!(
        (again.status, again.body["operation"]["cancel_requested"].as_bool()),
        (202, Some(true)),
        "{}",
        again.text
    );
}

#[tokio::test]
async fn a_parked_disk_that_vanishes_while_a_restore_is_planned_is_a_conflict() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let restore = house.send("POST", &path, Some(json!({ "restore": {} }))).await;
    house.finished(&restore.body["snapshot"]["operation_id"]).await;
    let snapshots = house.send("GET", "/v1/snapshots", None).await.body["snapshots"].clone();
    let safety = snapshots.as_array().unwrap().iter().find(|snapshot| snapshot["safety"] == true).unwrap().clone();
    let path = format!("/v1/snapshots/{}/restore", safety["id"].as_str().unwrap());
    house.cloud.plan_fault(Which::Named("compare_image", 1), When::Before, Harm::Missing);
    let answer = house.send("POST", &path, Some(json!({ "restore": {}, "dry_run": true }))).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.message().contains("have changed while"), "{}", answer.message());
}

#[tokio::test]
async fn words_of_a_snapshot_can_be_changed_and_a_named_safety_snapshot_is_kept() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let path = format!("/v1/snapshots/{}", fresh["id"].as_str().unwrap());
    let answer =
        house.send("PATCH", &path, Some(json!({ "snapshot": { "name": "golden", "description": "keep" } }))).await;
    assert_eq!((answer.status, answer.body["snapshot"]["name"].as_str()), (200, Some("golden")));

    house.send("POST", &format!("{path}/restore"), Some(json!({ "restore": {} }))).await;
    let list = house.send("GET", "/v1/operations?sort=created_at:desc", None).await;
    house.finished(&list.body["operations"][0]["id"]).await;
    let snapshots = house.send("GET", "/v1/snapshots", None).await.body["snapshots"].clone();
    let safety = snapshots.as_array().unwrap().iter().find(|snapshot| snapshot["safety"] == true).unwrap().clone();
    let path = format!("/v1/snapshots/{}", safety["id"].as_str().unwrap());
    let answer = house.send("PATCH", &path, Some(json!({ "snapshot": { "name": "worth keeping" } }))).await;
    assert_eq!(answer.body["snapshot"]["safety"], false);
}

#[tokio::test]
async fn a_pause_that_the_server_forbids_refuses_a_crash_consistent_capture() {
    let house = House::open().await;
    let server = house.server();
    house.cloud.edit_server(server, |facts| {
        facts.metadata.insert("ratoon_pause".into(), "never".into());
    });
    let body = json!({ "snapshot": { "server_id": server, "consistency": "crash" } });
    let refused = house.send("POST", "/v1/snapshots", Some(body)).await;
    assert_eq!(refused.status, 409);
    assert!(refused.message().contains("ratoon_pause"), "{}", refused.message());
}

#[tokio::test]
async fn a_branch_is_not_renamed_while_an_operation_may_begin_one_of_that_name() {
    let house = House::without_engine().await;
    let server = house.server();
    let first = house.send("POST", "/v1/snapshots", Some(json!({ "snapshot": { "server_id": server } }))).await;
    let operation = first.body["snapshot"]["operation_id"].as_str().unwrap().to_owned();
    let branch = first.body["snapshot"]["branch_id"].as_str().unwrap().to_owned();
    let body = json!({ "branch": { "name": "branch-2" } });
    let answer = house.send("PATCH", &format!("/v1/branches/{branch}"), Some(body)).await;
    assert_eq!(answer.status, 409);
    assert!(answer.message().contains(&operation), "{}", answer.message());
}

#[tokio::test]
async fn a_branch_gets_another_name_unless_it_is_taken() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    house.captured(server, "later").await;
    let path = format!("/v1/snapshots/{}/restore", fresh["id"].as_str().unwrap());
    let restore = house.send("POST", &path, Some(json!({ "restore": { "branch_name": "try" } }))).await;
    house.finished(&restore.body["snapshot"]["operation_id"]).await;
    let main = format!("/v1/branches/{}", fresh["branch_id"].as_str().unwrap());
    let rename = |name: &str| Some(json!({ "branch": { "name": name } }));
    let taken = house.send("PATCH", &main, rename("try")).await;
    assert_eq!(taken.status, 409, "{}", taken.text);
    let free = house.send("PATCH", &main, rename("stable")).await;
    assert_eq!((free.status, free.body["branch"]["name"].as_str()), (200, Some("stable")));
}

#[tokio::test]
async fn a_snapshot_that_was_made_beside_an_image_of_novas_names_the_image() {
    use sea_orm::ConnectionTrait;
    let house = House::open().await;
    let server = house.server();
    let node = house.captured(server, "nightly").await;
    assert_eq!(node.get("image_id"), Some(&json!(null)));
    let image = "52b70235-f3a6-4c29-a973-eb6bd1bf2e38";
    let beside = format!("UPDATE snapshots SET request = 'req-1', backup = false, image_id = '{image}'");
    house.sql().await.execute_unprepared(&beside).await.unwrap();
    let path = format!("/v1/snapshots/{}", node["id"].as_str().unwrap());
    assert_eq!(house.send("GET", &path, None).await.body["snapshot"]["image_id"], image);
}
