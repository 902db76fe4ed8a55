//! Finding a layer's image: by its id, and only under a name that it may have.
//!
//! An image id never comes back, a name does: Nova makes a new `<server>_disk` whenever it likes. So layers are
//! addressed by id; the name is checked because an image that somebody renamed is no longer ours to change.

use super::image::{Access, Image};
use super::naming::{head_name_of, layer_name};
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::error::{Error, Result};

/// The layer's image, if there is one.
///
/// # Errors
/// `Conflict` if it bears a name that is neither its server's nor its own.
pub(super) fn find(pool: &Pool, layer: &Layer, access: Access) -> Result<Option<Image>> {
    let Some(image) = pool.open_id(&layer.backend_id, access)? else { return Ok(None) };
    check_name(&image, layer)?;
    Ok(Some(image))
}

/// The layer's image.
///
/// # Errors
/// `NotFound` if there is none; else as [`find`].
pub(super) fn need(pool: &Pool, layer: &Layer, access: Access) -> Result<Image> {
    find(pool, layer, access)?.ok_or_else(|| missing(pool, layer))
}

/// The error for a layer without an image.
pub(super) fn missing(pool: &Pool, layer: &Layer) -> Error {
    pool.missing(&layer.backend_id, &format!("{} or {}", head_name_of(layer), layer_name(layer.id)))
}

fn check_name(image: &Image, layer: &Layer) -> Result<()> {
    let (head, own) = (head_name_of(layer), layer_name(layer.id));
    if image.name() == head || image.name() == own {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "RBD image id {} is named {}, but layer {} should be {head} or {own}: somebody renamed it.",
        image.id(),
        image.label(),
        layer.id,
    ))
    .remedy(format!("Rename it back: `rbd rename {} {own}`.", image.label())))
}
