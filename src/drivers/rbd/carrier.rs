//! Carriers: empty clones of a snapshot in Glance's pool, from which new heads are cloned.
//!
//! Nova puts the image of `openstack server image create` into the pool of the head's parent. A head cloned straight
//! from a snapshot in Nova's own pool would send it there, where Glance's user may not read: the call fails for ever
//! after. So between the snapshot and the head stands a clone in the pool where Glance works; it holds no data.
//!
//! A carrier is finished when its snapshot `c` is there. Removed only when no clone hangs on it; whose clones those are
//! does not matter.

use super::history::SnapshotKind;
use super::image::{
    Access, FEATURE_DEEP_FLATTEN, FEATURE_EXCLUSIVE_LOCK, FEATURE_FAST_DIFF, FEATURE_LAYERING, FEATURE_OBJECT_MAP,
    Shape,
};
use super::naming::{CARRIER_SNAPSHOT, META_ORIGIN, META_PREFIX, META_SERVER, carrier_name};
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::error::{Error, Result};
use crate::ids::DiskSnapshotId;

/// Features that a carrier has where the source has them.
const FEATURES: u64 =
    FEATURE_LAYERING | FEATURE_EXCLUSIVE_LOCK | FEATURE_OBJECT_MAP | FEATURE_FAST_DIFF | FEATURE_DEEP_FLATTEN;

/// Makes the carrier of `parent@snapshot`, or finds it made. Returns its name.
pub(super) fn make(
    pool: &Pool,
    carriers: &Pool,
    layer: &Layer,
    origin: DiskSnapshotId,
    (parent, snapshot): (&str, &str),
    shape: &Shape,
) -> Result<String> {
    let name = carrier_name(origin);
    if carriers.holder(&name)?.is_some() {
        let carrier = need(carriers, &name, Access::Read)?;
        let snapshots = carrier.snapshots()?;
        if snapshots.iter().any(|found| found.kind == SnapshotKind::User && found.name == CARRIER_SNAPSHOT) {
            return Ok(name);
        }
        drop(carrier);
        if !snapshots.is_empty() {
            // It was finished once, and heads hang on it by a snapshot that was removed: give it another.
            need(carriers, &name, Access::Write)?.create_snapshot(CARRIER_SNAPSHOT)?;
            return Ok(name);
        }
    }
    // Not there, or not finished, perhaps not even a clone yet, or half removed (its maker or remover died): in each of
    // these cases nothing hangs on it.
    carriers.remove(&name)?;
    let shape =
        Shape { features: (shape.features & FEATURES) | FEATURE_LAYERING, striping: None, data_pool: None, ..*shape };
    pool.clone_image(parent, snapshot, carriers, &name, &shape)?;
    let carrier = need(carriers, &name, Access::Write)?;
    for key in carrier.metadata()?.into_keys().filter(|key| key.starts_with(META_PREFIX)) {
        carrier.remove_metadata(&key)?;
    }
    carrier.set_metadata(META_SERVER, &layer.server_id.to_string())?;
    carrier.set_metadata(META_ORIGIN, &origin.to_string())?;
    carrier.create_snapshot(CARRIER_SNAPSHOT)?;
    Ok(name)
}

/// Removes the carrier of a disk snapshot unless something hangs on it; an absent one is well.
pub(super) fn remove_if_unused(carriers: &Pool, origin: DiskSnapshotId) -> Result<()> {
    let name = carrier_name(origin);
    if carriers.holder(&name)?.is_some() {
        let carrier = need(carriers, &name, Access::Read)?;
        let snapshots = carrier.snapshots()?;
        // A snapshot in the trash has clones, or Ceph would have dropped it; one of another name is somebody's.
        let ours =
            |found: &super::history::Snapshot| found.kind == SnapshotKind::User && found.name == CARRIER_SNAPSHOT;
        if !snapshots.iter().all(ours) {
            return Ok(());
        }
        if let Some(snapshot) = snapshots.first() {
            if !carrier.children(snapshot)?.is_empty() {
                return Ok(());
            }
            drop(carrier);
            need(carriers, &name, Access::Write)?.remove_snapshot(CARRIER_SNAPSHOT)?;
        }
    }
    carriers.remove(&name).map(|_| ())
}

fn need(carriers: &Pool, name: &str, access: Access) -> Result<super::image::Image> {
    carriers.open_name(name, access)?.ok_or_else(|| {
        Error::conflict(format!("RBD image {}/{name} vanished while it was being used.", carriers.name())).retryable()
    })
}
