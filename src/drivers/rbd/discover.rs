//! Which disks of a server lie in Nova's pool: found by name, since Nova keeps no other record of them.
//!
//! Whatever bears the server's id is either covered or named as left out, never passed over.

use super::history::SnapshotKind;
use super::image::{Access, Image};
use super::naming::{Role, SNAPSHOT_PREFIX, order, parse_head, role};
use super::pool::Pool;
use super::takeover::stands_in;
use crate::domain::disk::{Attachment, DiskFacts, DiskKind, Found, FoundDisk, LeftOut};
use crate::domain::server::ServerFacts;
use crate::error::Result;
use crate::ids::ServerId;

/// A head in Nova's pool, as the listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadImage {
    /// The server whose id the name begins with.
    pub server_id: ServerId,
    /// The disk: `disk`, `disk.eph0`.
    pub key: String,
    /// Image id.
    pub image_id: String,
}

/// All heads of a pool that snapshots cover, in one listing; such as are being removed are still among them.
pub(super) fn heads(pool: &Pool) -> Result<Vec<HeadImage>> {
    Ok(pool
        .list()?
        .into_iter()
        .filter_map(|listed| {
            let (server_id, key) = parse_head(&listed.name)?;
            matches!(role(key), Role::Disk(_)).then(|| HeadImage {
                server_id,
                key: key.to_owned(),
                image_id: listed.id.clone(),
            })
        })
        .collect())
}

/// The disks of one server. None if its system disk is not here (it boots from a volume, or lies elsewhere); what else
/// of it is here is then named as left out.
pub(super) fn discover(pool: &Pool, backend: &str, server: &ServerFacts) -> Result<Found> {
    let id = server.id.to_string();
    let mut found = Found::default();
    let mut disks = Vec::new();
    for listed in pool.list()? {
        // Everything that begins with the id, as Nova's own clean-up takes it: also what is no disk's name.
        let Some(rest) = listed.name.strip_prefix(&id) else { continue };
        let key = rest.strip_prefix('_').unwrap_or(rest).to_owned();
        match parse_head(&listed.name).map(|(_, key)| role(key)) {
            Some(Role::Disk(kind)) => disks.push((key, kind, listed)),
            Some(Role::LeftOut(reason)) => found.left_out.push(LeftOut::never(key, reason)),
            None => found.left_out.push(LeftOut::never(key, UNKNOWN)),
        }
    }
    if !disks.iter().any(|(_, kind, _)| *kind == DiskKind::System) {
        let others = std::mem::take(&mut disks).into_iter();
        found.left_out.extend(others.map(|(key, ..)| LeftOut::never(key, NO_SYSTEM_DISK)));
    }
    disks.sort_by_key(|(key, ..)| order(key));
    found.left_out.sort_by(|a, b| a.key.cmp(&b.key));
    for (key, kind, listed) in disks {
        // Renamed or deleted between the listing and here, or being removed: the caller looks again before it acts.
        let Some(image) = pool.open_name(&listed.name, Access::Read)? else { continue };
        if image.id() != listed.id || stands_in(&image)? {
            continue;
        }
        found.disks.push(FoundDisk {
            backend: backend.to_owned(),
            pool: pool.name().to_owned(),
            backend_id: listed.id,
            key,
            kind,
            position: u32::try_from(found.disks.len()).unwrap_or(u32::MAX),
            size_bytes: image.size_bytes()?,
            attachment: Attachment::default(),
            facts: DiskFacts { parent_pool: image.parent()?.map(|parent| parent.pool), ..DiskFacts::default() },
            unsupported: unsupported(&image, server)?,
            foreign_snapshots: foreign_snapshots(&image)?,
        });
    }
    Ok(found)
}

const NO_SYSTEM_DISK: &str = "The server's system disk does not lie in this pool.";
const UNKNOWN: &str = "Unknown image: its name begins with the server's id, but Nova is not known to make it.";

fn foreign_snapshots(image: &Image) -> Result<Vec<String>> {
    Ok(image
        .snapshots()?
        .into_iter()
        .filter(|snapshot| snapshot.kind != SnapshotKind::Trash && !snapshot.name.starts_with(SNAPSHOT_PREFIX))
        .map(|snapshot| snapshot.name)
        .collect())
}

/// Why a disk cannot be covered: encrypted by Nova (LUKS), so that a clone would need the original's secret.
fn unsupported(image: &Image, server: &ServerFacts) -> Result<Option<String>> {
    const ASKED_BY: [&str; 2] = ["hw:ephemeral_encryption", "image:hw_ephemeral_encryption"];
    let asked = ASKED_BY
        .into_iter()
        .find(|key| server.extra_specs.get(*key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true")));
    if let Some(key) = asked {
        return Ok(Some(format!("The disk is encrypted by Nova ({key}=true).")));
    }
    let encrypted = image.metadata()?.into_keys().find(|key| {
        let key = key.to_ascii_lowercase();
        key.contains("encrypt") || key.contains("luks")
    });
    Ok(encrypted.map(|key| format!("The disk is encrypted (RBD image metadata {key}).")))
}
