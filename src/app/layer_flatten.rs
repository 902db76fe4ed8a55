//! When parked disks of a server are flattened in the background: looks, measures what `domain/plan/flatten.rs` proposes, and
//! records the operation. Nobody asks for it but the sweep.

use super::snapshot_create::{Subject, new_operation};
use super::{App, RequestContext};
use crate::domain::operation::{Operation, OperationStatus};
use crate::domain::plan::flatten::{Candidate, FlattenWorld, Gain, candidates};
use crate::error::{Kind, Result};
use crate::ids::{OperationId, ServerId};
use crate::operations::layer_flatten::{KIND, Params, STEPS};
use crate::operations::snapshot_delete::leftovers;
use crate::store::trees::{ServerTree, TreeChange};

/// What a look has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flattening {
    /// An operation has begun.
    Begun(OperationId),
    /// Nothing is worth it, as long as the tree is of this generation.
    NotWorthIt(i64),
    /// A backend could not tell. It is not asked again for a tree of this generation: a look may take minutes.
    NotMeasured(i64),
    /// The server is in use, or has been tried in vain of late.
    Later,
}

/// Begins to flatten what is worth it in a server's tree, one candidate at a time. A tree of the generation `measured` is known
/// to have nothing that is.
///
/// # Errors
/// When the database does not answer.
pub async fn flatten(app: &App, id: ServerId, measured: Option<i64>) -> Result<Flattening> {
    let Some(tree) = app.store.tree(id).await?.filter(|tree| tree.record.operation_id.is_none()) else {
        return Ok(Flattening::Later);
    };
    let generation = tree.record.generation;
    if measured == Some(generation) {
        return Ok(Flattening::NotWorthIt(generation));
    }
    let pending = leftovers(&app.drivers, &tree)?.pending;
    let proposed = candidates(&FlattenWorld {
        layers: &tree.layers,
        disk_snapshots: &tree.disk_snapshots,
        pending: &pending,
        clone_depth_max: app.settings.clone_depth_max,
        copies: &|backend| app.drivers.copies(backend),
    });
    let failed = |it: &Operation| it.status == OperationStatus::Failed;
    if !proposed.is_empty() && !app.store.may_begin_unasked(id, KIND, failed).await? {
        return Ok(Flattening::Later);
    }
    let mut worth = None;
    for candidate in proposed {
        let measured = match measure(app, &tree, &candidate).await {
            Ok(measured) => measured,
            Err(error) => {
                tracing::warn!(server_id = %id, error = %error.chain(), "parked disks cannot be measured; they stay as they are");
                return Ok(Flattening::NotMeasured(generation));
            }
        };
        let is_worth =
            |&(writes, frees): &(u64, u64)| candidate.is_worth(writes, frees, app.settings.flatten_bytes_max);
        if let Some((writes, frees)) = measured.filter(is_worth) {
            worth = Some((candidate, writes, frees));
            break;
        }
    }
    let Some((candidate, writes, frees)) = worth else { return Ok(Flattening::NotWorthIt(generation)) };
    let subject = Subject { server_id: id, project_id: tree.record.project_id.clone() };
    // Operations are shown beside a snapshot; of a tree without any: an id that nothing has.
    let about = tree.snapshots.first().map(|node| node.id).unwrap_or_default();
    let params = Params { layers: candidate.layers };
    let caller = RequestContext::service(&tree.record.project_id);
    let operation = new_operation(&caller, &subject, (KIND, &STEPS), about, &params)?;
    match app.store.begin_operation(&operation, &tree.record.name, TreeChange::default(), Some(generation)).await {
        Ok(_) => {}
        Err(error) if error.kind() == Kind::Conflict => return Ok(Flattening::Later), // somebody was quicker
        Err(error) => return Err(error),
    }
    tracing::info!(server_id = %id, operation_id = %operation.id, gain = ?candidate.gain, writes, frees, "parked disks are flattened");
    Ok(Flattening::Begun(operation.id))
}

/// What flattening would write, and what could go then, in bytes; `None` if one of the disks cannot be flattened.
async fn measure(app: &App, tree: &ServerTree, candidate: &Candidate) -> Result<Option<(u64, u64)>> {
    let mut writes = 0;
    for id in &candidate.layers {
        let layer = tree.layer(*id)?;
        match app.drivers.get(&layer.backend)?.flatten_cost(layer).await? {
            Some(bytes) => writes += bytes,
            None => return Ok(None),
        }
    }
    let frees = match candidate.gain {
        Gain::Frees(id) => {
            let layer = tree.layer(id)?;
            app.drivers.get(&layer.backend)?.used_bytes(layer).await?
        }
        Gain::Shortens(_) => 0,
    };
    Ok(Some((writes, frees)))
}
