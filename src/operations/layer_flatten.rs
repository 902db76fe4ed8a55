//! Flattens parked disks in the background, see `domain/plan/flatten.rs`: what they read from others is copied into them, and
//! they hang on nothing any more. Nothing that anybody sees changes, but for the time that it takes: meanwhile nothing else is
//! done with the server's tree, which is why the bytes have a limit.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::disk::{Layer, LayerRole};
use crate::domain::operation::Operation;
use crate::error::{Error, Result};
use crate::ids::LayerId;
use crate::operations::{Reversal, Step, StepContext, Work, typed, untyped};
use crate::store::trees::TreeChange;

/// The kind's name in rows.
pub const KIND: &str = "layer_flatten";

/// The steps, in order.
pub const STEPS: [Step; 2] = [
    Step { name: "flatten", reversal: Reversal::Nothing("a disk that hangs on nothing holds what it held") },
    Step { name: "record", reversal: Reversal::PointOfNoReturn },
];

/// Version 1 of the parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Params {
    /// The disks.
    pub layers: Vec<LayerId>,
}

/// The operation.
pub struct LayerFlatten {
    params: Params,
}

impl LayerFlatten {
    /// From its row.
    ///
    /// # Errors
    /// `Internal` when the row cannot be read.
    pub fn load(operation: &Operation) -> Result<Self> {
        Ok(Self { params: typed("parameters", &operation.params)? })
    }

    async fn flatten(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        for id in &self.params.layers {
            let layer = tree.layer(*id)?;
            if layer.role != LayerRole::Parked {
                return Err(Error::conflict(format!("Disk {} is not parked any more.", layer.key)));
            }
            let driver = cx.world.drivers.get(&layer.backend)?;
            // An engine that died in the middle of it counts as a user for a while.
            let limit = cx.world.settings.watcher_timeout;
            let unused = || async { Ok(driver.users(layer).await?.is_empty().then_some(())) };
            cx.wait(&format!("nobody to have disk {} open", layer.key), limit, unused).await?;
            driver.flatten(layer).await?;
        }
        Ok(())
    }

    async fn record(&self, cx: &StepContext<'_>) -> Result<()> {
        let tree = cx.tree().await?;
        let flat = tree.layers.iter().filter(|layer| self.params.layers.contains(&layer.id)).cloned();
        let layers = flat.map(|layer| Layer { parent: None, parent_layer: None, ..layer }).collect();
        let change = TreeChange { layers, ..TreeChange::default() };
        cx.world.store.change_tree(cx.fence, cx.operation.server_id, &change).await
    }
}

#[async_trait]
impl Work for LayerFlatten {
    fn steps(&self) -> &'static [Step] {
        &STEPS
    }

    async fn run(&mut self, step: &'static str, cx: &StepContext<'_>) -> Result<()> {
        match step {
            "flatten" => self.flatten(cx).await,
            "record" => self.record(cx).await,
            other => Err(Error::internal(format!("There is no step {other}."))),
        }
    }

    async fn undo(&mut self, _step: &'static str, _cx: &StepContext<'_>) -> Result<()> {
        Ok(())
    }

    async fn unwound(&mut self, _cx: &StepContext<'_>, _reason: &str) -> Result<()> {
        Ok(()) // no row was changed; a disk that is flat already is found so at the next look
    }

    /// It is not given up while it goes on: it would go on all the same, and whoever used the disk then would read by way of what
    /// is about to go. Each single answer of the backend has its own limit.
    fn allowance(&self, _step: &'static str) -> Duration {
        Duration::from_secs(24 * 3600)
    }

    fn state(&self) -> Result<serde_json::Value> {
        untyped(&())
    }
}
