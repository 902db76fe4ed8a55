//! The inbox: messages of the broker, once each.

use std::time::Duration;

use ratoon::clock;
use ratoon::domain::event::{ServerEvent, What};
use ratoon::ids::ServerId;

use crate::database;

fn event(message_id: &str, server: ServerId, what: What) -> ServerEvent {
    ServerEvent {
        message_id: message_id.to_owned(),
        server_id: server,
        what,
        project_id: Some("project".to_owned()),
        request_id: Some("req-1".to_owned()),
        image_id: Some("52b70235-f3a6-4c29-a973-eb6bd1bf2e38".to_owned()),
        sent_at: "2026-11-20T20:37:10.123456Z".parse().ok(),
    }
}

fn ids(events: &[ServerEvent]) -> Vec<&str> {
    events.iter().map(|event| event.message_id.as_str()).collect()
}

#[tokio::test]
async fn a_message_comes_out_as_it_went_in() {
    let (_database, store) = database().await;
    let full = event("a", ServerId::new(), What::SnapshotStart);
    let bare = ServerEvent {
        message_id: "b".to_owned(),
        project_id: None,
        request_id: None,
        image_id: None,
        sent_at: None,
        ..event("b", ServerId::new(), What::Changed)
    };
    store.take_in(&[full.clone(), bare.clone()]).await.unwrap();
    assert_eq!(store.unhandled(10, &[], &[]).await.unwrap(), [full, bare]);
}

#[tokio::test]
async fn a_message_that_comes_twice_is_taken_in_once() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    let (a, b) = (event("a", server, What::Changed), event("b", server, What::Changed));
    store.take_in(&[a.clone(), a.clone()]).await.unwrap();
    store.take_in(&[a.clone(), b]).await.unwrap();
    assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["a", "b"]);
    store.handled(&["a".to_owned()]).await.unwrap();
    store.take_in(&[a]).await.unwrap();
    assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["b"], "nor when it was looked at meanwhile");
}

#[tokio::test]
async fn urgent_messages_come_first_and_then_the_oldest() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    for (id, what) in [
        ("1", What::Changed),
        ("2", What::SnapshotStart),
        ("3", What::Deleting),
        ("4", What::Deleted),
        ("5", What::Rebuilding),
    ] {
        store.take_in(&[event(id, server, what)]).await.unwrap();
    }
    assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["3", "5", "2", "1", "4"]);
    assert_eq!(ids(&store.unhandled(2, &[], &[]).await.unwrap()), ["3", "5"]);
}

#[tokio::test]
async fn messages_of_servers_that_wait_are_left_out() {
    let (_database, store) = database().await;
    let (one, other) = (ServerId::new(), ServerId::new());
    store.take_in(&[event("1", one, What::Deleting), event("2", other, What::Changed)]).await.unwrap();
    assert_eq!(ids(&store.unhandled(10, &[one], &[]).await.unwrap()), ["2"]);
    assert!(store.unhandled(10, &[one, other], &[]).await.unwrap().is_empty());
    let resting = store.unhandled(10, &[], &[one, other]).await.unwrap();
    assert_eq!(ids(&resting), ["1"], "what Nova is about to do waits for no pause");
}

#[tokio::test]
async fn only_what_was_looked_at_is_forgotten() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    store.take_in(&[event("1", server, What::Changed), event("2", server, What::Changed)]).await.unwrap();
    store.handled(&["1".to_owned()]).await.unwrap();
    assert_eq!(store.forget_handled(Duration::from_secs(60)).await.unwrap(), 0, "it is too young");
    clock::sleep(Duration::from_millis(2)).await;
    assert_eq!(store.forget_handled(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["2"]);
}

#[tokio::test]
async fn a_server_was_last_heard_of_when_its_newest_message_came() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    assert_eq!(store.last_heard(server).await.unwrap(), None);
    store.take_in(&[event("1", server, What::Changed), event("2", ServerId::new(), What::Changed)]).await.unwrap();
    let first = store.last_heard(server).await.unwrap().unwrap();
    store.handled(&["1".to_owned()]).await.unwrap();
    clock::sleep(Duration::from_millis(2)).await;
    store.take_in(&[event("3", server, What::Changed)]).await.unwrap();
    assert!(store.last_heard(server).await.unwrap().unwrap() > first);
}

#[tokio::test]
async fn more_messages_than_one_statement_takes_are_taken_in_at_once() {
    let (_database, store) = database().await;
    let server = ServerId::new();
    let many: Vec<_> = (0..501).map(|id| event(&id.to_string(), server, What::Changed)).collect();
    store.take_in(&many).await.unwrap();
    assert_eq!(store.unhandled(1000, &[], &[]).await.unwrap().len(), many.len());
    let ids: Vec<_> = many.into_iter().map(|event| event.message_id).collect();
    store.handled(&ids).await.unwrap();
    assert!(store.unhandled(10, &[], &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn processes_that_take_in_the_same_messages_have_each_once() {
    let (database, store) = database().await;
    let other = database.open(2, Duration::from_secs(20)).await;
    let messages: Vec<_> = (0..40).map(|id| event(&id.to_string(), ServerId::new(), What::Changed)).collect();
    for some in messages.chunks(4) {
        let backwards: Vec<_> = some.iter().rev().cloned().collect();
        let (here, there) = tokio::join!(store.take_in(some), other.take_in(&backwards));
        here.and(there).unwrap();
    }
    assert_eq!(store.unhandled(100, &[], &[]).await.unwrap().len(), 40);
}
