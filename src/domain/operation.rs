//! A durable operation: its row and its log.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::with_remedy;
use crate::ids::{EngineId, OperationId, ProjectId, ServerId, SnapshotId, UserId};

/// Life of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// Waits for an engine.
    Queued,
    /// Steps run.
    Running,
    /// Steps are being undone.
    Unwinding,
    /// All done.
    Succeeded,
    /// Undone, because of an error.
    Failed,
    /// Undone, because its owner asked.
    Cancelled,
}

impl OperationStatus {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Unwinding, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The word in database and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What a line of an operation's log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A step is about to run.
    Started,
    /// It is done.
    Done,
    /// It failed for good.
    Failed,
    /// It is about to be undone.
    UndoStarted,
    /// It is undone.
    UndoDone,
}

impl EventKind {
    /// The word in database and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::UndoStarted => "undo_started",
            Self::UndoDone => "undo_done",
        }
    }
    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Started, Self::Done, Self::Failed, Self::UndoStarted, Self::UndoDone]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationError {
    /// Kind of error, as in `errors[0].code` without `server-snapshot.`, or `cancelled`.
    pub code: String,
    /// For its owner, without the remedy.
    pub message: String,
    /// What to do.
    #[schema(required)]
    pub remedy: Option<String>,
    /// The step that failed.
    pub step: String,
}

impl OperationError {
    /// Message and remedy on one line.
    #[must_use]
    pub fn told(&self) -> String {
        with_remedy(self.message.clone(), self.remedy.as_deref())
    }
}

/// A row of the operations' table.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Id.
    pub id: OperationId,
    /// Which operation: `snapshot_create`.
    pub kind: String,
    /// Status.
    pub status: OperationStatus,
    /// Server whose lease it holds until it is final.
    pub server_id: ServerId,
    /// The snapshot it is about.
    pub snapshot_id: SnapshotId,
    /// Owner.
    pub project_id: ProjectId,
    /// Who asked.
    pub user_id: UserId,
    /// The request that asked; passed on to every service that is called.
    pub request_id: String,
    /// Parameters, versioned by the operation's own type.
    pub params: serde_json::Value,
    /// What its steps learned, saved with each event.
    pub state: serde_json::Value,
    /// The next step to run, or to undo, by its place in the list.
    pub step: i32,
    /// Number of steps.
    pub steps_total: i32,
    /// Name of the step at work.
    pub phase: Option<String>,
    /// Whether it has passed its point of no return.
    pub committed: bool,
    /// Its owner asked for it to be undone.
    pub cancel_requested: bool,
    /// Things that went otherwise than asked, without being errors.
    pub warnings: Vec<String>,
    /// Why it did not succeed.
    pub error: Option<OperationError>,
    /// The engine that holds it.
    pub engine_id: Option<EngineId>,
    /// Counts claims; a write of an engine with an older one is refused.
    pub generation: i64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When an engine first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it became final.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A line of an operation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// The step.
    pub step: String,
    /// What happened.
    pub kind: EventKind,
    /// More, for people.
    pub detail: Option<String>,
}

/// Work that nobody has asked for is tried so often at once; then less and less often.
const UNASKED_TRIES: usize = 3;
const UNASKED_PAUSE: TimeDelta = TimeDelta::minutes(2);
const UNASKED_PAUSE_MAX: TimeDelta = TimeDelta::hours(2);
/// Operations that [`may_be_tried_again`] needs to see.
pub const UNASKED_HISTORY: u64 = 10;

/// Whether work that nobody has asked for may begin, by the newest operations of its kind on the server, newest first: what
/// somebody else's object blocks would be tried with each sweep for ever, and each try holds the server's tree and adds rows.
#[must_use]
pub fn may_be_tried_again(newest_first: &[Operation], in_vain: fn(&Operation) -> bool, at: DateTime<Utc>) -> bool {
    let failures = newest_first.iter().take_while(|it| in_vain(it)).count();
    let Some(last) = newest_first.first().filter(|_| failures >= UNASKED_TRIES) else { return true };
    let doubled = u32::try_from(failures - UNASKED_TRIES).unwrap_or(u32::MAX);
    let pause = 1_i32.checked_shl(doubled).and_then(|times| UNASKED_PAUSE.checked_mul(times));
    let pause = pause.unwrap_or(UNASKED_PAUSE_MAX).min(UNASKED_PAUSE_MAX);
    last.finished_at.is_none_or(|ended| at - ended >= pause)
}
