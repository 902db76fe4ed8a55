//! A snapshot: one moment of all covered disks of one server, a node of its tree.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::disk::LeftOut;
use crate::ids::{BranchId, ProjectId, ServerId, SnapshotId, UserId};

/// Life of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotStatus {
    /// Its disks are being captured.
    Creating,
    /// Complete.
    Available,
    /// Its server is being taken back to it.
    Restoring,
    /// Its capture failed; nothing of it is left in the backends.
    Error,
    /// It is being deleted.
    Deleting,
    /// A backend has refused to remove a part of it; it can be deleted once more.
    ErrorDeleting,
    /// Gone; kept as a record.
    Deleted,
}

impl SnapshotStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Creating,
        Self::Available,
        Self::Restoring,
        Self::Error,
        Self::Deleting,
        Self::ErrorDeleting,
        Self::Deleted,
    ];
    /// The word in database and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Restoring => "restoring",
            Self::Error => "error",
            Self::Deleting => "deleting",
            Self::ErrorDeleting => "error_deleting",
            Self::Deleted => "deleted",
        }
    }
    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
    /// Whether the node is part of the tree.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Available | Self::Restoring | Self::Deleting | Self::ErrorDeleting)
    }
}

/// Who does not want a snapshot to be deleted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Who said so.
    pub user_id: UserId,
    /// Why, in his words; may be empty.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// How far apart the disks of one snapshot may be in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// `crash` where it means something and is allowed, else `none`.
    Auto,
    /// Each disk on its own.
    None,
    /// All disks at one moment, as after a power cut.
    Crash,
}

impl Consistency {
    /// The word in database and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Crash => "crash",
        }
    }
    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Auto, Self::None, Self::Crash].into_iter().find(|level| level.as_str() == word)
    }
}

/// What was asked for and what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SnapshotConsistency)]
pub struct ConsistencyRecord {
    /// What the caller asked for.
    pub requested: Consistency,
    /// What was reached: `None` or `Crash`; absent until the capture is done.
    #[schema(required)]
    pub reached: Option<Consistency>,
    /// Why it is not more.
    #[schema(required)]
    pub reason: Option<String>,
    /// How long the server stood still, in milliseconds.
    #[schema(required)]
    pub pause_ms: Option<i64>,
    /// Between the first disk's moment and the last one's, in milliseconds.
    #[schema(required)]
    pub skew_ms: Option<i64>,
}

impl ConsistencyRecord {
    /// Of a capture that has not been made yet.
    #[must_use]
    pub fn asked(requested: Consistency) -> Self {
        Self { requested, reached: None, reason: None, pause_ms: None, skew_ms: None }
    }
}

/// Which image of Nova's a snapshot was made beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Nova's request; one server has one snapshot for each, deleted ones counted.
    pub request: String,
    /// The image in Glance; not known as long as nobody has named it.
    pub image_id: Option<String>,
    /// Nova makes it for a backup, and deletes it when there are newer ones.
    pub backup: bool,
}

/// A node of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Id.
    pub id: SnapshotId,
    /// The server.
    pub server_id: ServerId,
    /// Owner: the server's project.
    pub project_id: ProjectId,
    /// Who asked for it.
    pub user_id: UserId,
    /// The node it grew from.
    pub parent_id: Option<SnapshotId>,
    /// The branch it was captured on.
    pub branch_id: BranchId,
    /// Order of capture on this server; never reused. Wall clocks may step back, this does not.
    pub sequence: i64,
    /// Name for people.
    pub name: String,
    /// More words for people.
    pub description: String,
    /// Status.
    pub status: SnapshotStatus,
    /// Deleted for the user, still a joint of the tree.
    pub hidden: bool,
    /// Taken by a restore so that nothing is lost.
    pub safety: bool,
    /// Set where it must not be deleted.
    pub protection: Option<Protection>,
    /// Consistency.
    pub consistency: ConsistencyRecord,
    /// A disk came or went while it was taken.
    pub partial: bool,
    /// The server was stopped.
    pub at_rest: bool,
    /// What was found on the server and is not in it.
    pub left_out: Vec<LeftOut>,
    /// Set where it was made because Nova made an image of the server.
    pub beside: Option<Beside>,
    /// Server's name at that time.
    pub server_name: String,
    /// Flavor's name at that time.
    pub flavor: String,
    /// Why it is in error.
    pub fault: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
}

/// A named line of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Id.
    pub id: BranchId,
    /// The server.
    pub server_id: ServerId,
    /// Unique among the server's branches.
    pub name: String,
    /// The node it begins at; `None` for the branch of a root.
    pub fork_snapshot_id: Option<SnapshotId>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}
