//! Cinder: volumes, their snapshots, quotas. One [`Cinder`] asks with one session: the service's own (sees everything)
//! or a customer's project's (what it makes belongs to that project and counts against its quota).
//!
//! Microversion 3.68: snapshots of attached volumes need no `force` (3.66), the project id in the URL is optional
//! (3.67) but used as the catalog gives it. Statuses stay Cinder's words: there are some thirty, and drivers add more.

mod bodies;

use serde_json::{Map, Value, json};

use super::service::Service;
use super::session::Session;
use crate::domain::quota::Quota;
use crate::error::{Result, if_found};
use bodies::{AttachmentsBody, QuotaBody, SnapshotBody, SnapshotsBody, VolumeBody, VolumesBody};

pub use bodies::{Snapshot, Volume, VolumeUser};

/// What a new volume shall be.
#[derive(Debug, Clone)]
pub struct NewVolume<'a> {
    /// Name.
    pub name: &'a str,
    /// The snapshot whose content it gets.
    pub snapshot_id: &'a str,
    /// Size in GiB; not below the snapshot's.
    pub size_gib: u64,
    /// Volume type, by name or id.
    pub volume_type: Option<&'a str>,
    /// Availability zone.
    pub availability_zone: Option<&'a str>,
    /// Metadata.
    pub metadata: Map<String, Value>,
}

/// Cinder, asked with one session.
#[derive(Debug, Clone)]
pub struct Cinder {
    session: Session,
}

impl Cinder {
    /// Cinder, asked with this session.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// A volume; `None` when there is none (or it is not for this session's eyes).
    ///
    /// # Errors
    /// Those of every call: `Unavailable`, `Backend`.
    pub async fn volume(&self, id: &str) -> Result<Option<Volume>> {
        if_found(self.session.get(Service::BlockStorage, &["volumes", id]).fetch::<VolumeBody>().await)
            .map(|body| body.map(|body| body.volume))
    }

    /// The oldest volume with exactly this name in the session's project.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn volume_named(&self, name: &str) -> Result<Option<Volume>> {
        let body: VolumesBody = self
            .session
            .get(Service::BlockStorage, &["volumes", "detail"])
            .query("name", name)
            .query("sort", "created_at:asc")
            .fetch()
            .await?;
        Ok(body.volumes.into_iter().find(|volume| volume.name.as_deref() == Some(name)))
    }

    /// Asks for a new volume; it is `creating` for a while.
    ///
    /// # Errors
    /// `QuotaExceeded`; those of every call.
    pub async fn create_volume(&self, new: &NewVolume<'_>) -> Result<Volume> {
        let mut volume = json!({
            "name": new.name,
            "snapshot_id": new.snapshot_id,
            "size": new.size_gib,
            "metadata": new.metadata,
        });
        if let Some(volume_type) = new.volume_type {
            volume["volume_type"] = json!(volume_type);
        }
        if let Some(zone) = new.availability_zone {
            volume["availability_zone"] = json!(zone);
        }
        let body: VolumeBody =
            self.session.post(Service::BlockStorage, &["volumes"], json!({"volume": volume})).fetch().await?;
        Ok(body.volume)
    }

    /// Renames a volume; `None` takes the name away.
    ///
    /// # Errors
    /// `NotFound`; those of every call.
    pub async fn rename_volume(&self, id: &str, name: Option<&str>) -> Result<()> {
        let body = json!({"volume": {"name": name}});
        self.session.put(Service::BlockStorage, &["volumes", id], body).send().await.map(drop)
    }

    /// Sets these keys of a volume's metadata and leaves the others, which are the owner's, alone.
    ///
    /// # Errors
    /// `NotFound`; those of every call.
    pub async fn set_volume_metadata(&self, id: &str, metadata: &Map<String, Value>) -> Result<()> {
        let body = json!({"metadata": metadata});
        self.session.post(Service::BlockStorage, &["volumes", id, "metadata"], body).send().await.map(drop)
    }

    /// Takes one key out of a volume's metadata; not there is success.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn remove_volume_metadata(&self, id: &str, key: &str) -> Result<()> {
        if_found(self.session.delete(Service::BlockStorage, &["volumes", id, "metadata", key]).send().await).map(drop)
    }

    /// Asks for a volume to be deleted; not there is success.
    ///
    /// # Errors
    /// `Backend` with Cinder's words when it is in use or has snapshots; those of every call.
    pub async fn delete_volume(&self, id: &str) -> Result<()> {
        if_found(self.session.delete(Service::BlockStorage, &["volumes", id]).send().await).map(drop)
    }

    /// Who holds a volume, or has reserved it. With the service's own session, of any project.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn volume_users(&self, id: &str) -> Result<Vec<VolumeUser>> {
        let body: AttachmentsBody = self
            .session
            .get(Service::BlockStorage, &["attachments", "detail"])
            .query("all_tenants", "1")
            .query("volume_id", id)
            .fetch()
            .await?;
        Ok(body.attachments.into_iter().filter(|user| user.volume_id.as_deref().is_none_or(|of| of == id)).collect())
    }

    /// A snapshot; `None` when there is none.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>> {
        if_found(self.session.get(Service::BlockStorage, &["snapshots", id]).fetch::<SnapshotBody>().await)
            .map(|body| body.map(|body| body.snapshot))
    }

    /// The oldest snapshot with exactly this name of a volume, in the session's project.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn snapshot_named(&self, volume_id: &str, name: &str) -> Result<Option<Snapshot>> {
        let body: SnapshotsBody = self
            .session
            .get(Service::BlockStorage, &["snapshots", "detail"])
            .query("name", name)
            .query("volume_id", volume_id)
            .query("sort", "created_at:asc")
            .fetch()
            .await?;
        Ok(body.snapshots.into_iter().find(|snapshot| {
            snapshot.name.as_deref() == Some(name) && snapshot.volume_id.as_deref() == Some(volume_id)
        }))
    }

    /// Asks for a snapshot of a volume, attached or not; it is `creating` for a while.
    ///
    /// # Errors
    /// `QuotaExceeded`; those of every call.
    pub async fn create_snapshot(
        &self,
        volume_id: &str,
        name: &str,
        description: &str,
        metadata: &Map<String, Value>,
    ) -> Result<Snapshot> {
        let body = json!({"snapshot": {
            "volume_id": volume_id, "name": name, "description": description, "metadata": metadata}});
        let body: SnapshotBody = self.session.post(Service::BlockStorage, &["snapshots"], body).fetch().await?;
        Ok(body.snapshot)
    }

    /// Asks for a snapshot to be deleted; not there is success.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn delete_snapshot(&self, id: &str) -> Result<()> {
        if_found(self.session.delete(Service::BlockStorage, &["snapshots", id]).send().await).map(drop)
    }

    /// What a project may have and has; what is reserved counts as used. Asked with the service's own session.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn quota(&self, project_id: &str) -> Result<Quota> {
        let body: QuotaBody = self
            .session
            .get(Service::BlockStorage, &["os-quota-sets", project_id])
            .query("usage", "true")
            .fetch()
            .await?;
        Ok(body.into_quota())
    }
}
