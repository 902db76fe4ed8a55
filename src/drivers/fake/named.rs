//! Disks that take their place by name: images of a pool, with snapshots, clones and watchers.
//!
//! The two renames of a swap are outside calls of their own, so that a fault can fall between them.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::FakeCloud;
use super::owner::blank_image;
use super::state::{Image, NAMED, NOVAS, POOL, Picture, SECTORS, State, head_name};
use crate::domain::disk::{Attachment, DiskFacts, DiskKind, Found, FoundDisk, Layer, LeftOut, Placement};
use crate::domain::quota::Quota;
use crate::domain::server::ServerFacts;
use crate::drivers::{Call, Capabilities, Captured, Label, NewLayer, SnapshotDriver, Source, StandIn};
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId};

/// The driver.
pub struct Named {
    cloud: FakeCloud,
}

fn parked_name(layer: LayerId) -> String {
    format!("ratoon.{layer}")
}

fn picture_name(id: DiskSnapshotId) -> String {
    format!("ratoon-{id}")
}

/// Metadata of what stands in for a head under the name by which Nova removes it.
const STAND_IN: &str = "ratoon.stand_in";

fn is_stand_in(image: &Image) -> bool {
    image.metadata.contains_key(STAND_IN)
}

/// Whether anybody has an image open, or anything that was made of it.
fn is_read(state: &State, id: &str) -> bool {
    let is_clone = |image: &&Image| image.parent.as_ref().is_some_and(|(parent, _)| parent == id);
    let mut clones = state.images.iter().filter(|(_, image)| is_clone(image));
    state.images.get(id).is_some_and(|image| !image.watchers.is_empty())
        || clones.any(|(clone, _)| is_read(state, clone))
}

/// Trashed snapshots go with their last clone.
fn empty_trash(state: &mut State) {
    let parents: Vec<(String, String)> = state.images.values().filter_map(|image| image.parent.clone()).collect();
    for (id, image) in &mut state.images {
        image.pictures.retain(|picture, it| !it.trashed || parents.contains(&(id.clone(), picture.clone())));
    }
}

impl Named {
    pub(super) fn new(cloud: FakeCloud) -> Self {
        Self { cloud }
    }

    async fn rename(&self, image: &str, from: &str, to: &str) -> Result<()> {
        self.cloud
            .call("rename", |state| {
                if state.image_named(to).is_some_and(|there| there != image) {
                    return Err(Error::backend(format!("There is an image {to} already.")));
                }
                let found = state.image(image)?;
                if found.name != from && found.name != to {
                    return Err(Error::backend(format!("Image {image} is named {}, not {from}.", found.name)));
                }
                to.clone_into(&mut found.name);
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl SnapshotDriver for Named {
    fn name(&self) -> &'static str {
        NAMED
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { placement: Placement::Named, clones_may_hold_snapshots: false, copies: true }
    }

    async fn discover(&self, server: &ServerFacts) -> Result<Found> {
        self.cloud
            .call("list_images", |state| {
                let mut found = Found::default();
                for (position, (key, id)) in (0..).zip(state.heads(server.id)) {
                    if key == "disk.swap" || key == "disk.config" {
                        found.left_out.push(LeftOut::never(key, "is not a disk to go back to"));
                        continue;
                    }
                    let image = state.image(&id)?;
                    if is_stand_in(image) {
                        continue;
                    }
                    let ours = |picture: &&Picture| !picture.name.starts_with("ratoon-");
                    found.disks.push(FoundDisk {
                        backend: NAMED.to_owned(),
                        pool: POOL.to_owned(),
                        backend_id: id.clone(),
                        kind: if key == "disk" { DiskKind::System } else { DiskKind::Ephemeral },
                        key,
                        position,
                        size_bytes: image.size_bytes,
                        attachment: Attachment::default(),
                        facts: DiskFacts::default(),
                        unsupported: None,
                        foreign_snapshots: image.pictures.values().filter(ours).map(|it| it.name.clone()).collect(),
                    });
                }
                Ok(found)
            })
            .await
    }

    async fn capture(&self, _call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<Captured> {
        self.cloud
            .call("snapshot_image", |state| {
                let name = picture_name(id);
                let backend_id = state.fresh("picture");
                let image = state.image(&layer.backend_id)?;
                if let Some((id, picture)) = image.pictures.iter().find(|(_, picture)| picture.name == name) {
                    return Ok(Captured { backend_id: id.clone(), size_bytes: picture.size_bytes });
                }
                let (bytes, size_bytes) = (image.bytes.clone(), image.size_bytes);
                image.pictures.insert(backend_id.clone(), Picture { name, bytes, size_bytes, trashed: false });
                Ok(Captured { backend_id, size_bytes })
            })
            .await
    }

    async fn remove_snapshot(&self, _call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<()> {
        self.cloud
            .call("remove_image_snapshot", |state| {
                let name = picture_name(id);
                if let Some(image) = state.images.get_mut(&layer.backend_id) {
                    for picture in image.pictures.values_mut().filter(|picture| picture.name == name) {
                        picture.trashed = true;
                        picture.name = format!("trash.{name}");
                    }
                }
                empty_trash(state);
                Ok(())
            })
            .await
    }

    async fn prepare(&self, _call: &Call, source: Source<'_>, new: &NewLayer) -> Result<String> {
        self.cloud
            .call("clone_image", |state| {
                let name = parked_name(new.id);
                if let Some(there) = state.image_named(&name) {
                    return Ok(there.to_owned());
                }
                let id = state.fresh("image");
                let picture = state
                    .image(&source.layer.backend_id)?
                    .pictures
                    .get(source.backend_id)
                    .filter(|picture| !picture.trashed && picture.name == picture_name(source.origin))
                    .cloned()
                    .ok_or_else(|| Error::not_found("Image snapshot", source.backend_id))?;
                let image = Image {
                    name,
                    bytes: picture.bytes,
                    size_bytes: picture.size_bytes.max(new.size_bytes_min),
                    pictures: BTreeMap::new(),
                    parent: (!new.copied).then(|| (source.layer.backend_id.clone(), source.backend_id.to_owned())),
                    watchers: vec![],
                    metadata: BTreeMap::new(),
                };
                state.images.insert(id.clone(), image);
                Ok(id)
            })
            .await
    }

    async fn discard(&self, _call: &Call, _source: Source<'_>, new: &NewLayer) -> Result<()> {
        self.cloud
            .call("remove_image", |state| {
                let Some(id) = state.image_named(&parked_name(new.id)).map(str::to_owned) else { return Ok(()) };
                let image = state.image(&id)?;
                image.pictures.retain(|_, picture| picture.name != NOVAS);
                if !image.watchers.is_empty() || !image.pictures.is_empty() {
                    return Err(Error::backend(format!("Image {id} is in use and cannot be removed.")));
                }
                state.images.remove(&id);
                empty_trash(state);
                Ok(())
            })
            .await
    }

    async fn purge(&self, _call: &Call, layer: &Layer, _origin: Option<DiskSnapshotId>) -> Result<bool> {
        self.cloud
            .call("purge_image", |state| {
                let Some(image) = state.images.get(&layer.backend_id) else { return Ok(true) };
                let parked = image.name == parked_name(layer.id);
                if !parked || !image.watchers.is_empty() || !image.pictures.is_empty() {
                    return Err(Error::conflict(format!("Image {} is in use or has snapshots.", layer.backend_id)));
                }
                state.images.remove(&layer.backend_id);
                empty_trash(state);
                Ok(true)
            })
            .await
    }

    async fn clear(&self, layer: &Layer) -> Result<()> {
        self.cloud
            .call("clear_image", |state| {
                let parked = parked_name(layer.id);
                for image in state.images.values_mut().filter(|image| image.name == parked) {
                    image.pictures.retain(|_, picture| picture.name != NOVAS);
                }
                Ok(())
            })
            .await
    }

    async fn exists(&self, layer: &Layer) -> Result<bool> {
        self.cloud.call("show_image", |state| Ok(state.images.contains_key(&layer.backend_id))).await
    }

    async fn used_bytes(&self, layer: &Layer) -> Result<u64> {
        self.cloud
            .call("measure_image", |state| Ok(state.images.get(&layer.backend_id).map_or(0, |image| image.size_bytes)))
            .await
    }

    async fn flatten_cost(&self, layer: &Layer) -> Result<Option<u64>> {
        self.cloud
            .call("measure_image", |state| {
                let Some(image) = state.images.get(&layer.backend_id) else { return Ok(None) };
                if image.name != parked_name(layer.id) || is_read(state, &layer.backend_id) {
                    return Ok(None);
                }
                let parent =
                    image.parent.as_ref().and_then(|(id, picture)| state.images.get(id)?.pictures.get(picture));
                let same = parent.map_or(0, |it| it.bytes.iter().zip(&image.bytes).filter(|(a, b)| a == b).count());
                Ok(Some(image.size_bytes / SECTORS as u64 * same as u64))
            })
            .await
    }

    async fn flatten(&self, layer: &Layer) -> Result<()> {
        self.cloud
            .call("flatten_image", |state| {
                let in_use = is_read(state, &layer.backend_id);
                let image = state.image(&layer.backend_id)?;
                if image.name != parked_name(layer.id) || in_use {
                    return Err(Error::conflict(format!("Image {} is in use.", layer.backend_id)));
                }
                image.parent = None;
                empty_trash(state);
                Ok(())
            })
            .await
    }

    async fn users(&self, layer: &Layer) -> Result<Vec<String>> {
        self.cloud.call("list_watchers", |state| Ok(state.image(&layer.backend_id)?.watchers.clone())).await
    }

    async fn swap(&self, _call: &Call, head: &Layer, next: &Layer) -> Result<()> {
        let expected = head_name(head.server_id, &head.key);
        let (head_name, next_name) = (parked_name(head.id), parked_name(next.id));
        let swapped = self
            .cloud
            .call("list_watchers", |state| {
                if state.image(&next.backend_id)?.name == expected {
                    return Ok(true);
                }
                let watchers = state.image(&head.backend_id)?.watchers.join(", ");
                if watchers.is_empty() {
                    return Ok(false);
                }
                Err(Error::conflict(format!("Image {} is open ({watchers}).", head.backend_id)).retryable())
            })
            .await?;
        if swapped {
            return Ok(());
        }
        self.rename(&head.backend_id, &expected, &head_name).await?;
        self.rename(&next.backend_id, &next_name, &expected).await
    }

    async fn label(&self, _call: &Call, layer: &Layer, label: Label<'_>) -> Result<String> {
        self.cloud
            .call("label_image", |state| {
                let metadata = &mut state.image(&layer.backend_id)?.metadata;
                if label != Label::InUse {
                    metadata.insert("ratoon.parked".to_owned(), layer.id.to_string());
                } else {
                    metadata.remove("ratoon.parked");
                }
                Ok(String::new())
            })
            .await
    }

    async fn equals(&self, layer: &Layer, source: Source<'_>) -> Result<bool> {
        self.cloud
            .call("compare_image", |state| {
                let Some(image) = state.images.get(&layer.backend_id) else { return Ok(false) };
                let carrier = state.images.get(&source.layer.backend_id);
                let picture = carrier.and_then(|carrier| carrier.pictures.get(source.backend_id));
                let Some(picture) = picture.filter(|picture| picture.name == picture_name(source.origin)) else {
                    return Ok(false);
                };
                // As the real one: the layer's own snapshot, or the one that it was cloned from. (That knows of every
                // write; here one that changes nothing goes unnoticed.)
                let own = layer.id == source.layer.id && image.size_bytes == picture.size_bytes;
                let origin = (source.layer.backend_id.clone(), source.backend_id.to_owned());
                let bare_clone = image.parent == Some(origin) && image.pictures.is_empty();
                Ok((own || bare_clone) && image.bytes == picture.bytes)
            })
            .await
    }

    async fn missing_heads(&self, heads: &[Layer]) -> Result<Vec<Layer>> {
        self.cloud
            .call("list_images", |state| {
                let missing = |head: &&Layer| state.image_named(&head_name(head.server_id, &head.key)).is_none();
                Ok(heads.iter().filter(missing).cloned().collect())
            })
            .await
    }

    async fn take_over(&self, head: &Layer, stand_in: StandIn) -> Result<bool> {
        let expected = head_name(head.server_id, &head.key);
        let (there, first) = self
            .cloud
            .call("list_images", |state| {
                let image = state.images.get(&head.backend_id);
                Ok((image.is_some(), image.is_some_and(|image| image.name == expected)))
            })
            .await?;
        if there {
            self.rename(&head.backend_id, &expected, &parked_name(head.id)).await?;
        }
        self.cloud
            .call("place_stand_in", |state| {
                if stand_in == StandIn::None {
                    state.images.retain(|_, image| image.name != expected || !is_stand_in(image));
                } else if (first || there && stand_in == StandIn::Always) && state.image_named(&expected).is_none() {
                    let id = state.fresh("image");
                    let mut image = blank_image(expected.clone(), 0);
                    image.metadata.insert(STAND_IN.to_owned(), head.id.to_string());
                    state.images.insert(id, image);
                }
                Ok(there)
            })
            .await
    }

    async fn bearer(&self, head: &Layer) -> Result<Option<String>> {
        let expected = head_name(head.server_id, &head.key);
        self.cloud
            .call("list_images", |state| {
                let there = state.image_named(&expected).map(str::to_owned);
                Ok(there.filter(|id| state.images.get(id).is_some_and(|image| !is_stand_in(image))))
            })
            .await
    }

    async fn heal_head(&self, head: &Layer) -> Result<bool> {
        let (own, expected) = (parked_name(head.id), head_name(head.server_id, &head.key));
        let lost = self
            .cloud
            .call("list_images", |state| {
                let there = state.images.get(&head.backend_id).is_some_and(|image| image.name == own);
                state.images.retain(|_, image| !there || image.name != expected || !is_stand_in(image));
                Ok(there && state.image_named(&expected).is_none())
            })
            .await?;
        if lost {
            self.rename(&head.backend_id, &own, &expected).await?;
        }
        Ok(lost)
    }

    async fn quota(&self, _project_id: &str) -> Result<Option<Quota>> {
        Ok(None)
    }
}
