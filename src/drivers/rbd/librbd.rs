//! librados and librbd by `dlopen`: the binary neither needs Ceph to build nor to start.
//!
//! A hand-written table of the C functions that the driver uses, and their types. Only symbols that every release since
//! Ceph 15 has, so that 16.2 and anything newer serve alike. The libraries are opened once and stay open for the life of
//! the process: they run threads of their own, and unmapping code under a thread is a crash.
//!
//! The signatures below are the whole contract with C: nothing checks them at run time. They were taken from
//! `rbd/librbd.h` and `rados/librados.h` of 16.2.15, argument by argument.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::errno::ERANGE;
use crate::error::{Error, Result};

/// `rados_t`.
pub(super) type RadosT = *mut c_void;
/// `rados_ioctx_t`.
pub(super) type IoctxT = *mut c_void;
/// `rados_write_op_t`.
pub(super) type WriteOpT = *mut c_void;
/// `rbd_image_t`.
pub(super) type ImageT = *mut c_void;
/// `rbd_image_options_t`.
pub(super) type OptionsT = *mut c_void;
/// `time_t`, only ever passed as a null pointer.
pub(super) type TimeT = c_void;
/// Callback of `rbd_diff_iterate2`: offset, length, whether there is data, the caller's pointer.
pub(super) type DiffCallback = extern "C" fn(u64, usize, c_int, *mut c_void) -> c_int;

/// `rbd_image_spec_t`.
#[repr(C)]
pub(super) struct ImageSpecT {
    pub id: *mut c_char,
    pub name: *mut c_char,
}

/// `rbd_linked_image_spec_t`.
#[repr(C)]
pub(super) struct LinkedImageSpecT {
    pub pool_id: i64,
    pub pool_name: *mut c_char,
    pub pool_namespace: *mut c_char,
    pub image_id: *mut c_char,
    pub image_name: *mut c_char,
    pub trash: bool,
}

/// `rbd_snap_spec_t`.
#[repr(C)]
pub(super) struct SnapSpecT {
    pub id: u64,
    pub namespace_type: c_int,
    pub name: *mut c_char,
}

/// `rbd_snap_info_t`.
#[repr(C)]
pub(super) struct SnapInfoT {
    pub id: u64,
    pub size: u64,
    pub name: *const c_char,
}

/// `rbd_image_info_t`.
#[repr(C)]
pub(super) struct ImageInfoT {
    pub size: u64,
    pub obj_size: u64,
    pub num_objs: u64,
    pub order: c_int,
    pub block_name_prefix: [c_char; 24],
    pub parent_pool: i64,
    pub parent_name: [c_char; 96],
}

/// `rbd_image_watcher_t`.
#[repr(C)]
pub(super) struct WatcherT {
    pub addr: *mut c_char,
    pub id: i64,
    pub cookie: u64,
}

impl ImageSpecT {
    /// An entry for C to fill.
    pub(super) fn empty() -> Self {
        Self { id: std::ptr::null_mut(), name: std::ptr::null_mut() }
    }
}

impl WatcherT {
    /// An entry for C to fill.
    pub(super) fn empty() -> Self {
        Self { addr: std::ptr::null_mut(), id: 0, cookie: 0 }
    }
}

impl SnapInfoT {
    /// An entry for C to fill; also the mark of a list's end.
    pub(super) fn empty() -> Self {
        Self { id: 0, size: 0, name: std::ptr::null() }
    }
}

impl LinkedImageSpecT {
    /// An entry for C to fill.
    pub(super) fn empty() -> Self {
        Self {
            pool_id: 0,
            pool_name: std::ptr::null_mut(),
            pool_namespace: std::ptr::null_mut(),
            image_id: std::ptr::null_mut(),
            image_name: std::ptr::null_mut(),
            trash: false,
        }
    }
}

/// `RBD_IMAGE_OPTION_*`.
pub(super) mod option {
    use std::ffi::c_int;
    pub const FEATURES: c_int = 1;
    pub const ORDER: c_int = 2;
    pub const STRIPE_UNIT: c_int = 3;
    pub const STRIPE_COUNT: c_int = 4;
    pub const DATA_POOL: c_int = 10;
    pub const CLONE_FORMAT: c_int = 12;
}

/// `RBD_SNAP_NAMESPACE_TYPE_USER`.
pub(super) const SNAP_NAMESPACE_USER: c_int = 0;
/// `RBD_SNAP_NAMESPACE_TYPE_TRASH`.
pub(super) const SNAP_NAMESPACE_TRASH: c_int = 2;

macro_rules! table {
    ($( $library:ident { $( fn $name:ident($($argument:ty),* $(,)?) $(-> $result:ty)?; )* } )*) => {
        /// The functions, loaded. Function pointers: safe to share between threads.
        pub(super) struct Api {
            $($( pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?, )*)*
            // Never read: held so that the code behind the pointers stays mapped.
            $( #[allow(dead_code)] $library: Library, )*
        }

        impl Api {
            fn from_libraries($( $library: Library ),*) -> std::result::Result<Self, libloading::Error> {
                $($(
                    // SAFETY: the type is the function's signature in Ceph's header (see the module's text), and
                    // the pointer lives no longer than the library, which goes into the same struct.
                    let $name = unsafe {
                        *$library.get::<unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                            concat!(stringify!($name), "\0").as_bytes(),
                        )?
                    };
                )*)*
                Ok(Self { $($( $name, )*)* $( $library, )* })
            }
        }
    };
}

table! {
    librados {
        fn rados_create(*mut RadosT, *const c_char) -> c_int;
        fn rados_conf_read_file(RadosT, *const c_char) -> c_int;
        fn rados_conf_set(RadosT, *const c_char, *const c_char) -> c_int;
        fn rados_connect(RadosT) -> c_int;
        fn rados_shutdown(RadosT);
        fn rados_get_instance_id(RadosT) -> u64;
        fn rados_getaddrs(RadosT, *mut *mut c_char) -> c_int;
        fn rados_buffer_free(*mut c_char);
        fn rados_pool_reverse_lookup(RadosT, i64, *mut c_char, usize) -> c_int;
        fn rados_ioctx_create(RadosT, *const c_char, *mut IoctxT) -> c_int;
        fn rados_ioctx_destroy(IoctxT);
        fn rados_remove(IoctxT, *const c_char) -> c_int;
        fn rados_create_write_op() -> WriteOpT;
        fn rados_release_write_op(WriteOpT);
        fn rados_write_op_cmpext(WriteOpT, *const c_char, usize, u64, *mut c_int);
        fn rados_write_op_write_full(WriteOpT, *const c_char, usize);
        fn rados_write_op_exec(WriteOpT, *const c_char, *const c_char, *const c_char, usize, *mut c_int);
        fn rados_write_op_operate(WriteOpT, IoctxT, *const c_char, *mut TimeT, c_int) -> c_int;
    }
    librbd {
        fn rbd_list2(IoctxT, *mut ImageSpecT, *mut usize) -> c_int;
        fn rbd_image_spec_list_cleanup(*mut ImageSpecT, usize);
        fn rbd_open(IoctxT, *const c_char, *mut ImageT, *const c_char) -> c_int;
        fn rbd_open_by_id(IoctxT, *const c_char, *mut ImageT, *const c_char) -> c_int;
        fn rbd_open_read_only(IoctxT, *const c_char, *mut ImageT, *const c_char) -> c_int;
        fn rbd_open_by_id_read_only(IoctxT, *const c_char, *mut ImageT, *const c_char) -> c_int;
        fn rbd_close(ImageT) -> c_int;
        fn rbd_rename(IoctxT, *const c_char, *const c_char) -> c_int;
        fn rbd_remove(IoctxT, *const c_char) -> c_int;
        fn rbd_create4(IoctxT, *const c_char, u64, OptionsT) -> c_int;
        fn rbd_clone3(IoctxT, *const c_char, *const c_char, IoctxT, *const c_char, OptionsT) -> c_int;
        fn rbd_image_options_create(*mut OptionsT);
        fn rbd_image_options_destroy(OptionsT);
        fn rbd_image_options_set_string(OptionsT, c_int, *const c_char) -> c_int;
        fn rbd_image_options_set_uint64(OptionsT, c_int, u64) -> c_int;
        fn rbd_stat(ImageT, *mut ImageInfoT, usize) -> c_int;
        fn rbd_get_name(ImageT, *mut c_char, *mut usize) -> c_int;
        fn rbd_get_id(ImageT, *mut c_char, usize) -> c_int;
        fn rbd_get_features(ImageT, *mut u64) -> c_int;
        fn rbd_get_stripe_unit(ImageT, *mut u64) -> c_int;
        fn rbd_get_stripe_count(ImageT, *mut u64) -> c_int;
        fn rbd_get_data_pool_id(ImageT) -> i64;
        fn rbd_get_flags(ImageT, *mut u64) -> c_int;
        fn rbd_get_overlap(ImageT, *mut u64) -> c_int;
        fn rbd_get_parent(ImageT, *mut LinkedImageSpecT, *mut SnapSpecT) -> c_int;
        fn rbd_linked_image_spec_cleanup(*mut LinkedImageSpecT);
        fn rbd_linked_image_spec_list_cleanup(*mut LinkedImageSpecT, usize);
        fn rbd_snap_spec_cleanup(*mut SnapSpecT);
        fn rbd_resize(ImageT, u64) -> c_int;
        fn rbd_flatten(ImageT) -> c_int;
        fn rbd_snap_list(ImageT, *mut SnapInfoT, *mut c_int) -> c_int;
        fn rbd_snap_list_end(*mut SnapInfoT);
        fn rbd_snap_get_namespace_type(ImageT, u64, *mut c_int) -> c_int;
        fn rbd_snap_create(ImageT, *const c_char) -> c_int;
        fn rbd_snap_remove(ImageT, *const c_char) -> c_int;
        fn rbd_snap_unprotect(ImageT, *const c_char) -> c_int;
        fn rbd_snap_set(ImageT, *const c_char) -> c_int;
        fn rbd_snap_set_by_id(ImageT, u64) -> c_int;
        fn rbd_list_children3(ImageT, *mut LinkedImageSpecT, *mut usize) -> c_int;
        fn rbd_watchers_list(ImageT, *mut WatcherT, *mut usize) -> c_int;
        fn rbd_watchers_list_cleanup(*mut WatcherT, usize);
        fn rbd_metadata_list(
            ImageT, *const c_char, u64, *mut c_char, *mut usize, *mut c_char, *mut usize,
        ) -> c_int;
        fn rbd_metadata_set(ImageT, *const c_char, *const c_char) -> c_int;
        fn rbd_metadata_remove(ImageT, *const c_char) -> c_int;
        fn rbd_diff_iterate2(
            ImageT, *const c_char, u64, u64, u8, u8, DiffCallback, *mut c_void,
        ) -> c_int;
    }
}

/// Calls C with an array that grows until all fits, from `room` entries on. `call` gets the array and its length, and sets the length to what it
/// filled, or, answering `ERANGE`, to what it needs. Returns its last answer and, if that is no error, the filled part.
pub(super) fn fill<T>(
    mut room: usize,
    empty: impl Fn() -> T,
    mut call: impl FnMut(*mut T, &mut usize) -> c_int,
) -> (c_int, Vec<T>) {
    loop {
        let mut entries: Vec<T> = (0..room).map(|_| empty()).collect();
        let mut count = room;
        let code = call(entries.as_mut_ptr(), &mut count);
        if code == -ERANGE {
            // A little more than asked for: others may appear meanwhile.
            room = count.max(room) + 16;
            continue;
        }
        entries.truncate(if code < 0 { 0 } else { count });
        return (code, entries);
    }
}

static API: OnceLock<Api> = OnceLock::new();

/// The loaded table. Loads at the first call; a failure is not remembered, so installing the packages is enough.
///
/// # Errors
/// `Unavailable`, with what to install.
pub(super) fn api() -> Result<&'static Api> {
    if let Some(api) = API.get() {
        return Ok(api);
    }
    let api = load("librados.so.2", "librbd.so.1").map_err(|error| {
        Error::unavailable("Ceph's client libraries cannot be loaded.")
            .remedy("Install librados2 and librbd1 (Debian, Ubuntu: `apt install librbd1`; RPM: `librbd1`), version 16.2 or newer.")
            .source(error)
    })?;
    // Two threads may both have loaded it: dlopen counts, and the loser's handles are only counted down.
    Ok(API.get_or_init(|| api))
}

fn load(rados: &str, rbd: &str) -> std::result::Result<Api, libloading::Error> {
    // SAFETY: opening a library runs its initialisers. These are the distribution's own Ceph libraries, by soname;
    // their initialisers register allocators and nothing that clashes with a Rust program.
    let (rados, rbd) = unsafe { (Library::new(rados)?, Library::new(rbd)?) };
    Api::from_libraries(rados, rbd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_an_error_and_not_a_crash() {
        assert!(load("libno-such-rados.so.2", "librbd.so.1").is_err());
    }

    #[test]
    fn arrays_grow_until_all_fits() {
        let (code, entries) = fill(
            1,
            || 0_u8,
            |_, count| {
                let fits = *count >= 200;
                *count = 200;
                if fits { 0 } else { -ERANGE }
            },
        );
        assert_eq!((code, entries.len()), (0, 200));
    }
}
