//! When Nova has deleted a backup of a server because there are newer ones (`openstack server backup create --rotate`): the node
//! that was captured beside it goes too. Called after any notification and by the sweep.

use super::App;
use super::snapshot_delete::delete_unasked;
use crate::domain::plan::image::rotating;
use crate::error::Result;
use crate::ids::{OperationId, ServerId};

/// Deletes one node whose backup is gone while a newer one is there; the next one at the next look. Returns the operation, if
/// there is such a node and the tree is at rest. An image that Glance cannot be asked for keeps its node.
///
/// # Errors
/// When a backend or the database does not answer.
pub async fn rotate(app: &App, id: ServerId) -> Result<Option<OperationId>> {
    let Some(tree) = app.store.tree(id).await?.filter(|tree| tree.record.operation_id.is_none()) else {
        return Ok(None);
    };
    let mut backups: Vec<_> = rotating(&tree.snapshots).collect();
    backups.sort_by_key(|(node, _)| std::cmp::Reverse(node.sequence));
    // Rotation keeps the newest. Where none is to be seen, Glance may be another's, or our right to look may be gone.
    let mut newer_is_there = false;
    for (node, image) in backups {
        match app.compute.image_name(image).await {
            Ok(Some(_)) => newer_is_there = true,
            Ok(None) if !newer_is_there => {}
            Ok(None) => {
                let operation = delete_unasked(app, id, node.id).await?;
                if let Some(operation) = operation {
                    tracing::info!(server_id = %id, snapshot_id = %node.id, image_id = image, operation_id = %operation,
                        "a snapshot goes with its backup");
                }
                return Ok(operation);
            }
            Err(error) => {
                tracing::debug!(server_id = %id, image_id = image, error = %error.chain(), "cannot tell whether a backup is gone");
            }
        }
    }
    Ok(None)
}
