//! The sweep: heads that nobody carries, and locks of ours that no operation needs any more.
//!
//! Both can only come of a crash that no engine has recovered, of a database that was restored, or of a bug. A server whose
//! operation is under way is left to it, one that Nova is at work on to Nova; of one that Nova no longer knows the heads are
//! noted as gone, and the tree stays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::domain::server::ServerFacts;
use crate::error::{Kind, Result};
use crate::ids::OperationId;
use crate::operations::World;
use crate::operations::snapshot_restore::LOCK_PREFIX;

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
    heal_heads(world).await?;
    release_locks(world).await
}

async fn heal_heads(world: &World) -> Result<()> {
    let heads = world.store.heads().await?;
    for driver in world.drivers.iter() {
        let ours: Vec<_> = heads.iter().filter(|head| head.backend == driver.name()).cloned().collect();
        for missing in driver.missing_heads(&ours).await? {
            let server = match world.compute.server(missing.server_id).await {
                Ok(server) => server,
                Err(error) if error.kind() == Kind::NotFound => {
                    world.store.detach_heads(missing.server_id).await?;
                    tracing::info!(server_id = %missing.server_id, "Nova no longer knows this server: its disks are no longer looked for");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !needs_its_head(&server) {
                continue;
            }
            // Read last: an operation may have begun meanwhile, and moves the names itself.
            let record = world.store.server(missing.server_id).await?;
            if record.is_none_or(|record| record.operation_id.is_some()) {
                continue;
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
