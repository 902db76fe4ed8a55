//! Names of RBD images and snapshots: Nova's and ours. Pure.
//!
//! Nova deletes every image of the pool whose name *begins with the server's id*, so nothing of ours may: layers that
//! are not the head are `ratoon.<layer id>`, whatever server they belong to.

use crate::domain::disk::{DiskKind, Layer};
use crate::ids::{DiskSnapshotId, LayerId, ServerId};

/// Image metadata: the server that the image belongs to.
pub const META_SERVER: &str = "ratoon.server";
/// Image metadata: the layer. Set last when an image is made, so it also says "finished".
pub const META_LAYER: &str = "ratoon.layer";
/// Image metadata: the disk snapshot that the image was cloned from.
pub const META_ORIGIN: &str = "ratoon.origin";
/// Image metadata: the operation that made it.
pub const META_OPERATION: &str = "ratoon.operation";
/// Image metadata: when it was parked, RFC 3339.
pub const META_PARKED: &str = "ratoon.parked";
/// Image metadata: the layer that an empty image stands in for, under the name by which Nova removes it.
pub const META_STAND_IN: &str = "ratoon.stand_in";
/// All metadata of ours begin so. A clone inherits its parent's metadata, ours too: they are cleared first.
pub const META_PREFIX: &str = "ratoon.";
/// Settings of librbd itself, QoS limits among them.
pub const META_CONF_PREFIX: &str = "conf_";

/// Snapshots of ours begin so.
pub const SNAPSHOT_PREFIX: &str = "ratoon-";
/// Images of ours that are no head begin so.
pub const IMAGE_PREFIX: &str = "ratoon.";
/// The one snapshot on a carrier.
pub const CARRIER_SNAPSHOT: &str = "c";

/// The name under which Nova looks for a disk: `<server>_disk`, `<server>_disk.eph0`.
#[must_use]
pub fn head_name(server: ServerId, key: &str) -> String {
    format!("{server}_{key}")
}

/// The name that Nova expects of a layer while it is the head.
#[must_use]
pub fn head_name_of(layer: &Layer) -> String {
    head_name(layer.server_id, &layer.key)
}

/// The name of a layer that is not the head: parked, or being prepared.
#[must_use]
pub fn layer_name(layer: LayerId) -> String {
    format!("{IMAGE_PREFIX}{layer}")
}

/// The name of the empty image that stands in for a head which is taken over, before it bears the head's name.
#[must_use]
pub fn stand_in_name(layer: LayerId) -> String {
    format!("{IMAGE_PREFIX}stand-in.{layer}")
}

/// Whether a snapshot's name is of the kind that Nova gives to those through which it makes an image, and which it removes by
/// the *image's name* afterwards: a uuid without dashes.
#[must_use]
pub fn is_novas_temporary(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The snapshot by which Nova would take a resize back. It is removed with the disk that it lies on: nobody can revert then.
pub const RESIZE_SNAPSHOT: &str = "nova-resize";

/// The name of the empty image, in Glance's pool, that stands between a snapshot and the heads made of it.
#[must_use]
pub fn carrier_name(origin: DiskSnapshotId) -> String {
    format!("{IMAGE_PREFIX}{origin}")
}

/// The name of a disk snapshot's RBD snapshot.
#[must_use]
pub fn snapshot_name(origin: DiskSnapshotId) -> String {
    format!("{SNAPSHOT_PREFIX}{origin}")
}

/// What an image in Nova's pool is to its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A disk that snapshots cover.
    Disk(DiskKind),
    /// Known and not covered, with the reason.
    LeftOut(&'static str),
}

/// Splits an image name into the server and the disk's key, if it has that form: a UUID, `_`, a key.
#[must_use]
pub fn parse_head(name: &str) -> Option<(ServerId, &str)> {
    // 36 = a hyphenated UUID; `get` because a name may be anything, multi-byte letters included.
    let key = name.get(36..)?.strip_prefix('_').filter(|key| !key.is_empty())?;
    let server = name.get(..36)?;
    let id: ServerId = server.parse().ok()?;
    // Only the form that Nova writes: upper case would not be found again by name.
    (id.to_string() == server).then_some((id, key))
}

/// What the image with this key is to its server.
#[must_use]
pub fn role(key: &str) -> Role {
    match key {
        "disk" => Role::Disk(DiskKind::System),
        "disk.local" => Role::Disk(DiskKind::Ephemeral),
        "disk.swap" => Role::LeftOut("Swap space holds nothing that outlives a restart."),
        "disk.config" => Role::LeftOut("The config drive is made by Nova and holds no data of the server."),
        "disk.rescue" | "disk.config.rescue" => Role::LeftOut("The disk of a rescue lives only as long as the rescue."),
        _ => match key.strip_prefix("disk.eph") {
            Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Role::Disk(DiskKind::Ephemeral)
            }
            _ => Role::LeftOut("Unknown image: nothing that Nova is known to make."),
        },
    }
}

/// Sorts keys as Nova orders the disks: the system disk, the one ephemeral of old flavors, then `eph0`, `eph1`, …
#[must_use]
pub fn order(key: &str) -> (u8, u64) {
    match key {
        "disk" => (0, 0),
        "disk.local" => (1, 0),
        _ => (2, key.strip_prefix("disk.eph").and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000";

    #[test]
    fn head_names_are_taken_apart_as_they_were_made() {
        let server: ServerId = SERVER.parse().unwrap();
        for key in ["disk", "disk.eph0", "disk.config.rescue"] {
            assert_eq!(parse_head(&head_name(server, key)), Some((server, key)));
        }
    }

    #[test]
    fn what_is_no_head_is_not_taken_for_one() {
        for name in [
            "",
            SERVER,
            "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000_",
            "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000-disk",
            "0199AAAA-BBBB-7CCC-8DDD-EEEEFFFF0000_disk",
            "ratoon.0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000",
            "volume-0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000_disk",
            "ööööööööööööööööööö_disk_of_many_bytes",
        ] {
            assert_eq!(parse_head(name), None, "{name}");
        }
    }

    #[test]
    fn a_layer_never_bears_a_name_that_nova_deletes() {
        let layer = LayerId::new();
        assert!(!layer_name(layer).starts_with(&layer.to_string()));
        assert_eq!(parse_head(&layer_name(layer)), None);
    }

    #[test]
    fn each_image_has_its_role() {
        assert_eq!(role("disk"), Role::Disk(DiskKind::System));
        for key in ["disk.local", "disk.eph0", "disk.eph12"] {
            assert_eq!(role(key), Role::Disk(DiskKind::Ephemeral), "{key}");
        }
        for key in ["disk.swap", "disk.config", "disk.rescue", "disk.old", "disk.eph", "disk.eph1x", "something"] {
            assert!(matches!(role(key), Role::LeftOut(_)), "{key}");
        }
    }

    #[test]
    fn disks_come_in_novas_order() {
        let mut keys = ["disk.eph10", "disk.eph2", "disk", "disk.local", "disk.eph0"];
        keys.sort_by_key(|key| order(key));
        assert_eq!(keys, ["disk", "disk.local", "disk.eph0", "disk.eph2", "disk.eph10"]);
    }
}
