//! Asking for a snapshot twice under one name.

use ratoon::ids::ServerId;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::house::{Answer, House};

fn wanted(server: ServerId, name: &str, token: &str) -> Value {
    json!({ "snapshot": { "server_id": server, "name": name }, "client_token": token })
}

async fn ask(house: &House, server: ServerId, name: &str, token: &str) -> Answer {
    house.send("POST", "/v1/snapshots", Some(wanted(server, name, token))).await
}

async fn snapshots(house: &House) -> usize {
    house.send("GET", "/v1/snapshots", None).await.body["snapshots"].as_array().unwrap().len()
}

fn begun(answer: &Answer) -> (Value, Value) {
    assert_eq!(answer.status, 202, "{}", answer.text);
    (answer.body["snapshot"]["id"].clone(), answer.body["snapshot"]["operation_id"].clone())
}

#[tokio::test]
async fn a_request_that_is_sent_again_while_it_is_worked_on_or_later_makes_no_second_snapshot() {
    let house = House::open().await;
    let server = house.server();
    let first = begun(&ask(&house, server, "a", "t-1").await);
    assert_eq!(begun(&ask(&house, server, "a", "t-1").await), first);
    house.finished(&first.1).await;
    let again = ask(&house, server, "a", "t-1").await;
    assert_eq!(begun(&again), first);
    assert_eq!(again.body["snapshot"]["status"], "available");
    assert!(again.header("location").ends_with(first.0.as_str().unwrap()));
    assert_eq!(snapshots(&house).await, 1);
    assert_ne!(begun(&ask(&house, server, "a", "t-2").await), first);
}

#[tokio::test]
async fn requests_under_one_name_that_arrive_at_once_make_one_snapshot() {
    let house = House::without_engine().await;
    let server = house.server();
    let answers = futures::future::join_all((0..8).map(|_| ask(&house, server, "a", "t"))).await;
    let first = begun(&answers[0]);
    for answer in &answers {
        assert_eq!(begun(answer), first);
    }
    assert_eq!(snapshots(&house).await, 1);
}

#[tokio::test]
async fn a_name_that_was_given_to_another_request_is_refused() {
    let house = House::open().await;
    let server = house.server();
    let first = begun(&ask(&house, server, "a", "t").await);
    let answer = ask(&house, server, "b", "t").await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.text.contains(first.1.as_str().unwrap()), "{}", answer.text);
    assert!(answer.text.contains("Ask under a new client_token."), "{}", answer.text);
    let other = house.server();
    assert_ne!(begun(&ask(&house, other, "b", "t").await), first, "names are those of one server");
}

#[tokio::test]
async fn what_was_made_under_a_name_and_deleted_since_is_not_made_again() {
    let house = House::open().await;
    let server = house.server();
    let (snapshot, operation) = begun(&ask(&house, server, "a", "t").await);
    house.finished(&operation).await;
    let path = format!("/v1/snapshots/{}", snapshot.as_str().unwrap());
    let deletion = house.send("DELETE", &path, None).await;
    house.finished(&deletion.body["snapshot"]["operation_id"]).await;
    let answer = ask(&house, server, "a", "t").await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.text.contains("is gone"), "{}", answer.text);
    assert_eq!(snapshots(&house).await, 0);
}

#[tokio::test]
async fn a_name_is_forgotten_after_a_day() {
    let house = House::open().await;
    let server = house.server();
    let first = begun(&ask(&house, server, "a", "t").await);
    house.finished(&first.1).await;
    let sql = house.sql().await;
    sql.execute_unprepared("UPDATE client_tokens SET created_at = '2026-01-01 00:00:00.000000'").await.unwrap();
    assert_ne!(begun(&ask(&house, server, "a", "t").await), first);
}

#[tokio::test]
async fn a_dry_run_uses_no_name_up() {
    let house = House::open().await;
    let server = house.server();
    let mut dry = wanted(server, "a", "t");
    dry["dry_run"] = json!(true);
    let plan = house.send("POST", "/v1/snapshots", Some(dry)).await;
    assert_eq!(plan.status, 200, "{}", plan.text);
    begun(&ask(&house, server, "b", "t").await);
}

#[tokio::test]
async fn a_name_is_short_and_visible() {
    let house = House::open().await;
    let server = house.server();
    for token in ["", "a b", "ä", &"x".repeat(65)] {
        let answer = ask(&house, server, "a", token).await;
        assert_eq!(answer.status, 400, "{token}: {}", answer.text);
        assert!(answer.text.contains("client_token is 1 to 64"), "{}", answer.text);
    }
    begun(&ask(&house, server, "a", &"x".repeat(64)).await);
}
