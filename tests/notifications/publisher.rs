//! What OpenStack's services do on the broker, and what an operator may do to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

/// A service that sends notifications.
pub struct Publisher {
    _connection: Connection,
    channel: Channel,
}

impl Publisher {
    pub async fn connect(transport_url: &str) -> Self {
        let url = transport_url.replacen("rabbit://", "amqp://", 1).trim_end_matches('/').to_owned();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    /// As oslo.messaging makes it: of type topic, not durable.
    pub async fn make_exchange(&self, name: &str) {
        let options = ExchangeDeclareOptions::default();
        self.channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await.unwrap();
    }

    pub async fn delete_exchange(&self, name: &str) {
        self.channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await.unwrap();
    }

    pub async fn send(&self, exchange: &str, key: &str, body: &[u8]) {
        let _ = self.publish(exchange, key, body).await.await.unwrap();
    }

    /// Without waiting for the broker's word.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) -> lapin::PublisherConfirm {
        let properties = BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
        let (exchange, key) = (exchange.into(), key.into());
        self.channel.basic_publish(exchange, key, BasicPublishOptions::default(), body, properties).await.unwrap()
    }

    /// Messages in a queue, without those that are handed out.
    pub async fn length(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
        queue.message_count()
    }

    /// Until somebody reads the queue, which is there.
    pub async fn until_consumed(&self, queue: &str) {
        for _ in 0..1200 {
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let found = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
            if found.consumer_count() > 0 {
                return;
            }
            ratoon::clock::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody reads {queue}");
    }

    pub async fn get(&self, queue: &str) -> Option<Vec<u8>> {
        let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap();
        got.map(|got| got.delivery.data)
    }

    pub async fn make_queue(&self, queue: &str) {
        let options = QueueDeclareOptions::durable();
        self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    }

    pub async fn delete_queue(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

/// A broker of the test's own, which it may stop.
pub struct OwnBroker {
    folder: PathBuf,
    port: u16,
    _kept: tempfile::TempDir,
}

impl OwnBroker {
    pub fn start() -> Self {
        let kept = tempfile::tempdir().unwrap();
        // Three ports in a row that nobody has at the moment, and that nobody is given for a connection meanwhile.
        let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        let mut ports = (0..100).map(|number| 20_000 + (std::process::id() * 3 + number * 101) as u16 % 4_000);
        let port = ports.find(|&port| free(port) && free(port + 1) && free(port + 2)).unwrap();
        let broker = Self { folder: kept.path().join("broker"), port, _kept: kept };
        broker.start_again();
        broker
    }

    pub fn url(&self) -> String {
        format!("rabbit://ratoon:ratoon@127.0.0.1:{}/", self.port)
    }

    pub fn start_again(&self) {
        self.run("start", &[&self.port.to_string()]);
    }

    pub fn stop(&self) {
        self.run("stop", &[]);
    }

    fn run(&self, command: &str, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("devstack/broker");
        let done = Command::new(script).arg(command).arg(&self.folder).args(arguments).status().unwrap();
        assert!(done.success(), "devstack/broker {command}");
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.stop();
    }
}
