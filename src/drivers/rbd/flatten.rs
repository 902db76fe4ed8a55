//! A parked image is given all that it still reads from what it was made of, and hangs on nothing any more. Blocking, and as long
//! as there are bytes; whoever dies on the way has done a part of it, and it is done again.
//!
//! Ceph drops a removed snapshot with the last clone of it, so what the image was made of may be free to go afterwards.

use std::sync::Arc;

use super::carrier;
use super::connection::Connection;
use super::image::{Access, FEATURE_DEEP_FLATTEN, Image};
use super::naming::{IMAGE_PREFIX, layer_name};
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::error::{Error, Result};

/// What would be written, in bytes; `None` if it would be refused.
pub(super) fn cost(connection: &Arc<Connection>, pool: &Pool, layer: &Layer) -> Result<Option<u64>> {
    let Some(image) = pool.open_id(&layer.backend_id, Access::Read)? else { return Ok(None) };
    Ok(match refusal(connection, &image, layer)? {
        Some(_) => None,
        None => Some(image.borrowed_bytes()?),
    })
}

/// Flattens the image of a parked layer, and removes the carrier that it was made of if that serves nobody else.
pub(super) fn flatten(connection: &Arc<Connection>, pool: &Pool, carriers: Option<&Pool>, layer: &Layer) -> Result<()> {
    let open = |access| {
        let image = pool.open_id(&layer.backend_id, access)?;
        image.ok_or_else(|| pool.missing(&layer.backend_id, &layer_name(layer.id)))
    };
    let image = open(Access::Read)?;
    if let Some(why) = refusal(connection, &image, layer)? {
        return Err(Error::conflict(format!("RBD image {} is not flattened: {why}.", image.label())));
    }
    if image.parent()?.is_some() {
        drop(image);
        open(Access::Write)?.flatten()?;
    }
    match (carriers, layer.parent) {
        (Some(carriers), Some(origin)) => carrier::remove_if_unused(carriers, origin),
        _ => Ok(()),
    }
}

/// Why the image is not to be flattened, if so.
fn refusal(connection: &Arc<Connection>, image: &Image, layer: &Layer) -> Result<Option<String>> {
    if image.name() != layer_name(layer.id) {
        return Ok(Some("it is not parked".into()));
    }
    // Then its snapshots would go on reading from the parent, which would not be let go.
    let features = image.number("features", image.api().rbd_get_features)?;
    if features & FEATURE_DEEP_FLATTEN == 0 && !image.snapshots()?.is_empty() {
        return Ok(Some("it has snapshots, and not the feature deep-flatten".into()));
    }
    in_use(connection, image)
}

/// Whether anybody has the image open, or anything that was made of it, or of that; also what somebody else has made, who may
/// open it at any time.
fn in_use(connection: &Arc<Connection>, image: &Image) -> Result<Option<String>> {
    if let Some(user) = image.watchers()?.first() {
        return Ok(Some(format!("{user} has {} open", image.label())));
    }
    for snapshot in image.snapshots()? {
        for child in image.children(&snapshot)? {
            let found = Pool::open(connection, &child.pool)?.open_id(&child.id, Access::Read)?;
            let Some(clone) = found.filter(|clone| clone.name().starts_with(IMAGE_PREFIX)) else {
                return Ok(Some(format!("id {} in pool {} was made of it, by somebody else", child.id, child.pool)));
            };
            if let Some(why) = in_use(connection, &clone)? {
                return Ok(Some(why));
            }
        }
    }
    Ok(None)
}
