//! Takes a server back to a node, in place. The recipe:
//!
//! 1. `lock` the server with Nova's own lock, so that its owner's calls get an error instead of half a disk;
//! 2. `prepare` the new disks from the node, beside the old ones: nobody uses them yet, the server still runs;
//! 3. `stop` it; 4. wait until it is `quiet`: nobody has its disks open;
//! 5. take the `safety` snapshot of all disks at rest: it equals the disks that are about to be parked, byte for byte;
//! 6. `arrange` the volumes: the old ones off, the new ones on, in the node's order;
//! 7. `swap` the named disks: two renames each, back to back; 8. `verify`;
//! 9. `record` it all in one transaction. Up to here everything is undone when anything fails; from here on only forward:
//! 10. `label` parked and new disks in their backends; 11. `start` the server if it ran; 12. `unlock` it;
//! 13. `prune` the older safety snapshot of the branch.
//!
//! Nova's lock does not keep `createImage` out. So before and after the renames Nova must have nothing under way; else the
//! renames are taken back and tried again when Nova has finished: the owner's image is then wholly of before or after.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::disk::Attachment;
use crate::domain::operation::Operation;
use crate::drivers::NewLayer;
use crate::error::{Error, Result};
use crate::ids::{BranchId, DiskSnapshotId, LayerId, SnapshotId};
use crate::operations::{Reversal, Step, StepContext, Work, state_of, typed, untyped, volume_order};

mod aftermath;
mod disks;
mod record;
mod server;

/// The kind's name in rows.
pub const KIND: &str = "snapshot_restore";

/// What Nova's lock says; the sweep knows our locks by it.
pub const LOCK_PREFIX: &str = "ratoon operation ";

/// The steps, in order.
pub const STEPS: [Step; 13] = [
    Step { name: "lock", reversal: Reversal::Undo },
    Step { name: "prepare", reversal: Reversal::UndoOrLeave },
    Step { name: "stop", reversal: Reversal::Undo },
    Step { name: "quiet", reversal: Reversal::Nothing("only waits") },
    Step { name: "safety", reversal: Reversal::UndoOrLeave },
    Step { name: "arrange", reversal: Reversal::Undo },
    Step { name: "swap", reversal: Reversal::Undo },
    Step { name: "verify", reversal: Reversal::Nothing("only looks") },
    Step { name: "record", reversal: Reversal::PointOfNoReturn },
    Step { name: "label", reversal: Reversal::Optional },
    Step { name: "start", reversal: Reversal::Optional },
    Step { name: "unlock", reversal: Reversal::Forward },
    Step { name: "prune", reversal: Reversal::Optional },
];

/// Bytes: a copy that comes along slower than this hangs.
const COPIED_A_SECOND_MIN: u64 = 16 << 20;

/// How a new head comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Cloned from this part of the node.
    Cloned(DiskSnapshotId),
    /// A parked disk that is used again.
    Reused,
}

/// A disk that becomes a head.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Incoming {
    /// Its layer: fresh (status `preparing`) or parked.
    pub layer: LayerId,
    /// How it comes to be.
    pub origin: Origin,
    /// The head that it takes the place of.
    pub instead_of: Option<LayerId>,
    /// Whether it is placed by its name (swapped) or by Nova's attachments.
    pub named: bool,
    /// Smallest size in bytes.
    pub size_bytes_min: u64,
    /// Whether its content is copied.
    #[serde(default)]
    pub copied: bool,
}

impl Incoming {
    /// What its driver is asked for.
    fn new_layer(&self) -> NewLayer {
        NewLayer { id: self.layer, size_bytes_min: self.size_bytes_min, copied: self.copied }
    }
}

/// A head that leaves the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outgoing {
    /// Its layer.
    pub layer: LayerId,
    /// The disk snapshot that it equals once the server is at rest.
    pub equals: Option<DiskSnapshotId>,
}

/// A volume of the server, in its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slot {
    /// Its layer.
    pub layer: LayerId,
    /// How it hangs there.
    pub attachment: Attachment,
}

/// Version 1 of the parameters: ids only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The node.
    pub target: SnapshotId,
    /// Disks that come.
    pub incoming: Vec<Incoming>,
    /// Disks that go.
    pub outgoing: Vec<Outgoing>,
    /// Ids of all volumes that Nova listed before, in its order, those that no driver serves included.
    #[serde(default)]
    pub volumes_before: Vec<String>,
    /// Attached volumes before.
    pub order_before: Vec<Slot>,
    /// Attached volumes afterwards.
    pub order_after: Vec<Slot>,
    /// The safety snapshot: its row and its parts' rows are there, status `creating`.
    pub safety: Option<SnapshotId>,
    /// Whether the server ran when the restore was asked for.
    pub was_running: bool,
    /// Whether all of the node comes back.
    pub whole: bool,
    /// Whether a disk of the node stays, since it holds what the node does as long as the server does not run.
    #[serde(default)]
    pub keeps: bool,
    /// `current` afterwards.
    pub current_after: Option<SnapshotId>,
    /// The branch afterwards.
    pub branch_after: Option<BranchId>,
    /// A branch that begins with this restore; it is entered when the restore is recorded.
    pub branch_new: Option<(BranchId, String)>,
    /// A branch without snapshots that is left for good.
    pub branch_left: Option<BranchId>,
    /// Older safety snapshots that go at the end.
    pub prune: Vec<SnapshotId>,
    /// Layers that this operation met first.
    pub new_layers: Vec<LayerId>,
    /// A branch that was begun for the safety snapshot.
    pub safety_branch_new: Option<BranchId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// Somebody started the server on the new disks before the restore was recorded: they are not ours to remove.
    #[serde(default)]
    used: bool,
    /// Backend ids of the disks that were made.
    prepared: BTreeMap<LayerId, String>,
    /// Parts of the safety snapshot: backend id and size.
    safety: BTreeMap<DiskSnapshotId, (String, u64)>,
    /// Whether the server ran when it was locked.
    #[serde(default)]
    was_running: Option<bool>,
    /// We have begun to stop it and not yet started it again.
    #[serde(default)]
    down: bool,
    /// Nova's newest request when the server had come to rest: by it a start by others shows.
    #[serde(default)]
    rest_mark: Option<String>,
    /// Marks of the volumes that were taken off.
    #[serde(default)]
    marks: volume_order::Marks,
    /// Which volume has taken whose place; told with the operation.
    #[serde(default)]
    replaced: Vec<Replaced>,
}

/// A volume that has taken another's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Replaced {
    /// Id of the one that gave way.
    old: String,
    /// Id of the other.
    new: String,
}

/// The operation.
pub struct SnapshotRestore {
    params: Params,
    state: State,
}

impl SnapshotRestore {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        let state = state_of(operation)?;
        Ok(Self { params: typed("parameters", &operation.params)?, state })
    }

    /// Whether the server has to be stopped, or anything else done to it.
    fn moves_disks(&self) -> bool {
        !self.params.incoming.is_empty() || !self.params.outgoing.is_empty()
    }
}

#[async_trait]
impl Work for SnapshotRestore {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "lock" => self.lock(cx).await,
            "prepare" => self.prepare(cx).await,
            "stop" => self.stop(cx).await,
            "quiet" => self.quiet(cx).await,
            "safety" => self.safety(cx).await,
            "arrange" => self.arrange(cx).await,
            "swap" => self.swap(cx).await,
            "verify" => self.verify(cx).await,
            "record" => self.record(cx).await,
            "label" => self.label(cx).await,
            "start" => self.start(cx).await,
            "unlock" => self.unlock(cx).await,
            "prune" => self.prune(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "lock" => self.unlock(cx).await,
            "prepare" => self.undo_prepare(cx).await,
            "stop" => self.undo_stop(cx).await,
            "safety" => self.undo_safety(cx).await,
            "arrange" => self.undo_arrange(cx).await,
            "swap" => self.undo_swap(cx).await,
            _ => Ok(()),
        }
    }

    async fn unwound(&mut self, cx: &StepContext<'_>, _reason: &str) -> Result<()> {
        self.record_undone(cx).await
    }

    /// A server that we have stopped does not wait for the next engine.
    fn may_rest(&self) -> bool {
        !self.state.down
    }

    fn allowance(&self, step: &'static str) -> Duration {
        let copied = self.params.incoming.iter().filter(|incoming| step == "prepare" && incoming.copied);
        Duration::from_secs(copied.map(|incoming| incoming.size_bytes_min / COPIED_A_SECOND_MIN).sum())
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&self.state)
    }
}
