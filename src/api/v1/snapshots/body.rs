//! What callers send about snapshots.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::api::body::{field_id, whole};
use crate::api::v1::schema::{ClientToken, Description, Generation, Name, Reason};
use crate::app::snapshot_create::CreateSnapshot;
use crate::app::snapshot_restore::RestoreSnapshot;
use crate::app::snapshots::UpdateSnapshot;
use crate::domain::snapshot::Consistency;
use crate::error::{Error, Result};
use crate::ids::{ServerId, SnapshotId};

/// Most words that a list in a body may have.
const WORDS_MAX: usize = 64;

/// A snapshot that shall be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCreate {
    /// The snapshot that shall be made.
    snapshot: SnapshotCreateFields,
    /// Whether only the plan is asked for.
    #[serde(default)]
    dry_run: bool,
    /// The generation that the tree must have; any, if there is none.
    #[serde(default, deserialize_with = "whole")]
    #[schema(value_type = Option<Generation>)]
    tree_generation: Option<i64>,
    /// The caller's own name for this request: under it the server is captured once, however often that is asked for within a day.
    #[schema(value_type = Option<ClientToken>)]
    client_token: Option<String>,
}

/// A snapshot that shall be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SnapshotCreateFields {
    /// Id of the server.
    #[schema(value_type = ServerId)]
    server_id: String,
    /// Name; `snapshot-` and the time (UTC), if there is none.
    #[schema(value_type = Option<Name>)]
    name: Option<String>,
    /// Description.
    #[schema(value_type = Option<Description>)]
    description: Option<String>,
    /// How far apart the disks may be in time: `none`, `crash`, or `auto` (the default): `crash` where a pause is allowed or none is
    /// needed, else `none`. If `crash` is asked for and not reached, the capture is undone.
    #[serde(default, deserialize_with = "consistency")]
    consistency: Option<Consistency>,
    /// Longest pause of the server in milliseconds; `[capture] pause_limit_ms` (2000), if there is none.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 60000)]
    pause_limit_ms: Option<u64>,
    /// Disks to leave out, by `key` or device. The system disk cannot be left out.
    #[serde(default)]
    #[schema(max_items = 64)]
    exclude_disks: Vec<String>,
}

fn consistency<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Consistency>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| {
        Consistency::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is none of auto, none, crash")))
    })
    .transpose()
}

impl SnapshotCreate {
    pub(super) fn request(self) -> Result<CreateSnapshot> {
        let fields = self.snapshot;
        if fields.exclude_disks.len() > WORDS_MAX {
            let message = format!("At most {WORDS_MAX} disks can be named.");
            return Err(Error::bad_field("snapshot.exclude_disks", message));
        }
        Ok(CreateSnapshot {
            server_id: field_id("snapshot.server_id", &fields.server_id)?,
            name: fields.name,
            description: fields.description.unwrap_or_default(),
            consistency: fields.consistency.unwrap_or(Consistency::Auto),
            pause_limit_ms: fields.pause_limit_ms,
            exclude_disks: fields.exclude_disks,
            dry_run: self.dry_run,
            tree_generation: self.tree_generation,
            client_token: self.client_token,
        })
    }
}

/// A change of a snapshot.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotUpdate {
    /// What shall be changed.
    snapshot: SnapshotUpdateFields,
}

/// What shall be changed; what is absent or `null` stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SnapshotUpdateFields {
    /// Name.
    #[schema(value_type = Option<Name>)]
    name: Option<String>,
    /// Description.
    #[schema(value_type = Option<Description>)]
    description: Option<String>,
    /// Whether its deletion is refused.
    protected: Option<bool>,
    /// Why. Only together with `protected: true`; then the default is an empty text, also if there was a reason before.
    #[schema(value_type = Option<Reason>)]
    protected_reason: Option<String>,
}

impl SnapshotUpdate {
    pub(super) fn request(self) -> UpdateSnapshot {
        let SnapshotUpdateFields { name, description, protected, protected_reason } = self.snapshot;
        UpdateSnapshot { name, description, protected, protected_reason }
    }
}

/// A restore, of a snapshot or of a branch's tip.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// How; `{}` for the defaults.
    restore: RestoreFields,
    /// Whether only the plan is asked for.
    #[serde(default)]
    dry_run: bool,
    /// The generation that the tree must have; any, if there is none.
    #[serde(default, deserialize_with = "whole")]
    #[schema(value_type = Option<Generation>)]
    tree_generation: Option<i64>,
}

/// How a server is taken back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreFields {
    /// Only these disks, by `key` or device; all of the snapshot, if there are none.
    #[schema(min_items = 1, max_items = 64)]
    disks: Option<Vec<String>>,
    /// Name of a branch that shall begin. Only if all disks are restored.
    #[schema(value_type = Option<Name>)]
    branch_name: Option<String>,
    /// Whether the present is kept as a safety snapshot (the default). It is not taken where a snapshot equals the present already.
    safety_snapshot: Option<bool>,
}

impl Restore {
    /// The restore of a snapshot.
    ///
    /// # Errors
    /// `BadRequest`.
    pub fn request(self, snapshot_id: SnapshotId) -> Result<RestoreSnapshot> {
        if self.restore.disks.as_ref().is_some_and(|disks| disks.len() > WORDS_MAX) {
            return Err(Error::bad_field("restore.disks", format!("At most {WORDS_MAX} disks can be named.")));
        }
        Ok(RestoreSnapshot {
            snapshot_id,
            disks: self.restore.disks,
            branch_name: self.restore.branch_name,
            safety_snapshot: self.restore.safety_snapshot.unwrap_or(true),
            dry_run: self.dry_run,
            tree_generation: self.tree_generation,
        })
    }
}
