//! Takes a head from under the name by which Nova is about to remove it, and gives it back.
//!
//! Nova lists the pool, then removes what it has listed; while an image has snapshots it tries again every five seconds, for a
//! minute. A name that is gone by then is an error to it (`ImageNotFound`, read and seen in Zed), and the server ends in ERROR
//! instead of being deleted. So the head hands its name over to an empty *stand-in* ([`Pool::hand_over`]): whether Nova comes
//! early or late, or in between, it finds something that it can remove, now or with its next try. (With two renames, and the name
//! missing between them, one deletion in six of stopped servers failed: 6 of 36, measured.)
//!
//! Tried: a guest goes on writing to the renamed image.

use super::image::{Access, Image};
use super::names::Party;
use super::naming::{META_STAND_IN, head_name_of, layer_name, stand_in_name};
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::drivers::StandIn;
use crate::error::{Error, Result};

/// Of a stand-in, in bytes: nobody ever reads it.
const STAND_IN_BYTES: u64 = 1 << 20;

/// See [`crate::drivers::SnapshotDriver::take_over`].
pub(super) fn take_over(pool: &Pool, head: &Layer, stand_in: StandIn) -> Result<bool> {
    let (own, name, spare) = (layer_name(head.id), head_name_of(head), stand_in_name(head.id));
    finish(pool, head)?;
    let there = pool.name_of(&head.backend_id)?;
    if let Some(other) = there.as_ref().filter(|there| **there != own && **there != name) {
        return Err(Error::conflict(format!(
            "RBD image id {} in pool {} is named {other}, neither {name} nor {own}: somebody renamed it by hand.",
            head.backend_id,
            pool.name()
        )));
    }
    let places = match stand_in {
        StandIn::None => false,
        StandIn::Once => there.as_deref() == Some(name.as_str()),
        StandIn::Always => there.is_some(),
    };
    let is_free = || Ok(pool.listed_as(&name)?.is_none_or(|id| id == head.backend_id));
    match make(pool, head, places)? {
        Some(id) if is_free()? => {
            pool.hand_over(&name, Party { id: &head.backend_id, own: &own }, Party { id: &id, own: &spare })?;
        }
        _ => {
            if there.is_some() {
                pool.rename(&head.backend_id, &name, &own)?;
            }
            pool.remove(&spare)?;
        }
    }
    if stand_in == StandIn::None {
        remove_stand_in(pool, &name)?;
    }
    Ok(there.is_some())
}

/// A stand-in that may take the name of a head, if one shall be: its id.
fn make(pool: &Pool, head: &Layer, places: bool) -> Result<Option<String>> {
    if !places {
        return Ok(None);
    }
    let spare = stand_in_name(head.id);
    for _ in 0..2 {
        pool.create_empty(&spare, STAND_IN_BYTES)?;
        if let Some(image) = pool.open_name(&spare, Access::Write)? {
            image.set_metadata(META_STAND_IN, &head.id.to_string())?;
            return Ok(Some(image.id().to_owned()));
        }
        // Somebody died when he made it, or before he took away its first name.
        pool.remove(&spare)?;
        pool.drop_stale_name(&spare)?;
    }
    Err(Error::backend(format!("RBD image {}/{spare} was made and cannot be opened.", pool.name())))
}

/// Finishes what somebody who died while he handed the name over has left: a stand-in that is listed under it and does not
/// open under it yet.
fn finish(pool: &Pool, head: &Layer) -> Result<()> {
    let (own, name, spare) = (layer_name(head.id), head_name_of(head), stand_in_name(head.id));
    match pool.opens_as(&spare)? {
        Some(id) if pool.name_of(&id)?.as_deref() == Some(name.as_str()) => {
            pool.hand_over(&name, Party { id: &head.backend_id, own: &own }, Party { id: &id, own: &spare })
        }
        _ => Ok(()),
    }
}

/// Which image (id) bears the name that Nova expects of a head; a stand-in counts as none.
pub(super) fn bearer(pool: &Pool, head: &Layer) -> Result<Option<String>> {
    let name = head_name_of(head);
    if is_stand_in(pool, &name)? { Ok(None) } else { pool.listed_as(&name) }
}

/// Gives a layer the name that Nova expects, if nothing but a stand-in bears it and the layer is there under its own. Whether
/// it did.
pub(super) fn give_back(pool: &Pool, layer: &Layer) -> Result<bool> {
    let (own, name) = (layer_name(layer.id), head_name_of(layer));
    finish(pool, layer)?;
    if bearer(pool, layer)?.is_some() || pool.name_of(&layer.backend_id)?.as_deref() != Some(own.as_str()) {
        return Ok(false);
    }
    pool.remove(&stand_in_name(layer.id))?;
    remove_stand_in(pool, &name)?;
    pool.rename(&layer.backend_id, &own, &name)?;
    Ok(true)
}

/// Whether what bears a name is a stand-in of ours.
fn is_stand_in(pool: &Pool, name: &str) -> Result<bool> {
    pool.open_name(name, Access::Read)?.map_or(Ok(false), |image| stands_in(&image))
}

/// Whether an image is a stand-in of ours. One that Nova has grown to a flavor's size is a server's disk by now.
pub(super) fn stands_in(image: &Image) -> Result<bool> {
    Ok(image.metadata()?.contains_key(META_STAND_IN) && image.size_bytes()? == STAND_IN_BYTES)
}

/// Refused by Ceph while somebody has it open.
fn remove_stand_in(pool: &Pool, name: &str) -> Result<()> {
    if is_stand_in(pool, name)? {
        pool.remove(name)?;
    }
    Ok(())
}
