//! A pool of RBD images: list, open, clone, make, remove. Who bears which name: [`super::names`]. Blocking.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::Arc;

use super::connection::{Connection, as_setup_fault, c_string, own_str};
use super::errno::{self, EEXIST, ENOENT, check};
use super::image::{Access, Image, Shape};
use super::librbd::{Api, ImageSpecT, ImageT, IoctxT, OptionsT, fill, option};
use crate::error::{Error, Result};

/// A pool, opened.
pub struct Pool {
    connection: Arc<Connection>,
    pub(super) io: IoctxT,
    name: String,
}

// SAFETY: an ioctx may move between threads (librados locks inside); `Pool` is not `Sync`, so one thread uses it.
unsafe impl Send for Pool {}

/// One line of a pool's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Image id.
    pub id: String,
    /// Image name.
    pub name: String,
}

impl Pool {
    /// Opens a pool.
    ///
    /// # Errors
    /// `Backend` if there is no such pool (never `NotFound`: that would read as "the image is gone").
    pub fn open(connection: &Arc<Connection>, name: &str) -> Result<Self> {
        let c_name = c_string(name)?;
        let mut io: IoctxT = ptr::null_mut();
        // SAFETY: the cluster handle is connected, the name terminated, `io` a place for the handle.
        let code = unsafe { (connection.api.rados_ioctx_create)(connection.handle(), c_name.as_ptr(), &raw mut io) };
        if code == -ENOENT {
            let error = errno::error(code, &format!("open Ceph pool {name}"));
            return Err(as_setup_fault(error, "Check the pool's name in the configuration: `ceph osd pool ls`."));
        }
        check(code, || format!("open Ceph pool {name}"))?;
        Ok(Self { connection: connection.clone(), io, name: name.to_owned() })
    }

    pub(super) fn api(&self) -> &'static Api {
        self.connection.api
    }

    /// The pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All images, as the pool's directory has them, and those that somebody has begun to remove.
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn list(&self) -> Result<Vec<Listed>> {
        // SAFETY: the ioctx is live, the array has room for `count` entries.
        let (code, mut specs) =
            fill(1024, ImageSpecT::empty, |specs, count| unsafe { (self.api().rbd_list2)(self.io, specs, count) });
        check(code, || format!("list the images of pool {}", self.name))?;
        // SAFETY: the filled entries hold terminated strings.
        let listed = specs.iter().map(|spec| unsafe { Listed { id: own_str(spec.id), name: own_str(spec.name) } });
        let listed = listed.collect();
        // SAFETY: frees the strings of exactly the filled entries; they are not used again.
        unsafe { (self.api().rbd_image_spec_list_cleanup)(specs.as_mut_ptr(), specs.len()) };
        Ok(listed)
    }

    /// Opens an image by its id; `None` if there is none.
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn open_id(&self, id: &str, access: Access) -> Result<Option<Image>> {
        let api = self.api();
        let open = match access {
            Access::Read => api.rbd_open_by_id_read_only,
            Access::Write => api.rbd_open_by_id,
        };
        self.open_with(open, id, &format!("open RBD image id {id} in pool {}", self.name))
    }

    /// Opens an image by the name that it opens under (which may be a stale one, see [`Pool::holder`]).
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn open_name(&self, name: &str, access: Access) -> Result<Option<Image>> {
        let api = self.api();
        let open = match access {
            Access::Read => api.rbd_open_read_only,
            Access::Write => api.rbd_open,
        };
        self.open_with(open, name, &format!("open RBD image {}/{name}", self.name))
    }

    fn open_with(
        &self,
        open: unsafe extern "C" fn(IoctxT, *const c_char, *mut ImageT, *const c_char) -> i32,
        what: &str,
        doing: &str,
    ) -> Result<Option<Image>> {
        if what.is_empty() {
            return Ok(None);
        }
        let c_what = c_string(what)?;
        let mut image: ImageT = ptr::null_mut();
        // SAFETY: the ioctx is live, the string terminated, `image` a place for the handle; no snapshot is asked for.
        let code = unsafe { open(self.io, c_what.as_ptr(), &raw mut image, ptr::null()) };
        if code == -ENOENT {
            return Ok(None);
        }
        check(code, || doing.to_owned())?;
        Image::new(self.connection.clone(), image, &self.name).map(Some)
    }

    /// The error for an image that should be there.
    #[must_use]
    pub fn missing(&self, id: &str, name: &str) -> Error {
        Error::not_found("RBD image", format!("id {id} ({name}) in pool {}", self.name))
    }

    /// Makes a copy-on-write clone (format 2: the snapshot needs no protection) of `parent@snapshot` as `child` in pool
    /// `into`.
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn clone_image(&self, parent: &str, snapshot: &str, into: &Self, child: &str, shape: &Shape) -> Result<()> {
        let options = ImageOptions::of_clone(self.api(), shape)?;
        let names: Vec<CString> = [parent, snapshot, child].into_iter().map(c_string).collect::<Result<_>>()?;
        // SAFETY: both ioctxs and the options are live, the strings terminated; nothing is kept after the call.
        let code = unsafe {
            (self.api().rbd_clone3)(
                self.io,
                names[0].as_ptr(),
                names[1].as_ptr(),
                into.io,
                names[2].as_ptr(),
                options.raw,
            )
        };
        check(code, || format!("clone {}/{parent}@{snapshot} to {}/{child}", self.name, into.name))?;
        Ok(())
    }

    /// Makes an empty image with no more than cloning needs; one of this name that is there is left as it is.
    ///
    /// # Errors
    /// As [`super::errno`] maps them.
    pub fn create_empty(&self, name: &str, size_bytes: u64) -> Result<()> {
        let options = ImageOptions::new(self.api())?;
        options.set(option::FEATURES, super::image::FEATURE_LAYERING)?;
        options.set(option::ORDER, 22)?; // objects of 4 MiB
        let c_name = c_string(name)?;
        // SAFETY: the ioctx and the options are live, the string terminated; nothing is kept after the call.
        let code = unsafe { (self.api().rbd_create4)(self.io, c_name.as_ptr(), size_bytes, options.raw) };
        if code == -EEXIST {
            return Ok(());
        }
        check(code, || format!("create RBD image {}/{name}", self.name))?;
        Ok(())
    }

    /// Removes an image by name; `false` if there is none. Finishes what a dead process has begun to remove: such an image
    /// is still listed, but opens no more under its name.
    ///
    /// # Errors
    /// `Conflict` if it has snapshots or is open somewhere.
    pub fn remove(&self, name: &str) -> Result<bool> {
        let c_name = c_string(name)?;
        // SAFETY: the ioctx is live, the string terminated.
        let code = unsafe { (self.api().rbd_remove)(self.io, c_name.as_ptr()) };
        if code == -ENOENT {
            return Ok(false);
        }
        check(code, || format!("remove RBD image {}/{name}", self.name))?;
        Ok(true)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the handle was made by rados_ioctx_create and is not used after this; images have copies of their own.
        unsafe { (self.api().rados_ioctx_destroy)(self.io) };
    }
}

/// `rbd_image_options_t`, freed when dropped.
struct ImageOptions {
    api: &'static Api,
    raw: OptionsT,
}

impl ImageOptions {
    fn new(api: &'static Api) -> Result<Self> {
        let mut raw: OptionsT = ptr::null_mut();
        // SAFETY: `raw` is a place for the handle.
        unsafe { (api.rbd_image_options_create)(&raw mut raw) };
        Ok(Self { api, raw })
    }

    fn of_clone(api: &'static Api, shape: &Shape) -> Result<Self> {
        let options = Self::new(api)?;
        options.set(option::CLONE_FORMAT, 2)?;
        options.set(option::FEATURES, shape.features)?;
        options.set(option::ORDER, shape.order)?;
        if let Some((unit, count)) = shape.striping {
            options.set(option::STRIPE_UNIT, unit)?;
            options.set(option::STRIPE_COUNT, count)?;
        }
        if let Some(pool) = &shape.data_pool {
            let pool = c_string(pool)?;
            // SAFETY: the options are live, the string terminated and copied by C.
            let code = unsafe { (api.rbd_image_options_set_string)(options.raw, option::DATA_POOL, pool.as_ptr()) };
            check(code, || "set the data pool of a clone".into())?;
        }
        Ok(options)
    }

    fn set(&self, option: i32, value: u64) -> Result<()> {
        // SAFETY: the options are live.
        let code = unsafe { (self.api.rbd_image_options_set_uint64)(self.raw, option, value) };
        check(code, || format!("set option {option} of an image to {value}"))?;
        Ok(())
    }
}

impl Drop for ImageOptions {
    fn drop(&mut self) {
        // SAFETY: made by rbd_image_options_create, not used after this.
        unsafe { (self.api.rbd_image_options_destroy)(self.raw) };
    }
}
