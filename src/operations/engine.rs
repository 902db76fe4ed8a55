//! Claims operations and runs several at once; shows that it lives; adopts what dead engines left.
//!
//! Alive is who moves his counter: an engine whose counter has not moved for the lease time, on the *observer's* own monotonic
//! clock, is dead, and its operations are adopted. A database that was away makes nobody dead. With SQLite there is one engine at a time (a lock on a file beside the
//! database proves it), so every other engine in the table is dead at once.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::domain::operation::Operation;
use crate::error::Result;
use crate::ids::{EngineId, OperationId};
use crate::operations::{URGENT, World, runner};
use crate::store::operations::Fence;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Host name, for people.
    pub host: String,
    /// Operations at once.
    pub workers: usize,
    /// Without a beat for this long, an engine is dead.
    pub lease: Duration,
    /// Between two beats.
    pub heartbeat: Duration,
    /// Between two looks for work.
    pub poll: Duration,
    /// How long a stopping engine waits for its operations to come to a step's end.
    pub drain: Duration,
    /// No other engine can be alive (SQLite).
    pub alone: bool,
}

/// An operation that is no longer in our hands.
struct Ended {
    operation: OperationId,
    /// Whether it must not be tried again at once.
    rests: bool,
}

/// What we have seen of another engine's counter.
struct Seen {
    beats: i64,
    at: clock::Instant,
}

/// Runs operations until `stop` turns true; then waits for those under way to come to a step's end.
///
/// # Errors
/// When the database does not answer at the start.
pub async fn run(world: Arc<World>, settings: EngineSettings, mut stop: watch::Receiver<bool>) -> Result<()> {
    let id = EngineId::new();
    world.store.enter_engine(id, &settings.host).await?;
    tracing::info!(engine_id = %id, workers = settings.workers, "engine started");
    let mut tasks: JoinSet<Ended> = JoinSet::new();
    let mut in_hand: HashSet<OperationId> = HashSet::new();
    let mut resting: HashMap<OperationId, clock::Instant> = HashMap::new();
    let mut others: HashMap<EngineId, Seen> = HashMap::new();
    let beating = tokio::spawn(beat(world.clone(), id, settings.clone()));
    while !*stop.borrow() {
        while let Some(ended) = tasks.try_join_next() {
            let Ok(Ended { operation, rests }) = ended else { continue };
            in_hand.remove(&operation);
            if rests {
                resting.insert(operation, clock::Instant::now());
            }
        }
        resting.retain(|_, since| since.elapsed() < settings.lease);
        let mut took = false;
        // Urgent operations have room of their own beside the others.
        if tasks.len() < 2 * settings.workers {
            let all = tasks.len() < settings.workers;
            let begun = clock::Instant::now();
            let except: Vec<_> = resting.keys().chain(&in_hand).copied().collect();
            let taken = take(&world, id, &settings, &mut others, &except, all).await;
            if taken.is_err() || was_away(begun, &settings) {
                others.clear();
            }
            match taken {
                Ok(Some(operation)) => {
                    took = true;
                    in_hand.insert(operation.id);
                    tasks.spawn(work(world.clone(), operation, stop.clone()));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(error = %error.chain(), "cannot look for operations"),
            }
        }
        if !took {
            tokio::select! {
                () = clock::sleep(settings.poll) => {}
                () = world.store.operation_begun() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }
    let drained = tokio::time::timeout(settings.drain, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(left = tasks.len(), "operations are still at a step; the next engine goes on with them");
    }
    beating.abort();
    if drained.is_ok() {
        world.store.forget_engine(id).await?;
    }
    tracing::info!(engine_id = %id, "engine stopped");
    Ok(())
}

/// Runs an operation. One that cannot be run (its row is unreadable, or a step panics) is given back, and rests: it must neither
/// be held for ever nor be tried again at once.
async fn work(world: Arc<World>, operation: Operation, stop: watch::Receiver<bool>) -> Ended {
    let why = match AssertUnwindSafe(runner::run(&world, &operation, stop)).catch_unwind().await {
        Ok(Ok(_)) => return Ended { operation: operation.id, rests: false },
        Ok(Err(error)) => error.chain(),
        Err(_) => "it panicked; the message is on stderr".to_owned(),
    };
    tracing::error!(operation_id = %operation.id, kind = %operation.kind, error = %why, "operation cannot be run; it is tried again later");
    let fence = Fence { operation_id: operation.id, generation: operation.generation };
    if let Err(error) = world.store.release_claim(fence).await {
        tracing::error!(operation_id = %operation.id, error = %error.chain(), "cannot give the operation back");
    }
    Ended { operation: operation.id, rests: true }
}

/// Whether the database took so long to answer since then that others could not show that they live: what stands still in it
/// is no sign of death, and everybody has a new lease.
fn was_away(begun: clock::Instant, settings: &EngineSettings) -> bool {
    begun.elapsed() > settings.lease / 3
}

async fn beat(world: Arc<World>, id: EngineId, settings: EngineSettings) {
    loop {
        if let Err(error) = world.store.beat(id, &settings.host).await {
            tracing::warn!(error = %error.chain(), "cannot show that this engine lives");
        }
        clock::sleep(settings.heartbeat).await;
    }
}

/// The next operation that is urgent, that has an engine which does not work on it, or that waits; unless `all`, only an urgent
/// one. None of `except`: those that we have in hand, and those that rest. What bears our name and is not among them is ours by a
/// claim whose answer was lost, or could not be given back.
async fn take(
    world: &World,
    id: EngineId,
    settings: &EngineSettings,
    others: &mut HashMap<EngineId, Seen>,
    except: &[OperationId],
    all: bool,
) -> Result<Option<Operation>> {
    let begun = clock::Instant::now();
    let urgent = world.store.claim_next(id, except, &URGENT).await?;
    if urgent.is_some() || !all {
        return Ok(urgent);
    }
    if was_away(begun, settings) {
        others.clear();
    }
    let dead = dead_engines(world, id, settings, others).await?;
    let idle: Vec<EngineId> = dead.iter().copied().chain([id]).collect();
    if let Some(operation) = world.store.adopt_next(id, &idle, except).await? {
        tracing::warn!(operation_id = %operation.id, "adopted: its engine is dead, or has lost it");
        return Ok(Some(operation));
    }
    for engine in dead {
        world.store.forget_engine(engine).await?;
        others.remove(&engine);
    }
    world.store.claim_next(id, except, &[]).await
}

async fn dead_engines(
    world: &World,
    id: EngineId,
    settings: &EngineSettings,
    others: &mut HashMap<EngineId, Seen>,
) -> Result<Vec<EngineId>> {
    let mut dead = Vec::new();
    let mut engines: Vec<(EngineId, i64)> =
        world.store.engines().await?.into_iter().map(|engine| (engine.id, engine.beats)).collect();
    // One that was forgotten and holds an operation all the same shows no counter: it enters again, or is dead.
    for engine in world.store.engines_at_work().await?.into_keys() {
        if !engines.iter().any(|(known, _)| *known == engine) {
            engines.push((engine, -1));
        }
    }
    for (engine, beats) in engines.into_iter().filter(|(engine, _)| *engine != id) {
        let seen = others.entry(engine).or_insert_with(|| Seen { beats, at: clock::Instant::now() });
        if seen.beats != beats {
            *seen = Seen { beats, at: clock::Instant::now() };
        }
        if settings.alone || seen.at.elapsed() >= settings.lease {
            dead.push(engine);
        }
    }
    Ok(dead)
}
