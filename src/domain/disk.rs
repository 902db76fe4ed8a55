//! Disks of a server, the storage objects (layers) of their history, and their parts of snapshots.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{DiskId, DiskSnapshotId, LayerId, ServerId, SnapshotId};

/// What a disk is to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    /// The disk that the server boots from, kept by Nova's image backend.
    System,
    /// A further disk that Nova's image backend keeps: `disk.eph0`, `disk.local`.
    Ephemeral,
    /// A Cinder volume that is attached.
    Volume,
}

impl DiskKind {
    /// The word in the database and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Ephemeral => "ephemeral",
            Self::Volume => "volume",
        }
    }
}

/// How a driver's disk takes its place in the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// By its name: whoever carries the name that Nova expects is the head. Swapped by renaming.
    Named,
    /// By Nova's attachments: detached and attached through Nova, in order.
    Attached,
}

/// How a volume hangs on its server; what an attach must repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Device name as Nova shows it, for people only: `/dev/vdb`.
    pub device: Option<String>,
    /// Device tag.
    pub tag: Option<String>,
    /// Whether Nova deletes the volume with the server.
    pub delete_on_termination: bool,
}

/// What a driver must know of a disk to make another like it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskFacts {
    /// Its name for people (a volume's name).
    pub name: Option<String>,
    /// Volume type.
    pub volume_type: Option<String>,
    /// Availability zone.
    pub availability_zone: Option<String>,
    /// The owner's metadata.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// The pool in which Nova found the head's parent, if it has one: new heads keep a parent there.
    pub parent_pool: Option<String>,
}

/// A disk as a driver found it on a server just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundDisk {
    /// Driver's name.
    pub backend: String,
    /// Where the object lies: a pool; empty where there is no such thing.
    pub pool: String,
    /// The backend's own, lasting id of the object (RBD image id, volume id).
    pub backend_id: String,
    /// The name of the disk in its server: `disk`, `disk.eph0`, or the volume's id.
    pub key: String,
    /// What it is to its server.
    pub kind: DiskKind,
    /// Place in the server's order of disks, from 0.
    pub position: u32,
    /// Size in bytes.
    pub size_bytes: u64,
    /// How it hangs on the server.
    pub attachment: Attachment,
    /// What is needed to make another like it.
    pub facts: DiskFacts,
    /// Why it cannot be captured or restored, if so.
    pub unsupported: Option<String>,
    /// Snapshots on it that are not ours (`nova-resize`), by name.
    pub foreign_snapshots: Vec<String>,
}

/// Something found on the server that snapshots do not cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// Its name: `disk.swap`, `disk.config`, a volume's id.
    pub key: String,
    /// Why.
    pub reason: String,
    /// The disk, where it could have been captured: it stays the same through all its layers, and its rows may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub disk_id: Option<DiskId>,
}

impl LeftOut {
    /// One that is never captured.
    #[must_use]
    pub fn never(key: String, reason: &str) -> Self {
        Self { key, reason: reason.to_owned(), disk_id: None }
    }
}

/// All that one driver found on a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Disks that snapshots cover.
    pub disks: Vec<FoundDisk>,
    /// What they do not cover, each with the reason.
    pub left_out: Vec<LeftOut>,
}

/// What a layer is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerRole {
    /// The live, writable disk of the server.
    Head,
    /// A former head, kept with the tree.
    Parked,
    /// Being made by an operation that runs; nobody uses it yet.
    Preparing,
    /// A head that was taken from under its server, because Nova is about to remove it; until Nova has, it may have to be
    /// given back. Also a volume that Nova is about to delete with the server.
    Taken,
    /// No longer on this server: a volume that its owner detached by hand, a head whose server was deleted. Still its
    /// owner's, if it is there at all.
    Detached,
}

impl LayerRole {
    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Parked => "parked",
            Self::Preparing => "preparing",
            Self::Taken => "taken",
            Self::Detached => "detached",
        }
    }
}

/// One storage object of a disk's history: an RBD image or a Cinder volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Our id; deterministic backend names are made of it.
    pub id: LayerId,
    /// The server.
    pub server_id: ServerId,
    /// The disk through all its layers.
    pub disk_id: DiskId,
    /// Driver's name.
    pub backend: String,
    /// Pool, or empty.
    pub pool: String,
    /// The backend's own, lasting id; empty until the object was made.
    pub backend_id: String,
    /// The name of the disk in its server, as in [`FoundDisk::key`].
    pub key: String,
    /// What it is to its server.
    pub kind: DiskKind,
    /// What it is at present.
    pub role: LayerRole,
    /// The disk snapshot that it was cloned from.
    pub parent: Option<DiskSnapshotId>,
    /// The layer that carried it; known longer than the snapshot's own row, which goes with its node.
    pub parent_layer: Option<LayerId>,
    /// While parked: the disk snapshot that its bytes equal, if nobody has opened it since.
    pub equals: Option<DiskSnapshotId>,
    /// The backend's mark at parking time, by which a later change by others shows; empty if unknown.
    pub parked_mark: String,
    /// What is needed to make another like it.
    pub facts: DiskFacts,
}

/// One disk's part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSnapshot {
    /// Our id; the backend's snapshot is named after `origin`.
    pub id: DiskSnapshotId,
    /// The snapshot it belongs to.
    pub snapshot_id: SnapshotId,
    /// The layer that carries it.
    pub layer_id: LayerId,
    /// The disk snapshot whose backend object this one shares (itself, unless the disk had not changed).
    pub origin: DiskSnapshotId,
    /// The backend's own id of the snapshot; empty until it was made.
    pub backend_id: String,
    /// Place in the server's order of disks, from 0.
    pub position: u32,
    /// Size in bytes at that moment.
    pub size_bytes: u64,
    /// How the disk hung on the server.
    pub attachment: Attachment,
}
