//! Waiting for Cinder, which answers before it works.
//!
//! Made: `creating` -> `available` or `error`. Removed: `deleting` -> gone or `error_deleting` — or back to `available`,
//! which is how a backend says that something still hangs on it; Cinder then has told nobody but its log. On Ceph that
//! is a volume made of the snapshot, as long as clones have format 1: the snapshot is protected. With format 2 (`ceph
//! osd set-require-min-compat-client mimic`) the snapshot goes, and Ceph keeps its content for the clone.

use std::time::Duration;

use crate::clients::Cinder;
use crate::clock;
use crate::error::{Error, Kind, Result};

/// How to wait.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Shortest pause before a look. A look comes after a tenth of the time that has passed: none is later than that.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// When to give up on a snapshot.
    pub snapshot_timeout: Duration,
    /// When to give up on a volume.
    pub volume_timeout: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(1),
            snapshot_timeout: Duration::from_secs(300),
            volume_timeout: Duration::from_secs(300),
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    /// A volume.
    Volume { id: &'a str },
    /// A snapshot.
    Snapshot { id: &'a str, of: &'a str },
}

impl std::fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Volume { id } => write!(f, "Volume {id}"),
            Self::Snapshot { id, of } => write!(f, "Snapshot {id} of volume {of}"),
        }
    }
}

impl Object<'_> {
    async fn status(&self, cinder: &Cinder) -> Result<Option<String>> {
        Ok(match self {
            Self::Volume { id } => cinder.volume(id).await?.map(|volume| volume.status),
            Self::Snapshot { id, .. } => cinder.snapshot(id).await?.map(|snapshot| snapshot.status),
        })
    }

    async fn delete(&self, cinder: &Cinder) -> Result<()> {
        let outcome = match self {
            Self::Volume { id } => cinder.delete_volume(id).await,
            Self::Snapshot { id, .. } => cinder.delete_snapshot(id).await,
        };
        outcome.map_err(|error| match error.kind() {
            // Cinder says 400 for "not in this state".
            Kind::Backend if !error.is_retryable() => Error::conflict(error.to_string()).source(error),
            _ => error,
        })
    }
}

/// Waits until the object is usable. `seen` is its status as Cinder has just said it.
pub(super) async fn until_available(waiting: &Waiting, cinder: &Cinder, object: Object<'_>, seen: &str) -> Result<()> {
    let mut clock = Pauses::new(waiting);
    let mut status = Some(seen.to_owned());
    loop {
        match status.as_deref() {
            Some("available") => return Ok(()),
            Some("creating" | "downloading") => clock.pause(object, "creating", "available").await?,
            Some(other) => {
                return Err(Error::backend(format!("{object} is {other} and will not become available."))
                    .remedy("Look into the log of cinder-volume."));
            }
            None => return Err(Error::backend(format!("{object} vanished while it was made."))),
        }
        status = object.status(cinder).await?;
    }
}

/// Deletes the object and waits until it is gone.
pub(super) async fn until_removed(waiting: &Waiting, cinder: &Cinder, object: Object<'_>) -> Result<()> {
    let mut clock = Pauses::new(waiting);
    let mut asked = false;
    loop {
        let status = object.status(cinder).await?;
        match status.as_deref() {
            None => return Ok(()),
            Some("available" | "error") if !asked => {
                object.delete(cinder).await?;
                asked = true;
            }
            Some("available") => {
                return Err(Error::conflict(format!(
                    "{object} cannot be deleted: the backend says that it is in use."
                ))
                .remedy("Remove what was made of it first. (Ceph keeps such a snapshot by itself where clones have format 2.)"));
            }
            Some(status @ ("error" | "error_deleting")) => {
                return Err(Error::backend(format!("{object} could not be deleted; it is {status}."))
                    .remedy("Look into the log of cinder-volume, then reset the status."));
            }
            Some(status @ ("in-use" | "attaching" | "detaching" | "reserved")) => {
                return Err(Error::conflict(format!("{object} cannot be deleted: it is {status}.")));
            }
            Some(status) => clock.pause(object, status, "gone").await?,
        }
    }
}

/// Growing pauses up to a deadline.
struct Pauses {
    begin: clock::Instant,
    waiting: Waiting,
}

impl Pauses {
    fn new(waiting: &Waiting) -> Self {
        Self { begin: clock::Instant::now(), waiting: *waiting }
    }

    async fn pause(&mut self, object: Object<'_>, status: &str, wanted: &str) -> Result<()> {
        let timeout = match object {
            Object::Volume { .. } => self.waiting.volume_timeout,
            Object::Snapshot { .. } => self.waiting.snapshot_timeout,
        };
        if self.begin.elapsed() >= timeout {
            let seconds = timeout.as_secs();
            return Err(Error::unavailable(format!("{object} is {status} and not {wanted} after {seconds} seconds."))
                .remedy("Look at cinder-volume and its backend."));
        }
        clock::sleep((self.begin.elapsed() / 10).min(self.waiting.pause_max).max(self.waiting.pause_min)).await;
        Ok(())
    }
}
