//! From the inbox to the servers: every server that a message names is looked at, urgent ones first, several at once, each by
//! one task only. What is learned of a server while it is being looked at makes it looked at once more.
//!
//! It runs without a broker too: what was taken in before the last stop is still to be looked at.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock;
use crate::domain::event::ServerEvent;
use crate::error::{Error, Kind, Result};
use crate::ids::ServerId;
use crate::store::Store;

/// How servers are looked at.
#[derive(Debug, Clone)]
pub struct ObserverSettings {
    /// Servers at once.
    pub workers: usize,
    /// How many of these are kept free for urgent messages.
    pub reserved: usize,
    /// Between two looks into the inbox when nobody wakes us.
    pub poll: Duration,
    /// Longest time for one server.
    pub deadline: Duration,
    /// How often one server is tried.
    pub tries_max: u32,
    /// How long one server's messages may wait for Nova, or an operation, to be done with it.
    pub patience: Duration,
    /// The first pause after a failure; doubled each time.
    pub pause: Duration,
    /// The longest one.
    pub pause_max: Duration,
    /// How long handled messages are kept, so that one that comes again is known.
    pub keep: Duration,
    /// How long to wait, when told to stop, for servers that are being looked at.
    pub drain: Duration,
}

impl Default for ObserverSettings {
    fn default() -> Self {
        Self {
            workers: 8,
            reserved: 2,
            poll: Duration::from_secs(3),
            deadline: Duration::from_secs(120),
            tries_max: 10,
            patience: Duration::from_secs(3600),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(10),
            keep: Duration::from_secs(3600),
            drain: Duration::from_secs(20),
        }
    }
}

/// What looks at a server. Called with the server's messages, the oldest first; it may be called twice for the same ones.
pub type Observe = Arc<dyn Fn(ServerId, Vec<ServerEvent>) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Messages that are read from the inbox at once: enough for all workers, and little enough to be read again for each.
const WINDOW: u64 = 200;
/// Servers whose messages may be passed over in one look. When more are in trouble it is not the servers' trouble.
const TROUBLED_MAX: usize = 400;
const PRUNE_EVERY: Duration = Duration::from_secs(60);

struct Trouble {
    /// Failures; waiting for Nova, or for an operation, is none.
    tries: u32,
    /// When it began.
    first: clock::Instant,
    since: clock::Instant,
    /// Whether an urgent message had led to it.
    urgent: bool,
    pause: Duration,
}

/// What came of one look.
struct Ended {
    server: ServerId,
    messages: Vec<String>,
    urgent: bool,
    result: Result<()>,
}

struct Observer {
    store: Store,
    observe: Observe,
    settings: ObserverSettings,
    tasks: JoinSet<Ended>,
    at_work: HashSet<ServerId>,
    troubled: HashMap<ServerId, Trouble>,
}

/// Looks at servers until `stop` turns true; then waits a while for those that are being looked at. Those that are not done by
/// then are looked at by the next engine: their messages are still in the inbox.
pub async fn run(
    store: Store,
    observe: Observe,
    settings: ObserverSettings,
    wake: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    let mut observer =
        Observer { store, observe, settings, tasks: JoinSet::new(), at_work: HashSet::new(), troubled: HashMap::new() };
    let mut pruned = clock::Instant::now();
    while !*stop.borrow() {
        if let Err(error) = observer.begin().await {
            tracing::warn!(error = %error.chain(), "cannot read the inbox");
        }
        if pruned.elapsed() >= PRUNE_EVERY.min(observer.settings.keep) {
            pruned = clock::Instant::now();
            if let Err(error) = observer.store.forget_handled(observer.settings.keep).await {
                tracing::warn!(error = %error.chain(), "cannot prune the inbox");
            }
        }
        let wait = observer.wait();
        let ended = tokio::select! {
            Some(ended) = observer.tasks.join_next() => Some(ended),
            () = wake.notified() => None,
            () = clock::sleep(wait) => None,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        if let Some(ended) = ended {
            observer.end(ended).await;
        }
    }
    let drain = observer.settings.drain;
    let drained = tokio::time::timeout(drain, async {
        while let Some(ended) = observer.tasks.join_next().await {
            observer.end(ended).await;
        }
    });
    if drained.await.is_err() {
        tracing::warn!(
            left = observer.tasks.len(),
            "servers are still being looked at; the next engine begins anew with them"
        );
    }
}

impl Observer {
    /// Begins to look at as many servers as may be looked at.
    async fn begin(&mut self) -> Result<()> {
        // What Nova is about to do waits for no pause that another message has earned.
        let pausing = self.troubled.iter().filter(|(_, trouble)| trouble.since.elapsed() < trouble.pause);
        let (urgent, resting): (Vec<_>, Vec<_>) = pausing.partition(|(_, trouble)| trouble.urgent);
        let servers = |troubled: Vec<(&ServerId, &Trouble)>| troubled.into_iter().map(|(server, _)| *server).collect();
        let (mut except, resting): (Vec<ServerId>, Vec<ServerId>) = (servers(urgent), servers(resting));
        except.extend(&self.at_work);
        if self.at_work.len() >= self.settings.workers || except.len() + resting.len() > TROUBLED_MAX {
            return Ok(());
        }
        let mut order = Vec::new();
        let mut events: HashMap<ServerId, Vec<ServerEvent>> = HashMap::new();
        for event in self.store.unhandled(WINDOW, &except, &resting).await? {
            let of_server = events.entry(event.server_id).or_insert_with(|| {
                order.push(event.server_id);
                Vec::new()
            });
            of_server.push(event);
        }
        for server in order {
            let Some(mut events) = events.remove(&server) else { continue };
            let urgent = events.iter().any(|event| event.what.is_urgent());
            let free = if urgent { 0 } else { self.settings.reserved };
            if self.at_work.len() + free >= self.settings.workers {
                break;
            }
            events.sort_by_key(|event| event.sent_at);
            self.at_work.insert(server);
            self.tasks.spawn(look(self.observe.clone(), server, events, self.settings.deadline));
        }
        Ok(())
    }

    /// Until somebody's pause is over, or the next look.
    fn wait(&self) -> Duration {
        let left = self.troubled.values().map(|trouble| trouble.pause.saturating_sub(trouble.since.elapsed()));
        left.filter(|left| !left.is_zero()).min().unwrap_or(self.settings.poll).min(self.settings.poll)
    }

    async fn end(&mut self, ended: std::result::Result<Ended, tokio::task::JoinError>) {
        // Panics are caught within, and nobody aborts.
        let Ok(Ended { server, messages, urgent, result }) = ended else { return };
        self.at_work.remove(&server);
        match result {
            Ok(()) => {
                self.troubled.remove(&server);
            }
            Err(error) => {
                let now = clock::Instant::now();
                let before = self.troubled.get(&server);
                let (first, pause) =
                    before.map_or((now, self.settings.pause), |it| (it.first, it.pause.saturating_mul(2)));
                let waits = error.kind() == Kind::Conflict;
                let tries = before.map_or(0, |trouble| trouble.tries) + u32::from(!waits);
                let in_time = first.elapsed() < self.settings.patience;
                if error.is_retryable() && tries < self.settings.tries_max && in_time {
                    let pause = pause.min(self.settings.pause_max);
                    self.troubled.insert(server, Trouble { tries, first, since: now, urgent, pause });
                    if waits {
                        tracing::debug!(server_id = %server, error = %error.chain(), "a server that was named is in use; trying again");
                    } else {
                        tracing::warn!(server_id = %server, tries, error = %error.chain(), "cannot look at a server that was named; trying again");
                    }
                    return;
                }
                self.troubled.remove(&server);
                tracing::error!(server_id = %server, tries, messages = messages.len(), error = %error.chain(),
                    "a server that was named has not been looked at; the sweep will");
            }
        }
        if let Err(error) = self.store.handled(&messages).await {
            // It is looked at once more, then, but not at once.
            let now = clock::Instant::now();
            let trouble = Trouble { tries: 0, first: now, since: now, urgent, pause: self.settings.pause };
            self.troubled.insert(server, trouble);
            tracing::warn!(server_id = %server, error = %error.chain(), "cannot mark messages as handled");
        }
    }
}

async fn look(observe: Observe, server: ServerId, events: Vec<ServerEvent>, deadline: Duration) -> Ended {
    let messages = events.iter().map(|event| event.message_id.clone()).collect();
    let urgent = events.iter().any(|event| event.what.is_urgent());
    let looking = async move { observe(server, events).await };
    let result = match tokio::time::timeout(deadline, AssertUnwindSafe(looking).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::internal("Looking at the server has panicked; the message is on stderr.")),
        Err(_) => Err(Error::unavailable(format!("Looking at the server took longer than {} s.", deadline.as_secs()))),
    };
    Ended { server, messages, urgent, result }
}

#[cfg(test)]
mod tests;
