//! A snapshot as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::page::Link;
use crate::api::v1::schema::Time;
use crate::domain::disk::{DiskKind, DiskSnapshot, Layer, LeftOut};
use crate::domain::snapshot::{ConsistencyRecord, Protection, SnapshotStatus};
use crate::ids::{BranchId, DiskId, DiskSnapshotId, OperationId, ServerId, SnapshotId};
use crate::store::details::SnapshotDetail;

/// A snapshot.
#[derive(Serialize, ToSchema)]
pub struct OneSnapshot {
    /// The snapshot.
    pub snapshot: SnapshotView,
}

/// A page of snapshots.
#[derive(Serialize, ToSchema)]
pub struct Snapshots {
    /// The snapshots.
    pub snapshots: Vec<SnapshotView>,
    /// A link `next` to the next page; empty if this is the last.
    pub snapshots_links: Vec<Link>,
}

/// A snapshot: one moment of all covered disks of one server, a node of its tree.
#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub struct SnapshotView {
    /// Id.
    pub id: SnapshotId,
    server_id: ServerId,
    /// Name of the server at that time.
    server_name: String,
    /// Name of the server's flavor at that time.
    flavor: String,
    /// Id of the server's project.
    project_id: String,
    /// Id of the user who asked; empty if nobody did.
    user_id: String,
    /// Name; need not be unique.
    name: String,
    /// Description; may be empty.
    description: String,
    /// Status.
    status: SnapshotStatus,
    /// Whether it was deleted and stays as a joint, or is on its way out.
    hidden: bool,
    /// Whether it is a safety snapshot. A restore removes the one that an earlier restore left on the branch, if nothing needs it.
    safety: bool,
    /// Whether its deletion is refused.
    protected: bool,
    /// Who protects it; `null` if nobody does.
    #[schema(required)]
    protection: Option<ProtectionView>,
    /// The snapshot that it grew from; `null` for a root.
    #[schema(required)]
    parent_id: Option<SnapshotId>,
    /// The branch it was captured on.
    branch_id: BranchId,
    /// Name of that branch; `null` if the branch is gone, as after a first capture that failed.
    #[schema(required)]
    branch: Option<String>,
    /// Whether the live disks grew from it.
    current: bool,
    /// How far apart the disks are in time.
    consistency: ConsistencyRecord,
    /// Whether a disk came or went while it was taken.
    partial: bool,
    /// Whether the server was stopped.
    at_rest: bool,
    /// Size of all its disks, in bytes.
    size_bytes: u64,
    /// The parts, one a disk, in the order of the disks. Empty once a capture has failed.
    disks: Vec<SnapshotDisk>,
    /// What was found on the server and is not in the snapshot.
    left_out: Vec<LeftOut>,
    /// Image of Glance that Nova made at the same time, if the snapshot was made for that; else, and as long as it is not known,
    /// `null`.
    #[schema(required)]
    image_id: Option<String>,
    /// The operation under way, while the snapshot is `creating`, `restoring` or `deleting`, and the one that has begun with this
    /// answer; else `null`.
    #[schema(required)]
    pub operation_id: Option<OperationId>,
    /// Why it is in `error` or `error_deleting`; `null` if it is not.
    #[schema(required)]
    fault: Option<String>,
    /// When it was asked for.
    created_at: Time,
    /// Last change.
    updated_at: Time,
}

/// Who does not want a snapshot to be deleted, and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Protection)]
pub struct ProtectionView {
    /// Id of the user.
    user_id: String,
    /// Why; may be empty.
    reason: String,
    /// Since when.
    since: Time,
}

/// One disk's part of a snapshot.
#[derive(Serialize, ToSchema)]
pub struct SnapshotDisk {
    /// Id of this part.
    id: DiskSnapshotId,
    /// The disk, through all snapshots and restores.
    disk_id: DiskId,
    /// What it is to its server.
    kind: DiskKind,
    /// Name of the disk in its server: `disk`, `disk.eph0`, or the id of the volume.
    key: String,
    /// Device name as Nova shows it, of volumes only; `null` if there is none.
    #[schema(required)]
    device: Option<String>,
    /// Device tag, of volumes only; `null` if there is none.
    #[schema(required)]
    tag: Option<String>,
    /// Place in the server's order of disks, from 0.
    position: u32,
    /// Size of the disk at that moment, in bytes.
    size_bytes: u64,
    /// Driver that keeps the disk: `rbd` or `cinder`.
    backend: String,
    /// Id of the volume; `null` if it is none.
    #[schema(required)]
    volume_id: Option<String>,
    /// Whether it is the same snapshot in the backend as of another part, because the disk had not changed.
    shared: bool,
}

impl SnapshotDisk {
    fn of((part, layer): &(DiskSnapshot, Layer)) -> Self {
        Self {
            id: part.id,
            disk_id: layer.disk_id,
            kind: layer.kind,
            key: layer.key.clone(),
            device: part.attachment.device.clone(),
            tag: part.attachment.tag.clone(),
            position: part.position,
            size_bytes: part.size_bytes,
            backend: layer.backend.clone(),
            volume_id: (layer.kind == DiskKind::Volume).then(|| layer.backend_id.clone()),
            shared: part.origin != part.id,
        }
    }
}

impl From<&Protection> for ProtectionView {
    fn from(protection: &Protection) -> Self {
        Self {
            user_id: protection.user_id.clone(),
            reason: protection.reason.clone(),
            since: Time::of(protection.since),
        }
    }
}

impl From<SnapshotDetail> for SnapshotView {
    fn from(SnapshotDetail { snapshot, branch, current, disks, operation_id }: SnapshotDetail) -> Self {
        Self {
            id: snapshot.id,
            server_id: snapshot.server_id,
            server_name: snapshot.server_name,
            flavor: snapshot.flavor,
            project_id: snapshot.project_id,
            user_id: snapshot.user_id,
            name: snapshot.name,
            description: snapshot.description,
            status: snapshot.status,
            hidden: snapshot.hidden,
            safety: snapshot.safety,
            protected: snapshot.protection.is_some(),
            protection: snapshot.protection.as_ref().map(ProtectionView::from),
            parent_id: snapshot.parent_id,
            branch_id: snapshot.branch_id,
            branch,
            current,
            consistency: snapshot.consistency,
            partial: snapshot.partial,
            at_rest: snapshot.at_rest,
            size_bytes: disks.iter().map(|(part, _)| part.size_bytes).sum(),
            disks: disks.iter().map(SnapshotDisk::of).collect(),
            left_out: snapshot.left_out,
            image_id: snapshot.beside.and_then(|beside| beside.image_id),
            operation_id,
            fault: snapshot.fault,
            created_at: Time::of(snapshot.created_at),
            updated_at: Time::of(snapshot.updated_at),
        }
    }
}
