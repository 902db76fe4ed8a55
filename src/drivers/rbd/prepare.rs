//! A new layer out of a snapshot: a copy-on-write clone under a name of ours, by way of a carrier where Nova needs one.
//!
//! Takes as long as a few writes, whatever the size; a copy (a clone that is flattened) as long as its bytes. Whoever dies in
//! between leaves an image without `ratoon.layer`, which is set last: it is thrown away and made again, but a copy that was
//! begun goes on. (librbd itself may die in the middle of a clone, before the child is
//! known to its parent; such an image opens well and must not be used.)

use std::collections::BTreeMap;

use super::carrier;
use super::history::{Snapshot, SnapshotKind};
use super::image::{
    Access, FEATURE_DEEP_FLATTEN, FEATURE_EXCLUSIVE_LOCK, FEATURE_FAST_DIFF, FEATURE_JOURNALING, FEATURE_LAYERING,
    FEATURE_OBJECT_MAP, FEATURE_STRIPING, Image, Shape,
};
use super::naming::{
    CARRIER_SNAPSHOT, META_CONF_PREFIX, META_LAYER, META_OPERATION, META_ORIGIN, META_PREFIX, META_SERVER,
    RESIZE_SNAPSHOT, head_name_of, is_novas_temporary, layer_name, snapshot_name,
};
use super::open;
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::drivers::NewLayer;
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId, OperationId};

/// Features that are asked for; the others follow from options, or are states.
const FEATURES: u64 = FEATURE_LAYERING
    | FEATURE_STRIPING
    | FEATURE_EXCLUSIVE_LOCK
    | FEATURE_OBJECT_MAP
    | FEATURE_FAST_DIFF
    | FEATURE_DEEP_FLATTEN
    | FEATURE_JOURNALING;

/// What is asked for.
pub(super) struct Wanted {
    /// The layer that carries the snapshot.
    pub layer: Layer,
    /// The disk snapshot that the RBD snapshot is named after.
    pub origin: DiskSnapshotId,
    /// The RBD snapshot's number, if known.
    pub snapshot_id: String,
    /// What the new layer shall be.
    pub new: NewLayer,
    /// For whom.
    pub operation_id: OperationId,
}

/// Makes the new layer, or finds it made. Returns its image id.
pub(super) fn prepare(pool: &Pool, carriers: Option<&Pool>, wanted: &Wanted) -> Result<String> {
    let name = layer_name(wanted.new.id);
    if let Some(id) = pool.holder(&name)?
        && let Some(image) = pool.open_id(&id, Access::Read)?
    {
        let metadata = image.metadata()?;
        if metadata.get(META_LAYER) == Some(&wanted.new.id.to_string()) {
            if image.size_bytes()? < wanted.new.size_bytes_min {
                drop(image);
                grow(&need(pool, &id, &name)?, wanted.new.size_bytes_min)?;
            }
            return Ok(id);
        }
        // A copy takes as long as there are bytes; one that was begun goes on where it was.
        let marked = metadata.get(META_OPERATION) == Some(&wanted.operation_id.to_string())
            && metadata.get(META_ORIGIN) == Some(&wanted.origin.to_string());
        if wanted.new.copied && marked {
            drop(image);
            finish(&need(pool, &id, &name)?, wanted)?;
            return Ok(id);
        }
        remove_unused(pool, image, &name)?;
    } else {
        // One that was being removed when its remover died would be in the way.
        pool.remove(&name)?;
    }
    make(pool, carriers, wanted, &name)
}

fn make(pool: &Pool, carriers: Option<&Pool>, wanted: &Wanted, name: &str) -> Result<String> {
    let layer = &wanted.layer;
    let source = open::need(pool, layer, Access::Read)?;
    let snapshot_name = snapshot_name(wanted.origin);
    let snapshot = source.snapshot(&snapshot_name)?.ok_or_else(|| source.missing_snapshot(&snapshot_name))?;
    if !wanted.snapshot_id.is_empty() && wanted.snapshot_id != snapshot.id.to_string() {
        return Err(Error::conflict(format!(
            "RBD snapshot {}@{snapshot_name} has number {}, but {} was taken: somebody replaced it.",
            source.label(),
            snapshot.id,
            wanted.snapshot_id
        )));
    }
    // The present head says what operators want of this disk today (QoS, features); it may have been parked or deleted.
    let head = match pool.holder(&head_name_of(layer))? {
        Some(id) => pool.open_id(&id, Access::Read)?,
        None => None,
    };
    let like = head.as_ref().unwrap_or(&source);
    let mut shape = like.shape()?;
    let settings = settings(like)?;
    shape.features = shape.features & FEATURES | FEATURE_LAYERING;
    // A copy hangs on nothing in the end, so it needs no carrier.
    let carriers = carriers.filter(|_| !wanted.new.copied);
    clone(pool, carriers, wanted, (source.name(), &snapshot_name), &shape, name)?;
    drop(head);
    drop(source);

    let id = pool.holder(name)?.ok_or_else(|| pool.missing("just made", name))?;
    let image = need(pool, &id, name)?;
    mark(&image, wanted, &settings)?;
    finish(&image, wanted)?;
    Ok(id)
}

/// What is left to do on a clone that bears its marks; the last of them says that it is whole.
fn finish(image: &Image, wanted: &Wanted) -> Result<()> {
    if wanted.new.copied
        && image.parent()?.is_some()
        && let Err(error) = image.flatten()
        && image.parent()?.is_some()
    {
        return Err(error); // else an earlier try, whose caller had given up, came to its end just now
    }
    grow(image, wanted.new.size_bytes_min)?;
    image.set_metadata(META_LAYER, &wanted.new.id.to_string())
}

fn clone(
    pool: &Pool,
    carriers: Option<&Pool>,
    wanted: &Wanted,
    (parent, snapshot): (&str, &str),
    shape: &Shape,
    name: &str,
) -> Result<()> {
    let Some(carriers) = carriers else { return pool.clone_image(parent, snapshot, pool, name, shape) };
    let carrier = carrier::make(pool, carriers, &wanted.layer, wanted.origin, (parent, snapshot), shape)?;
    carriers.clone_image(&carrier, CARRIER_SNAPSHOT, pool, name, shape)
}

/// A clone inherits all metadata of its parent as it was at some time. What is ours is replaced, and librbd's settings
/// are those that hold today; the rest, which is others', stays.
fn mark(image: &Image, wanted: &Wanted, settings: &BTreeMap<String, String>) -> Result<()> {
    let inherited = image.metadata()?;
    for key in inherited.keys() {
        if key.starts_with(META_PREFIX) || (key.starts_with(META_CONF_PREFIX) && !settings.contains_key(key)) {
            image.remove_metadata(key)?;
        }
    }
    for (key, value) in settings.iter().filter(|(key, value)| inherited.get(*key) != Some(*value)) {
        image.set_metadata(key, value)?;
    }
    image.set_metadata(META_SERVER, &wanted.layer.server_id.to_string())?;
    image.set_metadata(META_ORIGIN, &wanted.origin.to_string())?;
    image.set_metadata(META_OPERATION, &wanted.operation_id.to_string()) // last: it says that all marks are there
}

fn settings(image: &Image) -> Result<BTreeMap<String, String>> {
    let mut metadata = image.metadata()?;
    metadata.retain(|key, _| key.starts_with(META_CONF_PREFIX));
    Ok(metadata)
}

fn grow(image: &Image, size_bytes_min: u64) -> Result<()> {
    if image.size_bytes()? < size_bytes_min { image.resize(size_bytes_min) } else { Ok(()) }
}

fn need(pool: &Pool, id: &str, name: &str) -> Result<Image> {
    pool.open_id(id, Access::Write)?.ok_or_else(|| pool.missing(id, name))
}

/// Removes a layer that nobody has used, whether it was finished or not, and its carrier if that served nobody else.
pub(super) fn discard(pool: &Pool, carriers: Option<&Pool>, origin: DiskSnapshotId, new: LayerId) -> Result<()> {
    let name = layer_name(new);
    if let Some(id) = pool.holder(&name)?
        && let Some(image) = pool.open_id(&id, Access::Read)?
    {
        remove_unused(pool, image, &name)?;
    } else {
        pool.remove(&name)?;
    }
    carriers.map_or(Ok(()), |carriers| carrier::remove_if_unused(carriers, origin))
}

/// Removes a parked layer, and the carrier that it was made of if that serves nobody else. Never a head: the name must be
/// that of a parked one.
pub(super) fn purge(pool: &Pool, carriers: Option<&Pool>, layer: &Layer, origin: Option<DiskSnapshotId>) -> Result<()> {
    let name = layer_name(layer.id);
    match pool.name_of(&layer.backend_id)? {
        Some(other) if other != name => {
            return Err(Error::conflict(format!(
                "RBD image {}/{other} is not parked and is not removed.",
                pool.name()
            )));
        }
        Some(_) => {
            if let Some(image) = pool.open_id(&layer.backend_id, Access::Read)? {
                let image = without_resize(pool, image, &name)?;
                remove_unused(pool, image, &name)?;
            }
        }
        None => {
            pool.remove(&name)?; // half removed, if its remover died
        }
    }
    match (carriers, origin) {
        (Some(carriers), Some(origin)) => carrier::remove_if_unused(carriers, origin),
        _ => Ok(()),
    }
}

/// What Nova may have left on a layer that bore the head's name until a moment ago (the old head of a swap, or the new one of a
/// swap that was taken back): the snapshot through which it was making an image. Nova removes it by the name that the layer
/// no longer bears, so it would stay for ever.
pub(super) fn leftovers(pool: &Pool, new: LayerId) -> Result<Vec<Snapshot>> {
    let Some(id) = pool.holder(&layer_name(new))? else { return Ok(vec![]) };
    let Some(image) = pool.open_id(&id, Access::Read)? else { return Ok(vec![]) };
    let mut found = image.snapshots()?;
    found.retain(|snapshot| snapshot.kind == SnapshotKind::User && is_novas_temporary(&snapshot.name));
    Ok(found)
}

/// Takes them away. Nova has protected them: over a connection for scans.
pub(super) fn clear(pool: &Pool, new: LayerId) -> Result<()> {
    let Some(id) = pool.holder(&layer_name(new))? else { return Ok(()) };
    for snapshot in leftovers(pool, new)? {
        let Some(image) = pool.open_id(&id, Access::Read)? else { return Ok(()) };
        if !image.children(&snapshot)?.is_empty() {
            return Err(Error::conflict(format!(
                "Nova is still making an image of {}@{}.",
                image.label(),
                snapshot.name
            ))
            .retryable());
        }
        drop(image);
        if let Some(image) = pool.open_id(&id, Access::Write)? {
            image.unprotect_snapshot(&snapshot.name)?;
            image.remove_snapshot(&snapshot.name)?;
        }
    }
    Ok(())
}

/// Nova looks for its snapshot of a resize under the head's name, and does not find it where the head was taken.
fn without_resize(pool: &Pool, image: Image, name: &str) -> Result<Image> {
    if image.snapshot(RESIZE_SNAPSHOT)?.is_none() {
        return Ok(image);
    }
    let id = image.id().to_owned();
    drop(image);
    need(pool, &id, name)?.remove_snapshot(RESIZE_SNAPSHOT)?;
    pool.open_id(&id, Access::Read)?.ok_or_else(|| pool.missing(&id, name))
}

fn remove_unused(pool: &Pool, image: Image, name: &str) -> Result<()> {
    let snapshots = image.snapshots()?;
    if let Some(first) = snapshots.first() {
        return Err(Error::conflict(format!(
            "RBD image {} is not removed: it has {} snapshots ({}, …).",
            image.label(),
            snapshots.len(),
            first.name
        )));
    }
    let users = image.watchers()?;
    if !users.is_empty() {
        let label = image.label();
        return Err(Error::conflict(format!("RBD image {label} is not removed: somebody has it open."))
            .detail(users.join(", "))
            .retryable()
            .remedy("Wait until nobody has the image open."));
    }
    drop(image);
    pool.remove(name).map(|_| ())
}
