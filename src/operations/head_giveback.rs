//! Gives heads that were taken over back to their server, because Nova has not removed them after all: a deletion that failed
//! half way, a rebuild that no host could take, a soft-deleted server that was restored.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::disk::LayerRole;
use crate::domain::operation::Operation;
use crate::domain::plan::guard::{Head, Verdict};
use crate::error::{Error, Result};
use crate::ids::LayerId;
use crate::operations::head_takeover::decide_now;
use crate::operations::{Reversal, Step, StepContext, Work, typed, untyped};
use crate::store::trees::TreeChange;

/// The kind's name in rows.
pub const KIND: &str = "head_giveback";

/// The steps, in order.
pub const STEPS: [Step; 2] = [
    Step { name: "give", reversal: Reversal::Nothing("the names are where Nova expects them") },
    Step { name: "record", reversal: Reversal::PointOfNoReturn },
];

/// Version 1 of the parameters: ids only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// Heads that were taken.
    pub heads: Vec<LayerId>,
    /// Volumes that Nova was about to delete.
    pub volumes: Vec<LayerId>,
    /// The rebuild that came to nothing, by its request.
    pub rebuild: Option<String>,
}

/// The operation.
pub struct HeadGiveback {
    params: Params,
}

impl HeadGiveback {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        Ok(Self { params: typed("parameters", &operation.params)? })
    }

    async fn give(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        // Nova may have begun something that needs the name to be free.
        let role = |id: &LayerId| tree.layer(*id).is_ok_and(|layer| layer.role == LayerRole::Taken);
        let heads: Vec<_> = self.params.heads.iter().map(|id| Head { layer: *id, taken: role(id) }).collect();
        if !matches!(decide_now(cx, &tree, &heads, false).await?, Verdict::GiveBack | Verdict::LookAtNames) {
            return Err(Error::conflict("Nova is at work on the server."));
        }
        for id in &self.params.heads {
            let layer = tree.layer(*id)?;
            let driver = cx.world.drivers.get(&layer.backend)?;
            driver.heal_head(layer).await?;
            if driver.bearer(layer).await?.as_deref() != Some(layer.backend_id.as_str()) {
                return Err(Error::conflict(format!("Disk {} of the server is another by now.", layer.key)));
            }
        }
        Ok(())
    }

    async fn record(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let mut change = TreeChange { rebuild_seen: self.params.rebuild.clone(), ..TreeChange::default() };
        for id in self.params.heads.iter().chain(&self.params.volumes) {
            let mut layer = tree.layer(*id)?.clone();
            layer.role = LayerRole::Head;
            change.layers.push(layer);
        }
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }
}

#[async_trait]
impl Work for HeadGiveback {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "give" => self.give(cx).await,
            "record" => self.record(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, _step: &'static str, _cx: &StepContext<'_>) -> Result<()> {
        Ok(())
    }

    async fn unwound(&mut self, _cx: &StepContext<'_>, _reason: &str) -> Result<()> {
        Ok(()) // no row was changed; the next look decides anew
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&())
    }
}
