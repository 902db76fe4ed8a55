//! What a notification says of one server. It is a hint: messages come twice, late, in another order, or not at all, and what
//! Nova and Cinder answer when they are asked is the truth.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{ProjectId, ServerId};

/// A hint about one server, with nothing else of the message: others' messages carry tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerEvent {
    /// The sender's id of the message: two with the same id are one.
    pub message_id: String,
    /// The server.
    pub server_id: ServerId,
    /// What happens to it.
    pub what: What,
    /// Its owner, if the message names one.
    pub project_id: Option<ProjectId>,
    /// The request of Nova's that it belongs to, by which Nova's list of actions can be read.
    pub request_id: Option<String>,
    /// The image that is being made of the server. Nova names it in its versioned format only.
    pub image_id: Option<String>,
    /// The sender's clock.
    pub sent_at: Option<DateTime<Utc>>,
}

/// What happens to a server, as far as a tree of snapshots cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Nova is about to delete it, its disks included. A soft delete is not meant.
    Deleting,
    /// Nova has deleted it.
    Deleted,
    /// Nova is about to make its system disk anew, or to evacuate it: the messages do not tell which.
    Rebuilding,
    /// Nova begins to make an image of it.
    SnapshotStart,
    /// Nova has made an image of it.
    SnapshotEnd,
    /// Anything else about its state or its disks, the failure of any of these included.
    Changed,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Deleting, Self::Rebuilding, Self::Deleted, Self::SnapshotStart, Self::SnapshotEnd, Self::Changed];

    /// As the database has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Rebuilding => "rebuilding",
            Self::SnapshotStart => "snapshot_start",
            Self::SnapshotEnd => "snapshot_end",
            Self::Changed => "changed",
        }
    }

    /// The reverse of [`What::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == text)
    }

    /// What is to be looked at first: the smaller, the sooner. Nova gives seconds before it deletes or rebuilds.
    #[must_use]
    pub fn urgency(self) -> u8 {
        match self {
            Self::Deleting | Self::Rebuilding => 0,
            Self::SnapshotStart => 1,
            Self::Deleted | Self::SnapshotEnd | Self::Changed => 2,
        }
    }

    /// Whether Nova is about to take the disks away.
    #[must_use]
    pub fn is_urgent(self) -> bool {
        self.urgency() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for what in What::ALL {
            assert_eq!(What::parse(what.as_str()), Some(what));
            assert_eq!(serde_json::to_value(what).unwrap(), what.as_str());
        }
        assert_eq!(What::parse("exploded"), None);
    }

    #[test]
    fn what_takes_disks_away_comes_first() {
        let mut all = What::ALL;
        all.sort_by_key(|what| what.urgency());
        assert!(all[..2].iter().all(|what| what.is_urgent()), "{all:?}");
        assert!(all[2..].iter().all(|what| !what.is_urgent()), "{all:?}");
    }
}
