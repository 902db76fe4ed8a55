//! The sweep: heads that nobody carries, locks and pauses of ours that no operation needs any more, and what deletions had to
//! leave.
//!
//! The first ones can only come of a crash that no engine has recovered, of a database that was restored, or of a bug. A server whose
//! operation is under way is left to it, one that Nova is at work on to Nova; of one that Nova no longer knows the heads are
//! noted as gone, and the tree stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::snapshot_delete::tidy;
use crate::clock;
use crate::domain::server::ServerFacts;
use crate::error::{Kind, Result};
use crate::ids::OperationId;
use crate::operations::snapshot_restore::LOCK_PREFIX;
use crate::operations::{World, power};

/// Sweeps again and again until `stop` turns true.
pub async fn run(world: Arc<World>, every: Duration, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = clock::sleep(every) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = sweep(&world).await {
            tracing::warn!(error = %error.chain(), "the sweep could not look at everything");
        }
    }
}

/// One sweep.
///
/// # Errors
/// When Nova, a backend or the database does not answer.
pub async fn sweep(world: &World) -> Result<()> {
    let (heads, locks, pauses) = (heal_heads(world).await, release_locks(world).await, end_pauses(world).await);
    heads.and(locks).and(pauses).and(tidy_trees(world).await)
}

/// Joints of trees, and disks that were parked, which nothing needs any more: what held them when their node was deleted may
/// be gone since.
async fn tidy_trees(world: &World) -> Result<()> {
    for id in world.store.servers_with_leftovers().await? {
        if let Some(operation) = tidy(&world.store, &world.drivers, id).await? {
            tracing::info!(server_id = %id, operation_id = %operation, "what earlier deletions have left goes now");
        }
    }
    Ok(())
}

async fn heal_heads(world: &World) -> Result<()> {
    let heads = world.store.heads().await?;
    for driver in world.drivers.iter() {
        let ours: Vec<_> = heads.iter().filter(|head| head.backend == driver.name()).cloned().collect();
        for missing in driver.missing_heads(&ours).await? {
            let server = world.compute.server(missing.server_id).await;
            // Read last: an operation may have begun meanwhile, and moves the names itself.
            let record = world.store.server(missing.server_id).await?;
            if record.is_none_or(|record| record.operation_id.is_some()) {
                continue;
            }
            match server {
                Ok(server) if needs_its_head(&server) => {}
                Ok(_) => continue,
                Err(error) if error.kind() == Kind::NotFound => {
                    world.store.detach_heads(missing.server_id).await?;
                    tracing::info!(server_id = %missing.server_id, "Nova no longer knows this server: its disks are no longer looked for");
                    continue;
                }
                Err(error) => {
                    // The others are looked after all the same.
                    tracing::warn!(server_id = %missing.server_id, error = %error.chain(), "cannot tell whether this server misses its disk");
                    continue;
                }
            }
            if driver.heal_head(&missing).await? {
                tracing::warn!(server_id = %missing.server_id, disk = %missing.key, "a head that was missing has its name again");
            } else {
                tracing::error!(
                    server_id = %missing.server_id,
                    disk = %missing.key,
                    backend_id = %missing.backend_id,
                    "the head of this server is missing, and so is its object: the server cannot start"
                );
            }
        }
    }
    Ok(())
}

/// Whether the server cannot be without its head, and Nova is not just dealing with it: one that is shelved or is being made
/// anew gets another disk from Nova, in whose way an old one would be. One in an error may be so for want of its head.
fn needs_its_head(server: &ServerFacts) -> bool {
    server.task_state.is_none() && matches!(server.status.as_str(), "ACTIVE" | "SHUTOFF" | "PAUSED" | "ERROR")
}

/// A server that we have paused and that no operation waits for: an answer of Nova's was lost and its act came late.
async fn end_pauses(world: &World) -> Result<()> {
    for id in world.compute.paused_servers().await? {
        let Some(record) = world.store.server(id).await? else { continue };
        if record.operation_id.is_none() && power::is_paused_by_us(world, &world.compute.server(id).await?).await? {
            world.compute.unpause(id).await?;
            tracing::warn!(server_id = %id, "resumed a server that was still paused by a capture of ours");
        }
    }
    Ok(())
}

async fn release_locks(world: &World) -> Result<()> {
    for id in world.compute.locked_servers(LOCK_PREFIX).await? {
        let server = world.compute.server(id).await?;
        let Some(operation) = server
            .locked_reason
            .as_deref()
            .and_then(|reason| reason.strip_prefix(LOCK_PREFIX))
            .and_then(|text| text.parse::<OperationId>().ok())
        else {
            continue;
        };
        // A lock of an operation that we do not know may be another installation's.
        let done = world.store.operation(operation).await?.is_some_and(|operation| operation.status.is_final());
        if done {
            world.compute.unlock(id).await?;
            tracing::warn!(server_id = %id, operation_id = %operation, "took off a lock that its operation had left");
        }
    }
    Ok(())
}
