//! What an operator's policy file changes, and what it cannot.

use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn an_operators_file_holds_and_a_broken_one_changes_nothing() {
    let house = House::open().await;
    let server = house.server();
    let body = || Some(json!({ "snapshot": { "server_id": server } }));
    assert_eq!(house.send_as("project/reader", "POST", "/v1/snapshots", body()).await.status, 403);
    house.policy("\"server-snapshot:snapshot:create\": \"rule:project_reader\"\n");
    assert_eq!(house.send_as("project/reader", "POST", "/v1/snapshots", body()).await.status, 202);
    house.policy("\"server-snapshot:snapshot:create\": \"role:\n");
    let server = house.server();
    let body = Some(json!({ "snapshot": { "server_id": server } }));
    let after = house.send_as("project/reader", "POST", "/v1/snapshots", body).await;
    assert_eq!(after.status, 202, "a broken file changes nothing: {}", after.text);
}

#[tokio::test]
async fn a_rule_is_asked_with_the_object_in_hand() {
    let house = House::open().await;
    let server = house.server();
    let node = house.captured(server, "a").await;
    let path = format!("/v1/snapshots/{}", node["id"].as_str().unwrap());
    // An administrator may delete his own project's snapshots only.
    house.policy("\"server-snapshot:snapshot:delete\": \"role:admin and project_id:%(project_id)s\"\n");
    assert_eq!(house.send_as("project/member", "DELETE", &path, None).await.status, 403);
    assert_eq!(house.send_as("other/admin", "GET", &path, None).await.status, 200);
    let refused = house.send_as("other/admin", "DELETE", &path, None).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.message().contains("server-snapshot:snapshot:delete"), "{}", refused.text);
    // Whoever asked for it.
    house.policy("\"server-snapshot:snapshot:delete\": \"user_id:%(user_id)s and role:member\"\n");
    let deleted = house.send_as("project/member", "DELETE", &path, None).await;
    assert_eq!(deleted.status, 202, "{}", deleted.text);
}

#[tokio::test]
async fn a_subtree_is_deleted_only_by_who_may_delete_each_of_its_snapshots() {
    let house = House::open().await;
    let server = house.server();
    let mine = house.captured(server, "mine").await;
    let body = json!({ "snapshot": { "server_id": server, "name": "theirs" } });
    let theirs = house.send_as("project/member@colleague", "POST", "/v1/snapshots", Some(body)).await;
    house.finished(&theirs.body["snapshot"]["operation_id"]).await;
    house.policy("\"server-snapshot:snapshot:delete\": \"user_id:%(user_id)s\"\n");
    let path = format!("/v1/snapshots/{}", mine["id"].as_str().unwrap());
    for query in ["?subtree=true", "?subtree=true&dry_run=true"] {
        let refused = house.send("DELETE", &format!("{path}{query}"), None).await;
        assert_eq!(refused.status, 403, "{query}: {}", refused.text);
    }
    let alone = house.send("DELETE", &path, None).await;
    assert_eq!(alone.status, 202, "{}", alone.text);
}

#[tokio::test]
async fn a_rule_may_look_at_the_service_that_asks_for_the_user() {
    let house = House::without_engine().await;
    house.policy("\"server-snapshot:snapshot:get\": \"service_roles:service\"\n");
    let user = ("x-auth-token", "project/member");
    assert_eq!(house.get_with("/v1/snapshots", &[user]).await.status, 403);
    let service = ("x-service-token", "elsewhere/service");
    assert_eq!(house.get_with("/v1/snapshots", &[user, service]).await.status, 200);
    // Nobody is a service by saying so.
    assert_eq!(house.get_with("/v1/snapshots", &[user, ("x-service-roles", "service")]).await.status, 403);
    assert_eq!(house.get_with("/v1/snapshots", &[user, ("x-service-token", "elsewhere/member")]).await.status, 401);
}

#[tokio::test]
async fn whoever_may_not_know_of_other_projects_finds_their_things_missing() {
    let house = House::open().await;
    let node = house.captured(house.server(), "a").await;
    let path = format!("/v1/snapshots/{}", node["id"].as_str().unwrap());
    house.policy("\"server-snapshot:all_projects\": \"role:auditor\"\n\"server-snapshot:snapshot:get\": \"@\"\n");
    assert_eq!(house.send_as("other/admin", "GET", &path, None).await.status, 404);
    assert_eq!(house.send_as("other/auditor", "GET", &path, None).await.status, 200);
    assert_eq!(house.send_as("other/admin", "GET", "/v1/snapshots?all_projects=true", None).await.status, 403);
    let all = house.send_as("other/auditor", "GET", "/v1/snapshots?all_projects=true", None).await;
    assert_eq!(all.body["snapshots"].as_array().map(Vec::len), Some(1), "{}", all.text);
}
