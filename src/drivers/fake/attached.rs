//! Disks that Nova attaches: volumes with snapshots under a quota.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::FakeCloud;
use super::state::{ATTACHED, Picture, State, Volume};
use crate::domain::disk::{DiskKind, Found, FoundDisk, Layer, Placement};
use crate::domain::quota::{Allowance, Need, Quota};
use crate::domain::server::ServerFacts;
use crate::drivers::{Call, Capabilities, Captured, Label, NewLayer, SnapshotDriver, Source};
use crate::error::{Error, Result};
use crate::ids::DiskSnapshotId;

/// The driver.
pub struct Attached {
    cloud: FakeCloud,
}

/// The mark by which a volume that we made is found again.
const MADE_FOR: &str = "ratoon.layer";
/// The mark of a parked volume.
const PARKED: &str = "ratoon.parked";

fn quota(state: &State, project: &str) -> Quota {
    let (volumes, snapshots, gigabytes) = state.used(project);
    Quota {
        volumes: Allowance { limit: state.limits.volumes, used: volumes },
        snapshots: Allowance { limit: state.limits.snapshots, used: snapshots },
        gigabytes: Allowance { limit: state.limits.gigabytes, used: gigabytes },
    }
}

fn gigabytes(bytes: u64) -> i64 {
    i64::try_from(bytes.div_ceil(1 << 30)).unwrap_or(i64::MAX)
}

fn made_for(state: &State, new: &NewLayer) -> Option<String> {
    let mark = new.id.to_string();
    let found = state.volumes.iter().find(|(_, volume)| volume.facts.metadata.get(MADE_FOR) == Some(&mark));
    found.map(|(id, _)| id.clone())
}

impl Attached {
    pub(super) fn new(cloud: FakeCloud) -> Self {
        Self { cloud }
    }
}

#[async_trait]
impl SnapshotDriver for Attached {
    fn name(&self) -> &'static str {
        ATTACHED
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { placement: Placement::Attached, clones_may_hold_snapshots: true, copies: false }
    }

    async fn discover(&self, server: &ServerFacts) -> Result<Found> {
        self.cloud
            .call("list_volumes", |state| {
                let mut found = Found::default();
                for (position, attached) in (0..).zip(&server.volumes) {
                    let volume = state.volume(&attached.volume_id)?;
                    let mut facts = volume.facts.clone();
                    facts.metadata.retain(|key, _| !key.starts_with("ratoon."));
                    found.disks.push(FoundDisk {
                        backend: ATTACHED.to_owned(),
                        pool: String::new(),
                        backend_id: attached.volume_id.clone(),
                        key: attached.volume_id.clone(),
                        kind: DiskKind::Volume,
                        position,
                        size_bytes: volume.size_bytes,
                        attachment: attached.attachment.clone(),
                        facts,
                        unsupported: volume.unsupported.clone(),
                        foreign_snapshots: vec![],
                    });
                }
                Ok(found)
            })
            .await
    }

    async fn capture(&self, call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<Captured> {
        self.cloud
            .call("snapshot_volume", |state| {
                let name = format!("ratoon-{id}");
                let volume = state.volume(&layer.backend_id)?.clone();
                // As Cinder: who does not look makes another of the same name.
                let known = volume.pictures.iter().find(|(_, picture)| call.again && picture.name == name);
                if let Some((id, picture)) = known {
                    return Ok(Captured { backend_id: id.clone(), size_bytes: picture.size_bytes });
                }
                let need = Need { volumes: 0, snapshots: 1, gigabytes: gigabytes(volume.size_bytes) };
                quota(state, &volume.project_id).check(need)?;
                let backend_id = state.fresh("snapshot");
                let size_bytes = volume.size_bytes;
                let picture = Picture { name, bytes: volume.bytes, size_bytes, trashed: false };
                state.volume(&layer.backend_id)?.pictures.insert(backend_id.clone(), picture);
                Ok(Captured { backend_id, size_bytes })
            })
            .await
    }

    async fn remove_snapshot(&self, _call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<()> {
        self.cloud
            .call("remove_volume_snapshot", |state| {
                let name = format!("ratoon-{id}");
                let Some(volume) = state.volumes.get(&layer.backend_id) else { return Ok(()) };
                let found = volume.pictures.iter().find(|(_, picture)| picture.name == name).map(|(id, _)| id.clone());
                let made_of = found.map(|snapshot| (layer.backend_id.clone(), snapshot));
                let has_clones =
                    state.volumes.values().any(|clone| clone.made_of.is_some() && clone.made_of == made_of);
                if has_clones && !state.clones_let_go {
                    return Err(Error::conflict(format!("Volume snapshot {name} is in use: a volume was made of it.")));
                }
                if let Some(volume) = state.volumes.get_mut(&layer.backend_id) {
                    volume.pictures.retain(|_, picture| picture.name != format!("ratoon-{id}"));
                }
                Ok(())
            })
            .await
    }

    async fn prepare(&self, call: &Call, source: Source<'_>, new: &NewLayer) -> Result<String> {
        self.cloud
            .call("create_volume", |state| {
                if let Some(there) = made_for(state, new) {
                    return Ok(there);
                }
                let carrier = state.volume(&source.layer.backend_id)?.clone();
                let picture = carrier
                    .pictures
                    .get(source.backend_id)
                    .cloned()
                    .ok_or_else(|| Error::not_found("Volume snapshot", source.backend_id))?;
                let size_bytes = picture.size_bytes.max(new.size_bytes_min);
                let need = Need { volumes: 1, snapshots: 0, gigabytes: gigabytes(size_bytes) };
                quota(state, &call.project_id).check(need)?;
                let mut facts = source.layer.facts.clone();
                facts.metadata.insert(MADE_FOR.to_owned(), new.id.to_string());
                let id = state.fresh("volume");
                let volume = Volume {
                    project_id: call.project_id.clone(),
                    bytes: picture.bytes,
                    size_bytes,
                    pictures: BTreeMap::new(),
                    attached_to: None,
                    facts,
                    unsupported: None,
                    updated: 1,
                    made_of: Some((source.layer.backend_id.clone(), source.backend_id.to_owned())),
                };
                state.volumes.insert(id.clone(), volume);
                Ok(id)
            })
            .await
    }

    async fn discard(&self, _call: &Call, _source: Source<'_>, new: &NewLayer) -> Result<()> {
        self.cloud
            .call("remove_volume", |state| {
                let Some(id) = made_for(state, new) else { return Ok(()) };
                let volume = state.volume(&id)?;
                if volume.attached_to.is_some() || !volume.pictures.is_empty() {
                    return Err(Error::conflict(format!("Volume {id} is in use or has snapshots.")));
                }
                state.volumes.remove(&id);
                Ok(())
            })
            .await
    }

    async fn purge(&self, _call: &Call, layer: &Layer, _origin: Option<DiskSnapshotId>) -> Result<bool> {
        self.cloud
            .call("purge_volume", |state| {
                let Some(volume) = state.volumes.get(&layer.backend_id) else { return Ok(true) };
                if volume.updated.to_string() != layer.parked_mark {
                    return Ok(false);
                }
                let is_origin = |clone: &Volume| clone.made_of.as_ref().is_some_and(|(of, _)| *of == layer.backend_id);
                let busy = volume.attached_to.is_some() || !volume.pictures.is_empty();
                if busy || state.volumes.values().any(is_origin) {
                    return Err(Error::conflict(format!("Volume {} is in use or has snapshots.", layer.backend_id)));
                }
                state.volumes.remove(&layer.backend_id);
                Ok(true)
            })
            .await
    }

    async fn exists(&self, layer: &Layer) -> Result<bool> {
        self.cloud.call("show_volume", |state| Ok(state.volumes.contains_key(&layer.backend_id))).await
    }

    async fn used_bytes(&self, layer: &Layer) -> Result<u64> {
        self.cloud
            .call("show_volume", |state| Ok(state.volumes.get(&layer.backend_id).map_or(0, |volume| volume.size_bytes)))
            .await
    }

    async fn users(&self, layer: &Layer) -> Result<Vec<String>> {
        self.cloud
            .call("show_volume", |state| {
                Ok(state.volume(&layer.backend_id)?.attached_to.iter().map(ToString::to_string).collect())
            })
            .await
    }

    async fn swap(&self, _call: &Call, head: &Layer, _next: &Layer) -> Result<()> {
        Err(Error::internal(format!("Volume {} takes its place by being attached.", head.backend_id)))
    }

    async fn mark(&self, layer: &Layer) -> Result<String> {
        self.cloud
            .call("show_volume", |state| {
                let volume = state.volume(&layer.backend_id)?;
                Ok(if volume.attached_to.is_none() { volume.updated.to_string() } else { String::new() })
            })
            .await
    }

    async fn label(&self, _call: &Call, layer: &Layer, label: Label<'_>) -> Result<String> {
        let parked = label != Label::InUse;
        self.cloud
            .call("label_volume", |state| {
                let volume = state.volume(&layer.backend_id)?;
                let untouched = volume.attached_to.is_none() && volume.updated.to_string() == layer.parked_mark;
                if parked {
                    volume.facts.name = Some(format!("ratoon.{}", layer.id));
                    volume.facts.metadata.insert(PARKED.to_owned(), layer.id.to_string());
                } else {
                    volume.facts.name.clone_from(&layer.facts.name);
                    volume.facts.metadata.remove(PARKED);
                }
                volume.updated += 1;
                Ok(if parked && untouched { volume.updated.to_string() } else { String::new() })
            })
            .await
    }

    async fn equals(&self, layer: &Layer, source: Source<'_>) -> Result<bool> {
        if layer.equals != Some(source.origin) {
            return Ok(false);
        }
        self.cloud
            .call("show_volume", |state| {
                let Some(volume) = state.volumes.get(&layer.backend_id) else { return Ok(false) };
                Ok(volume.attached_to.is_none() && volume.updated.to_string() == layer.parked_mark)
            })
            .await
    }

    async fn quota(&self, project_id: &str) -> Result<Option<Quota>> {
        self.cloud.call("show_quota", |state| Ok(Some(quota(state, project_id)))).await
    }
}
