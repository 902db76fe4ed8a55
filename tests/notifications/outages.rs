//! What may become of the broker, the queue and the exchanges while we listen.

use std::time::Duration;

use ratoon::clock;
use ratoon::consumer::QueueType;
use ratoon::consumer::transport_url::BrokerHost;
use ratoon::ids::ServerId;

use super::ear::{Ear, KEY, broker, pause_end, settings};
use super::publisher::{OwnBroker, Publisher};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_broker_an_exchange_that_its_owner_makes_anew_is_heard_again_soon() {
    if broker().is_none() {
        return;
    }
    let broker = OwnBroker::start();
    let mut settings = settings(&broker.url(), "restart");
    // As operators have them.
    (settings.topology.renewal, settings.topology.renewal_soon) = (Duration::from_secs(60), Duration::from_secs(5));
    let (ear, publisher) = Ear::open_with(&broker.url(), settings).await;
    drop(publisher);
    broker.stop();
    clock::sleep(Duration::from_secs(2)).await;
    broker.start_again();
    let publisher = Publisher::connect(&broker.url()).await;
    publisher.until_consumed(&ear.settings.topology.queue).await;
    // Nova's exchange is not durable: it comes back when Nova speaks, and this first word is lost.
    publisher.make_exchange(&ear.exchange).await;
    let begun = clock::Instant::now();
    let mut server = ServerId::new();
    publisher.send(&ear.exchange, KEY, &pause_end(server).1).await;
    while !ear.hears(server, Duration::from_secs(1)).await {
        assert!(
            begun.elapsed() < Duration::from_secs(45),
            "only the renewal of each minute would bind the queue again"
        );
        server = ServerId::new();
        publisher.send(&ear.exchange, KEY, &pause_end(server).1).await;
    }
    ear.close(&publisher).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_later_is_found() {
    if broker().is_none() {
        return;
    }
    let broker = OwnBroker::start();
    broker.stop();
    let ear = Ear::start(settings(&broker.url(), "later")).await;
    clock::sleep(Duration::from_secs(1)).await;
    broker.start_again();
    let publisher = Publisher::connect(&broker.url()).await;
    publisher.make_exchange(&ear.exchange).await;
    ear.until_listening(&publisher).await;
    ear.close(&publisher).await;
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_over() {
    let Some(url) = broker() else { return };
    let mut settings = settings(&url, "nodes");
    let away = BrokerHost { port: 1, ..settings.hosts[0].clone() };
    settings.hosts.insert(0, away);
    let publisher = Publisher::connect(&url).await;
    publisher.make_exchange(&settings.topology.exchanges[0]).await;
    let ear = Ear::start(settings).await;
    ear.until_listening(&publisher).await;
    ear.close(&publisher).await;
}

#[tokio::test]
async fn a_queue_that_somebody_deletes_is_made_again() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "deleted").await;
    publisher.delete_queue(&ear.settings.topology.queue).await;
    ear.until_listening(&publisher).await;
    ear.close(&publisher).await;
}

#[tokio::test]
async fn an_exchange_that_appears_later_is_heard() {
    let Some(url) = broker() else { return };
    let settings = settings(&url, "appears");
    let publisher = Publisher::connect(&url).await;
    let ear = Ear::start(settings).await;
    clock::sleep(Duration::from_secs(3)).await;
    publisher.make_exchange(&ear.exchange).await;
    ear.until_listening(&publisher).await;
    ear.close(&publisher).await;
}

#[tokio::test]
async fn an_exchange_that_is_made_anew_behind_us_is_heard_again() {
    let Some(url) = broker() else { return };
    let (ear, publisher) = Ear::open(&url, "anew").await;
    publisher.delete_exchange(&ear.exchange).await;
    publisher.make_exchange(&ear.exchange).await;
    ear.until_listening(&publisher).await;
    ear.close(&publisher).await;
}

#[tokio::test]
async fn a_queue_that_is_there_with_other_options_is_used_as_it_is() {
    let Some(url) = broker() else { return };
    let settings = settings(&url, "options");
    let publisher = Publisher::connect(&url).await;
    publisher.make_queue(&settings.topology.queue).await;
    publisher.make_exchange(&settings.topology.exchanges[0]).await;
    let ear = Ear::start(settings).await;
    ear.until_listening(&publisher).await;
    ear.close(&publisher).await;
}

#[tokio::test]
async fn a_quorum_queue_serves_as_well() {
    let Some(url) = broker() else { return };
    let mut settings = settings(&url, "quorum");
    settings.topology.queue_type = QueueType::Quorum;
    let publisher = Publisher::connect(&url).await;
    publisher.make_exchange(&settings.topology.exchanges[0]).await;
    let ear = Ear::start(settings).await;
    ear.until_listening(&publisher).await;
    let server = ServerId::new();
    publisher.send(&ear.exchange, KEY, b"{").await;
    publisher.send(&ear.exchange, KEY, &pause_end(server).1).await;
    assert!(ear.hears(server, LONG).await);
    ear.close(&publisher).await;
}

#[tokio::test]
async fn a_full_queue_forgets_its_oldest_messages() {
    let Some(url) = broker() else { return };
    let mut settings = settings(&url, "full");
    settings.topology.length_max = 100;
    let publisher = Publisher::connect(&url).await;
    publisher.make_exchange(&settings.topology.exchanges[0]).await;
    let ear = Ear::start(settings).await;
    ear.until_listening(&publisher).await;
    let (settings, exchange) = (ear.settings.clone(), ear.exchange.clone());
    let (store, folder) = ear.stop().await;
    let (oldest, newest) = (ServerId::new(), ServerId::new());
    publisher.send(&exchange, KEY, &pause_end(oldest).1).await;
    for _ in 0..99 {
        publisher.send(&exchange, KEY, &pause_end(ServerId::new()).1).await;
    }
    publisher.send(&exchange, KEY, &pause_end(newest).1).await;
    let ear = Ear::with(settings, store, folder);
    assert!(ear.hears(newest, LONG).await);
    assert_eq!(ear.until_messages(100).await.len(), 100);
    assert!(!ear.hears(oldest, Duration::ZERO).await);
    ear.close(&publisher).await;
}
