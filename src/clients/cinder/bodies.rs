//! Cinder's bodies, as far as we read them. A volume without a name has `name: null`, one being made has no zone yet, a
//! deleted type leaves null: nothing but the id is taken for granted.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::domain::quota::{Allowance, Quota};

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its name, if it has one.
    #[serde(default)]
    pub name: Option<String>,
    /// Cinder's word: `available`, `in-use`, `creating`, `error`, …
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Size in GiB.
    #[serde(default, deserialize_with = "or_default")]
    pub size: u64,
    /// Volume type's name.
    #[serde(default)]
    pub volume_type: Option<String>,
    /// Availability zone.
    #[serde(default)]
    pub availability_zone: Option<String>,
    /// Metadata, with the keys that Cinder itself adds.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
    /// Whether it is encrypted.
    #[serde(default, deserialize_with = "or_default")]
    pub encrypted: bool,
    /// Whether more than one server may attach it at a time.
    #[serde(default, deserialize_with = "or_default")]
    pub multiattach: bool,
    /// Whether one can boot from it: `"true"` or `"false"`.
    #[serde(default, deserialize_with = "or_default")]
    pub bootable: String,
    /// When its row changed last; null until it first does.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// The servers that have it.
    #[serde(default, deserialize_with = "or_default")]
    pub attachments: Vec<VolumeServer>,
    /// Its project; shown to administrators.
    #[serde(default, rename = "os-vol-tenant-attr:tenant_id")]
    pub project_id: Option<String>,
}

/// A server that has a volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VolumeServer {
    /// The server.
    #[serde(default)]
    pub server_id: Option<String>,
}

/// Who holds a volume or has reserved it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VolumeUser {
    /// The volume.
    #[serde(default)]
    pub volume_id: Option<String>,
    /// The server, if it is one.
    #[serde(default)]
    pub instance: Option<String>,
    /// Cinder's word: `attached`, `reserved`, `attaching`, …
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
}

/// A snapshot of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its name, if it has one.
    #[serde(default)]
    pub name: Option<String>,
    /// Cinder's word: `available`, `creating`, `deleting`, `error`, `error_deleting`, …
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Size of the volume then, in GiB.
    #[serde(default, deserialize_with = "or_default")]
    pub size: u64,
    /// Its volume.
    #[serde(default)]
    pub volume_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct VolumeBody {
    pub(super) volume: Volume,
}

#[derive(Deserialize)]
pub(super) struct VolumesBody {
    pub(super) volumes: Vec<Volume>,
}

#[derive(Deserialize)]
pub(super) struct SnapshotBody {
    pub(super) snapshot: Snapshot,
}

#[derive(Deserialize)]
pub(super) struct SnapshotsBody {
    pub(super) snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
pub(super) struct AttachmentsBody {
    pub(super) attachments: Vec<VolumeUser>,
}

#[derive(Deserialize)]
pub(super) struct QuotaBody {
    quota_set: QuotaSet,
}

#[derive(Deserialize)]
struct QuotaSet {
    volumes: Counted,
    snapshots: Counted,
    gigabytes: Counted,
}

#[derive(Deserialize)]
struct Counted {
    limit: i64,
    #[serde(default)]
    in_use: i64,
    #[serde(default)]
    reserved: i64,
}

impl QuotaBody {
    pub(super) fn into_quota(self) -> Quota {
        let allowance = |counted: Counted| Allowance { limit: counted.limit, used: counted.in_use + counted.reserved };
        Quota {
            volumes: allowance(self.quota_set.volumes),
            snapshots: allowance(self.quota_set.snapshots),
            gigabytes: allowance(self.quota_set.gigabytes),
        }
    }
}

/// A value that may be null, as its default.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_volume_does_not_spoil_the_list() {
        let body: VolumesBody = serde_json::from_str(
            r#"{"volumes": [
                {"id": "a", "name": null, "status": "reverting", "size": 1, "volume_type": null, "bootable": "false",
                 "metadata": {}, "attachments": [], "encrypted": false, "multiattach": false, "updated_at": null},
                {"id": "b", "status": "awaiting-transfer", "metadata": null, "new_field": [1]}
            ]}"#,
        )
        .unwrap();
        assert_eq!(body.volumes[0].name, None);
        assert_eq!(body.volumes[0].status, "reverting");
        assert_eq!(body.volumes[1].size, 0);
    }

    #[test]
    fn what_is_reserved_counts_as_used() {
        let body: QuotaBody = serde_json::from_str(
            r#"{"quota_set": {"id": "p", "volumes": {"limit": 10, "in_use": 3, "reserved": 1, "allocated": 0},
                "snapshots": {"limit": -1, "in_use": 0, "reserved": 0}, "gigabytes": {"limit": 1000, "in_use": 4}}}"#,
        )
        .unwrap();
        let quota = body.into_quota();
        assert_eq!((quota.volumes.used, quota.snapshots.limit, quota.gigabytes.used), (4, -1, 4));
    }
}
