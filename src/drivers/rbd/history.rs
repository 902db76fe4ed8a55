//! Snapshots of an image: taken, removed, listed, with their clones; and whether the image has changed since one.
//! Blocking, as all of [`Image`].
//!
//! A snapshot that is removed while clones need it goes to a namespace of its own (`Trash` here) under a new name, until
//! the last clone is gone: it still counts where an image is removed, and nowhere else.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::connection::{c_string, own_str};
use super::errno::{EEXIST, EINVAL, ENOENT, check};
use super::image::{FEATURE_FAST_DIFF, Image};
use super::librbd::{LinkedImageSpecT, SNAP_NAMESPACE_TRASH, SNAP_NAMESPACE_USER, SnapInfoT, fill};
use crate::error::{Error, Result};

/// The image's flag: its object map may be wrong.
const FLAG_OBJECT_MAP_INVALID: u64 = 1;
/// The image's flag: what the object map says of changes may be wrong.
const FLAG_FAST_DIFF_INVALID: u64 = 1 << 1;

/// What kind of snapshot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Made by somebody, under a name of his.
    User,
    /// Removed, and kept by Ceph until its last clone goes.
    Trash,
    /// A group's or a mirror's.
    Other,
}

/// A snapshot on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Number, unique on the image for ever.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Size of the image then, in bytes.
    pub size_bytes: u64,
    /// Kind.
    pub kind: SnapshotKind,
}

/// A clone of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its pool.
    pub pool: String,
    /// Its id.
    pub id: String,
}

impl Image {
    /// All snapshots, oldest first, those that wait in the trash for their last clone included.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        // SAFETY: the image is open, the array has room for `count` entries; C ends the list with a null name.
        let (code, mut infos) = fill(16, SnapInfoT::empty, |infos, count| unsafe {
            let mut room = c_int::try_from(*count).unwrap_or(c_int::MAX);
            let code = (self.api().rbd_snap_list)(self.handle(), infos, &raw mut room);
            *count = usize::try_from(if code < 0 { room } else { code }).unwrap_or_default();
            code
        });
        check(code, || format!("list the snapshots of RBD image {}", self.label()))?;
        let named: Vec<(u64, u64, String)> = infos
            .iter()
            // SAFETY: the filled entries hold terminated strings.
            .map(|info| (info.id, info.size, unsafe { own_str(info.name) }))
            .collect();
        // The end mark that C looks for stands behind the filled entries, in room that `fill` has cut off but kept.
        infos.push(SnapInfoT::empty());
        // SAFETY: frees the names up to the null name; they are not used again.
        unsafe { (self.api().rbd_snap_list_end)(infos.as_mut_ptr()) };
        named
            .into_iter()
            .map(|(id, size_bytes, name)| Ok(Snapshot { id, name, size_bytes, kind: self.snapshot_kind(id)? }))
            .collect()
    }

    fn snapshot_kind(&self, id: u64) -> Result<SnapshotKind> {
        let mut kind: c_int = 0;
        // SAFETY: the image is open, `kind` a place for the number.
        let code = unsafe { (self.api().rbd_snap_get_namespace_type)(self.handle(), id, &raw mut kind) };
        check(code, || format!("read the kind of snapshot {id} of RBD image {}", self.label()))?;
        Ok(match kind {
            SNAP_NAMESPACE_USER => SnapshotKind::User,
            SNAP_NAMESPACE_TRASH => SnapshotKind::Trash,
            _ => SnapshotKind::Other,
        })
    }

    /// The snapshot of a name, if there is one that was not removed.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn snapshot(&self, name: &str) -> Result<Option<Snapshot>> {
        Ok(self.snapshots()?.into_iter().find(|snapshot| snapshot.kind == SnapshotKind::User && snapshot.name == name))
    }

    /// Takes a snapshot; one of that name that is there already counts as taken.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn create_snapshot(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: the image is open, the string terminated.
        let code = unsafe { (self.api().rbd_snap_create)(self.handle(), c_name.as_ptr()) };
        if code != -EEXIST {
            check(code, || format!("take snapshot {}@{name}", self.label()))?;
        }
        Ok(())
    }

    /// Removes a snapshot; an absent one counts as removed. Clones keep their content: Ceph moves it to its trash.
    ///
    /// # Errors
    /// `Conflict` if somebody protected it.
    pub fn remove_snapshot(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: the image is open, the string terminated.
        let code = unsafe { (self.api().rbd_snap_remove)(self.handle(), c_name.as_ptr()) };
        if code != -ENOENT {
            check(code, || format!("remove snapshot {}@{name}", self.label()))?;
        }
        Ok(())
    }

    /// Takes the protection off a snapshot, if it has any.
    ///
    /// # Errors
    /// `Conflict` that passes while something of the first clone format hangs on it.
    pub fn unprotect_snapshot(&self, name: &str) -> Result<()> {
        let c_name = c_string(name)?;
        // SAFETY: the image is open, the string terminated.
        let code = unsafe { (self.api().rbd_snap_unprotect)(self.handle(), c_name.as_ptr()) };
        if code != -EINVAL && code != -ENOENT {
            check(code, || format!("unprotect snapshot {}@{name}", self.label())).map_err(Error::retryable)?;
        }
        Ok(())
    }

    /// The clones of a snapshot, which may have been removed, wherever they are, in the trash too.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn children(&self, snapshot: &Snapshot) -> Result<Vec<Child>> {
        // SAFETY: the image is open. It stands at the snapshot until the reset below.
        let code = unsafe { (self.api().rbd_snap_set_by_id)(self.handle(), snapshot.id) };
        check(code, || format!("look at snapshot {}@{}", self.label(), snapshot.name))?;
        let found = self.children_here(&snapshot.name);
        // SAFETY: as above; null = the image itself.
        let code = unsafe { (self.api().rbd_snap_set)(self.handle(), ptr::null()) };
        check(code, || format!("look at RBD image {} again", self.label()))?;
        found
    }

    fn children_here(&self, snapshot: &str) -> Result<Vec<Child>> {
        // SAFETY: the image is open, the array has room for `count` entries.
        let (code, mut specs) = fill(16, LinkedImageSpecT::empty, |specs, count| unsafe {
            (self.api().rbd_list_children3)(self.handle(), specs, count)
        });
        check(code, || format!("list the clones of {}@{snapshot}", self.label()))?;
        let own = |spec: &LinkedImageSpecT| {
            // SAFETY: the filled entries hold terminated strings.
            unsafe { Child { pool: own_str(spec.pool_name), id: own_str(spec.image_id) } }
        };
        let found = specs.iter().map(own).collect();
        // SAFETY: frees the strings of exactly the filled entries; they are not used again.
        unsafe { (self.api().rbd_linked_image_spec_list_cleanup)(specs.as_mut_ptr(), specs.len()) };
        Ok(found)
    }

    /// Whether anything was written, discarded or zeroed since a snapshot of this image.
    ///
    /// By whole objects: with fast-diff this reads the object maps only, and it counts every write, also one that put
    /// the same bytes there. Comparing extents instead would read every object's history and, before Ceph 18.2.2, not
    /// notice a discard at the end of an object.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn changed_since(&self, snapshot: &str) -> Result<bool> {
        self.changed(Some(snapshot))
    }

    /// Whether it is a clone that nobody has written to, discarded or cut anything off, since it was made of a snapshot of
    /// `size_bytes`; it may have been grown, by zeroes. Where that cannot be told for sure it is not.
    ///
    /// Each object of its own is a change, and the object map knows them all. Without a valid one librbd would list
    /// objects instead, where one that only hides the parent's bytes (a discard) has no extent that could be seen.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn is_bare_clone(&self, size_bytes: u64) -> Result<bool> {
        let features = self.number("features", self.api().rbd_get_features)?;
        let flags = self.number("flags", self.api().rbd_get_flags)?;
        if features & FEATURE_FAST_DIFF == 0 || flags & (FLAG_OBJECT_MAP_INVALID | FLAG_FAST_DIFF_INVALID) != 0 {
            return Ok(false);
        }
        // Shrunk and grown again, it would show zeroes where the parent has bytes, without an object of its own. And with
        // snapshots of its own it would be compared by way of these.
        if self.number("overlap with the parent", self.api().rbd_get_overlap)? != size_bytes
            || !self.snapshots()?.is_empty()
        {
            return Ok(false);
        }
        Ok(!self.changed(None)?)
    }

    /// Whether there is any change since a snapshot; `None` = since the image was made, without its parent's bytes.
    fn changed(&self, snapshot: Option<&str>) -> Result<bool> {
        let c_name = snapshot.map(c_string).transpose()?;
        let changed = AtomicBool::new(false);
        let size = self.size_bytes()?;
        // SAFETY: the image is open, the string terminated and alive during the call, or null, which is the beginning;
        // the callback gets a pointer to `changed`, which outlives the call (it returns after the last callback), and
        // only stores to it atomically.
        let code = unsafe {
            (self.api().rbd_diff_iterate2)(
                self.handle(),
                c_name.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
                0,
                size,
                0,
                1,
                note_change,
                (&raw const changed).cast_mut().cast(),
            )
        };
        if changed.load(Ordering::SeqCst) {
            return Ok(true);
        }
        check(code, || format!("compare RBD image {} with its {}", self.label(), snapshot.unwrap_or("parent")))?;
        Ok(false)
    }

    /// Bytes of the objects that the image has of its own, as its object map knows them, or as a look at each object finds.
    /// What its snapshots alone still hold is not counted.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn used_bytes(&self) -> Result<u64> {
        self.extents(false)
    }

    /// Bytes that a reader finds and that the image has not of its own: they are its parent's, or an ancestor's.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn borrowed_bytes(&self) -> Result<u64> {
        Ok(self.extents(true)?.saturating_sub(self.extents(false)?))
    }

    /// The sum of all extents, by whole objects.
    fn extents(&self, with_parents: bool) -> Result<u64> {
        let used = AtomicU64::new(0);
        // SAFETY: the image is open; the callback gets a pointer to `used`, which outlives the call, and only adds to it
        // atomically. Null = all there is; 1 = whole objects.
        let code = unsafe {
            (self.api().rbd_diff_iterate2)(
                self.handle(),
                ptr::null(),
                0,
                self.size_bytes()?,
                u8::from(with_parents),
                1,
                add_extent,
                (&raw const used).cast_mut().cast(),
            )
        };
        check(code, || format!("measure RBD image {}", self.label()))?;
        Ok(used.load(Ordering::SeqCst))
    }

    /// The error for a snapshot that should be there.
    #[must_use]
    pub fn missing_snapshot(&self, name: &str) -> Error {
        Error::not_found("RBD snapshot", format!("{}@{name}", self.label()))
    }
}

/// Adds up what exists.
extern "C" fn add_extent(_offset: u64, length: usize, exists: c_int, used: *mut c_void) -> c_int {
    if exists != 0 {
        // SAFETY: `used` is the pointer to the AtomicU64 that `extents` passed, alive during the iteration.
        unsafe { &*used.cast::<AtomicU64>() }.fetch_add(length as u64, Ordering::SeqCst);
    }
    0
}

/// Notes that there is a difference and stops the iteration (any negative number does).
extern "C" fn note_change(_offset: u64, _length: usize, _exists: c_int, changed: *mut c_void) -> c_int {
    // SAFETY: `changed` is the pointer to the AtomicBool that `changed` passed, alive during the iteration.
    unsafe { &*changed.cast::<AtomicBool>() }.store(true, Ordering::SeqCst);
    -1
}
