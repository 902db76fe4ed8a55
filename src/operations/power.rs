//! Power acts of operations: each asks Nova and waits for the effect, within a limit.

use std::time::Duration;

use crate::domain::server::{ServerState, ServerStatus};
use crate::error::{Error, Result, if_found};
use crate::ids::ServerId;
use crate::operations::{StepContext, World};

/// Waits until Nova has nothing under way on the server.
///
/// # Errors
/// `Unavailable` when it stays busy.
pub async fn idle(cx: &StepContext<'_>, limit: Duration) -> Result<ServerState> {
    let id = cx.operation.server_id;
    cx.wait("Nova to finish what it does with the server", limit, || async move {
        let server = cx.world.compute.state(id).await?;
        Ok(server.task_state.is_none().then_some(server))
    })
    .await
}

/// Waits until the server is in a state and idle.
async fn reached(cx: &StepContext<'_>, status: &ServerStatus, limit: Duration) -> Result<ServerState> {
    let id = cx.operation.server_id;
    let what = format!("the server to become {}", status.as_str());
    cx.wait(&what, limit, || async move {
        let server = cx.world.compute.state(id).await?;
        if let ServerStatus::Other(word) = &server.status {
            return Err(Error::conflict(format!("The server is {word}.")).permanent());
        }
        Ok((server.status == *status && server.task_state.is_none()).then_some(server))
    })
    .await
}

/// Stops the server; stopped already is success.
///
/// # Errors
/// When it does not stop in time, or cannot be stopped.
pub async fn stop(cx: &StepContext<'_>) -> Result<()> {
    let limit = cx.world.settings.stop_timeout;
    let server = idle(cx, limit).await?;
    if server.status != ServerStatus::Shutoff {
        // Refused while Nova is at work: its owner may have begun something since the look.
        let id = cx.operation.server_id;
        cx.wait("Nova to stop the server", limit, || async { cx.world.compute.stop(id).await.map(Some) }).await?;
    }
    reached(cx, &ServerStatus::Shutoff, limit).await.map(|_| ())
}

/// Starts the server; running already is success.
///
/// # Errors
/// When it does not start in time, or cannot be started.
pub async fn start(cx: &StepContext<'_>) -> Result<()> {
    let limit = cx.world.settings.start_timeout;
    let server = idle(cx, limit).await?;
    match server.status {
        ServerStatus::Active => {}
        ServerStatus::Paused => cx.world.compute.unpause(cx.operation.server_id).await?,
        _ => {
            let id = cx.operation.server_id;
            cx.wait("Nova to start the server", limit, || async { cx.world.compute.start(id).await.map(Some) }).await?;
        }
    }
    match reached(cx, &ServerStatus::Active, limit).await {
        Err(error) if error.is_retryable() => {
            let server = cx.world.compute.state(cx.operation.server_id).await?;
            let idle = server.task_state.is_none() && server.status == ServerStatus::Shutoff;
            Err(if idle { Error::conflict("Nova did not start the server.").source(error) } else { error })
        }
        other => other.map(|_| ()),
    }
}

/// Waits until the server, which was asked to pause, stands still.
///
/// # Errors
/// When it does not pause in time.
pub async fn paused(cx: &StepContext<'_>) -> Result<()> {
    reached(cx, &ServerStatus::Paused, cx.world.settings.start_timeout).await.map(|_| ())
}

/// Whether the server is paused, and by nobody but us.
///
/// # Errors
/// When Nova does not answer.
pub async fn is_paused_by_us(world: &World, id: ServerId, status: &ServerStatus) -> Result<bool> {
    if *status != ServerStatus::Paused {
        return Ok(false);
    }
    let us = world.compute.own_user_id().await?;
    let actions = world.compute.actions(id).await?;
    let newest = actions.iter().find(|action| action.action == "pause");
    Ok(newest.is_some_and(|action| action.user_id.as_deref() == Some(us.as_str())))
}

/// Resumes the server if we have paused it; others' pauses are left alone.
///
/// # Errors
/// When it does not resume in time.
pub async fn resume(cx: &StepContext<'_>) -> Result<()> {
    let Some(server) = if_found(idle(cx, cx.world.settings.start_timeout).await)? else {
        return Ok(()); // deleted meanwhile
    };
    if is_paused_by_us(cx.world, cx.operation.server_id, &server.status).await? {
        let id = cx.operation.server_id;
        let limit = cx.world.settings.start_timeout;
        cx.wait("Nova to resume the server", limit, || async { cx.world.compute.unpause(id).await.map(Some) }).await?;
        reached(cx, &ServerStatus::Active, limit).await?;
    }
    Ok(())
}
