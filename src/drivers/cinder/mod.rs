//! Disks that are Cinder volumes, through the Block Storage API alone: whatever backend Cinder has, this works on it.
//!
//! - A snapshot is Cinder's, named `ratoon-<disk snapshot id>`; a new layer is a volume made of one, named
//!   `ratoon.<layer id>` until it is a head and gets its disk's name. Both are found by name before they are made, since
//!   Cinder would make a second one as gladly. It may do so all the same: a request whose answer we gave up on can be
//!   carried out later, after the repeated one. So removing takes all of a name. What Cinder makes only after that
//!   stays, for nobody looks again: by its name, and its metadata `ratoon.operation`, people can tell whose it was.
//! - What is made is made with a token of the customer's project, so that it is owned and paid there. Looking, renaming
//!   and marking go through the service's own token: it sees volumes wherever they are.
//! - Cinder is asynchronous: it answers `creating` or `deleting` and does it later, or never. [`wait`] holds the rules.
//! - A volume that is taken off its server keeps its bytes until somebody attaches it again, and each attach moves the
//!   volume's `updated_at`. So that time, read right after the detach and again after each change of ours, is its mark.
//! - A metadata key that begins with `ratoon` is ours; all others are the owner's, are copied to new layers and never
//!   touched.

mod discover;
mod wait;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{Call, Capabilities, Captured, Label, NewLayer, SnapshotDriver, Source};
use crate::clients::cinder::{NewVolume, Snapshot, Volume};
use crate::clients::{Cinder, OpenStack};
use crate::domain::disk::{Found, Layer, Placement};
use crate::domain::quota::Quota;
use crate::domain::server::ServerFacts;
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId};
pub use wait::Waiting;

/// Name of this driver in rows and messages.
const NAME: &str = "cinder";
/// What people see behind the name of a parked volume.
const PARKED_SUFFIX: &str = " (parked by ratoon)";
/// Longest name of a volume.
const NAME_MAX: usize = 255;
/// Metadata: the name that a prepared volume will get.
const KEY_NAME: &str = "ratoon.name";
/// Metadata: the volume is parked.
const KEY_PARKED: &str = "ratoon.parked";
/// Metadata: the server it belongs to.
const KEY_SERVER: &str = "ratoon.server";
/// Metadata of a parked volume: the id of the volume that has taken its place.
const KEY_REPLACED_BY: &str = "ratoon.replaced_by";

/// The driver.
#[derive(Debug)]
pub struct CinderDriver {
    openstack: Arc<OpenStack>,
    /// Asks with the service's own token.
    admin: Cinder,
    waiting: Waiting,
}

impl CinderDriver {
    /// The driver, over these sessions; `waiting` says how it waits for Cinder.
    #[must_use]
    pub fn new(openstack: Arc<OpenStack>, waiting: Waiting) -> Self {
        let admin = Cinder::new(openstack.admin().clone());
        Self { openstack, admin, waiting }
    }

    /// Cinder, asked for the project that shall own what is made.
    async fn owner(&self, call: &Call) -> Result<Cinder> {
        Ok(Cinder::new(self.openstack.project(&call.project_id).await?))
    }

    async fn source_snapshot(&self, cinder: &Cinder, source: Source<'_>) -> Result<Snapshot> {
        let snapshot = if source.backend_id.is_empty() {
            cinder.snapshot_named(volume_id(source.layer)?, &snapshot_name(source.origin)).await?
        } else {
            cinder.snapshot(source.backend_id).await?
        };
        snapshot.ok_or_else(|| Error::not_found("Volume snapshot", snapshot_name(source.origin)))
    }

    async fn volume(&self, layer: &Layer) -> Result<Volume> {
        let id = volume_id(layer)?;
        self.admin.volume(id).await?.ok_or_else(|| Error::not_found("Volume", id))
    }
}

#[async_trait]
impl SnapshotDriver for CinderDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { placement: Placement::Attached, clones_may_hold_snapshots: true, copies: false }
    }

    async fn discover(&self, server: &ServerFacts) -> Result<Found> {
        discover::discover(&self.admin, server).await
    }

    async fn capture(&self, call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<Captured> {
        let volume_id = volume_id(layer)?;
        let name = snapshot_name(id);
        let cinder = self.owner(call).await?;
        let known = if call.again { cinder.snapshot_named(volume_id, &name).await? } else { None };
        let snapshot = match known {
            Some(snapshot) => snapshot,
            None => {
                let metadata = metadata([
                    ("ratoon.operation", call.operation_id.to_string()),
                    ("ratoon.disk_snapshot", id.to_string()),
                    (KEY_SERVER, layer.server_id.to_string()),
                ]);
                let description = format!("Made by Ratoon for server {}", layer.server_id);
                cinder
                    .create_snapshot(volume_id, &name, &description, &metadata)
                    .await
                    .map_err(|error| error.context(format!("take a snapshot of volume {volume_id}")))?
            }
        };
        let object = wait::Object::Snapshot { id: &snapshot.id, of: volume_id };
        wait::until_available(&self.waiting, &cinder, object, &snapshot.status).await?;
        Ok(Captured { size_bytes: snapshot.size << 30, backend_id: snapshot.id })
    }

    async fn remove_snapshot(&self, call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<()> {
        let volume_id = volume_id(layer)?;
        let cinder = self.owner(call).await?;
        let mut gone = String::new();
        while let Some(snapshot) = cinder.snapshot_named(volume_id, &snapshot_name(id)).await? {
            refuse_twice(&mut gone, &snapshot.id)?;
            let object = wait::Object::Snapshot { id: &snapshot.id, of: volume_id };
            wait::until_removed(&self.waiting, &cinder, object).await?;
        }
        Ok(())
    }

    async fn prepare(&self, call: &Call, source: Source<'_>, new: &NewLayer) -> Result<String> {
        let cinder = self.owner(call).await?;
        let name = layer_name(new.id);
        let volume = match cinder.volume_named(&name).await? {
            Some(volume) => volume,
            None => {
                let snapshot = self.source_snapshot(&cinder, source).await?;
                let facts = &source.layer.facts;
                let mut metadata = metadata([
                    ("ratoon.operation", call.operation_id.to_string()),
                    ("ratoon.layer", new.id.to_string()),
                    ("ratoon.origin", source.origin.to_string()),
                    (KEY_SERVER, source.layer.server_id.to_string()),
                ]);
                if let Some(name) = &facts.name {
                    metadata.insert(KEY_NAME.to_owned(), json!(name));
                }
                metadata.extend(facts.metadata.iter().map(|(key, value)| (key.clone(), json!(value))));
                let wanted = NewVolume {
                    name: &name,
                    snapshot_id: &snapshot.id,
                    size_gib: snapshot.size.max(new.size_bytes_min.div_ceil(1 << 30)),
                    volume_type: facts.volume_type.as_deref(),
                    availability_zone: facts.availability_zone.as_deref(),
                    metadata,
                };
                cinder
                    .create_volume(&wanted)
                    .await
                    .map_err(|error| error.context(format!("make a volume of snapshot {}", snapshot.id)))?
            }
        };
        wait::until_available(&self.waiting, &cinder, wait::Object::Volume { id: &volume.id }, &volume.status).await?;
        Ok(volume.id)
    }

    async fn discard(&self, call: &Call, _source: Source<'_>, new: &NewLayer) -> Result<()> {
        let cinder = self.owner(call).await?;
        let mut gone = String::new();
        while let Some(volume) = cinder.volume_named(&layer_name(new.id)).await? {
            refuse_twice(&mut gone, &volume.id)?;
            wait::until_removed(&self.waiting, &cinder, wait::Object::Volume { id: &volume.id }).await?;
        }
        Ok(())
    }

    async fn purge(&self, call: &Call, layer: &Layer, _origin: Option<DiskSnapshotId>) -> Result<bool> {
        let id = volume_id(layer)?;
        let Some(volume) = self.admin.volume(id).await? else { return Ok(true) };
        // One that is being deleted already, or that Cinder failed to delete, is ours to delete once more.
        let leaving = volume.status.contains("deleting");
        if !leaving && (layer.parked_mark.is_empty() || volume.updated_at.as_ref() != Some(&layer.parked_mark)) {
            return Ok(false);
        }
        let cinder = self.owner(call).await?;
        wait::until_removed(&self.waiting, &cinder, wait::Object::Volume { id }).await.map(|()| true)
    }

    async fn exists(&self, layer: &Layer) -> Result<bool> {
        Ok(self.admin.volume(volume_id(layer)?).await?.is_some())
    }

    async fn used_bytes(&self, layer: &Layer) -> Result<u64> {
        Ok(self.admin.volume(volume_id(layer)?).await?.map_or(0, |volume| volume.size << 30))
    }

    async fn users(&self, layer: &Layer) -> Result<Vec<String>> {
        let id = volume_id(layer)?;
        let Some(volume) = self.admin.volume(id).await? else { return Ok(Vec::new()) };
        // Reserved is not open yet: an id alone says that this server has it.
        let mut users: Vec<String> = self
            .admin
            .volume_users(id)
            .await?
            .into_iter()
            .map(|user| match (user.instance, user.status.as_str()) {
                (Some(server), "attached") => server,
                (Some(server), status) => format!("server {server} ({status})"),
                (None, status) => format!("somebody ({status})"),
            })
            .collect();
        users.extend(volume.attachments.into_iter().filter_map(|user| user.server_id));
        users.sort();
        users.dedup();
        if users.is_empty() && !matches!(volume.status.as_str(), "available" | "error") {
            users.push(format!("somebody (the volume is {})", volume.status));
        }
        Ok(users)
    }

    async fn swap(&self, _call: &Call, _head: &Layer, _next: &Layer) -> Result<()> {
        Err(Error::internal("A volume takes its place by Nova's attachments, not by its name."))
    }

    /// Its time of change, which each attach and detach moves, and each change of ours; none while somebody has it.
    async fn mark(&self, layer: &Layer) -> Result<String> {
        let volume = self.volume(layer).await?;
        Ok(volume.updated_at.filter(|_| volume.status == "available").unwrap_or_default())
    }

    async fn label(&self, _call: &Call, layer: &Layer, label: Label<'_>) -> Result<String> {
        let id = volume_id(layer)?;
        if let Label::Parked { replaced_by } = label {
            let before = self.mark(layer).await?;
            let mut marks = metadata([(KEY_PARKED, "true".to_owned()), (KEY_SERVER, layer.server_id.to_string())]);
            if let Some(other) = replaced_by {
                marks.insert(KEY_REPLACED_BY.to_owned(), json!(other));
            }
            self.admin.set_volume_metadata(id, &marks).await?;
            self.admin.rename_volume(id, Some(&parked_name(layer))).await?;
            // Nobody attaches, writes and detaches in the moment that this took.
            let untouched = !before.is_empty() && before == layer.parked_mark;
            return if untouched { self.mark(layer).await } else { Ok(String::new()) };
        }
        self.admin.rename_volume(id, layer.facts.name.as_deref()).await?;
        for key in [KEY_PARKED, KEY_SERVER, KEY_NAME, KEY_REPLACED_BY] {
            self.admin.remove_volume_metadata(id, key).await?;
        }
        Ok(String::new())
    }

    /// Whichever volume carries the snapshot: the layer's row says what the volume held when it was parked, its own last
    /// snapshot or the one that it was made of, and the mark says that nobody has attached it since.
    async fn equals(&self, layer: &Layer, source: Source<'_>) -> Result<bool> {
        if layer.equals != Some(source.origin) || layer.parked_mark.is_empty() {
            return Ok(false);
        }
        let Some(volume) = self.admin.volume(volume_id(layer)?).await? else { return Ok(false) };
        Ok(volume.status == "available" && volume.updated_at.as_deref() == Some(layer.parked_mark.as_str()))
    }

    async fn quota(&self, project_id: &str) -> Result<Option<Quota>> {
        self.admin.quota(project_id).await.map(Some)
    }
}

/// Cinder lists what it has just said to be gone (a replica of its database that lags): later, not again and again.
fn refuse_twice(gone: &mut String, id: &str) -> Result<()> {
    if gone == id {
        return Err(Error::unavailable(format!("Cinder still lists {id}, which it says is gone.")));
    }
    id.clone_into(gone);
    Ok(())
}

fn snapshot_name(id: DiskSnapshotId) -> String {
    format!("ratoon-{id}")
}

fn layer_name(id: LayerId) -> String {
    format!("ratoon.{id}")
}

/// The name of a parked volume, cut to what Cinder takes.
fn parked_name(layer: &Layer) -> String {
    let name = layer.facts.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&layer.key);
    let kept: String = name.chars().take(NAME_MAX - PARKED_SUFFIX.len()).collect();
    format!("{kept}{PARKED_SUFFIX}")
}

fn volume_id(layer: &Layer) -> Result<&str> {
    match layer.backend_id.as_str() {
        "" => Err(Error::internal(format!("Layer {} has no volume yet.", layer.id))),
        id => Ok(id),
    }
}

fn metadata<const N: usize>(entries: [(&str, String); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), Value::String(value))).collect()
}
