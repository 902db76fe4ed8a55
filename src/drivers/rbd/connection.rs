//! One connection to a Ceph cluster. Blocking: for threads that may wait ([`super::cluster`] has the async side).
//!
//! Ceph's client waits for ever by default when monitors or OSDs are away; here every act has a time limit, and what
//! runs into it answers `ETIMEDOUT`. A connection that was lost or blocklisted never comes back by itself: whoever holds
//! it throws it away and opens another.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::path::PathBuf;
use std::ptr;
use std::time::Duration;

use super::errno::{self, check};
use super::librbd::{Api, RadosT, api};
use crate::error::{Error, Kind, Result};

/// How to reach Ceph.
#[derive(Debug, Clone)]
pub struct RbdConfig {
    /// Ceph's configuration file.
    pub ceph_conf: PathBuf,
    /// Name of the Ceph user without `client.`: `ratoon`.
    pub user: String,
    /// Its keyring, where the configuration file does not say.
    pub keyring: Option<PathBuf>,
    /// How long one answer of a monitor or an OSD may take; at least a second.
    pub timeout: Duration,
}

/// A connection. Closed when dropped, which may take a moment: drop it where waiting is allowed.
pub struct Connection {
    pub(super) api: &'static Api,
    cluster: RadosT,
}

// SAFETY: librados states that a cluster handle may be used by several threads at once; `Api` holds function pointers.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Connects; takes as long as the limit in `config` at most.
    ///
    /// # Errors
    /// `Unavailable` if no monitor answers in time or Ceph's libraries are missing; `Backend` if the configuration file,
    /// the keyring or the user is wrong.
    pub fn open(config: &RbdConfig) -> Result<Self> {
        // A callback of librbd locks its image once more after it has told us that the image is open
        // (ImageState::complete_action_unlock). With two threads, its default since Pacific, we may have closed and freed the
        // image by then, and the lock, of memory that is another's, hangs or aborts the process. Both were seen on 16.2 under
        // load. One thread finishes its callback before it tells us.
        Self::open_with(config, 1)
    }

    /// A connection for acts of which librbd asks Ceph from within a callback (to take a protection off a snapshot, it asks all
    /// pools for clones), which hangs with one thread. To be used for as little as possible: see [`Connection::open`].
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open_for_scans(config: &RbdConfig) -> Result<Self> {
        Self::open_with(config, 2)
    }

    fn open_with(config: &RbdConfig, callback_threads: u8) -> Result<Self> {
        let api = api()?;
        let user = c_string(&config.user)?;
        let mut cluster: RadosT = ptr::null_mut();
        // SAFETY: `cluster` is a place for the handle, `user` a terminated string that outlives the call.
        let code = unsafe { (api.rados_create)(&raw mut cluster, user.as_ptr()) };
        check(code, || format!("make a Ceph client for client.{}", config.user))?;
        // From here on the handle is freed by Drop, whatever fails.
        let connection = Self { api, cluster };
        connection.configure(config, callback_threads)?;
        connection.connect(config)?;
        Ok(connection)
    }

    fn configure(&self, config: &RbdConfig, callback_threads: u8) -> Result<()> {
        let file = config.ceph_conf.display();
        let path = c_string(&config.ceph_conf.to_string_lossy())?;
        // SAFETY: the handle is live and not connected yet, the path a terminated string.
        let code = unsafe { (self.api.rados_conf_read_file)(self.cluster, path.as_ptr()) };
        if code < 0 {
            return Err(as_setup_fault(
                errno::error(code, &format!("read Ceph's configuration {file}")),
                "Check [rbd] ceph_conf: the file must exist and be readable for the service.",
            ));
        }
        let seconds = config.timeout.as_secs().max(1).to_string();
        for option in ["client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"] {
            check(self.set(option, &seconds)?, || format!("set {option} of the Ceph client"))?;
        }
        if let Some(keyring) = &config.keyring {
            check(self.set("keyring", &keyring.to_string_lossy())?, || "set the keyring of the Ceph client".into())?;
        }
        // A library must not write files or to our stderr, nor hold a socket. Not every release knows every option,
        // and none of them is worth failing for.
        for (option, value) in [
            ("admin_socket", ""),
            ("log_file", ""),
            ("log_to_file", "false"),
            ("log_to_stderr", "false"),
            ("err_to_stderr", "false"),
            ("librados_thread_count", callback_threads.to_string().as_str()),
        ] {
            self.set(option, value)?;
        }
        Ok(())
    }

    fn set(&self, option: &str, value: &str) -> Result<i32> {
        let (option, value) = (c_string(option)?, c_string(value)?);
        // SAFETY: the handle is live, both strings are terminated and outlive the call.
        Ok(unsafe { (self.api.rados_conf_set)(self.cluster, option.as_ptr(), value.as_ptr()) })
    }

    fn connect(&self, config: &RbdConfig) -> Result<()> {
        // SAFETY: the handle is live; waits no longer than client_mount_timeout.
        let code = unsafe { (self.api.rados_connect)(self.cluster) };
        if code >= 0 {
            return Ok(());
        }
        let error = errno::error(code, &format!("connect to Ceph as client.{}", config.user));
        Err(if error.kind() == Kind::Unavailable {
            error
        } else {
            as_setup_fault(
                error,
                "Check the Ceph user and its keyring ([rbd] user, keyring): `ceph auth get client.<user>` shows what the cluster has.",
            )
        })
    }

    /// Our number in Ceph, as in `client.4123`: tells our own watches from others'.
    #[must_use]
    pub fn client_id(&self) -> u64 {
        // SAFETY: the handle is connected.
        unsafe { (self.api.rados_get_instance_id)(self.cluster) }
    }

    /// Our address in Ceph: what another engine blocklists before it takes an operation over.
    ///
    /// # Errors
    /// `Unavailable` if the connection is lost.
    pub fn address(&self) -> Result<String> {
        let mut text: *mut c_char = ptr::null_mut();
        // SAFETY: the handle is connected, `text` a place for a pointer.
        let code = unsafe { (self.api.rados_getaddrs)(self.cluster, &raw mut text) };
        check(code, || "ask for our own address in Ceph".into())?;
        // SAFETY: on success a terminated string on C's heap, ours to free, which we do after copying it.
        let address = unsafe { own_str(text) };
        // SAFETY: as above; the pointer is not used again.
        unsafe { (self.api.rados_buffer_free)(text) };
        Ok(address)
    }

    /// Name of a pool by its number.
    pub(super) fn pool_name(&self, id: i64) -> Result<String> {
        let mut buffer = vec![0_u8; 1024];
        // SAFETY: the buffer is writable for the length given; C terminates what it writes.
        let code =
            unsafe { (self.api.rados_pool_reverse_lookup)(self.cluster, id, buffer.as_mut_ptr().cast(), buffer.len()) };
        check(code, || format!("look up the name of Ceph pool number {id}"))?;
        Ok(until_nul(&buffer))
    }

    /// The handle, for those who open pools; lives as long as `self`.
    pub(super) fn handle(&self) -> RadosT {
        self.cluster
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle was made by rados_create and is not used after this. Pools and images hold the connection
        // through an Arc, so all of them are closed by now.
        unsafe { (self.api.rados_shutdown)(self.cluster) };
    }
}

/// A wrong set-up is neither "not there" (callers read that as success of a removal) nor passing.
pub(super) fn as_setup_fault(error: Error, remedy: &str) -> Error {
    Error::backend("Ceph cannot be used as Ratoon is configured.").permanent().remedy(remedy).source(error)
}

/// A string for C.
pub(super) fn c_string(text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|error| Error::internal(format!("{text:?} holds a zero byte and cannot go to Ceph.")).source(error))
}

/// Copies a C string; empty for a null pointer.
///
/// # Safety
/// `text` is null or points to a terminated string.
pub(super) unsafe fn own_str(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// What stands in a buffer before its first zero byte.
pub(super) fn until_nul(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_out_of_buffers_up_to_the_zero_byte() {
        assert_eq!(until_nul(b"vms\0junk"), "vms");
        assert_eq!(until_nul(b"full"), "full");
        assert!(c_string("a\0b").is_err());
    }

    #[test]
    fn a_wrong_set_up_is_never_taken_for_an_absent_thing() {
        let error = as_setup_fault(errno::error(-errno::ENOENT, "connect"), "look");
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false));
    }
}
