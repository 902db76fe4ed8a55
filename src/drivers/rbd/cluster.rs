//! Ceph for async callers: blocking calls on threads that may block, a bounded number at a time, over one connection
//! that is made when first needed and made anew after it was lost.
//!
//! - An act runs on one thread, over one connection, to its end: a caller that goes away (a cancelled future, a passed
//!   limit) does not stop it in the middle. So everything that must not be torn apart is one act.
//! - Within an act nobody reconnects. That is what makes blocklisting a fence: an engine that was blocklisted fails in
//!   the middle of its act, and gets a new address only for the next one, before which the caller looks at its lease.
//! - An act may be waiting for QEMU (see [`super::image`]); one that hangs is given up after a while
//!   ([`Cluster::run_briefly`]), though its thread goes on: the act may yet be done later, and whoever repeats it finds.
//!   Waiting for a thread counts too. All that a request of the API waits for is brief; and the API has a driver, so
//!   threads, of its own (`serve.rs`), or requests that pile up on a hanging Ceph would keep the engine from its work.
//! - A connection on which an act was given up may be what hangs: the next act gets another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::Semaphore;

use super::connection::Connection;
pub use super::connection::RbdConfig;
use crate::clock::{Instant, sleep};
use crate::error::{Error, Kind, Result};
use crate::measures;

/// Threads that wait for Ceph at a time.
const THREADS: usize = 16;

/// How many answers' time limits an act may take before its caller stops waiting.
const PATIENCE: u32 = 6;

/// A Ceph cluster; clones share the connection.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
}

struct Shared {
    config: RbdConfig,
    slot: Mutex<Slot>,
    /// Acts that were given up: a connection made before the last of them is not used again.
    given_up: AtomicU64,
}

#[derive(Default)]
struct Slot {
    connection: Option<Arc<Connection>>,
    /// [`Shared::given_up`] when it was made.
    given_up: u64,
    /// The last failure to connect: who waited for that attempt shares its answer, or sixteen threads would try one
    /// after the other, each for the whole time limit.
    failure: Option<(Instant, Error)>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster that connects at the first call.
    #[must_use]
    pub fn new(config: RbdConfig) -> Self {
        let shared = Shared { config, slot: Mutex::default(), given_up: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), permits: Arc::new(Semaphore::new(THREADS)) }
    }

    /// Runs an act to its end; each single answer of Ceph has its time limit.
    ///
    /// # Errors
    /// The act's; `Unavailable` if Ceph cannot be reached.
    pub async fn run<T, A>(&self, doing: &str, act: A) -> Result<T>
    where
        T: Send + 'static,
        A: FnOnce(&Arc<Connection>) -> Result<T> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|error| {
            Error::internal(format!("Cannot {doing}: no thread may be used any more.")).source(error)
        })?;
        let shared = self.shared.clone();
        let asked = Instant::now();
        let mut wait = Wait { shared: self.shared.clone(), doing, since: asked, answered: false, succeeded: false };
        let thread = tokio::task::spawn_blocking(move || {
            // The thread's, not the future's: threads that hang are counted.
            let _permit = permit;
            shared.act(asked, act)
        });
        let result = thread.await;
        wait.answered = true;
        wait.succeeded = matches!(result, Ok(Ok(_)));
        result.map_err(|error| Error::internal(format!("Cannot {doing}: the thread died.")).source(error))?
    }

    /// As [`Cluster::run`], over a connection of its own ([`Connection::open_for_scans`]).
    ///
    /// # Errors
    /// As [`Cluster::run`].
    pub async fn run_apart<T, A>(&self, doing: &str, act: A) -> Result<T>
    where
        T: Send + 'static,
        A: FnOnce(&Arc<Connection>) -> Result<T> + Send + 'static,
    {
        let config = self.shared.config.clone();
        self.run(doing, move |_| act(&Arc::new(Connection::open_for_scans(&config)?))).await
    }

    /// As [`Cluster::run`], but stops waiting after six time limits. The act may still be done later.
    ///
    /// # Errors
    /// As [`Cluster::run`]; `Unavailable` when the time is up.
    pub async fn run_briefly<T, A>(&self, doing: &str, act: A) -> Result<T>
    where
        T: Send + 'static,
        A: FnOnce(&Arc<Connection>) -> Result<T> + Send + 'static,
    {
        let limit = self.shared.patience();
        match select(Box::pin(self.run(doing, act)), Box::pin(sleep(limit))).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Error::unavailable(format!(
                "Cannot {doing}: no answer within {} s; it may yet be done.",
                limit.as_secs()
            ))
            .remedy("If the server runs, its QEMU may hang while it holds the image's lock; else look at `ceph -s`.")),
        }
    }
}

/// Waits for an act, measures it, and notices when its caller gives it up.
struct Wait<'a> {
    shared: Arc<Shared>,
    doing: &'a str,
    since: Instant,
    answered: bool,
    succeeded: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let elapsed = self.since.elapsed();
        // One that was given up early, because its request was, says nothing about Ceph.
        let given_up = !self.answered && elapsed >= self.shared.patience();
        if self.answered || given_up {
            measures::backend_asked("Ceph", self.doing, self.succeeded, elapsed);
        }
        if given_up {
            tracing::warn!("an act on Ceph was given up: the next one gets another connection");
            // Whoever connects holds the lock, and to let go of a connection asks Ceph: neither is for an async thread.
            self.shared.given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Shared {
    /// How long a caller who does not want to wait for ever waits.
    fn patience(&self) -> Duration {
        self.config.timeout.max(Duration::from_secs(1)) * PATIENCE
    }

    fn act<T>(&self, asked: Instant, act: impl FnOnce(&Arc<Connection>) -> Result<T>) -> Result<T> {
        let connection = self.connection(asked)?;
        let result = act(&connection);
        if let Err(error) = &result
            && error.kind() == Kind::Unavailable
        {
            self.forget(&connection);
        }
        result
    }

    fn connection(&self, asked: Instant) -> Result<Arc<Connection>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let given_up = self.given_up.load(Ordering::SeqCst);
        if slot.given_up != given_up
            && let Some(doubtful) = slot.connection.take()
        {
            // To let go of it may take as long as what hangs on it.
            let letting_go = std::thread::Builder::new().spawn(move || drop(doubtful));
            drop(letting_go); // where there is no thread for it, it has been let go of here
        }
        if let Some(connection) = &slot.connection {
            return Ok(connection.clone());
        }
        if let Some((when, error)) = &slot.failure
            && *when >= asked
        {
            return Err(error.clone());
        }
        match Connection::open(&self.config) {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *slot = Slot { connection: Some(connection.clone()), given_up, failure: None };
                Ok(connection)
            }
            Err(error) => {
                slot.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Lets go of a connection that failed; others that still use it run into the same failure and end.
    fn forget(&self, lost: &Arc<Connection>) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.connection.as_ref().is_some_and(|current| Arc::ptr_eq(current, lost)) {
            slot.connection = None;
        }
    }
}
