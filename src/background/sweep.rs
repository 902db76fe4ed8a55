//! The sweep: heads that nobody carries, locks and pauses of ours that no operation needs any more, what deletions had to leave,
//! snapshots whose backups are gone, and parked disks that are worth being flattened.
//!
//! The first ones can only come of a crash that no engine has recovered, of a database that was restored, or of a bug. A server whose
//! operation is under way is left to it, one that Nova is at work on to Nova. The guard of `app/guard.rs` looks at every server
//! that has changed, whether a notification told of it or not; trees of deleted servers go when their time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt};
use tokio::sync::watch;

use crate::app::App;
use crate::app::backups::rotate;
use crate::app::guard::guard;
use crate::app::image_capture::capture_beside_untold;
use crate::app::layer_flatten::{Flattening, flatten};
use crate::app::snapshot_delete::{purge, tidy};
use crate::error::{Kind, Result};
use crate::ids::{OperationId, ServerId};
use crate::operations::snapshot_restore::LOCK_PREFIX;
use crate::operations::{World, layer_flatten, power};
use crate::{clock, measures};

/// Changes of servers are looked for a little further back than the last sweep: Nova's clock is another.
const OVERLAP: chrono::TimeDelta = chrono::TimeDelta::minutes(2);
/// A server that the sweep has found changed was named by a notification within this time, if notifications come at all.
const LATELY: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// History grows slowly.
const FORGET_EVERY: chrono::TimeDelta = chrono::TimeDelta::hours(1);
/// Servers that the guard looks at at once.
const LOOKS_AT_ONCE: usize = 4;

/// What a sweep leaves to the next one.
#[derive(Debug, Default)]
pub struct Progress {
    /// Since when changed servers are asked for; all of them, if never before.
    since: Option<DateTime<Utc>>,
    /// Servers that could not be looked at, or are in use.
    again: BTreeSet<ServerId>,
    /// Servers whose parked disks were measured, and nothing was worth flattening in a tree of this generation.
    measured: BTreeMap<ServerId, i64>,
    /// When history was last forgotten.
    forgot: Option<DateTime<Utc>>,
}

/// Sweeps again and again until `stop` turns true.
pub async fn run(world: Arc<World>, app: App, every: Duration, mut stop: watch::Receiver<bool>) {
    let mut progress = Progress::default();
    loop {
        tokio::select! {
            () = clock::sleep(every) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        // What it is at can be cut off anywhere, as a crash would, and Nova or Ceph may keep it waiting for minutes.
        let swept = tokio::select! {
            swept = sweep(&world, &app, &mut progress) => swept,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match swept {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Conflict => {
                tracing::debug!(error = %error.chain(), "the next sweep looks again at what was in use");
            }
            Err(error) => tracing::warn!(error = %error.chain(), "the sweep could not look at everything"),
        }
    }
}

/// One sweep.
///
/// # Errors
/// When Nova, a backend or the database does not answer.
pub async fn sweep(world: &World, app: &App, progress: &mut Progress) -> Result<()> {
    let (unheard, guarded) = guard_servers(app, progress).await;
    measures::sweep_found("act_of_nova_untold", unheard.len());
    if let Some(first) = unheard.first() {
        tracing::error!(
            servers = unheard.len(),
            %first,
            "ALARM: no notification told what Nova did to these servers. Check that nova.conf has [notifications] \
             notification_format = both (or versioned) and notify_on_state_change = vm_and_task_state, \
             [oslo_messaging_notifications] driver = messagingv2, and that [events] exchanges of ratoon.conf names Nova's exchange"
        );
    }
    worst([
        guarded,
        release_locks(world).await,
        end_pauses(world).await,
        purge_deleted(app).await,
        rotate_backups(app).await,
        tidy_trees(world).await,
        flatten_parked(app, progress).await,
        forget_history(app, progress).await,
    ])
}

/// Of several outcomes the one that counts: what passes by itself, as a server that is in use, counts least.
fn worst(outcomes: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let errors = outcomes.into_iter().filter_map(Result::err);
    errors.max_by_key(|error| error.kind() != Kind::Conflict).map_or(Ok(()), Err)
}

/// Does something with each of these servers. Where it fails that is said, and the others are looked after all the same.
async fn each<F>(what: &str, servers: Vec<ServerId>, act: impl Fn(ServerId) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let mut outcomes = Vec::new();
    for id in servers {
        let outcome = act(id).await;
        tell(what, id, &outcome);
        outcomes.push(outcome);
    }
    worst(outcomes)
}

fn tell(what: &str, id: ServerId, outcome: &Result<()>) {
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::Conflict => {
            tracing::debug!(server_id = %id, error = %error.chain(), what, "the sweep has to wait");
        }
        Err(error) => {
            measures::sweep_found("server_that_could_not_be_looked_at", 1);
            tracing::warn!(server_id = %id, error = %error.chain(), what, "the sweep failed at this server");
        }
    }
}

/// What notifications should have told, and perhaps have not: servers that are being deleted, rebuilt or shelved, or are gone; and
/// heads that nobody carries. Returns the servers of which none has told, although this process listens, and how it went: a
/// server that cannot be looked at keeps no other from it, and is looked at again.
pub async fn guard_servers(app: &App, progress: &mut Progress) -> (Vec<ServerId>, Result<()>) {
    let begun = clock::now();
    let mut unheard = Vec::new();
    let mut servers = match changed_servers(app, progress.since).await {
        Ok(servers) => servers,
        Err(error) => return (unheard, Err(error)),
    };
    progress.since = Some(begun - OVERLAP);
    servers.append(&mut progress.again);
    let mut outcomes = vec![add_servers_without_a_head(app, &mut servers).await];
    let looks = stream::iter(servers).map(|id| async move {
        // Each has its own trouble: a guard that fails keeps no image from its node.
        (id, guard_one(app, id).await, capture_beside_untold(app, id).await)
    });
    let mut looks = std::pin::pin!(looks.buffer_unordered(LOOKS_AT_ONCE));
    while let Some((id, guarded, captured)) = looks.next().await {
        let guarded = guarded.map(|is_unheard| unheard.extend(is_unheard.then_some(id)));
        for (what, outcome) in [("guard", guarded), ("capture beside images", captured)] {
            tell(what, id, &outcome);
            if outcome.is_err() {
                progress.again.insert(id);
            }
            outcomes.push(outcome);
        }
    }
    (unheard, worst(outcomes))
}

async fn changed_servers(app: &App, since: Option<DateTime<Utc>>) -> Result<BTreeSet<ServerId>> {
    let mut ours: BTreeSet<ServerId> = app.store.servers_there().await?.into_iter().collect();
    if !ours.is_empty() && since.is_some() {
        let changed: BTreeSet<ServerId> = app.compute.changed_servers(since).await?.into_iter().collect();
        ours.retain(|id| changed.contains(id));
    }
    ours.extend(app.store.servers_with_taken().await?);
    Ok(ours)
}

async fn add_servers_without_a_head(app: &App, servers: &mut BTreeSet<ServerId>) -> Result<()> {
    let heads = app.store.heads().await?;
    let mut outcomes = Vec::new();
    for driver in app.drivers.iter() {
        let ours: Vec<_> = heads.iter().filter(|head| head.backend == driver.name()).cloned().collect();
        let missing = driver.missing_heads(&ours).await;
        outcomes.push(missing.map(|missing| servers.extend(missing.iter().map(|head| head.server_id))));
    }
    worst(outcomes)
}

/// Whether the guard had to act, and no notification had told that it would.
async fn guard_one(app: &App, id: ServerId) -> Result<bool> {
    if guard(app, id, false).await?.is_none() || !app.settings.listens {
        return Ok(false);
    }
    let lately = clock::now() - LATELY;
    Ok(app.store.last_heard(id).await?.is_none_or(|at| at < lately))
}

/// Operations that have ended, and rows of deleted snapshots, when they are old.
async fn forget_history(app: &App, progress: &mut Progress) -> Result<()> {
    let now = clock::now();
    if app.settings.keep_history.is_zero() || progress.forgot.is_some_and(|at| now - at < FORGET_EVERY) {
        return Ok(());
    }
    let keep = chrono::TimeDelta::from_std(app.settings.keep_history).unwrap_or(chrono::TimeDelta::MAX);
    let Some(before) = now.checked_sub_signed(keep) else { return Ok(()) };
    let operations = app.store.forget_operations(before).await?;
    let snapshots = app.store.forget_snapshots(before).await?;
    if operations + snapshots > 0 {
        tracing::info!(operations, deleted_snapshots = snapshots, "history older than {before} is forgotten");
    }
    progress.forgot = Some(now);
    Ok(())
}

/// Trees of servers that Nova has not known for long.
async fn purge_deleted(app: &App) -> Result<()> {
    let keep = chrono::TimeDelta::from_std(app.settings.keep_deleted).unwrap_or(chrono::TimeDelta::MAX);
    let Some(before) = clock::now().checked_sub_signed(keep) else { return Ok(()) };
    each("purge", app.store.servers_deleted_before(before).await?, |id| async move {
        match purge(&app.store, &app.drivers, id).await {
            Ok(Some(operation)) => {
                tracing::info!(server_id = %id, operation_id = %operation, "the tree of this deleted server goes now");
                measures::sweep_found("tree_of_deleted_server", 1);
            }
            Ok(None) => {}
            Err(error) if error.kind() == Kind::Conflict => {
                let text =
                    format!("The time of this deleted server's snapshots is over, and they stay: {}", error.told());
                if app.store.warn_server(id, &text, None).await? {
                    tracing::warn!(server_id = %id, error = %error.chain(), "the tree of this deleted server stays");
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    })
    .await
}

/// Snapshots that were made beside backups which Nova has deleted since.
async fn rotate_backups(app: &App) -> Result<()> {
    let servers = app.store.servers_with_backups().await?;
    each("rotate backups", servers, |id| async move { rotate(app, id).await.map(drop) }).await
}

/// Joints of trees, and disks that were parked, which nothing needs any more: what held them when their node was deleted may
/// be gone since.
async fn tidy_trees(world: &World) -> Result<()> {
    each("tidy", world.store.servers_with_leftovers().await?, |id| async move {
        if let Some(operation) = tidy(&world.store, &world.drivers, id).await? {
            tracing::info!(server_id = %id, operation_id = %operation, "what earlier deletions have left goes now");
            measures::sweep_found("leftovers_of_deletions", 1);
        }
        Ok(())
    })
    .await
}

/// Parked disks that are worth being flattened: of one server at a time, since what they write is felt by all.
async fn flatten_parked(app: &App, progress: &mut Progress) -> Result<()> {
    if app.settings.flatten_bytes_max == 0 || app.store.is_under_way(layer_flatten::KIND).await? {
        return Ok(());
    }
    let servers = app.store.servers_with_parked().await?;
    progress.measured.retain(|id, _| servers.contains(id));
    let mut outcomes = Vec::new();
    for id in servers {
        let outcome = flatten(app, id, progress.measured.get(&id).copied()).await;
        if let Ok(Flattening::NotWorthIt(generation) | Flattening::NotMeasured(generation)) = outcome {
            progress.measured.insert(id, generation);
        }
        // The other looks of the sweep do not wait for a second backend that hangs.
        let ends = matches!(outcome, Ok(Flattening::Begun(_) | Flattening::NotMeasured(_)));
        let outcome = outcome.map(drop);
        tell("flatten", id, &outcome);
        outcomes.push(outcome);
        if ends {
            break;
        }
    }
    worst(outcomes)
}

/// A server that we have paused and that no operation waits for: an answer of Nova's was lost and its act came late.
async fn end_pauses(world: &World) -> Result<()> {
    each("resume", world.compute.paused_servers().await?, |id| async move {
        let at_rest = world.store.server(id).await?.is_some_and(|record| record.operation_id.is_none());
        if at_rest && power::is_paused_by_us(world, id, &world.compute.state(id).await?.status).await? {
            world.compute.unpause(id).await?;
            tracing::warn!(server_id = %id, "resumed a server that was still paused by a capture of ours");
            measures::sweep_found("server_left_paused", 1);
        }
        Ok(())
    })
    .await
}

async fn release_locks(world: &World) -> Result<()> {
    each("unlock", world.compute.locked_servers(LOCK_PREFIX).await?, |id| async move {
        let server = world.compute.state(id).await?;
        let reason = server.locked_reason.as_deref().and_then(|reason| reason.strip_prefix(LOCK_PREFIX));
        let Some(operation) = reason.and_then(|text| text.parse::<OperationId>().ok()) else { return Ok(()) };
        // A lock of an operation that we do not know may be another installation's.
        let done = world.store.operation(operation).await?.is_some_and(|operation| operation.status.is_final());
        if done {
            world.compute.unlock(id).await?;
            tracing::warn!(server_id = %id, operation_id = %operation, "took off a lock that its operation had left");
            measures::sweep_found("server_left_locked", 1);
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn where_it_fails_at_one_server_the_others_are_looked_after_and_the_gravest_error_is_told() {
        let servers: Vec<_> = (0..4).map(|_| ServerId::new()).collect();
        let seen = std::sync::Mutex::new(Vec::new());
        let told = each("test", servers.clone(), |id| {
            let outcome = match servers.iter().position(|other| *other == id) {
                Some(0 | 3) => Err(Error::conflict("in use")),
                Some(1) => Err(Error::backend("broken")),
                _ => Ok(()),
            };
            seen.lock().unwrap().push(id);
            async { outcome }
        });
        assert_eq!(told.await.unwrap_err().kind(), Kind::Backend);
        assert_eq!(*seen.lock().unwrap(), servers);
        assert_eq!(worst([Ok(()), Err(Error::conflict("in use"))]).unwrap_err().kind(), Kind::Conflict);
        assert!(worst([Ok(())]).is_ok());
    }
}
