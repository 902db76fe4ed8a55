//! What comes through, how often, and what becomes of the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use ratoon::clock;
use ratoon::domain::event::What;
use ratoon::ids::ServerId;
use serde_json::json;

use super::ear::{Ear, KEY, broker, empty_store, pause_end, settings};
use super::publisher::Publisher;
use super::samples::{Sample, samples, shown};

#[tokio::test]
async fn all_samples_are_heard_in_both_envelopes_and_both_formats() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "samples").await;
    let (mut wanted, mut ids) = (Vec::new(), BTreeSet::new());
    for sample in samples() {
        publisher.send(&ear.exchange, &sample.routing_key, sample.body.to_string().as_bytes()).await;
        // Once more as the driver `messaging` would send it: another message, without the envelope.
        let mut bare = sample.message();
        bare["message_id"] = json!(ServerId::new());
        publisher.send(&ear.exchange, &sample.routing_key, bare.to_string().as_bytes()).await;
        let expected = sample.expected();
        if expected[0].is_some() {
            ids.extend([sample.message()["message_id"].clone(), bare["message_id"].clone()].map(|id| id.to_string()));
            wanted.extend([expected.clone(), expected]);
        }
    }
    let heard = ear.until_messages(wanted.len()).await;
    let found_ids: BTreeSet<_> = heard.iter().map(|event| json!(event.message_id).to_string()).collect();
    let mut found: Vec<_> = heard.into_iter().map(|event| shown(Some(event))).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(found_ids, ids);
    assert_eq!(publisher.length(&ear.settings.topology.dead_queue()).await, 0);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn a_message_that_comes_twice_is_taken_in_once() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "twice").await;
    let server = ServerId::new();
    let (id, body) = pause_end(server);
    for _ in 0..2 {
        publisher.send(&ear.exchange, KEY, &body).await;
        assert!(ear.hears(server, Duration::from_secs(30)).await);
    }
    let (_, last) = pause_end(server);
    publisher.send(&ear.exchange, KEY, &last).await;
    let heard = ear.until_messages(2).await;
    assert_eq!(heard.iter().filter(|event| event.message_id == id).count(), 1, "{heard:?}");
    assert_eq!(heard.len(), 2);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn messages_in_disorder_keep_their_senders_times() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "disorder").await;
    let server = ServerId::new();
    for (kind, second) in [("delete.end", 3), ("pause.end", 1), ("delete.start", 2)] {
        let payload = json!({"nova_object.version": "1.9", "nova_object.data": {"uuid": server}});
        let message = json!({"message_id": ServerId::new(), "event_type": format!("instance.{kind}"),
            "payload": payload, "timestamp": format!("2026-11-20 20:00:0{second}.000000")});
        publisher.send(&ear.exchange, KEY, &Sample::with(&message)).await;
    }
    let mut heard = ear.until_messages(3).await;
    assert_eq!(heard[0].what, What::Deleting, "the urgent one comes first");
    heard.sort_by_key(|event| event.sent_at);
    let order: Vec<_> = heard.iter().map(|event| event.what).collect();
    assert_eq!(order, [What::Changed, What::Deleting, What::Deleted]);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_holds_up_nothing() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "unreadable").await;
    let server = ServerId::new();
    let bodies: [&[u8]; 4] = [
        b"{\"oslo.version\": \"3.0\", \"oslo.message\": \"{}\"}",
        b"\xff\xfe",
        b"",
        b"{\"event_type\": \"instance.pause.end\", \"message_id\": \"m\", \"payload\": {}}",
    ];
    for body in bodies {
        publisher.send(&ear.exchange, KEY, body).await;
    }
    publisher.send(&ear.exchange, KEY, &pause_end(server).1).await;
    assert!(ear.hears(server, Duration::from_secs(30)).await);
    let dead = ear.settings.topology.dead_queue();
    for _ in 0..100 {
        if publisher.length(&dead).await == 4 {
            break;
        }
        clock::sleep(Duration::from_millis(50)).await;
    }
    let mut found = Vec::new();
    while let Some(body) = publisher.get(&dead).await {
        found.push(body);
    }
    assert_eq!(found, bodies);
    assert_eq!(ear.inbox().await.len(), 1);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn ten_thousand_at_once_are_all_taken_in_once() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "burst").await;
    let mut confirms = Vec::new();
    let mut ids = BTreeSet::new();
    for n in 0..10_000 {
        let (id, body) = pause_end(ServerId::new());
        confirms.push(publisher.publish(&ear.exchange, KEY, &body).await);
        if n % 10 == 0 {
            confirms.push(publisher.publish(&ear.exchange, KEY, &body).await);
        }
        ids.insert(id);
    }
    for confirm in confirms {
        let _ = confirm.await.unwrap();
    }
    let heard = ear.until_messages(10_000).await;
    assert_eq!(heard.len(), 10_000);
    let heard: BTreeSet<_> = heard.into_iter().map(|event| event.message_id).collect();
    assert_eq!(heard, ids);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn messages_wait_for_the_database() {
    let Some(url) = broker() else { return };
    let settings = settings(&url, "database");
    let publisher = Publisher::connect(&url).await;
    publisher.make_exchange(&settings.topology.exchanges[0]).await;
    let folder = tempfile::tempdir().unwrap();
    // Without its tables the database refuses every transaction, as one that is away does.
    let store = empty_store(&folder).await;
    let ear = Ear::with(settings, store.clone(), folder);
    let server = ServerId::new();
    let queue = ear.settings.topology.queue.clone();
    // The first one that is bound for the queue is handed out at once.
    for _ in 0..50 {
        publisher.send(&ear.exchange, KEY, &pause_end(server).1).await;
        clock::sleep(Duration::from_millis(300)).await;
    }
    store.migrate().await.unwrap();
    assert!(ear.hears(server, Duration::from_secs(60)).await);
    assert_eq!(publisher.length(&queue).await, 0);
    assert_eq!(publisher.length(&ear.settings.topology.dead_queue()).await, 0);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn what_comes_while_nobody_listens_is_heard_afterwards() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "absent").await;
    let (settings, exchange) = (ear.settings.clone(), ear.exchange.clone());
    let (store, folder) = ear.stop().await;
    let server = ServerId::new();
    publisher.send(&exchange, KEY, &pause_end(server).1).await;
    assert_eq!(publisher.length(&settings.topology.queue).await, 1);
    let ear = Ear::with(settings, store, folder);
    assert!(ear.hears(server, Duration::from_secs(30)).await);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn who_waits_for_messages_is_woken_by_one() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "woken").await;
    // The probes have left their own word.
    let _ = tokio::time::timeout(Duration::from_millis(100), ear.wake.notified()).await;
    publisher.send(&ear.exchange, KEY, &pause_end(ServerId::new()).1).await;
    tokio::time::timeout(Duration::from_secs(30), ear.wake.notified()).await.expect("nobody was woken");
    assert_eq!(ear.inbox().await.len(), 1, "and finds it there");
    ear.close(&publisher).await;
}
