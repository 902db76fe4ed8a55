//! Snapshots of a layer: taken, removed, compared with; and the marks that a parked layer bears.

use super::carrier;
use super::image::Access;
use super::naming::{META_LAYER, META_PARKED, META_SERVER, carrier_name, snapshot_name};
use super::open;
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::drivers::Captured;
use crate::error::Result;
use crate::ids::DiskSnapshotId;

/// Takes the snapshot, or finds it taken.
pub(super) fn capture(pool: &Pool, layer: &Layer, id: DiskSnapshotId) -> Result<Captured> {
    let name = snapshot_name(id);
    // Opened once, for writing: the guest may be paused until this returns.
    let image = open::need(pool, layer, Access::Write)?;
    let snapshot = match image.snapshot(&name)? {
        Some(taken) => taken,
        None => {
            image.create_snapshot(&name)?;
            image.snapshot(&name)?.ok_or_else(|| image.missing_snapshot(&name))?
        }
    };
    Ok(Captured { backend_id: snapshot.id.to_string(), size_bytes: snapshot.size_bytes })
}

/// Removes the snapshot, and before it the carrier made of it if nothing hangs on that any more (else Ceph would keep
/// the snapshot's content for the carrier's sake, for ever).
pub(super) fn remove(pool: &Pool, carriers: Option<&Pool>, layer: &Layer, id: DiskSnapshotId) -> Result<()> {
    if let Some(carriers) = carriers {
        carrier::remove_if_unused(carriers, id)?;
    }
    let name = snapshot_name(id);
    let Some(image) = open::find(pool, layer, Access::Read)? else { return Ok(()) };
    if image.snapshot(&name)?.is_none() {
        return Ok(());
    }
    drop(image);
    match open::find(pool, layer, Access::Write)? {
        Some(image) => image.remove_snapshot(&name),
        None => Ok(()),
    }
}

/// Whether the layer still holds what a snapshot of its own holds. A layer that is gone does not.
pub(super) fn equals(pool: &Pool, layer: &Layer, origin: DiskSnapshotId) -> Result<bool> {
    let name = snapshot_name(origin);
    let Some(image) = open::find(pool, layer, Access::Read)? else { return Ok(false) };
    let Some(snapshot) = image.snapshot(&name)? else { return Ok(false) };
    if snapshot.size_bytes != image.size_bytes()? {
        return Ok(false);
    }
    Ok(!image.changed_since(&name)?)
}

/// Whether the layer was made of this snapshot, which lies on `source`, and holds nothing else since: what a new clone
/// would hold, which would be made of the same carrier or snapshot.
pub(super) fn equals_origin(
    pool: &Pool,
    carriers: Option<&Pool>,
    layer: &Layer,
    source: &Layer,
    origin: DiskSnapshotId,
) -> Result<bool> {
    let name = snapshot_name(origin);
    let Some(carrying) = open::find(pool, source, Access::Read)? else { return Ok(false) };
    let Some(snapshot) = carrying.snapshot(&name)? else { return Ok(false) };
    let Some(image) = open::find(pool, layer, Access::Read)? else { return Ok(false) };
    let Some(parent) = image.parent()? else { return Ok(false) };
    let direct =
        parent.pool == pool.name() && parent.image_id == source.backend_id && parent.snapshot_id == snapshot.id;
    let carried =
        carriers.is_some_and(|carriers| parent.pool == carriers.name() && parent.image_name == carrier_name(origin));
    Ok((direct || carried) && image.is_bare_clone(snapshot.size_bytes)?)
}

/// Says on the image whose it is and since when it is parked, or takes the latter away: its name tells an operator nothing.
pub(super) fn label(pool: &Pool, layer: &Layer, parked_at: Option<&str>) -> Result<()> {
    let has = open::need(pool, layer, Access::Read)?.metadata()?.contains_key(META_PARKED);
    match parked_at {
        // The first time is the true one: a repeated step leaves it.
        Some(_) if has => Ok(()),
        Some(when) => {
            let image = open::need(pool, layer, Access::Write)?;
            image.set_metadata(META_SERVER, &layer.server_id.to_string())?;
            image.set_metadata(META_LAYER, &layer.id.to_string())?;
            image.set_metadata(META_PARKED, when)
        }
        None if has => open::need(pool, layer, Access::Write)?.remove_metadata(META_PARKED),
        None => Ok(()),
    }
}
