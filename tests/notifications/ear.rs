//! A listener under test, with an inbox, a queue and an exchange of its own.

use std::sync::Arc;
use std::time::Duration;

use ratoon::clock;
use ratoon::config::Settings;
use ratoon::consumer::{ListenerSettings, listen};
use ratoon::domain::event::ServerEvent;
use ratoon::ids::ServerId;
use ratoon::parts::listener_settings;
use ratoon::store::{Store, StoreConfig};
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::publisher::Publisher;
use super::samples::Sample;

pub const KEY: &str = "versioned_notifications.info";

/// The broker's URL; a test that gets none passes without having run.
pub fn broker() -> Option<String> {
    let url = std::env::var("RATOON_TEST_BROKER").ok();
    if url.is_none() {
        eprintln!("RATOON_TEST_BROKER is not set: this test has not run");
    }
    url
}

pub struct Ear {
    pub store: Store,
    pub settings: ListenerSettings,
    pub exchange: String,
    pub wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// As operators have it, but for the names, and quicker.
pub fn settings(url: &str, name: &str) -> ListenerSettings {
    let name = format!("ratoon-test-{name}-{}", ServerId::new());
    let text = format!(
        "[DEFAULT]\ntransport_url = {url}\n[events]\nqueue_name = {name}.notifications\nexchanges = {name}.nova, {name}.none\n"
    );
    let settings = Settings::from_text(&text).unwrap();
    let mut settings = listener_settings(&settings).unwrap().unwrap();
    settings.topology.renewal = Duration::from_secs(2);
    settings.topology.renewal_soon = Duration::from_secs(1);
    settings
}

pub async fn empty_store(folder: &tempfile::TempDir) -> Store {
    let url = format!("sqlite://{}", folder.path().join("db").display());
    Store::connect(&StoreConfig { url, connections_max: 4, busy_timeout: Duration::from_secs(5) }).await.unwrap()
}

impl Ear {
    /// Listening to an exchange that is there.
    pub async fn open(url: &str, name: &str) -> (Self, Publisher) {
        Self::open_with(url, settings(url, name)).await
    }

    pub async fn open_with(url: &str, settings: ListenerSettings) -> (Self, Publisher) {
        let publisher = Publisher::connect(url).await;
        publisher.make_exchange(&settings.topology.exchanges[0]).await;
        let ear = Self::start(settings).await;
        ear.until_listening(&publisher).await;
        (ear, publisher)
    }

    pub async fn start(settings: ListenerSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = empty_store(&folder).await;
        store.migrate().await.unwrap();
        Self::with(settings, store, folder)
    }

    pub fn with(settings: ListenerSettings, store: Store, folder: tempfile::TempDir) -> Self {
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let running = tokio::spawn(listen(settings.clone(), store.clone(), wake.clone(), stopped));
        let exchange = settings.topology.exchanges[0].clone();
        Self { store, settings, exchange, wake, stop, running, _folder: folder }
    }

    /// Until a message of ours comes through: the queue is there, bound, and read.
    pub async fn until_listening(&self, publisher: &Publisher) {
        for _ in 0..600 {
            let (id, body) = pause_end(ServerId::new());
            publisher.send(&self.exchange, KEY, &body).await;
            clock::sleep(Duration::from_millis(100)).await;
            if self.inbox().await.iter().any(|event| event.message_id == id) {
                let probes: Vec<_> = self.inbox().await.into_iter().map(|event| event.message_id).collect();
                self.store.handled(&probes).await.unwrap();
                return;
            }
        }
        panic!("nothing is heard");
    }

    pub async fn inbox(&self) -> Vec<ServerEvent> {
        self.store.unhandled(100_000, &[], &[]).await.unwrap()
    }

    /// Whether there is a message of this server within a time.
    pub async fn hears(&self, server: ServerId, within: Duration) -> bool {
        let begun = clock::Instant::now();
        while begun.elapsed() < within {
            if self.store.last_heard(server).await.unwrap().is_some() {
                return true;
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    pub async fn until_messages(&self, count: usize) -> Vec<ServerEvent> {
        let mut found = Vec::new();
        for _ in 0..1200 {
            found = self.inbox().await;
            if found.len() >= count {
                // One too many would come at once.
                clock::sleep(Duration::from_millis(200)).await;
                return self.inbox().await;
            }
            clock::sleep(Duration::from_millis(50)).await;
        }
        panic!("only {} of {count} messages", found.len());
    }

    /// Ends in order, quickly, and leaves nothing on the broker.
    pub async fn close(self, publisher: &Publisher) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(15), self.running).await.expect("it does not stop").unwrap();
        publisher.delete_queue(&self.settings.topology.queue).await;
        publisher.delete_queue(&self.settings.topology.dead_queue()).await;
        publisher.delete_exchange(&self.exchange).await;
    }

    pub async fn stop(self) -> (Store, tempfile::TempDir) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(15), self.running).await.expect("it does not stop").unwrap();
        (self.store, self._folder)
    }
}

/// A notification of a server, and its id.
pub fn pause_end(server: ServerId) -> (String, Vec<u8>) {
    let id = ServerId::new().to_string();
    let payload = json!({"nova_object.version": "1.9", "nova_object.data": {"uuid": server, "tenant_id": "p"}});
    let message = json!({"message_id": id, "event_type": "instance.pause.end", "payload": payload,
        "timestamp": "2026-11-20 20:37:10.123456"});
    (id, Sample::with(&message))
}
