//! Our own queue, and what it is bound to.
//!
//! Never the queues `notifications.info` and so on: they are others', and a message that we took from them would be missing
//! there. Exchanges are only looked at: one that we made with another durability than its owner's would be in his way. Nova's
//! is not durable, so after a restart of the broker our queue is there, looks healthy, and is bound to nothing, until Nova
//! speaks again. Hence bindings are made anew again and again; a binding that is there already is no harm.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::link::{Link, Refusal};
use crate::clock;
use crate::error::{Error, Result};

/// Priorities at which services speak of what they do.
const PRIORITIES: [&str; 2] = ["info", "error"];
/// What nobody could read is kept for a person to look at, but not for ever: it may hold tokens.
const DEAD_LENGTH_MAX: i64 = 1000;
const DEAD_TTL_MS: i64 = 24 * 3600 * 1000;

/// How a queue is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// By one node.
    Classic,
    /// By a majority of a cluster's nodes.
    Quorum,
}

/// What is declared and bound.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Our queue's name.
    pub queue: String,
    /// How it is kept.
    pub queue_type: QueueType,
    /// Most messages in it; the oldest go first.
    pub length_max: u32,
    /// Names of exchanges.
    pub exchanges: Vec<String>,
    /// Topics, each of which is bound at all priorities.
    pub topics: Vec<String>,
    /// Between two renewals of the bindings.
    pub renewal: Duration,
    /// Between two looks for an exchange that is missing, soon after connecting: its owner is coming back, too.
    pub renewal_soon: Duration,
    /// How long that is.
    pub soon: Duration,
}

/// Whether an exchange is there; the broker's words, if not. It is never made.
pub(super) async fn look_for_exchange(
    link: &Link,
    channel: &Channel,
    exchange: &str,
) -> Result<std::result::Result<(), Refusal>> {
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let look = channel.exchange_declare(exchange.into(), ExchangeKind::Topic, passive, FieldTable::default());
    link.may("look for an exchange", look).await
}

impl Topology {
    /// Name of the queue of what cannot be read.
    #[must_use]
    pub fn dead_queue(&self) -> String {
        format!("{}.dead", self.queue)
    }

    /// By what is bound at each exchange.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.topics.iter().flat_map(|topic| PRIORITIES.map(|priority| format!("{topic}.{priority}")))
    }

    /// Makes the queues, unless they are there.
    ///
    /// # Errors
    /// When the broker does not answer, or does not allow it.
    pub async fn declare(&self, link: &Link) -> Result<()> {
        let (dead, mut arguments) = (self.dead_queue(), self.arguments(DEAD_LENGTH_MAX));
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(DEAD_TTL_MS));
        self.declare_one(link, &dead, arguments).await?;
        let mut arguments = self.arguments(i64::from(self.length_max));
        // The default exchange brings it to the queue of that name.
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&dead));
        self.declare_one(link, &self.queue, arguments).await
    }

    fn arguments(&self, length_max: i64) -> FieldTable {
        let mut arguments = FieldTable::default();
        let kept = match self.queue_type {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
        };
        arguments.insert("x-queue-type".into(), text(kept));
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(length_max));
        arguments.insert("x-overflow".into(), text("drop-head"));
        arguments
    }

    async fn declare_one(&self, link: &Link, name: &str, arguments: FieldTable) -> Result<()> {
        let doing = format!("declare the queue {name}");
        let channel = link.channel().await?;
        let asked = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments);
        let Err(refusal) = link.may(&doing, asked).await? else { return Ok(()) };
        if refusal.code != Refusal::PRECONDITION_FAILED {
            return Err(Error::unavailable(format!("{doing}: RabbitMQ refuses it."))
                .remedy("Allow the user of transport_url to configure, write and read queues of this name.")
                .detail(refusal.words));
        }
        // It is better to listen with yesterday's options than not at all.
        tracing::warn!(queue = name, refusal = %refusal.words,
            "the queue is there with other options than ratoon.conf has in [events]; it is used as it is. \
             To change it, delete the queue: it is made again at once");
        let passive = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
        let channel = link.channel().await?;
        link.ask(&doing, channel.queue_declare(name.into(), passive, FieldTable::default())).await.map(|_| ())
    }

    /// Binds our queue to every exchange that is there. Returns the names of those that are not.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn bind(&self, link: &Link) -> Result<BTreeSet<String>> {
        let mut missing = BTreeSet::new();
        let mut channel = link.channel().await?;
        for exchange in &self.exchanges {
            if let Some(refusal) = self.bind_one(link, &channel, exchange).await? {
                missing.insert(exchange.clone());
                if refusal.code != Refusal::NOT_FOUND {
                    tracing::warn!(%exchange, refusal = %refusal.words, "cannot bind to this exchange");
                }
                channel = link.channel().await?;
            }
        }
        Ok(missing)
    }

    async fn bind_one(&self, link: &Link, channel: &Channel, exchange: &str) -> Result<Option<Refusal>> {
        if let Err(refusal) = look_for_exchange(link, channel, exchange).await? {
            return Ok(Some(refusal));
        }
        for key in self.keys() {
            let (queue, options) = (self.queue.as_str().into(), QueueBindOptions::default());
            let bind = channel.queue_bind(queue, exchange.into(), key.into(), options, FieldTable::default());
            if let Err(refusal) = link.may("bind the queue", bind).await? {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    /// Renews the bindings for ever.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn keep(&self, link: &Link, mut missing: BTreeSet<String>) -> Result<()> {
        let connected = clock::Instant::now();
        loop {
            let soon = !missing.is_empty() && connected.elapsed() < self.soon;
            clock::sleep(if soon { self.renewal_soon } else { self.renewal }).await;
            let found = self.bind(link).await?;
            for exchange in missing.difference(&found) {
                tracing::info!(%exchange, "this exchange is there now; its messages are heard");
            }
            for exchange in found.difference(&missing) {
                tracing::warn!(%exchange, "this exchange is gone; it is looked for again");
            }
            missing = found;
        }
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}
