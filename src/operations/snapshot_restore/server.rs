//! The server's part of a restore: lock, power, and whether Nova is at work.

use super::{LOCK_PREFIX, SnapshotRestore};
use crate::error::{Error, Kind, Result};
use crate::operations::{StepContext, power};

impl SnapshotRestore {
    fn lock_reason(cx: &StepContext<'_>) -> String {
        format!("{LOCK_PREFIX}{}", cx.operation.id)
    }

    pub(super) async fn lock(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.moves_disks() {
            return Ok(());
        }
        let id = cx.operation.server_id;
        let reason = Self::lock_reason(cx);
        let server = cx.world.compute.server(id).await?;
        if server.locked && server.locked_reason.as_deref() != Some(reason.as_str()) {
            return Err(Error::conflict("The server has been locked by its owner.")
                .remedy("Unlock it with: openstack server unlock"));
        }
        if !server.locked {
            cx.world.compute.lock(id, &reason).await?;
        }
        Ok(())
    }

    /// Takes our lock off; a lock of anybody else's is not ours to take.
    pub(super) async fn unlock(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let id = cx.operation.server_id;
        let server = match cx.world.compute.server(id).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            other => other?,
        };
        if server.locked && server.locked_reason.as_deref() == Some(Self::lock_reason(cx).as_str()) {
            cx.world.compute.unlock(id).await?;
        }
        Ok(())
    }

    pub(super) async fn stop(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if self.moves_disks() { power::stop(cx).await } else { Ok(()) }
    }

    pub(super) async fn start(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.params.was_running || !self.moves_disks() {
            return Ok(());
        }
        match power::start(cx).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Refuses, for now, while Nova is doing anything with the server, or it is not stopped any more.
    pub(super) async fn nova_must_rest(&self, cx: &StepContext<'_>) -> Result<()> {
        let server = cx.world.compute.server(cx.operation.server_id).await?;
        if let Some(task) = &server.task_state {
            return Err(Error::conflict(format!("Nova is at work on the server ({task}).")).retryable());
        }
        if server.status != crate::domain::server::ServerStatus::Shutoff {
            return Err(Error::conflict(format!("The server is {} instead of stopped.", server.status.as_str())));
        }
        Ok(())
    }
}
