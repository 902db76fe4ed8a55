//! Captures all covered disks of a server as one node of its tree.
//!
//! Recipe: look again; pause if the plan says so, ask all disks at once, resume; look once more, record. The pause is bounded
//! by a deadline of its own: when it passes, the server is resumed at once, whatever the disks do. It begins and ends within
//! one step, so that nothing is written to the database meanwhile: one that is slow or away must not prolong it. A capture
//! that fails leaves nothing behind in any backend; its row stays with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::domain::disk::{DiskSnapshot, LayerRole};
use crate::domain::operation::Operation;
use crate::domain::server::{ServerAction, ServerStatus, is_harmless_at_rest, is_making_image, may_have_run_since};
use crate::domain::snapshot::{Consistency, SnapshotStatus};
use crate::drivers::{Call, Captured};
use crate::error::{Error, Kind, Result};
use crate::ids::{DiskSnapshotId, LayerId, SnapshotId};
use crate::operations::{Reversal, Step, StepContext, Work, power, state_of, typed, untyped};
use crate::store::trees::{ServerTree, TreeChange};

/// The kind's name in rows.
pub const KIND: &str = "snapshot_create";

/// The step in which the server stands still.
const CAPTURE: &str = "capture";

/// The steps, in order.
pub const STEPS: [Step; 4] = [
    Step { name: "inspect", reversal: Reversal::Nothing("only looks") },
    Step { name: CAPTURE, reversal: Reversal::UndoOrLeave },
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
    /// Nova makes an image of the server, and this goes on beside it.
    #[serde(default)]
    pub amid_image: bool,
    /// When Nova told that it began the image which this capture is made for.
    #[serde(default)]
    pub image_begun_at: Option<DateTime<Utc>>,
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
    /// Milliseconds from Nova's word of its image to our capture.
    #[serde(default)]
    after_image_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CapturedDisk {
    backend_id: String,
    size_bytes: u64,
}

/// A disk, its name for people, how long after the first question it was captured, and what its driver says.
type Answer = (DiskSnapshotId, String, Duration, Result<Captured>);

/// The operation.
pub struct SnapshotCreate {
    params: Params,
    state: State,
    /// The capture was begun before, by this engine or by one that we have adopted it from: what that one did, and for how
    /// long the server has stood still, is not known.
    begun: bool,
    /// When we paused the server.
    paused_at: Option<clock::Instant>,
    /// Our pause may not be over.
    still: bool,
}

impl SnapshotCreate {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        let state: State = state_of(operation)?;
        let params: Params = typed("parameters", &operation.params)?;
        let begun = operation.phase.as_deref() == Some(CAPTURE);
        let still = begun && params.pause && state.was_active;
        Ok(Self { params, state, begun, paused_at: None, still })
    }

    async fn inspect(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let id = cx.operation.server_id;
        // Read first: whatever starts the server later is newer than this mark.
        let actions = cx.world.compute.actions(id).await?;
        let server = cx.world.compute.server(id).await?;
        let in_the_way = |task: &&String| !(self.params.amid_image && is_making_image(task));
        if let Some(task) = server.task_state.as_ref().filter(in_the_way) {
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

    async fn capture(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let again = self.begun;
        let call = Call { again, ..cx.call() };
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
        let since = |begun: DateTime<Utc>| (clock::now() - begun).num_milliseconds().max(0); // the clocks are two
        self.state.after_image_ms = self.state.after_image_ms.or(self.params.image_begun_at.map(since));
        let all = join_all(jobs); // nobody is asked before it is awaited
        let results = if self.pauses() {
            self.standing_still(cx, again, all).await?
        } else {
            self.begun = true;
            all.await
        };
        let mut moments = Vec::new();
        for (id, key, moment, result) in results {
            let captured = result.map_err(|error| error.context(format!("Disk {key} could not be captured")))?;
            moments.push(moment);
            self.state
                .captured
                .insert(id, CapturedDisk { backend_id: captured.backend_id, size_bytes: captured.size_bytes });
        }
        // What an earlier try has captured answers at once, and its moment is not known.
        self.state.skew_ms = match (moments.iter().min(), moments.iter().max()) {
            (Some(first), Some(last)) if !again => Some(millis(*last - *first)),
            _ => None,
        };
        if let Some(why) = self.state.pause_lost.as_ref().filter(|_| self.params.crash_required) {
            return Err(Error::conflict(format!("The disks were not all captured at one moment: {why}."))
                .remedy("Ask for a longer pause (pause_limit_ms), or for consistency \"auto\" or \"none\"."));
        }
        Ok(())
    }

    /// Waits for the disks as long as the server may stand still; then resumes it, and goes on waiting.
    async fn standing_still(
        &mut self,
        cx: &StepContext<'_>,
        again: bool,
        all: impl Future<Output = Vec<Answer>>,
    ) -> Result<Vec<Answer>> {
        tokio::pin!(all);
        if again {
            // Some disks may be captured already, at another moment.
            self.lose("the capture was interrupted and begun again");
            power::resume(cx).await?;
            self.still = false;
            return Ok(all.await);
        }
        let limit = Duration::from_millis(self.params.pause_limit_ms);
        let begun = clock::Instant::now();
        (self.paused_at, self.still) = (Some(begun), true);
        // Awaited to its end: a request that we had given up could pause the server after we have resumed it.
        if let Err(error) = cx.world.compute.pause(cx.operation.server_id).await {
            if error.kind() == Kind::Conflict {
                (self.paused_at, self.still) = (None, false); // refused: if it is paused, then by others
            } else {
                self.end_pause(cx).await?;
            }
            return Err(error);
        }
        let asked = &mut self.begun;
        let in_time = tokio::time::timeout(limit.saturating_sub(begun.elapsed()), async {
            power::paused(cx).await?;
            cx.passed("pause")?;
            *asked = true;
            Ok::<_, Error>(all.as_mut().await)
        });
        let results = match in_time.await {
            Ok(Ok(results)) => Some(results),
            Ok(Err(error)) if error.kind() == Kind::Superseded => return Err(error),
            Ok(Err(error)) => {
                self.end_pause(cx).await?;
                return Err(error);
            }
            Err(_) => {
                self.lose(&format!("the disks took longer than the longest pause of {} ms", limit.as_millis()));
                self.begun = true;
                None
            }
        };
        self.end_pause(cx).await?;
        Ok(match results {
            Some(results) => results,
            None => all.await,
        })
    }

    /// Notes why the disks are not of one moment.
    fn lose(&mut self, why: &str) {
        self.state.pause_lost.get_or_insert_with(|| why.to_owned());
    }

    /// Resumes the server first and looks afterwards: each millisecond counts.
    async fn end_pause(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let asked = cx.world.compute.unpause(cx.operation.server_id).await;
        if asked.is_ok() {
            self.note_pause();
        }
        power::resume(cx).await?;
        if asked.is_err() {
            self.note_pause();
        }
        self.still = false;
        Ok(())
    }

    fn note_pause(&mut self) {
        self.state.pause_ms = self.paused_at.take().map(|at| millis(at.elapsed())).or(self.state.pause_ms);
    }

    /// A disk that came or went meanwhile makes the node partial: it says so instead of pretending.
    async fn check(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let server = cx.world.compute.server(cx.operation.server_id).await?;
        if self.pauses() && power::is_paused_by_us(cx.world, server.id, &server.status).await? {
            // A request whose answer was lost was carried out late.
            self.lose("Nova paused the server late");
            power::resume(cx).await?;
        }
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

    /// The distance to the image that Nova made meanwhile; a server at rest is the same all the while.
    fn with_distance(&self, why: Option<String>) -> Option<String> {
        let still = self.state.still_mark.is_some() && !self.state.moved;
        let Some(ms) = self.state.after_image_ms.filter(|_| !still) else { return why };
        let distance = format!("captured {ms} ms after Nova told that it began its image");
        Some(why.map_or_else(|| distance.clone(), |why| format!("{why}; {distance}")))
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
        (record.reached, record.reason) = (Some(level), self.with_distance(why));
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

    async fn undo_capture(&mut self, cx: &StepContext<'_>) -> Result<()> {
        if self.pauses() {
            // First, since the rest may take long; and never given up, as the rest may be.
            power::resume(cx).await.map_err(Error::retryable)?;
            self.still = false;
        }
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
            CAPTURE => self.capture(cx).await,
            "check" => self.check(cx).await,
            "record" => self.record(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            CAPTURE => self.undo_capture(cx).await,
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

    /// A paused server does not wait for the next engine.
    fn may_rest(&self) -> bool {
        !self.still
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&self.state)
    }
}
