//! What can be asked without a token, and what every answer carries.

use crate::house::House;

#[tokio::test]
async fn versions_are_told_without_a_token() {
    let house = House::open().await;
    let root = house.send_as("", "GET", "/", None).await;
    assert_eq!(root.status, 200);
    let version = &root.body["versions"][0];
    assert_eq!((version["status"].as_str(), version["min_version"].as_str()), (Some("CURRENT"), Some("1.0")));
    assert!(version["links"][0]["href"].as_str().unwrap().ends_with("/v1/"));
    let one = house.send_as("", "GET", "/v1", None).await;
    assert_eq!(one.body["version"]["version"], "1.0");
    assert_eq!(house.send_as("", "GET", "/v1/", None).await.status, 200);
}

#[tokio::test]
async fn a_load_balancer_sees_whether_the_service_is_healthy() {
    let house = House::open().await;
    let get = house.send_as("", "GET", "/healthcheck", None).await;
    assert_eq!((get.status, get.text.as_str()), (200, "OK"));
    assert_eq!(house.send_as("", "HEAD", "/healthcheck", None).await.status, 204);
}

#[tokio::test]
async fn every_answer_carries_its_request_id_and_version() {
    let house = House::open().await;
    for path in ["/", "/v1/snapshots", "/nowhere"] {
        let answer = house.send_as("", "GET", path, None).await;
        assert!(answer.header("x-openstack-request-id").starts_with("req-"), "{path}");
        assert_eq!(answer.header("openstack-api-version"), "server-snapshot 1.0", "{path}");
        assert_eq!(answer.header("vary"), "OpenStack-API-Version", "{path}");
    }
}

#[tokio::test]
async fn an_error_names_the_request_id_that_the_log_has() {
    let house = House::open().await;
    let answer = house.send("GET", "/nowhere", None).await;
    assert_eq!(answer.body["errors"][0]["request_id"], answer.header("x-openstack-request-id"));
}

#[tokio::test]
async fn a_microversion_that_we_do_not_have_is_not_acceptable() {
    let house = House::open().await;
    for (header, expected) in [
        ("server-snapshot 1.0", 200),
        ("server-snapshot latest", 200),
        ("compute 2.93", 200),
        ("server-snapshot 1.9", 406),
        ("server-snapshot x", 400),
    ] {
        let answer = house.get_with("/", &[("OpenStack-API-Version", header)]).await;
        assert_eq!(answer.status, expected, "{header}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let house = House::open().await;
    let answer = house.send("DELETE", "/v1/snapshots", None).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "GET, POST");
    assert_eq!(answer.body["errors"][0]["code"], "server-snapshot.method_not_allowed");
}

#[tokio::test]
async fn only_a_proxy_that_is_to_be_believed_says_what_links_begin_with() {
    let said = [("x-forwarded-proto", "https"), ("x-forwarded-host", "cloud.example.org")];
    for (house, believed) in [(House::open().await, false), (House::behind_a_proxy().await, true)] {
        let answer = house.get_with("/", &said).await;
        let expected = if believed { "https://cloud.example.org/v1/".to_owned() } else { format!("{}/v1/", house.url) };
        assert_eq!(answer.body["versions"][0]["links"][0]["href"], expected, "{believed}");
    }
}
