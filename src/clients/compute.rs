//! What we ask of Nova. `clients/nova.rs` asks the real one; `drivers/fake` plays one for fault injection.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::domain::disk::Attachment;
use crate::domain::server::{AttachedVolume, ServerAction, ServerFacts, ServerState};
use crate::error::Result;
use crate::ids::ServerId;

/// Nova, with the service's own admin token: reading, power, lock, attachments (and the images that servers were made of).
///
/// Every act only *asks*: Nova answers before it is done, so callers poll [`Compute::state`] or [`Compute::volumes`] for the effect. An act that
/// finds its effect already there succeeds. Errors: `NotFound` (no such server), `Conflict` (wrong state or a task runs;
/// retryable where a task is in the way), `Unavailable`.
#[async_trait]
pub trait Compute: Send + Sync {
    /// The server as it is now, attached volumes included.
    async fn server(&self, id: ServerId) -> Result<ServerFacts>;
    /// Its state alone: one call instead of two.
    async fn state(&self, id: ServerId) -> Result<ServerState> {
        Ok(self.server(id).await?.state())
    }
    /// Its attached volumes alone, in Nova's order.
    async fn volumes(&self, id: ServerId) -> Result<Vec<AttachedVolume>> {
        Ok(self.server(id).await?.volumes)
    }
    /// The properties of an image that decide what can be captured of its servers; none of an image that is gone. A call of
    /// its own, for planners: work that has begun does not depend on Glance.
    async fn image_properties(&self, image_id: &str) -> Result<BTreeMap<String, String>>;
    /// The name of an image, which may be empty; `None` = it is gone.
    async fn image_name(&self, image_id: &str) -> Result<Option<String>>;
    /// What was done to it, newest first, at most 100.
    async fn actions(&self, id: ServerId) -> Result<Vec<ServerAction>>;
    /// Whether it was deleted, and Nova has kept its row.
    async fn was_deleted(&self, id: ServerId) -> Result<bool>;
    /// Puts Nova's lock on, with a reason.
    async fn lock(&self, id: ServerId, reason: &str) -> Result<()>;
    /// Takes Nova's lock off.
    async fn unlock(&self, id: ServerId) -> Result<()>;
    /// Stops it (ACPI first, as Nova does).
    async fn stop(&self, id: ServerId) -> Result<()>;
    /// Starts it.
    async fn start(&self, id: ServerId) -> Result<()>;
    /// Pauses it. One that is paused already is a conflict: that pause is not ours to end.
    async fn pause(&self, id: ServerId) -> Result<()>;
    /// Resumes it from a pause.
    async fn unpause(&self, id: ServerId) -> Result<()>;
    /// Attaches a volume, as the last in order.
    async fn attach(&self, id: ServerId, volume_id: &str, attachment: &Attachment) -> Result<()>;
    /// Detaches a volume; not attached is success.
    async fn detach(&self, id: ServerId, volume_id: &str) -> Result<()>;
    /// All servers that carry a lock reason beginning with `prefix`, for the sweep.
    async fn locked_servers(&self, prefix: &str) -> Result<Vec<ServerId>>;
    /// All servers that are paused, for the sweep.
    async fn paused_servers(&self) -> Result<Vec<ServerId>>;
    /// The servers that have changed since a time, deleted ones among them; all that are there, if no time is given.
    async fn changed_servers(&self, since: Option<DateTime<Utc>>) -> Result<Vec<ServerId>>;
    /// The user id that our own acts carry, to tell them from others' in [`Compute::actions`].
    async fn own_user_id(&self) -> Result<String>;
}
