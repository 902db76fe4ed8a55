//! Captures all covered disks of a server as one node of its tree.
//!
//! Recipe: look again, pause if the plan says so, ask all disks at once, resume, look once more, record. The pause is bounded
//! by a deadline of its own: when it passes, the server is resumed at once, whatever the disks do. A capture that fails
//! leaves nothing behind in any backend; its row stays with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::domain::disk::{DiskSnapshot, LayerRole};
use crate::domain::operation::Operation;
use crate::domain::server::{ServerAction, ServerStatus, is_harmless_at_rest, may_have_run_since};
use crate::domain::snapshot::{Consistency, SnapshotStatus};
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, LayerId, SnapshotId};
use crate::operations::{Reversal, Step, StepContext, Work, power, typed, untyped};
use crate::store::trees::{ServerTree, TreeChange};

/// The kind's name in rows.
pub const KIND: &str = "snapshot_create";

/// The steps, in order.
pub const STEPS: [Step; 6] = [
    Step { name: "inspect", reversal: Reversal::Nothing("only looks") },
    Step { name: "pause", reversal: Reversal::Undo },
    Step { name: "capture", reversal: Reversal::UndoOrLeave },
    Step { name: "resume", reversal: Reversal::Nothing("the pause's undo resumes too") },
    Step { name: "check", reversal: Reversal::Nothing("only looks") },
    Step { name: "record", reversal: Reversal::PointOfNoReturn },
];

/// Version 1 of the parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The node; its row and its disks' rows are there, status `creating`.
    pub snapshot_id: SnapshotId,
    /// Disks whose snapshot is taken; the others share one.
    pub take: Vec<DiskSnapshotId>,
    /// Whether the server is paused meanwhile.
    pub pause: bool,
    /// Longest pause, in milliseconds.
    pub pause_limit_ms: u64,
    /// Whether a pause that was too long makes the capture fail (asked for `crash`) instead of lowering its level.
    pub crash_required: bool,
    /// The level without any pause.
    pub level_without_pause: Consistency,
    /// Why there is no pause, if so.
    pub pause_reason: String,
    /// Layers that this operation met first: forgotten if it fails.
    pub new_layers: Vec<LayerId>,
    /// A branch that this operation began: forgotten if it fails.
    pub new_branch: Option<crate::ids::BranchId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    was_active: bool,
    at_rest_mark: Option<String>,
    /// Nova's newest request when the server was found stopped or paused by others.
    #[serde(default)]
    still_mark: Option<String>,
    /// It did not stay so.
    #[serde(default)]
    moved: bool,
    captured: BTreeMap<DiskSnapshotId, CapturedDisk>,
    pause_ms: Option<i64>,
    skew_ms: Option<i64>,
    /// Why our pause ended before all disks were captured.
    #[serde(default)]
    pause_lost: Option<String>,
    partial: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CapturedDisk {
    backend_id: String,
    size_bytes: u64,
}

/// The operation.
pub struct SnapshotCreate {
    params: Params,
    state: State,
    /// When this process paused the server; a process that adopted the operation does not know.
    paused_at: Option<clock::Instant>,
}

impl SnapshotCreate {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        let state = if operation.state.is_null() { State::default() } else { typed("state", &operation.state)? };
        Ok(Self { params: typed("parameters", &operation.params)?, state, paused_at: None })
    }

    /// Number of steps, for the row.
    #[must_use]
    pub fn steps_total() -> i32 {
        STEPS.len() as i32
    }

    async fn inspect(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let id = cx.operation.server_id;
        // Read first: whatever starts the server later is newer than this mark.
        let actions = cx.world.compute.actions(id).await?;
        let server = cx.world.compute.server(id).await?;
        if let Some(task) = &server.task_state {
            return Err(Error::conflict(format!("Nova is at work on the server ({task}).")).retryable());
        }
        let newest = actions.first().map(|action| action.request_id.clone());
        (self.state.at_rest_mark, self.state.still_mark) = match server.status {
            ServerStatus::Active => (None, None),
            ServerStatus::Paused => (None, newest),
            ServerStatus::Shutoff => (newest.clone(), newest),
            ServerStatus::Other(word) => return Err(Error::conflict(format!("The server has become {word}."))),
        };
        self.state.was_active = server.status == ServerStatus::Active;
        self.shared_parts_must_still_hold(cx, &actions).await
    }

    /// Parts are shared because the server had not run; it may have been started since that was planned.
    async fn shared_parts_must_still_hold(&self, cx: &StepContext<'_>, actions: &[ServerAction]) -> Result<()> {
        let tree = cx.tree().await?;
        let shares = tree.disks_of(self.params.snapshot_id).iter().any(|part| part.origin != part.id);
        let ran = tree.record.equals_mark.as_ref().is_none_or(|mark| may_have_run_since(actions, mark));
        if shares && (ran || self.state.at_rest_mark.is_none()) {
            return Err(Error::conflict("The server was started after its capture was asked for.")
                .remedy("Ask again: its disks will be captured as they are then."));
        }
        Ok(())
    }

    fn pauses(&self) -> bool {
        self.params.pause && self.state.was_active
    }

    async fn pause(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.pauses() {
            return Ok(());
        }
        if self.paused_at.is_none() {
            // Paused already: by the engine that we have adopted this from, nobody knows when.
            let server = cx.world.compute.server(cx.operation.server_id).await?;
            self.paused_at = (server.status != ServerStatus::Paused).then(clock::Instant::now);
        }
        power::pause(cx).await
    }

    async fn capture(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let call = cx.call();
        let begun = clock::Instant::now();
        let mut jobs = Vec::new();
        for id in &self.params.take {
            let part = tree.disk_snapshot(*id)?.clone();
            let layer = tree.layer(part.layer_id)?.clone();
            let driver = cx.world.drivers.get(&layer.backend)?.clone();
            let call = call.clone();
            jobs.push(async move {
                let result = driver.capture(&call, &layer, part.id).await;
                (part.id, layer.key, begun.elapsed(), result)
            });
        }
        let all = join_all(jobs);
        let results = if self.pauses() { self.within_the_pause(cx, all).await? } else { all.await };
        if self.pauses() && self.state.pause_lost.is_none() && results.iter().any(|(.., result)| result.is_err()) {
            // Before the next try there may be a long wait.
            self.end_pause(cx, "a disk failed while the server was paused".to_owned()).await?;
        }
        let mut moments = Vec::new();
        for (id, key, moment, result) in results {
            let captured = result.map_err(|error| error.context(format!("Disk {key} could not be captured")))?;
            moments.push(moment);
            self.state
                .captured
                .insert(id, CapturedDisk { backend_id: captured.backend_id, size_bytes: captured.size_bytes });
        }
        if let (Some(first), Some(last)) = (moments.iter().min(), moments.iter().max()) {
            self.state.skew_ms = Some(millis(*last - *first));
        }
        if let Some(why) = self.state.pause_lost.as_ref().filter(|_| self.params.crash_required) {
            return Err(Error::conflict(format!("The disks were not all captured at one moment: {why}."))
                .remedy("Ask for a longer pause (pause_limit_ms), or for consistency \"auto\" or \"none\"."));
        }
        Ok(())
    }

    /// Waits for the disks as long as the server may stand still; then resumes it, and goes on waiting.
    async fn within_the_pause<T>(&mut self, cx: &StepContext<'_>, all: impl Future<Output = T>) -> Result<T> {
        tokio::pin!(all);
        if let Some(why) = self.state.pause_lost.clone() {
            self.end_pause(cx, why).await?; // the try before may not have come so far
            return Ok(all.await);
        }
        let limit = Duration::from_millis(self.params.pause_limit_ms);
        // An engine that adopted the operation cannot know how long the server has stood still: too long.
        let left = self.paused_at.map(|at| limit.saturating_sub(at.elapsed()));
        if let Some(left) = left {
            tokio::select! {
                results = &mut all => {
                    return Ok(results);
                }
                () = clock::sleep(left) => {}
            }
        }
        let why = format!("the disks took longer than the longest pause of {} ms", self.params.pause_limit_ms);
        self.end_pause(cx, why).await?;
        Ok(all.await)
    }

    async fn end_pause(&mut self, cx: &StepContext<'_>, why: String) -> Result<()> {
        self.state.pause_lost = Some(why);
        power::resume_at_once(cx.world.compute.as_ref(), cx).await?;
        self.note_pause();
        Ok(())
    }

    fn note_pause(&mut self) {
        self.state.pause_ms = self.paused_at.map(|at| millis(at.elapsed())).or(self.state.pause_ms);
    }

    async fn resume(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if !self.pauses() {
            return Ok(());
        }
        if self.state.pause_lost.is_none() {
            power::resume_at_once(cx.world.compute.as_ref(), cx).await?;
            self.note_pause();
        }
        power::resume(cx).await
    }

    /// A disk that came or went meanwhile makes the node partial: it says so instead of pretending.
    async fn check(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let server = cx.world.compute.server(cx.operation.server_id).await?;
        let tree = cx.tree().await?;
        let snapshot = tree.snapshot(self.params.snapshot_id)?;
        let mut expected: Vec<String> = snapshot.left_out.iter().map(|out| out.key.clone()).collect();
        for part in tree.disks_of(snapshot.id) {
            expected.push(tree.layer(part.layer_id)?.backend_id.clone());
        }
        let mut seen = Vec::new();
        for driver in cx.world.drivers.iter() {
            let found = driver.discover(&server).await?;
            seen.extend(found.disks.into_iter().map(|disk| (disk.backend_id, disk.key)));
        }
        self.state.partial = seen
            .iter()
            .filter(|(id, key)| !expected.contains(id) && !expected.contains(key))
            .map(|(_, key)| format!("disk {key} came while the snapshot was taken and is not in it"))
            .collect();
        for part in tree.disks_of(snapshot.id) {
            let layer = tree.layer(part.layer_id)?;
            if !seen.iter().any(|(id, _)| *id == layer.backend_id) {
                self.state.partial.push(format!("disk {} went while the snapshot was taken", layer.key));
            }
        }
        if let Some(mark) = &self.state.still_mark
            && may_have_run_since(&cx.world.compute.actions(cx.operation.server_id).await?, mark)
        {
            self.state.moved = true;
            self.state.at_rest_mark = None;
        }
        if self.pauses() && self.state.pause_lost.is_none() && self.others_ended_the_pause(cx).await? {
            self.state.pause_lost = Some("somebody else resumed the server while its disks were captured".to_owned());
        }
        if let (Consistency::None, Some(why)) = self.reached(&tree)
            && self.params.crash_required
        {
            return Err(
                Error::conflict(format!("The disks were not all captured at one moment: {why}.")).remedy("Ask again.")
            );
        }
        Ok(())
    }

    /// Whether anybody but us has done anything to the server since we paused it.
    async fn others_ended_the_pause(&self, cx: &StepContext<'_>) -> Result<bool> {
        let us = cx.world.compute.own_user_id().await?;
        let ours = |action: &ServerAction| action.user_id.as_deref() == Some(us.as_str());
        let actions = cx.world.compute.actions(cx.operation.server_id).await?;
        Ok(actions
            .iter()
            .take_while(|action| !(action.action == "pause" && ours(action)))
            .any(|action| !ours(action) && !is_harmless_at_rest(&action.action)))
    }

    /// The level, and why it is not more.
    fn reached(&self, tree: &ServerTree) -> (Consistency, Option<String>) {
        let alone = tree.disks_of(self.params.snapshot_id).len() < 2;
        let still = self.state.still_mark.is_some() && !self.state.moved;
        match (self.params.level_without_pause, &self.state.pause_lost) {
            _ if still => (Consistency::Crash, None),
            (Consistency::Crash, _) if alone => (Consistency::Crash, None),
            (_, None) if self.pauses() => (Consistency::Crash, None),
            (_, Some(why)) => (Consistency::None, Some(why.clone())),
            (Consistency::Crash, None) => {
                (Consistency::None, Some("the server was started after the capture was asked for".to_owned()))
            }
            (_, None) => (Consistency::None, Some(self.params.pause_reason.clone())),
        }
    }

    async fn record(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut snapshot = tree.snapshot(self.params.snapshot_id)?.clone();
        if snapshot.status == SnapshotStatus::Available {
            return Ok(()); // a lost answer: it was recorded
        }
        snapshot.status = SnapshotStatus::Available;
        snapshot.at_rest = self.state.at_rest_mark.is_some();
        snapshot.partial = !self.state.partial.is_empty();
        snapshot.updated_at = clock::now();
        let record = &mut snapshot.consistency;
        record.pause_ms = self.state.pause_ms;
        record.skew_ms = self.state.skew_ms;
        let (level, why) = self.reached(&tree);
        (record.reached, record.reason) = (Some(level), why);
        for warning in &self.state.partial {
            cx.world.store.warn(cx.fence, warning).await?;
        }
        let mut disks: Vec<DiskSnapshot> = Vec::new();
        for part in tree.disks_of(snapshot.id) {
            let mut part = part.clone();
            if let Some(captured) = self.state.captured.get(&part.id) {
                part.backend_id.clone_from(&captured.backend_id);
                part.size_bytes = captured.size_bytes;
            }
            disks.push(part);
        }
        let equals = self.state.at_rest_mark.clone().map(|mark| (snapshot.id, mark));
        let change = TreeChange {
            current: Some((Some(snapshot.id), Some(snapshot.branch_id))),
            equals: Some(equals),
            snapshots: vec![snapshot],
            disk_snapshots: disks,
            ..TreeChange::default()
        };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    /// A server that was running before and is paused now was paused by us: capture refuses one with a task under way.
    async fn undo_pause(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if self.pauses() { power::resume(cx).await } else { Ok(()) }
    }

    async fn undo_capture(&mut self, cx: &StepContext<'_>) -> Result<()> {
        self.undo_pause(cx).await?; // before anything that may take long
        let tree = cx.tree().await?;
        for id in &self.params.take {
            let part = tree.disk_snapshot(*id)?;
            let layer = tree.layer(part.layer_id)?;
            cx.world.drivers.get(&layer.backend)?.remove_snapshot(&cx.call(), layer, part.id).await?;
        }
        self.state.captured.clear();
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Layers that were met first by an operation that came to nothing: forgotten, unless something lies on them by now.
pub(super) fn forgettable(tree: &ServerTree, new: &[LayerId], without: SnapshotId) -> Vec<LayerId> {
    new.iter()
        .copied()
        .filter(|id| !tree.disk_snapshots.iter().any(|part| part.layer_id == *id && part.snapshot_id != without))
        .filter(|id| tree.layers.iter().any(|layer| layer.id == *id && layer.role == LayerRole::Head))
        .collect()
}

#[async_trait]
impl Work for SnapshotCreate {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "inspect" => self.inspect(cx).await,
            "pause" => self.pause(cx).await,
            "capture" => self.capture(cx).await,
            "resume" => self.resume(cx).await,
            "check" => self.check(cx).await,
            "record" => self.record(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "pause" => self.undo_pause(cx).await,
            "capture" => self.undo_capture(cx).await,
            _ => Ok(()),
        }
    }

    async fn unwound(&mut self, cx: &StepContext<'_>, reason: &str) -> Result<()> {
        let tree = cx.tree().await?;
        let mut snapshot = tree.snapshot(self.params.snapshot_id)?.clone();
        snapshot.status = SnapshotStatus::Error;
        snapshot.fault = Some(reason.to_owned());
        snapshot.updated_at = clock::now();
        let change = TreeChange {
            disk_snapshots_gone_of: vec![snapshot.id],
            layers_gone: forgettable(&tree, &self.params.new_layers, snapshot.id),
            branches_gone: self.params.new_branch.into_iter().collect(),
            snapshots: vec![snapshot],
            ..TreeChange::default()
        };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }

    /// A paused server does not wait for the next engine; a pause is over when its length is known.
    fn may_rest(&self) -> bool {
        !self.pauses() || self.state.pause_ms.is_some()
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&self.state)
    }
}
