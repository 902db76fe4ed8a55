//! Takes the heads of a server from under the names by which Nova is about to remove them, see `domain/plan/guard.rs`.
//!
//! Short on purpose: Nova gets there within a second. What becomes of the heads is decided later, when Nova has finished; until
//! then their layers are `taken`, and so are the volumes that Nova is about to delete with the server.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::domain::disk::LayerRole;
use crate::domain::operation::Operation;
use crate::domain::plan::guard::{Head, Removing, Seen, Verdict, decide};
use crate::drivers::StandIn;
use crate::error::{Error, Result, if_found};
use crate::ids::LayerId;
use crate::operations::{Reversal, Step, StepContext, Work, state_of, typed, untyped};
use crate::store::trees::{ServerTree, TreeChange};

/// The kind's name in rows.
pub const KIND: &str = "head_takeover";

/// The steps, in order.
pub const STEPS: [Step; 2] =
    [Step { name: "take", reversal: TAKEN_IS_TAKEN }, Step { name: "record", reversal: Reversal::PointOfNoReturn }];
const TAKEN_IS_TAKEN: Reversal =
    Reversal::Nothing("a name that goes back while Nova is at work is removed, or booted: the next look decides");

/// A decision that is older than this is made anew: Nova may have finished, or something else may have begun.
const DECISION_HOLDS: Duration = Duration::from_secs(2);

/// Version 1 of the parameters: ids only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// What Nova is about to do.
    pub why: Removing,
    /// Heads that take their place by name.
    pub heads: Vec<LayerId>,
    /// Volumes that Nova is about to delete.
    pub volumes: Vec<LayerId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// Heads that were there.
    taken: Vec<LayerId>,
}

/// The operation.
pub struct HeadTakeover {
    params: Params,
    state: State,
}

impl HeadTakeover {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        Ok(Self { params: typed("parameters", &operation.params)?, state: state_of(operation)? })
    }

    async fn take(&mut self, cx: &StepContext<'_>) -> Result<()> {
        let age = (clock::now() - cx.operation.created_at).to_std().unwrap_or_default();
        let tree = cx.tree().await?;
        let deleting = self.params.why == Removing::Deleting;
        let mut stand_in = if deleting { StandIn::Always } else { StandIn::Once };
        // A deletion has no way back and Nova is quick. A rebuild that had got past the removal of disks would take our stand-in
        // for its new one. What an earlier try has moved stays moved: the next look sees heads that have lost their names.
        if age > DECISION_HOLDS || !deleting {
            stand_in = self.stand_in_now(cx, &tree, stand_in).await?;
        }
        self.state.taken.clear();
        for id in &self.params.heads {
            let layer = tree.layer(*id)?;
            if cx.world.drivers.get(&layer.backend)?.take_over(layer, stand_in).await? {
                self.state.taken.push(*id);
            } else {
                tracing::warn!(layer_id = %id, backend_id = %layer.backend_id, "Nova was quicker: this head is gone");
            }
        }
        if stand_in == StandIn::Once && self.verdict(cx, &tree).await? != Verdict::TakeOver(self.params.why) {
            // Nova has gone on meanwhile, and might take a stand-in for the server's disk.
            for id in &self.state.taken {
                let layer = tree.layer(*id)?;
                cx.world.drivers.get(&layer.backend)?.take_over(layer, StandIn::None).await?;
            }
        }
        Ok(())
    }

    /// Which stand-in the heads need, by what Nova does now.
    async fn stand_in_now(&self, cx: &StepContext<'_>, tree: &ServerTree, planned: StandIn) -> Result<StandIn> {
        match self.verdict(cx, tree).await? {
            Verdict::TakeOver(why) if why == self.params.why => Ok(planned),
            Verdict::Retire(_) => Ok(StandIn::None), // it has removed what it could: what it has left is kept
            _ => Err(Error::conflict(format!("Nova is no longer {} the server.", self.params.why.as_str()))),
        }
    }

    async fn verdict(&self, cx: &StepContext<'_>, tree: &ServerTree) -> Result<Verdict> {
        let untaken: Vec<_> = self.params.heads.iter().map(|layer| Head { layer: *layer, taken: false }).collect();
        decide_now(cx, tree, &untaken, self.params.why == Removing::Deleting).await
    }

    async fn record(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut change = TreeChange::default();
        for id in self.state.taken.iter().chain(&self.params.volumes) {
            let mut layer = tree.layer(*id)?.clone();
            layer.role = LayerRole::Taken;
            change.layers.push(layer);
        }
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }
}

/// The guard's first decision, by what Nova says now.
///
/// # Errors
/// What Nova fails with.
pub(super) async fn decide_now(
    cx: &StepContext<'_>,
    tree: &ServerTree,
    heads: &[Head],
    deletion_was_told: bool,
) -> Result<Verdict> {
    let id = cx.operation.server_id;
    let server = if_found(cx.world.compute.server(id).await)?;
    let actions = if_found(cx.world.compute.actions(id).await)?.unwrap_or_default();
    let was_deleted = server.is_none() && cx.world.compute.was_deleted(id).await?;
    let rebuild_seen = tree.record.rebuild_seen.as_deref();
    let at = clock::now();
    Ok(decide(Seen {
        server: server.as_ref(),
        was_deleted,
        actions: &actions,
        heads,
        deletion_was_told,
        rebuild_seen,
        at,
    }))
}

#[async_trait]
impl Work for HeadTakeover {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "take" => self.take(cx).await,
            "record" => self.record(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, _step: &'static str, _cx: &StepContext<'_>) -> Result<()> {
        Ok(())
    }

    async fn unwound(&mut self, _cx: &StepContext<'_>, _reason: &str) -> Result<()> {
        Ok(()) // no row was changed
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&self.state)
    }
}
