//! Durable operations: everything that takes longer than a request.
//!
//! An operation is a row with typed, versioned parameters (ids only), a list of steps, and a log that is written **before and
//! after** each step. [`runner`] is the only loop that runs them; [`engine`] is the only place that claims them. A step's
//! `run` is idempotent (find before create); its `undo` copes with "never happened" and "half happened", because the failed
//! step's own undo runs too. After the point of no return there is only forward.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clients::compute::Compute;
use crate::clock;
use crate::domain::disk::Placement;
use crate::domain::operation::{EventKind, Operation};
use crate::drivers::{Call, SnapshotDriver};
use crate::error::{Error, Kind, Result};
use crate::store::Store;
use crate::store::operations::Fence;
use crate::store::trees::ServerTree;

pub mod engine;
pub mod failpoint;
pub mod head_giveback;
pub mod head_retire;
pub mod head_takeover;
pub mod layer_flatten;
pub mod power;
pub mod runner;
pub mod snapshot_create;
pub mod snapshot_delete;
pub mod snapshot_restore;
pub mod volume_order;

/// Longest pause between two looks at something that is awaited.
const POLL_MAX: Duration = Duration::from_secs(1);

/// Limits of what operations wait for.
#[derive(Debug, Clone)]
pub struct OperationSettings {
    /// How often a step that failed for a passing reason is tried.
    pub attempts_max: u32,
    /// First wait between tries; doubles, up to a minute.
    pub backoff: Duration,
    /// Longest run of one step.
    pub step_timeout: Duration,
    /// Shortest pause between two looks at something that is awaited.
    pub poll: Duration,
    /// Longest wait for a server to stop.
    pub stop_timeout: Duration,
    /// Longest wait for a server to start.
    pub start_timeout: Duration,
    /// Longest wait for a stopped server's disks to be let go.
    pub watcher_timeout: Duration,
    /// Longest wait for one volume to be attached or detached.
    pub attach_timeout: Duration,
}

/// The storage drivers that are configured.
#[derive(Clone)]
pub struct Drivers(Vec<Arc<dyn SnapshotDriver>>);

impl Drivers {
    /// These.
    #[must_use]
    pub fn new(drivers: Vec<Arc<dyn SnapshotDriver>>) -> Self {
        Self(drivers)
    }
    /// The driver of a name.
    ///
    /// # Errors
    /// `Conflict` when it is not configured any more.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn SnapshotDriver>> {
        self.0.iter().find(|driver| driver.name() == name).ok_or_else(|| {
            Error::conflict(format!("No driver {name} is configured.")).remedy("Enable it in ratoon.conf and restart.")
        })
    }
    /// How a driver's disks are placed; unknown ones count as named.
    #[must_use]
    pub fn placement(&self, name: &str) -> Placement {
        self.get(name).map_or(Placement::Named, |driver| driver.capabilities().placement)
    }
    /// Whether a driver's snapshots may have to stay while there are clones of them; unknown ones count so.
    #[must_use]
    pub fn clones_may_hold_snapshots(&self, name: &str) -> bool {
        self.get(name).map_or(true, |driver| driver.capabilities().clones_may_hold_snapshots)
    }
    /// Whether a driver can make a layer that is no clone.
    #[must_use]
    pub fn copies(&self, name: &str) -> bool {
        self.get(name).is_ok_and(|driver| driver.capabilities().copies)
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn SnapshotDriver>> {
        self.0.iter()
    }
}

/// What a probe wants to happen after an event was written.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Nothing special.
    Go,
    /// The step fails with this.
    Fail(Error),
    /// The engine dies here and now: nothing more is written.
    Die,
}

/// Is told of every event right after it was written; tests fail or kill operations with it.
pub trait Probe: Send + Sync {
    /// What shall happen.
    fn at(&self, operation: &Operation, step: &'static str, event: EventKind) -> Verdict;
}

/// What operations work on.
#[derive(Clone)]
pub struct World {
    /// The database.
    pub store: Store,
    /// Nova.
    pub compute: Arc<dyn Compute>,
    /// Storage.
    pub drivers: Drivers,
    /// Limits.
    pub settings: OperationSettings,
    /// See [`Probe`].
    pub probe: Arc<dyn Probe>,
}

/// What a step may do.
pub struct StepContext<'a> {
    /// The world.
    pub world: &'a World,
    /// The operation's row as claimed.
    pub operation: &'a Operation,
    /// Proof of the claim.
    pub fence: Fence,
    /// The step.
    pub step: &'static str,
}

impl StepContext<'_> {
    /// For drivers: who calls.
    #[must_use]
    pub fn call(&self) -> Call {
        Call {
            operation_id: self.operation.id,
            step: self.step,
            project_id: self.operation.project_id.clone(),
            again: true,
        }
    }

    /// Tells the probe of a moment within a step at which nothing may be written down, because writing can take long.
    ///
    /// # Errors
    /// What the probe wants to happen.
    pub fn passed(&self, what: &'static str) -> Result<()> {
        match self.world.probe.at(self.operation, what, EventKind::Done) {
            Verdict::Go => Ok(()),
            Verdict::Fail(error) => Err(error),
            Verdict::Die => Err(Error::new(Kind::Superseded, "The probe ends this engine here.")),
        }
    }

    /// The server's tree as stored.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn tree(&self) -> Result<ServerTree> {
        self.world
            .store
            .tree(self.operation.server_id)
            .await?
            .ok_or_else(|| Error::internal(format!("Server {} has no record.", self.operation.server_id)))
    }

    /// Looks again and again until `look` has an answer: often at first, then each time a tenth of the wait has been added to
    /// it, at most `POLL_MAX`. So nothing is seen later than a tenth after it happened, and long waits cost the cloud little.
    ///
    /// # Errors
    /// Whatever `look` fails with for good; `Unavailable` when the time is over, saying what was awaited.
    pub async fn wait<T, F>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let begun = clock::Instant::now();
        loop {
            match look().await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) if error.is_retryable() => {
                    tracing::debug!(error = %error.chain(), "still waiting for {what}")
                }
                Err(error) => return Err(error),
            }
            if begun.elapsed() >= limit {
                return Err(Error::unavailable(format!("Waited {} s in vain for {what}.", limit.as_secs()))
                    .remedy("Look at what the service that was waited for says of it, then ask again."));
            }
            clock::sleep((begun.elapsed() / 10).min(POLL_MAX).max(self.world.settings.poll)).await;
        }
    }
}

/// What can be done about a step that has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reversal {
    /// It has an undo.
    Undo,
    /// It has an undo that only removes what the step made: when that fails for good again and again, a warning names what is
    /// left and the undoing goes on, because a server waits to be started and unlocked.
    UndoOrLeave,
    /// It changes nothing, or what it changes needs no undo, for this reason.
    Nothing(&'static str),
    /// From its beginning on there is only forward.
    PointOfNoReturn,
    /// Behind the point of no return: tried until it succeeds.
    Forward,
    /// Behind the point of no return: when it keeps failing, a warning is left and the operation goes on.
    Optional,
}

/// A step of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Name in the log; stable, since logs and failpoints name it.
    pub name: &'static str,
    /// What can be done about it.
    pub reversal: Reversal,
}

/// One kind of operation, loaded from its row.
#[async_trait]
pub trait Work: Send + Sync {
    /// Its steps, in order.
    fn steps(&self) -> &'static [Step];
    /// Does a step.
    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()>;
    /// Undoes a step, whatever of it has happened.
    async fn undo(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()>;
    /// After everything was undone: sets the rows right.
    async fn unwound(&mut self, cx: &StepContext<'_>, reason: &str) -> Result<()>;
    /// Time that a step may take beside the usual limit, where it depends on how much there is to do.
    fn allowance(&self, _step: &'static str) -> Duration {
        Duration::ZERO
    }
    /// Whether the next engine may go on only after a while: not when something waits that must not.
    fn may_rest(&self) -> bool {
        true
    }
    /// What the steps learned so far.
    fn state(&self) -> Result<serde_json::Value>;
}

/// Short operations that must not wait for long ones: Nova does not wait for them either.
pub const URGENT: [&str; 2] = [head_takeover::KIND, head_giveback::KIND];

/// Loads an operation's work by its kind.
///
/// # Errors
/// `Internal` for a kind or a version of parameters that this binary does not know.
pub fn load(operation: &Operation) -> Result<Box<dyn Work>> {
    match operation.kind.as_str() {
        snapshot_create::KIND => Ok(Box::new(snapshot_create::SnapshotCreate::load(operation)?)),
        snapshot_delete::KIND => Ok(Box::new(snapshot_delete::SnapshotDelete::load(operation)?)),
        head_giveback::KIND => Ok(Box::new(head_giveback::HeadGiveback::load(operation)?)),
        head_retire::KIND => Ok(Box::new(head_retire::HeadRetire::load(operation)?)),
        head_takeover::KIND => Ok(Box::new(head_takeover::HeadTakeover::load(operation)?)),
        layer_flatten::KIND => Ok(Box::new(layer_flatten::LayerFlatten::load(operation)?)),
        snapshot_restore::KIND => Ok(Box::new(snapshot_restore::SnapshotRestore::load(operation)?)),
        other => Err(Error::internal(format!("This binary knows no operation {other}."))),
    }
}

/// Reads the typed part of an operation's row.
///
/// # Errors
/// `Internal` when it is unreadable.
pub fn typed<T: serde::de::DeserializeOwned>(what: &str, value: &serde_json::Value) -> Result<T> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::internal(format!("The operation's {what} cannot be read ({error}).")))
}

/// Reads what an operation has noted so far; what it begins with, if it has noted nothing.
///
/// # Errors
/// `Internal` when it is unreadable.
pub fn state_of<T: serde::de::DeserializeOwned + Default>(operation: &Operation) -> Result<T> {
    if operation.state.is_null() { Ok(T::default()) } else { typed("state", &operation.state) }
}

/// Writes the typed part of an operation's row.
///
/// # Errors
/// `Internal`; never seen.
pub fn untyped<T: serde::Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::internal(format!("Could not write JSON ({error}).")))
}
