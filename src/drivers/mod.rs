//! Storage drivers: each knows one kind of disk, and nobody above this room names any of them.
//!
//! Every call is idempotent: it finds before it creates, under names made of our ids, because a lost answer is not a
//! failure. "Not there" is success for whatever removes. Names: a layer is `ratoon.<layer id>` unless it is the head; a
//! snapshot is `ratoon-<disk snapshot id>`.

use async_trait::async_trait;

use crate::domain::disk::{Found, Layer, Placement};
use crate::domain::quota::Quota;
use crate::domain::server::ServerFacts;
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId, OperationId};

pub mod cinder;
pub mod fake;
pub mod rbd;

/// Who calls: names the operation in the backend's own records and in errors.
#[derive(Debug, Clone)]
pub struct Call {
    /// The operation.
    pub operation_id: OperationId,
    /// Its step.
    pub step: &'static str,
    /// The project that shall own and pay what is made.
    pub project_id: String,
    /// Whether the same may have been asked before: what is there is looked for first. Where a server stands still meanwhile, a look too many counts.
    pub again: bool,
}

/// What a driver can do; planners obey it.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// How its disks take their place in a server.
    pub placement: Placement,
    /// Whether its backends may refuse to remove a snapshot as long as a layer that was made of it is there.
    pub clones_may_hold_snapshots: bool,
    /// Whether it can make a layer that is no clone.
    pub copies: bool,
}

/// A snapshot that a driver has begun or finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The backend's own id of it.
    pub backend_id: String,
    /// Size of the disk at that moment, in bytes.
    pub size_bytes: u64,
}

/// What a new layer shall be.
#[derive(Debug, Clone)]
pub struct NewLayer {
    /// Its id; the backend name is made of it.
    pub id: LayerId,
    /// Smallest allowed size in bytes: a clone that is smaller is grown to it, never shrunk.
    pub size_bytes_min: u64,
    /// Whether its content is copied, so that it hangs on nothing; only where [`Capabilities::copies`].
    pub copied: bool,
}

/// The snapshot that a layer is made of, or compared with.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The layer that carries it.
    pub layer: &'a Layer,
    /// The disk snapshot that the backend's snapshot is named after ([`crate::domain::disk::DiskSnapshot::origin`]).
    pub origin: DiskSnapshotId,
    /// The backend's own id of it.
    pub backend_id: &'a str,
}

/// Whether something empty takes the name of a head that is taken over, so that Nova finds what it can remove, however late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandIn {
    /// Nothing does, and what stood in before is removed.
    None,
    /// Only if the head had the name until now. Later Nova may be past the removal, and would take it for a new disk.
    Once,
    /// Whenever nothing bears the name: no new disk will be made.
    Always,
}

/// What a layer is marked as, for those who look at the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label<'a> {
    /// A disk of its server, or nobody's: nothing of ours.
    InUse,
    /// Parked.
    Parked {
        /// The backend id of the disk that has taken its place, if one has.
        replaced_by: Option<&'a str>,
    },
}

/// One kind of storage.
#[async_trait]
pub trait SnapshotDriver: Send + Sync {
    /// Name in rows and messages.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The disks of a server that this driver serves, with what it saw but does not cover.
    async fn discover(&self, server: &ServerFacts) -> Result<Found>;

    /// Takes a snapshot of a layer, head or not; returns when the moment is fixed.
    async fn capture(&self, call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<Captured>;

    /// Removes a snapshot of a layer. Content that a clone still needs stays for that clone.
    async fn remove_snapshot(&self, call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<()>;

    /// Makes a new layer with the content of a snapshot, unused by anybody. Returns its backend id.
    async fn prepare(&self, call: &Call, source: Source<'_>, new: &NewLayer) -> Result<String>;

    /// Removes a layer that [`SnapshotDriver::prepare`] made and nobody has used, with what it needed.
    /// `source` is what it was made of.
    async fn discard(&self, call: &Call, source: Source<'_>, new: &NewLayer) -> Result<()>;

    /// Removes a parked layer that nobody needs any more, with what stood between it and the snapshot `origin` that it was
    /// made of. Refused with a conflict while somebody has it open, or snapshots (or clones of removed ones) lie on it.
    /// `false`: its owner may have written to it since it was parked; it is left to him, and nothing was removed.
    async fn purge(&self, call: &Call, layer: &Layer, origin: Option<DiskSnapshotId>) -> Result<bool>;

    /// Whether the layer's object is there.
    async fn exists(&self, layer: &Layer) -> Result<bool>;

    /// What a layer takes of its backend, in bytes: what is written, or what counts in its owner's quota; 0 if it is gone.
    async fn used_bytes(&self, layer: &Layer) -> Result<u64>;

    /// What [`SnapshotDriver::flatten`] would write: the bytes that a layer reads from what it was made of. `None`: it would be
    /// refused, or would not let go of what the layer was made of.
    async fn flatten_cost(&self, _layer: &Layer) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Copies into a parked layer all that it still reads from what it was made of ([`Layer::parent`]), so that it hangs on
    /// nothing, and removes what stood between them; only where [`Capabilities::copies`]. Refused with a conflict while somebody
    /// has it open, or anything that was made of it (see `domain/plan/flatten.rs`).
    async fn flatten(&self, _layer: &Layer) -> Result<()> {
        Err(Error::internal(format!("The driver {} cannot flatten.", self.name())))
    }

    /// Takes away what Nova may have left on a layer that is no head any more, and which it looks for on the head. Refused with a conflict that passes while somebody still needs it.
    async fn clear(&self, _layer: &Layer) -> Result<()> {
        Ok(())
    }

    /// Who has the layer open, for people; empty when nobody has.
    async fn users(&self, layer: &Layer) -> Result<Vec<String>>;

    /// [`Placement::Named`] only: `head` gives up the name that Nova expects, `next` takes it. Either may be there
    /// already. Refused with a conflict, and the world as before, when somebody has opened `head` meanwhile.
    async fn swap(&self, call: &Call, head: &Layer, next: &Layer) -> Result<()>;

    /// [`Placement::Attached`] only: the mark of a layer that was just taken off its server. It changes when anybody attaches
    /// the layer again, and with each change of ours; empty if the backend has none.
    async fn mark(&self, _layer: &Layer) -> Result<String> {
        Ok(String::new())
    }

    /// Marks a layer for those who look at the backend: name and metadata. Returns the new mark of a parked layer; empty if the backend has none, or if the layer no longer
    /// bears [`Layer::parked_mark`]: somebody may have written to it since it was taken off.
    async fn label(&self, call: &Call, layer: &Layer, label: Label<'_>) -> Result<String>;

    /// Whether a parked layer, of which its row says that it equals `source`, still holds that: nobody has written to it.
    /// `source` is a snapshot on the layer itself, or the one that the layer was made of. What cannot be proven is `false`.
    ///
    /// # Errors
    /// Where the backend does not answer in time: nobody may take that for a difference, and clone.
    async fn equals(&self, layer: &Layer, source: Source<'_>) -> Result<bool>;

    /// [`Placement::Named`] only: takes the name that Nova expects from a head, whoever has it open: Nova is about to remove
    /// what bears it. Says whether the head is there.
    async fn take_over(&self, _head: &Layer, _stand_in: StandIn) -> Result<bool> {
        Ok(false)
    }

    /// [`Placement::Named`] only: the backend id of what bears the name that Nova expects of this head, if anything but a
    /// stand-in does.
    async fn bearer(&self, _head: &Layer) -> Result<Option<String>> {
        Ok(None)
    }

    /// [`Placement::Named`] only: those of these heads whose name nobody carries, found with one listing.
    async fn missing_heads(&self, _heads: &[Layer]) -> Result<Vec<Layer>> {
        Ok(vec![])
    }

    /// [`Placement::Named`] only: gives a head its name again, if nobody carries it and the layer's object is there under its
    /// other name. Says whether it did.
    async fn heal_head(&self, _head: &Layer) -> Result<bool> {
        Ok(false)
    }

    /// What the project may still create here; `None` where this backend counts nothing.
    async fn quota(&self, project_id: &str) -> Result<Option<Quota>>;
}
