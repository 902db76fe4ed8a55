//! Lists come in pages that meet without a gap or an overlap.

use serde_json::Value;

use crate::house::House;

#[tokio::test]
async fn pages_of_snapshots_meet_in_both_directions() {
    let house = House::open().await;
    let server = house.server();
    let mut names = Vec::new();
    for number in 0..5 {
        let name = format!("s{number}");
        house.captured(server, &name).await;
        names.push(name);
    }
    for sort in ["created_at:asc", "created_at", "name:asc", "name:desc"] {
        let expected = if sort.ends_with("asc") { names.clone() } else { names.iter().rev().cloned().collect() };
        let path = format!("/v1/snapshots?limit=2&server_id={server}&sort={sort}");
        assert_eq!(pages(&house, path, "snapshots", "name").await, expected, "{sort}");
    }
}

/// One member of all that is in a list which is read two by two.
async fn pages(house: &House, mut path: String, list: &str, member: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let answer = house.send("GET", &path, None).await;
        let page = answer.body[list].as_array().unwrap().clone();
        assert!(page.len() <= 2);
        seen.extend(page.iter().map(|one| one[member].as_str().unwrap().to_owned()));
        let links = answer.body[format!("{list}_links")].as_array();
        let Some(next) = links.and_then(|links| links.first()).map(|link| &link["href"]) else { return seen };
        let next = next.as_str().unwrap();
        path = next[next.find("/v1/").unwrap()..].to_owned();
    }
}

#[tokio::test]
async fn pages_of_servers_and_of_operations_meet_too() {
    let house = House::open().await;
    for _ in 0..5 {
        house.captured(house.server(), "a").await;
    }
    for (list, path) in [("servers", "/v1/servers"), ("operations", "/v1/operations")] {
        let all = house.send("GET", path, None).await.body[list].as_array().unwrap().clone();
        let all: Vec<_> = all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(all.len(), 5);
        assert_eq!(pages(&house, format!("{path}?limit=2"), list, "id").await, all);
    }
}

#[tokio::test]
async fn a_marker_that_is_not_in_the_list_is_refused() {
    let house = House::open().await;
    house.captured(house.server(), "a").await;
    for list in ["servers", "snapshots", "operations"] {
        for marker in ["nonsense", "00000000-0000-7000-8000-000000000000"] {
            let answer = house.send("GET", &format!("/v1/{list}?marker={marker}"), None).await;
            assert_eq!((answer.status, answer.message().contains(marker)), (400, true), "{list}: {}", answer.text);
        }
    }
    let answer = house.send("GET", "/v1/snapshots?name=%00", None).await;
    assert_eq!((answer.status, answer.message().contains("control characters")), (400, true), "{}", answer.text);
}

#[tokio::test]
async fn a_list_is_limited_to_what_was_asked_for() {
    let house = House::open().await;
    let (one, two) = (house.server(), house.server());
    house.captured(one, "a").await;
    house.captured(two, "b").await;
    for (query, expected) in [
        (format!("server_id={one}"), vec!["a"]),
        ("name=b".to_owned(), vec!["b"]),
        ("status=available".to_owned(), vec!["b", "a"]),
        ("status=creating".to_owned(), vec![]),
        ("name=c".to_owned(), vec![]),
    ] {
        let answer = house.send("GET", &format!("/v1/snapshots?{query}"), None).await;
        let names: Vec<&str> = answer.body["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|snapshot: &Value| snapshot["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{query}");
    }
}

#[tokio::test]
async fn each_snapshot_of_a_list_is_shown_as_by_itself_and_as_its_tree_has_it() {
    let house = House::open().await;
    let servers = [house.server(), house.server()];
    for server in servers {
        let first = house.captured(server, "first").await;
        house.captured(server, "second").await;
        let path = format!("/v1/snapshots/{}/restore", first["id"].as_str().unwrap());
        let restore = house.send("POST", &path, Some(serde_json::json!({ "restore": {} }))).await;
        house.finished(&restore.body["snapshot"]["operation_id"]).await;
    }
    let listed = house.send("GET", "/v1/snapshots", None).await.body["snapshots"].as_array().unwrap().clone();
    assert!(listed.len() >= 4, "{listed:?}");
    for one in &listed {
        let alone = house.send("GET", &format!("/v1/snapshots/{}", one["id"].as_str().unwrap()), None).await;
        assert_eq!(alone.body["snapshot"], *one);
        let path = format!("/v1/servers/{}/tree", one["server_id"].as_str().unwrap());
        let tree = house.send("GET", &path, None).await.body["tree"].clone();
        let node = tree["nodes"].as_array().unwrap().iter().find(|node| node["id"] == one["id"]).unwrap();
        assert_eq!(tree["current_snapshot_id"] == one["id"], one["current"] == true, "{one}");
        assert_eq!(node["branch_id"], one["branch_id"]);
        let branches = tree["branches"].as_array().unwrap();
        assert!(
            branches.iter().any(|branch| branch["id"] == one["branch_id"] && branch["name"] == one["branch"]),
            "{one}"
        );
        assert_eq!(one["disks"].as_array().unwrap().len(), 3, "{one}");
    }
}
