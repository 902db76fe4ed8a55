//! One RBD image, opened. Blocking.
//!
//! Opened for reading, an image registers no watch: nobody sees us, and the watchers that we read are all others'. The
//! price is that what was read may be old a moment later; so images are opened, used and closed within one act. Opened
//! for writing, our own watch is there: it bears our client id, by which [`Image::watchers`] leaves it out.
//!
//! Snapshots, sizes and metadata are changed through whoever holds the exclusive lock: while a guest runs that is QEMU,
//! and librbd sends it the request and waits.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use super::connection::{Connection, own_str, until_nul};
use super::errno::{ENOENT, ERANGE, check};
use super::librbd::{Api, ImageInfoT, ImageT, LinkedImageSpecT, SnapSpecT, WatcherT, fill};
use crate::error::Result;

/// How an image is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No watch, no lock, no change.
    Read,
    /// With a watch.
    Write,
}

/// Where an image was cloned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Pool.
    pub pool: String,
    /// Image id.
    pub image_id: String,
    /// Image name at present.
    pub image_name: String,
    /// Snapshot's number.
    pub snapshot_id: u64,
}

/// What a clone keeps of the image that it takes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Feature bits.
    pub features: u64,
    /// Object size as a power of two.
    pub order: u64,
    /// Stripe unit in bytes and count, where it is striped.
    pub striping: Option<(u64, u64)>,
    /// Pool of the data, where it is another one.
    pub data_pool: Option<String>,
}

/// Feature bits that can be asked for; the others follow from options or are states.
pub const FEATURE_LAYERING: u64 = 1;
/// Striping other than by whole objects.
pub const FEATURE_STRIPING: u64 = 1 << 1;
/// Exclusive lock.
pub const FEATURE_EXCLUSIVE_LOCK: u64 = 1 << 2;
/// Object map.
pub const FEATURE_OBJECT_MAP: u64 = 1 << 3;
/// Fast diff.
pub const FEATURE_FAST_DIFF: u64 = 1 << 4;
/// Deep flatten.
pub const FEATURE_DEEP_FLATTEN: u64 = 1 << 5;
/// Journaling.
pub const FEATURE_JOURNALING: u64 = 1 << 6;

/// An open image; closed when dropped.
pub struct Image {
    connection: Arc<Connection>,
    raw: ImageT,
    pool: String,
    name: String,
    id: String,
}

// SAFETY: librbd's image handles may be used from any thread; `Image` is not `Sync`, so one thread at a time uses it.
unsafe impl Send for Image {}

impl Image {
    /// Takes an open handle over.
    pub(super) fn new(connection: Arc<Connection>, raw: ImageT, pool: &str) -> Result<Self> {
        // From here on the handle is closed by Drop, whatever fails.
        let mut image = Self { connection, raw, pool: pool.to_owned(), name: String::new(), id: String::new() };
        image.name = image.read_name()?;
        image.id = image.read_id()?;
        Ok(image)
    }

    /// The C functions.
    pub(super) fn api(&self) -> &'static Api {
        self.connection.api
    }

    /// The handle, open as long as `self` lives.
    pub(super) fn handle(&self) -> ImageT {
        self.raw
    }

    /// `pool/name`, for sentences.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.pool, self.name)
    }

    /// The name: of the pool's directory if opened by id, else the name that it was opened by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id, which stays for the image's whole life.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn read_name(&self) -> Result<String> {
        let mut buffer = vec![0_u8; 256];
        loop {
            let mut length = buffer.len();
            // SAFETY: the image is open, the buffer writable for `length` bytes.
            let code = unsafe { (self.api().rbd_get_name)(self.raw, buffer.as_mut_ptr().cast(), &raw mut length) };
            if code == -ERANGE && length > buffer.len() {
                buffer.resize(length + 1, 0);
                continue;
            }
            check(code, || format!("read the name of an RBD image in pool {}", self.pool))?;
            return Ok(until_nul(&buffer));
        }
    }

    fn read_id(&self) -> Result<String> {
        // An id is at most 14 characters today; C answers ERANGE if a later one is longer than this.
        let mut buffer = [0_u8; 256];
        // SAFETY: the image is open, the buffer writable for its length.
        let code = unsafe { (self.api().rbd_get_id)(self.raw, buffer.as_mut_ptr().cast(), buffer.len()) };
        check(code, || format!("read the id of RBD image {}", self.label()))?;
        Ok(until_nul(&buffer))
    }

    fn info(&self) -> Result<ImageInfoT> {
        // SAFETY: plain numbers and arrays of numbers: all zeroes is a valid value.
        let mut info: ImageInfoT = unsafe { std::mem::zeroed() };
        // SAFETY: the image is open, `info` has the size given.
        let code = unsafe { (self.api().rbd_stat)(self.raw, &raw mut info, size_of::<ImageInfoT>()) };
        check(code, || format!("read the size of RBD image {}", self.label()))?;
        Ok(info)
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// As all of this type: as [`super::errno`] maps what librbd answers, naming pool, image and act.
    pub fn size_bytes(&self) -> Result<u64> {
        Ok(self.info()?.size)
    }

    /// One of the image's numbers.
    pub(super) fn number(&self, what: &str, function: unsafe extern "C" fn(ImageT, *mut u64) -> c_int) -> Result<u64> {
        let mut value = 0;
        // SAFETY: the image is open, `value` a place for the number.
        let code = unsafe { function(self.raw, &raw mut value) };
        check(code, || format!("read the {what} of RBD image {}", self.label()))?;
        Ok(value)
    }

    /// What a clone shall keep: features that can be asked for, object size, striping, data pool.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn shape(&self) -> Result<Shape> {
        let features = self.number("features", self.api().rbd_get_features)?;
        let striping = if features & FEATURE_STRIPING == 0 {
            None
        } else {
            Some((
                self.number("stripe unit", self.api().rbd_get_stripe_unit)?,
                self.number("stripe count", self.api().rbd_get_stripe_count)?,
            ))
        };
        // SAFETY: the image is open. A negative number: the data lie in the image's own pool.
        let data_pool = unsafe { (self.api().rbd_get_data_pool_id)(self.raw) };
        Ok(Shape {
            features,
            order: u64::try_from(self.info()?.order).unwrap_or_default(),
            striping,
            data_pool: if data_pool < 0 { None } else { Some(self.connection.pool_name(data_pool)?) },
        })
    }

    /// Where it was cloned from, if it was (and was not flattened since).
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn parent(&self) -> Result<Option<Parent>> {
        let mut image = LinkedImageSpecT::empty();
        let mut snapshot = SnapSpecT { id: 0, namespace_type: 0, name: ptr::null_mut() };
        // SAFETY: the image is open, both structs are places for C to fill.
        let code = unsafe { (self.api().rbd_get_parent)(self.raw, &raw mut image, &raw mut snapshot) };
        if code == -ENOENT {
            return Ok(None);
        }
        check(code, || format!("read the parent of RBD image {}", self.label()))?;
        // SAFETY: on success the strings are terminated; they are copied, then freed once, by the library's own functions.
        let parent = unsafe {
            let parent = Parent {
                pool: own_str(image.pool_name),
                image_id: own_str(image.image_id),
                image_name: own_str(image.image_name),
                snapshot_id: snapshot.id,
            };
            (self.api().rbd_linked_image_spec_cleanup)(&raw mut image);
            (self.api().rbd_snap_spec_cleanup)(&raw mut snapshot);
            parent
        };
        Ok(Some(parent))
    }

    /// Who else has the image open, as `client.4123 192.0.2.1:0/77`.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn watchers(&self) -> Result<Vec<String>> {
        let own = i64::try_from(self.connection.client_id()).unwrap_or(-1);
        // SAFETY: the image is open, the array has room for `count` entries.
        let (code, mut watchers) = fill(16, WatcherT::empty, |watchers, count| unsafe {
            (self.api().rbd_watchers_list)(self.raw, watchers, count)
        });
        check(code, || format!("list who has RBD image {} open", self.label()))?;
        let mut found: Vec<String> = watchers
            .iter()
            .filter(|watcher| watcher.id != own)
            // SAFETY: the filled entries hold terminated strings.
            .map(|watcher| format!("client.{} {}", watcher.id, unsafe { own_str(watcher.addr) }))
            .collect();
        // SAFETY: frees the strings of exactly the filled entries; they are not used again.
        unsafe { (self.api().rbd_watchers_list_cleanup)(watchers.as_mut_ptr(), watchers.len()) };
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Grows (or shrinks: the caller looks) to a size in bytes.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn resize(&self, size_bytes: u64) -> Result<()> {
        // SAFETY: the image is open.
        let code = unsafe { (self.api().rbd_resize)(self.raw, size_bytes) };
        check(code, || format!("resize RBD image {} to {size_bytes} bytes", self.label()))?;
        Ok(())
    }

    /// Copies all that the image still reads from its parent, which takes as long as that is; afterwards it has none.
    ///
    /// # Errors
    /// See [`Image::size_bytes`].
    pub fn flatten(&self) -> Result<()> {
        // SAFETY: the image is open for writing.
        let code = unsafe { (self.api().rbd_flatten)(self.raw) };
        check(code, || format!("flatten RBD image {}", self.label()))?;
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the handle is open and not used after this; the connection is still there, we hold it.
        // What close answers changes nothing for us: the handle is gone either way.
        unsafe { (self.api().rbd_close)(self.raw) };
    }
}
