//! What librados and librbd answer (negative errno) as [`crate::error::Error`]: the one place that decides which of
//! them pass, which stay, and what an operator can do about them.
//!
//! "Not there" is told apart *before* this file, by those who open things: an `ENOENT` that comes here is a thing that
//! should have been there.

use std::ffi::c_int;
use std::io;

use crate::error::{Error, Kind};

/// Operation not permitted.
pub(super) const EPERM: i32 = 1;
/// No such file or directory.
pub(super) const ENOENT: i32 = 2;
/// Permission denied.
pub(super) const EACCES: i32 = 13;
/// Device or resource busy.
pub(super) const EBUSY: i32 = 16;
/// File exists.
pub(super) const EEXIST: i32 = 17;
/// Invalid argument.
pub(super) const EINVAL: i32 = 22;
/// No space left on device.
pub(super) const ENOSPC: i32 = 28;
/// Buffer too short.
pub(super) const ERANGE: i32 = 34;
/// Directory not empty.
pub(super) const ENOTEMPTY: i32 = 39;
/// What Ceph says to a client that has been blocklisted (`EBLOCKLISTED` is `ESHUTDOWN`).
pub(super) const ESHUTDOWN: i32 = 108;
/// Not connected.
pub(super) const ENOTCONN: i32 = 107;
/// Timed out.
pub(super) const ETIMEDOUT: i32 = 110;
/// Quota exceeded.
pub(super) const EDQUOT: i32 = 122;

/// The error for a return code (`code` < 0, as C returned it) of what was attempted: `doing` reads on after "Cannot",
/// and names pool and image: `rename vms/a to vms/b`.
pub(super) fn error(code: c_int, doing: &str) -> Error {
    let errno = code.checked_neg().unwrap_or(i32::MAX);
    let cause = io::Error::from_raw_os_error(errno);
    let sentence = format!("Cannot {doing}: {cause}.");
    let error = match errno {
        ENOENT => Error::new(Kind::NotFound, sentence),
        EBUSY => Error::conflict(sentence).retryable().remedy("Wait until nobody has the image open."),
        EEXIST | ENOTEMPTY => Error::conflict(sentence),
        EPERM | EACCES => Error::backend(sentence).permanent().remedy(
            "Give the Ceph user the caps mon 'profile rbd' and osd 'profile rbd pool=…' for Nova's pool and Glance's pool (`ceph auth caps`).",
        ),
        ETIMEDOUT | ENOTCONN => {
            Error::unavailable(sentence).remedy("Look at `ceph -s`: monitors or OSDs do not answer in time.")
        }
        ESHUTDOWN => Error::unavailable(sentence)
            .remedy("This client was blocklisted (another engine took over, or an operator did it): `ceph osd blocklist ls`."),
        ENOSPC | EDQUOT => {
            Error::backend(sentence).permanent().remedy("The pool is full or its quota is reached: `ceph df detail`.")
        }
        _ => Error::backend(sentence),
    };
    error.source(cause)
}

/// `Ok` with a return code that is not negative, else [`error`].
pub(super) fn check(code: c_int, doing: impl FnOnce() -> String) -> Result<c_int, Error> {
    if code < 0 { Err(error(code, &doing())) } else { Ok(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_has_its_kind_and_says_whether_it_passes() {
        for (errno, kind, retry) in [
            (ENOENT, Kind::NotFound, false),
            (EBUSY, Kind::Conflict, true),
            (EEXIST, Kind::Conflict, false),
            (ENOTEMPTY, Kind::Conflict, false),
            (EPERM, Kind::Backend, false),
            (EACCES, Kind::Backend, false),
            (ETIMEDOUT, Kind::Unavailable, true),
            (ENOTCONN, Kind::Unavailable, true),
            (ESHUTDOWN, Kind::Unavailable, true),
            (ENOSPC, Kind::Backend, false),
            (EDQUOT, Kind::Backend, false),
            (22, Kind::Backend, false),
        ] {
            let error = error(-errno, "rename vms/a to vms/b");
            assert_eq!((error.kind(), error.is_retryable()), (kind, retry), "errno {errno}");
            assert!(error.to_string().starts_with("Cannot rename vms/a to vms/b: "), "{error}");
        }
    }

    #[test]
    fn missing_caps_name_the_way_out() {
        let error = error(-EPERM, "open vms/x");
        assert!(error.remedy_text().is_some_and(|remedy| remedy.contains("ceph auth caps")));
    }

    #[test]
    fn the_smallest_code_does_not_overflow() {
        assert_eq!(error(c_int::MIN, "x").kind(), Kind::Backend);
    }

    #[test]
    fn what_is_not_negative_is_a_value() {
        assert_eq!(check(3, || "count".to_owned()).ok(), Some(3));
    }
}
