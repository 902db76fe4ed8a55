//! A server as Nova describes it, reduced to what planners decide on.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::disk::Attachment;
use crate::ids::{ProjectId, ServerId, UserId};

/// Nova's `status`, as far as we tell apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerStatus {
    /// Running.
    Active,
    /// Stopped.
    Shutoff,
    /// Paused.
    Paused,
    /// Any other, by Nova's word.
    Other(String),
}

impl ServerStatus {
    /// From Nova's word.
    #[must_use]
    pub fn from_nova(word: &str) -> Self {
        match word {
            "ACTIVE" => Self::Active,
            "SHUTOFF" => Self::Shutoff,
            "PAUSED" => Self::Paused,
            other => Self::Other(other.to_owned()),
        }
    }
    /// Nova's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Active => "ACTIVE",
            Self::Shutoff => "SHUTOFF",
            Self::Paused => "PAUSED",
            Self::Other(word) => word,
        }
    }
}

/// A volume on a server, in Nova's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedVolume {
    /// The volume's id.
    pub volume_id: String,
    /// How it hangs there.
    pub attachment: Attachment,
}

/// What Nova says of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Id.
    pub id: ServerId,
    /// Name.
    pub name: String,
    /// Owner.
    pub project_id: ProjectId,
    /// Status.
    pub status: ServerStatus,
    /// What Nova is doing with it, if anything.
    pub task_state: Option<String>,
    /// Whether Nova's lock is on.
    pub locked: bool,
    /// Why it is locked.
    pub locked_reason: Option<String>,
    /// The image it was booted from; `None` where it boots from a volume.
    pub image_id: Option<String>,
    /// Flavor's name.
    pub flavor: String,
    /// Flavor's root disk in GiB; 0 = as large as the image.
    pub root_gb: u64,
    /// Flavor's extra specs; for planners also, under `image:`, the image properties that matter.
    pub extra_specs: std::collections::BTreeMap<String, String>,
    /// Attached volumes, in the order of Nova's rows, which is the order in the guest.
    pub volumes: Vec<AttachedVolume>,
    /// The owner's metadata on the server.
    pub metadata: std::collections::BTreeMap<String, String>,
}

impl ServerFacts {
    /// What of it changes while one waits.
    #[must_use]
    pub fn state(self) -> ServerState {
        ServerState {
            status: self.status,
            task_state: self.task_state,
            locked: self.locked,
            locked_reason: self.locked_reason,
        }
    }
}

/// What Nova says of a server's state alone: what one looks at again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Status.
    pub status: ServerStatus,
    /// What Nova is doing with it, if anything.
    pub task_state: Option<String>,
    /// Whether Nova's lock is on.
    pub locked: bool,
    /// Why it is locked.
    pub locked_reason: Option<String>,
}

/// One line of Nova's list of instance actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAction {
    /// Nova's word: `start`, `createImage`.
    pub action: String,
    /// The request that caused it.
    pub request_id: String,
    /// Who asked.
    pub user_id: Option<UserId>,
    /// When.
    pub started_at: Option<DateTime<Utc>>,
    /// Whether Nova has noted an error of it.
    pub failed: bool,
}

/// Nova actions that cannot have changed a byte of the disks of a server at rest.
const HARMLESS_AT_REST: [&str; 6] = ["lock", "unlock", "stop", "createImage", "createBackup", "updateMetadata"];

/// Whether an action of Nova's cannot have changed a byte of the disks of a server at rest.
#[must_use]
pub fn is_harmless_at_rest(action: &str) -> bool {
    HARMLESS_AT_REST.contains(&action)
}

/// Nova's task states while it makes an image of a server, or a backup.
const MAKING_IMAGE: [&str; 5] =
    ["image_snapshot", "image_snapshot_pending", "image_pending_upload", "image_uploading", "image_backup"];

/// Whether a task of Nova's is that it makes an image of a server. It allows neither a pause nor another image meanwhile.
#[must_use]
pub fn is_making_image(task: &str) -> bool {
    MAKING_IMAGE.contains(&task)
}

/// Whether a server that was at rest at `mark` (the newest request then) may have run, or changed its disks, since.
///
/// `actions` are Nova's, newest first. An unknown mark counts as "may have".
#[must_use]
pub fn may_have_run_since(actions: &[ServerAction], mark: &str) -> bool {
    match actions.iter().position(|action| action.request_id == mark) {
        Some(newer) => actions[..newer].iter().any(|action| !HARMLESS_AT_REST.contains(&action.action.as_str())),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(list: &[(&str, &str)]) -> Vec<ServerAction> {
        list.iter()
            .map(|(action, request)| ServerAction {
                action: (*action).into(),
                request_id: (*request).into(),
                user_id: None,
                started_at: None,
                failed: false,
            })
            .collect()
    }

    #[test]
    fn a_server_at_rest_has_not_run_while_only_harmless_things_happened() {
        for (list, mark, expected) in [
            (actions(&[("stop", "r2"), ("create", "r1")]), "r2", false),
            (actions(&[("unlock", "r4"), ("createImage", "r3"), ("stop", "r2")]), "r2", false),
            (actions(&[("stop", "r4"), ("start", "r3"), ("stop", "r2")]), "r2", true),
            (actions(&[("attach_volume", "r3"), ("stop", "r2")]), "r2", true),
            (actions(&[("stop", "r2")]), "forgotten", true),
            (actions(&[]), "r2", true),
        ] {
            assert_eq!(may_have_run_since(&list, mark), expected, "{list:?} since {mark}");
        }
    }
}
