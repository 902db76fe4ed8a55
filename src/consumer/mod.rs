//! The listener: hears what Nova, Cinder and Glance say on RabbitMQ, and has every server that they name looked at.
//!
//! A message is a hint. It may be lost, and the sweep finds what it would have told; so nothing here ever ends the service: a
//! broker that is away, a queue that somebody deletes, a message that nobody can read are logged, and listening begins again.
//! The only room that names lapin.
//!
//! ```text
//! exchange ─► our queue ─► intake ─► table inbox ─► observer ─► app::observe
//!              (topology)   commit, then acknowledge  one server at a time
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::clock;
use crate::error::Result;
use crate::store::Store;

mod backoff;
pub mod diagnosis;
mod envelope;
mod intake;
mod link;
pub mod notification;
pub mod observer;
mod topology;
pub mod transport_url;

use backoff::Backoff;
use intake::Intake;
pub use link::{Link, LinkSettings, Tls};
pub use topology::{QueueType, Topology};
use transport_url::BrokerHost;

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// The broker's nodes, tried in turn.
    pub hosts: Vec<BrokerHost>,
    /// How each is reached.
    pub link: LinkSettings,
    /// The queue and its bindings.
    pub topology: Topology,
    /// Most messages that are handed out before they are acknowledged.
    pub prefetch: u16,
    /// The first pause after a failure.
    pub pause: Duration,
    /// The longest one.
    pub pause_max: Duration,
}

/// Listens until `stop` turns true, whatever happens to the broker. `wake` is told of each batch in the inbox.
pub async fn listen(settings: ListenerSettings, store: Store, wake: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(settings.pause, settings.pause_max);
    for host in settings.hosts.iter().cycle() {
        let begun = clock::Instant::now();
        let ended = session(&settings, host, &store, &wake, &mut stop).await;
        if *stop.borrow() {
            return;
        }
        // One that lets us in and then refuses us is not asked every second.
        if begun.elapsed() > settings.pause_max {
            backoff.reset();
        }
        let pause = backoff.pause();
        if let Err(error) = ended {
            tracing::warn!(broker = %host, error = %error.chain(), pause_s = pause.as_secs_f32(),
                "notifications are not heard; trying again");
        }
        tokio::select! {
            () = clock::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// One connection, from its beginning to its end.
async fn session(
    settings: &ListenerSettings,
    host: &BrokerHost,
    store: &Store,
    wake: &Notify,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    let topology = &settings.topology;
    let prepared = async {
        let link = Link::open(&settings.link, host).await?;
        topology.declare(&link).await?;
        let missing = topology.bind(&link).await?;
        Ok((link, missing))
    };
    let mut told = stop.clone();
    let (link, missing) = tokio::select! {
        prepared = prepared => prepared?,
        _ = told.wait_for(|stop| *stop) => return Ok(()),
    };
    if missing.len() == topology.exchanges.len() {
        tracing::warn!(broker = %host, queue = topology.queue, ?missing,
            "listening to notifications, but none of these exchanges is there. They appear when a service sends its first; \
             check [events] exchanges and the services' [oslo_messaging_notifications] driver if they do not");
    } else {
        tracing::info!(broker = %host, queue = topology.queue, ?missing, "listening to notifications");
    }
    let intake = Intake { store, wake, prefetch: settings.prefetch };
    let ended = tokio::select! {
        ended = intake.run(&link, &topology.queue, stop) => ended,
        ended = topology.keep(&link, missing) => ended,
    };
    link.close().await;
    ended
}
