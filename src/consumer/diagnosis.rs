//! What `ratoon manage doctor` asks of the broker. Nothing is made there but a queue of its own, which goes with the connection.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use super::envelope::open;
use super::link::{Link, Refusal};
use super::topology::look_for_exchange;
use super::{BrokerHost, ListenerSettings};
use crate::clock;
use crate::error::{Error, Result};

/// A queue, as the broker describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFacts {
    /// Messages that wait.
    pub messages: u32,
    /// Who listens.
    pub consumers: u32,
}

/// A connection to one of the broker's nodes.
///
/// # Errors
/// `Unavailable`.
pub async fn connect(settings: &ListenerSettings, host: &BrokerHost) -> Result<Link> {
    Link::open(&settings.link, host).await
}

/// Whether an exchange is there.
///
/// # Errors
/// When the broker does not answer, or refuses to tell.
pub async fn has_exchange(link: &Link, exchange: &str) -> Result<bool> {
    let channel = link.channel().await?;
    told(look_for_exchange(link, &channel, exchange).await?).map(|found| found.is_some())
}

/// A queue; `None` if it is not there.
///
/// # Errors
/// As [`has_exchange`].
pub async fn queue(link: &Link, name: &str) -> Result<Option<QueueFacts>> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let channel = link.channel().await?;
    let look = channel.queue_declare(name.into(), passive, FieldTable::default());
    let queue = told(link.may("look at a queue", look).await?)?;
    Ok(queue.map(|queue| QueueFacts { messages: queue.message_count(), consumers: queue.consumer_count() }))
}

fn told<T>(answer: std::result::Result<T, Refusal>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if refusal.code == Refusal::NOT_FOUND => Ok(None),
        Err(refusal) => Err(Error::unavailable("RabbitMQ refuses to tell.")
            .remedy("Allow the user of transport_url to configure, write and read what [events] names.")
            .detail(refusal.words)),
    }
}

/// Listens for a while, beside Ratoon's own queue; how often each kind of event came, such as `instance.update`.
///
/// # Errors
/// When the broker fails.
pub async fn hear(link: &Link, settings: &ListenerSettings, time: Duration) -> Result<BTreeMap<String, u32>> {
    let channel = link.channel().await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let declare = channel.queue_declare("".into(), own, FieldTable::default());
    let queue = link.ask("make a queue to listen", declare).await?;
    for exchange in &settings.topology.exchanges {
        if !has_exchange(link, exchange).await? {
            continue;
        }
        for key in settings.topology.keys() {
            let bind = channel.queue_bind(
                queue.name().clone(),
                exchange.as_str().into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            link.ask("bind the queue", bind).await?;
        }
    }
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consume = channel.basic_consume(queue.name().clone(), "".into(), options, FieldTable::default());
    let mut consumer = link.ask("listen to the queue", consume).await?;
    let (mut heard, begun) = (BTreeMap::new(), clock::Instant::now());
    while let Some(left) = time.checked_sub(begun.elapsed()) {
        let Ok(Some(delivery)) = tokio::time::timeout(left, consumer.next()).await else { break };
        let delivery = delivery.map_err(|error| super::link::of_broker("listen", error))?;
        let kind = open(&delivery.data, |message| Ok(message.event_type.clone())).ok().flatten();
        *heard.entry(kind.unwrap_or_else(|| "unreadable".into())).or_insert(0) += 1;
    }
    Ok(heard)
}
