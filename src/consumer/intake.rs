//! From the queue to the inbox: batches of messages, each batch in one transaction, acknowledged when that is committed.
//!
//! A batch is what is at hand: one message when little happens, so that it waits for nothing; as many as may be unacknowledged
//! when much happens. While the database is away, messages are held, not given back: a broker counts how often it has handed a
//! message out, and drops it at some number.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::{Notify, watch};

use super::backoff::Backoff;
use super::envelope::unreadable;
use super::link::{Link, of_broker};
use super::notification::decode;
use crate::clock;
use crate::domain::event::ServerEvent;
use crate::error::{Error, Result};
use crate::store::Store;

/// Longest wait for one transaction. The database's own waits for a connection are shorter.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Where messages go.
pub struct Intake<'a> {
    /// The inbox.
    pub store: &'a Store,
    /// Told of each batch that is committed.
    pub wake: &'a Notify,
    /// Most messages that the broker hands out before we acknowledge; also the longest batch.
    pub prefetch: u16,
}

/// A batch, read.
#[derive(Default)]
struct Batch<'a> {
    events: Vec<ServerEvent>,
    unreadable: Vec<(&'a Delivery, Error)>,
    /// The last one that may be acknowledged, with all before it.
    last: Option<&'a Delivery>,
}

impl Intake<'_> {
    /// Takes messages in until `stop` turns true.
    ///
    /// # Errors
    /// When the broker or the connection fails, or has cancelled us. What was not acknowledged comes again.
    pub async fn run(&self, link: &Link, queue: &str, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let channel = link.channel().await?;
        link.ask("limit the prefetch", channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consume = channel.basic_consume(queue.into(), "".into(), options, arguments);
        let mut consumer = link.ask("listen to the queue", consume).await?;
        loop {
            let first = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                first = next(&mut consumer) => first?,
            };
            let mut deliveries = vec![first];
            while deliveries.len() < usize::from(self.prefetch) {
                let Some(more) = next(&mut consumer).now_or_never() else { break };
                deliveries.push(more?);
            }
            if !self.take(link, &channel, &deliveries, stop).await? {
                return Ok(());
            }
        }
    }

    /// Takes one batch in; `false` = told to stop while the database was away.
    async fn take(
        &self,
        link: &Link,
        channel: &Channel,
        deliveries: &[Delivery],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<bool> {
        let batch = read(deliveries);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let taken = tokio::time::timeout(TRANSACTION_TIMEOUT, self.store.take_in(&batch.events)).await;
            match taken.unwrap_or_else(|_| Err(Error::unavailable("The database has not answered in time."))) {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(messages = batch.events.len(), error = %error.chain(), "messages wait for the database");
                    tokio::select! {
                        () = clock::sleep(backoff.pause()) => {}
                        _ = stop.wait_for(|stop| *stop) => return Ok(false),
                    }
                }
            }
        }
        if !batch.events.is_empty() {
            self.wake.notify_one();
        }
        // Refusals go first: acknowledging includes all before.
        complain(&batch.unreadable);
        for (delivery, _) in &batch.unreadable {
            let rejected = delivery.acker.reject(BasicRejectOptions { requeue: false });
            link.ask("set a message aside", rejected).await?;
        }
        if let Some(last) = batch.last {
            let all = BasicAckOptions { multiple: true };
            link.ask("acknowledge messages", channel.basic_ack(last.delivery_tag, all)).await?;
        }
        Ok(true)
    }
}

async fn next(consumer: &mut Consumer) -> Result<Delivery> {
    match consumer.next().await {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(of_broker("wait for messages", error)),
        None => Err(Error::unavailable("RabbitMQ has taken the queue away, or somebody has deleted it.")),
    }
}

fn read(deliveries: &[Delivery]) -> Batch<'_> {
    let mut batch = Batch::default();
    for delivery in deliveries {
        match read_one(delivery) {
            Ok(event) => {
                batch.events.extend(event);
                batch.last = Some(delivery);
            }
            Err(error) => batch.unreadable.push((delivery, error)),
        }
    }
    batch
}

fn read_one(delivery: &Delivery) -> Result<Option<ServerEvent>> {
    let headers = delivery.properties.headers().as_ref();
    if headers.is_some_and(|headers| headers.inner().contains_key("compression")) {
        return Err(
            unreadable("The message is compressed.").remedy("Unset kombu_compression in its sender's configuration.")
        );
    }
    decode(&delivery.data)
}

/// One line for each reason, however many messages.
fn complain(unreadable: &[(&Delivery, Error)]) {
    let mut reasons: BTreeMap<String, (usize, &Delivery)> = BTreeMap::new();
    for (delivery, error) in unreadable {
        reasons.entry(error.chain()).or_insert((0, delivery)).0 += 1;
    }
    for (reason, (messages, first)) in reasons {
        tracing::warn!(
            messages,
            exchange = first.exchange.as_str(),
            routing_key = first.routing_key.as_str(),
            %reason,
            "messages that cannot be read are put into the queue of dead ones"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(tag: u64, body: &str) -> Delivery {
        Delivery::mock(tag, "nova".into(), "notifications.info".into(), false, body.as_bytes().to_vec())
    }

    #[test]
    fn a_batch_is_acknowledged_up_to_its_last_readable_message() {
        let good = r#"{"message_id": "m", "event_type": "instance.delete.start",
            "payload": {"uuid": "047733fe-cdfb-4534-b153-6892c8a6aee2"}}"#;
        let idle = r#"{"event_type": "scheduler.select_destinations.start"}"#;
        for (bodies, events, unreadable, last) in [
            (vec![good, idle, "{"], 1, 1, Some(2)),
            (vec!["{", good, "{"], 1, 2, Some(2)),
            (vec![idle, idle], 0, 0, Some(2)),
            (vec!["{"], 0, 1, None),
        ] {
            let deliveries: Vec<_> = (1..).zip(&bodies).map(|(tag, body)| delivery(tag, body)).collect();
            let batch = read(&deliveries);
            let found = (batch.events.len(), batch.unreadable.len(), batch.last.map(|last| last.delivery_tag));
            assert_eq!(found, (events, unreadable, last), "{bodies:?}");
        }
    }
}
