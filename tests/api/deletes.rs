//! Deleting snapshots, branches and trees; protecting them from it.

use ratoon::ids::ServerId;
use serde_json::{Value, json};

use crate::house::{Answer, House};

/// `a` on main with `b` behind it; back to `a`; `c` on branch-2, where the server is.
async fn forked(house: &House) -> (ServerId, Value, Value, Value) {
    let server = house.server();
    let a = house.captured(server, "a").await;
    let b = house.captured(server, "b").await;
    let path = format!("/v1/snapshots/{}/restore", text(&a["id"]));
    let restore = house.send("POST", &path, Some(json!({ "restore": { "safety_snapshot": false } }))).await;
    house.finished(&restore.body["snapshot"]["operation_id"]).await;
    let c = house.captured(server, "c").await;
    (server, a, b, c)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

async fn nodes(house: &House, server: ServerId) -> Value {
    house.send("GET", &format!("/v1/servers/{server}/tree"), None).await.body["tree"]["nodes"].clone()
}

async fn ended(house: &House, answer: &Answer, noun: &str) {
    assert_eq!(answer.status, 202, "{}", answer.text);
    let operation = answer.body[noun]["operation_id"].clone();
    assert!(answer.header("location").ends_with(&format!("/v1/operations/{}", text(&operation))));
    assert_eq!(house.finished(&operation).await["status"], "succeeded");
}

#[tokio::test]
async fn a_deleted_snapshot_is_not_found_any_more() {
    let house = House::open().await;
    let (server, _, b, _) = forked(&house).await;
    let path = format!("/v1/snapshots/{}", text(&b["id"]));
    let answer = house.send("DELETE", &path, None).await;
    assert_eq!(answer.body["snapshot"]["status"], "deleting");
    ended(&house, &answer, "snapshot").await;
    assert_eq!(house.send("GET", &path, None).await.status, 404);
    assert_eq!(house.send("DELETE", &path, None).await.status, 404);
    assert_eq!(nodes(&house, server).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_deleted_fork_stays_as_a_joint_that_only_the_tree_shows() {
    let house = House::open().await;
    let (server, a, ..) = forked(&house).await;
    let path = format!("/v1/snapshots/{}", text(&a["id"]));
    ended(&house, &house.send("DELETE", &path, None).await, "snapshot").await;
    let nodes = nodes(&house, server).await;
    assert_eq!((&nodes[0]["name"], &nodes[0]["hidden"]), (&json!("a"), &json!(true)));
    assert!(!text(&nodes[0]["hidden_reason"]).is_empty());
    assert_eq!((&nodes[1]["hidden"], &nodes[1]["hidden_reason"]), (&json!(false), &Value::Null));
    let names = |answer: Answer| -> Vec<String> {
        let all = answer.body["snapshots"].as_array().unwrap().clone();
        all.iter().map(|one| text(&one["name"]).to_owned()).collect()
    };
    assert_eq!(names(house.send("GET", "/v1/snapshots?sort=created_at:asc", None).await), ["b", "c"]);
    assert_eq!(names(house.send("GET", "/v1/snapshots?sort=created_at:asc&hidden=true", None).await), ["a", "b", "c"]);
    let restore = house.send("POST", &format!("{path}/restore"), Some(json!({ "restore": {} }))).await;
    assert_eq!(restore.status, 409);
    assert!(restore.message().contains(text(&nodes[1]["id"])), "its relatives: {}", restore.message());
    let shown = house.send("GET", &format!("/v1/servers/{server}"), None).await;
    assert_eq!(shown.body["server"]["snapshot_count"], 2);
    let listed = house.send("GET", "/v1/servers", None).await.body["servers"][0].clone();
    assert_eq!(listed, shown.body["server"], "a joint counts nowhere");
}

#[tokio::test]
async fn a_dry_run_of_a_deletion_says_what_goes_what_stays_and_changes_nothing() {
    let house = House::open().await;
    let (server, a, ..) = forked(&house).await;
    let before = (nodes(&house, server).await, house.cloud.our_objects());
    for (query, loses, warns) in [("", 1, true), ("&subtree=true", 4, true)] {
        let path = format!("/v1/snapshots/{}?dry_run=true{query}", text(&a["id"]));
        let answer = house.send("DELETE", &path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let plan = &answer.body["plan"];
        assert_eq!((&plan["kind"], &plan["bytes_copied"]), (&json!("snapshot_delete"), &json!(0)));
        assert_eq!(plan["loses"].as_array().unwrap().len(), loses, "{plan}");
        assert_eq!(!plan["warnings"].as_array().unwrap().is_empty(), warns, "{plan}");
        let moves = plan["steps"][0]["what"].as_str().unwrap().contains("moves to no snapshot");
        assert_eq!(moves, loses > 1, "{plan}");
    }
    assert_eq!((nodes(&house, server).await, house.cloud.our_objects()), before);
}

#[tokio::test]
async fn a_dry_run_of_a_deletion_says_which_branch_goes_and_how_much_comes_back() {
    let house = House::open().await;
    let (_, _, b, c) = forked(&house).await;
    let branch = format!("/v1/branches/{}?dry_run=true", text(&c["branch_id"]));
    let path = format!("/v1/snapshots/{}/restore", text(&b["id"]));
    let restore = house.send("POST", &path, Some(json!({ "restore": { "safety_snapshot": false } }))).await;
    house.finished(&restore.body["snapshot"]["operation_id"]).await;
    let plan = house.send("DELETE", &branch, None).await.body["plan"].clone();
    assert_eq!(plan["loses"], json!(["snapshot \"c\"", "branch \"branch-2\""]));
    assert!(plan["bytes_freed"].as_u64().unwrap() > 0, "the disks that c lies on: {plan}");
}

#[tokio::test]
async fn a_subtree_a_branch_and_a_tree_can_be_deleted_but_not_the_branch_the_server_is_on() {
    let house = House::open().await;
    let (server, a, _, c) = forked(&house).await;
    let current = house.send("DELETE", &format!("/v1/branches/{}", text(&c["branch_id"])), None).await;
    assert_eq!(current.status, 409);
    assert!(current.message().contains("is on branch branch-2"), "{}", current.message());
    let main = house.send("DELETE", &format!("/v1/branches/{}", text(&a["branch_id"])), None).await;
    ended(&house, &main, "branch").await;
    let left: Vec<Value> =
        nodes(&house, server).await.as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
    assert_eq!(left, ["a", "c"], "a as a joint: the live volumes were made of it");
    let shown = house.send("GET", &format!("/v1/servers/{server}"), None).await.body["server"].clone();
    assert!(shown["reclaim_pending_bytes"].as_u64().unwrap() > 0, "what a lies on waits for the live volumes: {shown}");
    let subtree = house.send("DELETE", &format!("/v1/snapshots/{}?subtree=true", text(&c["id"])), None).await;
    ended(&house, &subtree, "snapshot").await;
    house.captured(server, "d").await;
    let tree = house.send("DELETE", &format!("/v1/servers/{server}/tree"), None).await;
    ended(&house, &tree, "tree").await;
    assert_eq!(house.send("GET", "/v1/snapshots", None).await.body["snapshots"], json!([]));
    let again = house.send("DELETE", &format!("/v1/servers/{}/tree", house.server()), None).await;
    assert_eq!(again.status, 409, "a server without snapshots: {}", again.text);
}

#[tokio::test]
async fn a_deletion_that_was_planned_on_another_tree_is_refused() {
    let house = House::open().await;
    let (_, _, b, _) = forked(&house).await;
    let refused = house.send("DELETE", &format!("/v1/snapshots/{}?tree_generation=1", text(&b["id"])), None).await;
    assert_eq!(refused.status, 409);
    let wrong = house.send("DELETE", &format!("/v1/snapshots/{}?tree_generation=new", text(&b["id"])), None).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.message().contains("tree_generation"), "{}", wrong.message());
}

#[tokio::test]
async fn a_protected_snapshot_says_who_protects_it_and_why_and_is_not_deleted() {
    let house = House::open().await;
    let (_, _, b, _) = forked(&house).await;
    let path = format!("/v1/snapshots/{}", text(&b["id"]));
    let patch = |fields: Value| Some(json!({ "snapshot": fields }));
    let protect = patch(json!({ "protected": true, "protected_reason": "for the auditors" }));
    let answer = house.send("PATCH", &path, protect).await;
    let shown = &answer.body["snapshot"];
    assert_eq!((answer.status, &shown["protected"]), (200, &json!(true)), "{}", answer.text);
    assert_eq!(
        (&shown["protection"]["user_id"], &shown["protection"]["reason"]),
        (&json!("user"), &json!("for the auditors"))
    );
    let refused = house.send("DELETE", &path, None).await;
    assert_eq!(refused.status, 409);
    assert!(refused.message().contains("user user") && refused.message().contains("for the auditors"));
    for (fields, says) in [
        (json!({ "protected": "yes" }), "protected"),
        (json!({ "protected_reason": "why" }), "only together with protected: true"),
        (json!({ "protected": false, "protected_reason": "why" }), "only together with protected: true"),
        (json!({ "protected": true, "protected_reason": "x".repeat(256) }), "at most 255"),
    ] {
        let answer = house.send("PATCH", &path, patch(fields.clone())).await;
        assert_eq!(answer.status, 400, "{fields}");
        assert!(answer.message().contains(says), "{fields}: {}", answer.message());
    }
    house.send("PATCH", &path, patch(json!({ "protected": false }))).await;
    ended(&house, &house.send("DELETE", &path, None).await, "snapshot").await;
}
