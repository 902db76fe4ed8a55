//! The server's part of a restore: lock, power, and whether Nova is at work.

use super::{LOCK_PREFIX, SnapshotRestore};
use crate::domain::server::{ServerFacts, ServerStatus, may_have_run_since};
use crate::error::{Error, Result, if_found};
use crate::operations::{StepContext, power};

impl SnapshotRestore {
    fn lock_reason(cx: &StepContext<'_>) -> String {
        format!("{LOCK_PREFIX}{}", cx.operation.id)
    }

    /// From here on the owner cannot start, stop or change the server. What was true when the restore was planned may not be
    /// so any more: whether the server ran is noted now, and that it has not run since its last snapshot is asked again.
    pub(super) async fn lock(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let id = cx.operation.server_id;
        let reason = Self::lock_reason(cx);
        let server = cx.world.compute.state(id).await?;
        if server.locked && server.locked_reason.as_deref() != Some(reason.as_str()) {
            return Err(Error::conflict("The server has been locked by its owner.")
                .remedy("Unlock it with: openstack server unlock"));
        }
        if !server.locked {
            cx.world.compute.lock(id, &reason).await?;
        }
        power::idle(cx, cx.world.settings.stop_timeout).await?;
        let server = cx.world.compute.server(id).await?;
        if let Some(task) = &server.task_state {
            return Err(Error::conflict(format!("Nova is at work on the server ({task}).")).retryable());
        }
        self.state.was_running = match server.status {
            ServerStatus::Active => Some(true),
            ServerStatus::Shutoff => Some(false),
            other => return Err(Error::conflict(format!("The server has become {}.", other.as_str()))),
        };
        // A step that is repeated after `arrange` cannot be this one: the volumes are still the owner's.
        if server.volumes.iter().map(|volume| &volume.volume_id).ne(&self.params.volumes_before) {
            return Err(Error::conflict("The server's volumes have changed since its restore was asked for.")
                .remedy("Ask again: the plan will be made for the volumes that it has now."));
        }
        self.must_not_have_run(cx, &server).await?;
        if !self.was_running() && self.state.rest_mark.is_none() {
            self.state.rest_mark = self.newest_request(cx).await?;
        }
        self.volumes_must_be_movable(cx).await
    }

    /// Nova's newest request on the server.
    pub(super) async fn newest_request(&self, cx: &StepContext<'_>) -> Result<Option<String>> {
        let actions = cx.world.compute.actions(cx.operation.server_id).await?;
        Ok(actions.first().map(|action| action.request_id.clone()))
    }

    /// What is parked equals the safety snapshot, and what stays equals the node, only if nobody (an administrator passes our
    /// lock) has run the server since it came to rest. An engine may have been dead for hours in between.
    pub(super) async fn must_have_rested(&self, cx: &StepContext<'_>) -> Result<()> {
        if self.has_rested(cx).await? {
            return Ok(());
        }
        Err(Error::conflict("Somebody has run the server while its restore was under way.")
            .remedy("Ask again: the plan will be made for what its disks hold then."))
    }

    pub(super) async fn has_rested(&self, cx: &StepContext<'_>) -> Result<bool> {
        let Some(mark) = &self.state.rest_mark else { return Ok(true) };
        let us = cx.world.compute.own_user_id().await?;
        let mut actions = cx.world.compute.actions(cx.operation.server_id).await?;
        actions.retain(|action| action.request_id == *mark || action.user_id.as_deref() != Some(us.as_str()));
        Ok(!may_have_run_since(&actions, mark))
    }

    /// Without a safety snapshot nothing would keep what a server has written since, and a disk that stays would not be the
    /// node's any more: refused, so that it is asked for again.
    async fn must_not_have_run(&self, cx: &StepContext<'_>, server: &ServerFacts) -> Result<()> {
        let declined = self.params.outgoing.iter().any(|outgoing| outgoing.equals.is_none());
        let keeps_nothing = self.params.safety.is_none() && !self.params.was_running && !declined;
        if !keeps_nothing && !self.params.keeps {
            return Ok(());
        }
        let mark = cx.tree().await?.record.equals_mark;
        let actions = cx.world.compute.actions(server.id).await?;
        let ran = mark.is_none_or(|mark| may_have_run_since(&actions, &mark));
        if ran || server.status != ServerStatus::Shutoff {
            return Err(Error::conflict("The server was started after its restore was asked for.")
                .remedy("Ask again: the plan will be made for what its disks hold now."));
        }
        Ok(())
    }

    /// Whether the server ran when we locked it.
    pub(super) fn was_running(&self) -> bool {
        self.state.was_running.unwrap_or(self.params.was_running)
    }

    /// Takes our lock off; a lock of anybody else's is not ours to take.
    pub(super) async fn unlock(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let id = cx.operation.server_id;
        let Some(server) = if_found(cx.world.compute.state(id).await)? else { return Ok(()) };
        if server.locked && server.locked_reason.as_deref() == Some(Self::lock_reason(cx).as_str()) {
            cx.world.compute.unlock(id).await?;
        }
        Ok(())
    }

    pub(super) async fn stop(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.moves_disks() {
            return Ok(());
        }
        self.state.down = self.was_running();
        power::stop(cx).await
    }

    pub(super) async fn start(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.was_running() || !self.moves_disks() {
            return Ok(());
        }
        let started = if_found(power::start(cx).await).map(drop);
        // One that cannot be started does not come up by our staying.
        self.state.down = started.as_ref().is_err_and(Error::is_retryable);
        started
    }

    /// The way back from a stop. A server that cannot be started (Nova shows it in error) must not keep our lock for ever: its
    /// disks are as they were, and the warning says what is left to do.
    pub(super) async fn undo_stop(&mut self, cx: &StepContext<'_>) -> Result<()> {
        match self.start(cx).await {
            Err(error) if !error.is_retryable() => {
                let warning = format!("The server could not be started again: {}", error.told());
                tracing::error!(error = %error.chain(), "the server cannot be started again after its restore was undone");
                cx.world.store.warn(cx.fence, &warning).await
            }
            other => other,
        }
    }

    /// Before anything is put back: if somebody (an administrator passes our lock) runs the server on the new disks, what the
    /// guest has written there exists nowhere else. The disks are then kept, parked.
    pub(super) async fn note_use(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let server = cx.world.compute.state(cx.operation.server_id).await?;
        let ran = server.status != ServerStatus::Shutoff || !self.has_rested(cx).await?;
        if ran && !self.state.used {
            self.state.used = true;
            let warning =
                "The server was started before its restore was recorded; the disks that it ran on are kept, parked.";
            cx.world.store.warn(cx.fence, warning).await?;
        }
        Ok(())
    }

    /// Whether the server was deleted while the operation ran.
    pub(super) async fn server_is_gone(&self, cx: &StepContext<'_>) -> Result<bool> {
        Ok(if_found(cx.world.compute.state(cx.operation.server_id).await)?.is_none())
    }

    /// Refuses, for now, while Nova is doing anything with the server, or it is not stopped any more.
    pub(super) async fn nova_must_rest(&self, cx: &StepContext<'_>) -> Result<()> {
        let server = cx.world.compute.state(cx.operation.server_id).await?;
        if let Some(task) = &server.task_state {
            return Err(Error::conflict(format!("Nova is at work on the server ({task}).")).retryable());
        }
        if server.status != ServerStatus::Shutoff {
            return Err(Error::conflict(format!("The server is {} instead of stopped.", server.status.as_str())));
        }
        Ok(())
    }
}
