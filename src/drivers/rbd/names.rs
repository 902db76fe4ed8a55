//! Who bears which name in a pool, renames, and the handing over of a name. Blocking.
//!
//! In Ceph a name is two things: the object `rbd_id.<name>` holds the image's id, and is what *opening* reads; the object
//! `rbd_directory` has ids by names and names by ids, and is what *listing* reads, and opening by id.
//!
//! **Renames can be found half done.** librbd renames in three writes: (1) the object `rbd_id.<new>` is made, (2) the
//! directory is changed, in one atomic act, (3) `rbd_id.<old>` is removed. Who dies between them leaves an image
//! that opens under two names; the directory's is the true one, the other is stale, and blocks both its name and every later
//! rename to it (`EEXIST`). For Nova the stale name would even be a disk. So nobody here trusts "it opens under that name"
//! alone: [`Pool::holder`] compares both, and [`Pool::rename`] and `holder` take stale names of our own images away.
//!
//! **Two renames leave a moment in which the name opens nothing**, as long as librbd takes to close one image and to look at the
//! other. Nova does not forgive that while it deletes a server. So [`Pool::hand_over`] makes the same writes in another order: the directory
//! first, then `rbd_id.<name>` from one id to the other, in one write. The layout is that of image format 2, as `cls_rbd`
//! and `librbd::operation::RenameRequest` have it (Ceph 16.2); of a journaled image a mirror does not hear that it was renamed.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::ptr;

use super::connection::c_string;
use super::errno::{ENOENT, check};
use super::image::Access;
use super::librbd::{Api, WriteOpT};
use super::naming::IMAGE_PREFIX;
use super::pool::Pool;
use crate::error::{Error, Result};

/// What librados answers when a comparison fails: this, and further down by the byte that differs.
const DIFFERS: i32 = -4095;

/// An image, and the name that it shall have when it does not bear the one in question.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Image id.
    pub id: &'a str,
    /// Its own name.
    pub own: &'a str,
}

impl Pool {
    /// The true name of an image: what the directory says.
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn name_of(&self, id: &str) -> Result<Option<String>> {
        Ok(self.open_id(id, Access::Read)?.map(|image| image.name().to_owned()))
    }

    /// Which image (id) opens under a name, stale or not.
    pub(super) fn opens_as(&self, name: &str) -> Result<Option<String>> {
        Ok(self.open_name(name, Access::Read)?.map(|image| image.id().to_owned()))
    }

    /// Which image (id) bears a name, looked at and nothing else: while somebody renames, a name may be nobody's.
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn listed_as(&self, name: &str) -> Result<Option<String>> {
        let Some(id) = self.opens_as(name)? else { return Ok(None) };
        Ok(self.name_of(&id)?.filter(|true_name| true_name == name).map(|_| id))
    }

    /// Which image (id) bears a name, for one who is about to rename. A stale name of one of our images is taken away and
    /// counts as free.
    ///
    /// # Errors
    /// `Conflict` if the name is a stale one of an image that is not ours; else as [`super::errno`] maps them.
    pub fn holder(&self, name: &str) -> Result<Option<String>> {
        let Some(id) = self.opens_as(name)? else { return Ok(None) };
        match self.name_of(&id)? {
            Some(true_name) if true_name == name => Ok(Some(id)),
            Some(true_name) if true_name.starts_with(IMAGE_PREFIX) => {
                self.drop_stale_name(name)?;
                Ok(None)
            }
            true_name => Err(Error::conflict(format!(
                "RBD image {}/{name} opens as image id {id}, whose name is {}: a rename was left half done.",
                self.name(),
                true_name.as_deref().unwrap_or("not listed"),
            ))
            .remedy(format!(
                "If that image is right, remove the stale object: `rados -p {} rm rbd_id.{name}`.",
                self.name()
            ))),
        }
    }

    /// Removes `rbd_id.<name>`. Only called when the directory gives that image another name, or the image is gone.
    pub(super) fn drop_stale_name(&self, name: &str) -> Result<()> {
        let object = c_string(&format!("rbd_id.{name}"))?;
        // SAFETY: the ioctx is live, the string terminated.
        let code = unsafe { (self.api().rados_remove)(self.io, object.as_ptr()) };
        if code == -ENOENT {
            return Ok(());
        }
        check(code, || format!("remove the stale name {} from pool {}", name, self.name()))?;
        Ok(())
    }

    /// Renames the image with this id from one name to another. Doing it again is well; a rename that somebody left
    /// half done is finished.
    ///
    /// # Errors
    /// `NotFound` if there is no such image; `Conflict` if it bears neither name, or another image has the new one.
    pub fn rename(&self, id: &str, from: &str, to: &str) -> Result<()> {
        let pool = self.name();
        let Some(name) = self.name_of(id)? else { return Err(self.missing(id, from)) };
        if name == to {
            // Done before, but perhaps without the third write.
            if self.opens_as(from)?.as_deref() == Some(id) {
                self.drop_stale_name(from)?;
            }
            return Ok(());
        }
        if name != from {
            return Err(Error::conflict(format!("RBD image id {id} in pool {pool} is named {name}, not {from}.")));
        }
        if self.opens_as(to)?.as_deref() == Some(id) {
            // Only the first write was done: begin again.
            self.drop_stale_name(to)?;
        } else if let Some(other) = self.holder(to)? {
            return Err(Error::conflict(format!(
                "RBD image {pool}/{from} cannot be renamed: {to} is the name of image id {other}."
            )));
        }
        let (c_from, c_to) = (c_string(from)?, c_string(to)?);
        // SAFETY: the ioctx is live, both strings terminated.
        let code = unsafe { (self.api().rbd_rename)(self.io, c_from.as_ptr(), c_to.as_ptr()) };
        check(code, || format!("rename RBD image {pool}/{from} to {to}"))?;
        Ok(())
    }

    /// Gives the name of one image to another: at no moment does it open nothing. `from` has its own name then. Doing it again
    /// is well; what somebody left half done is finished.
    ///
    /// # Errors
    /// `Conflict` if one of them bears a third name, or somebody else one of theirs.
    pub fn hand_over(&self, name: &str, from: Party<'_>, to: Party<'_>) -> Result<()> {
        // `from` may be gone: somebody who opened it before removed it.
        let old = self.name_of(from.id)?;
        let new = self.name_of(to.id)?.ok_or_else(|| self.missing(to.id, to.own))?;
        let is_third = |at: &str, party: &Party<'_>| at != name && at != party.own;
        if old.as_deref().is_some_and(|old| is_third(old, &from) || old == new) || is_third(&new, &to) {
            return Err(Error::conflict(format!(
                "RBD image {}/{name} cannot become image id {}, which is named {new}; image id {} is named {}.",
                self.name(),
                to.id,
                from.id,
                old.as_deref().unwrap_or("nothing"),
            )));
        }
        if old.as_deref() == Some(name) {
            if let Some(other) = self.opens_as(from.own)?.filter(|id| id != from.id) {
                return Err(Error::conflict(format!("RBD image {}/{} is image id {other}.", self.name(), from.own)));
            }
            self.write_id(from.own, None, from.id)?;
            self.rename_in_directory(from.id, name, from.own)?;
        }
        if new == to.own {
            self.rename_in_directory(to.id, to.own, name)?;
        }
        match self.opens_as(name)? {
            Some(id) if id == to.id => {}
            Some(id) if id == from.id => self.write_id(name, Some(from.id), to.id)?,
            Some(id) => return Err(Error::conflict(format!("RBD image {}/{name} is image id {id}.", self.name()))),
            None => self.write_id(name, None, to.id)?,
        }
        self.drop_stale_name(to.own)
    }

    /// `rbd_id.<name>` holds `id` from now on. `instead_of`: only if it holds that until now.
    fn write_id(&self, name: &str, instead_of: Option<&str>, id: &str) -> Result<()> {
        let mut act = Write::new(self.api());
        if let Some(old) = instead_of {
            act.only_if_it_holds(string(old));
        }
        act.replace(string(id));
        act.run(self, &format!("rbd_id.{name}"), || {
            format!("give the name {name} in pool {} to image id {id}", self.name())
        })
    }

    fn rename_in_directory(&self, id: &str, from: &str, to: &str) -> Result<()> {
        let mut act = Write::new(self.api());
        act.call(c"rbd", c"dir_rename_image", [from, to, id].into_iter().flat_map(string).collect());
        act.run(self, "rbd_directory", || format!("rename RBD image {}/{from} to {to}", self.name()))
    }
}

/// A string as Ceph encodes it.
fn string(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX); // names have less than 100 bytes
    length.to_le_bytes().into_iter().chain(text.bytes()).collect()
}

/// `rados_write_op_t`: parts that are done together or not at all; freed when dropped.
struct Write {
    api: &'static Api,
    raw: WriteOpT,
    /// What the parts point to.
    held: Vec<Vec<u8>>,
}

impl Write {
    fn new(api: &'static Api) -> Self {
        // SAFETY: takes nothing.
        Self { api, raw: unsafe { (api.rados_create_write_op)() }, held: vec![] }
    }

    fn hold(&mut self, bytes: Vec<u8>) -> (*const c_char, usize) {
        let place = (bytes.as_ptr().cast(), bytes.len());
        self.held.push(bytes); // the bytes themselves stay where they are
        place
    }

    fn only_if_it_holds(&mut self, bytes: Vec<u8>) {
        let (at, length) = self.hold(bytes);
        // SAFETY: the operation is live, the bytes live as long as it does; no place for a result of this part.
        unsafe { (self.api.rados_write_op_cmpext)(self.raw, at, length, 0, ptr::null_mut()) };
    }

    fn replace(&mut self, bytes: Vec<u8>) {
        let (at, length) = self.hold(bytes);
        // SAFETY: as above.
        unsafe { (self.api.rados_write_op_write_full)(self.raw, at, length) };
    }

    fn call(&mut self, class: &CStr, method: &CStr, input: Vec<u8>) {
        let (at, length) = self.hold(input);
        // SAFETY: as above; both names are terminated and copied by C.
        unsafe {
            (self.api.rados_write_op_exec)(self.raw, class.as_ptr(), method.as_ptr(), at, length, ptr::null_mut());
        }
    }

    fn run(self, pool: &Pool, object: &str, doing: impl FnOnce() -> String) -> Result<()> {
        let object = c_string(object)?;
        // SAFETY: operation and ioctx are live, the string terminated, the time is now, there are no flags.
        let code = unsafe { (self.api.rados_write_op_operate)(self.raw, pool.io, object.as_ptr(), ptr::null_mut(), 0) };
        if code <= DIFFERS {
            return Err(Error::conflict(format!("Cannot {}: another image has it by now.", doing())).retryable());
        }
        check(code, doing).map(drop)
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        // SAFETY: made by rados_create_write_op, not used after this.
        unsafe { (self.api.rados_release_write_op)(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_encoded_with_their_length_in_front() {
        assert_eq!(string("ab"), [2, 0, 0, 0, b'a', b'b']);
    }
}
