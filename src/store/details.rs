//! Snapshots with what is shown of them besides. However long a page is, it takes the same few queries.

use std::collections::{HashMap, HashSet};

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::rows::{branch, disk_snapshot, layer, server};
use super::snapshots::{self, SnapshotFilter};
use super::{Page, Store, database_error, from_optional_id};
use crate::domain::disk::{DiskSnapshot, Layer};
use crate::domain::snapshot::{Snapshot, SnapshotStatus};
use crate::error::{Error, Result};
use crate::ids::{LayerId, OperationId, SnapshotId};

/// A snapshot with what a view shows besides.
#[derive(Debug, Clone)]
pub struct SnapshotDetail {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Its branch's name.
    pub branch: Option<String>,
    /// Whether the live disks grew from it.
    pub current: bool,
    /// Its disks, in order, each with its layer.
    pub disks: Vec<(DiskSnapshot, Layer)>,
    /// The operation that works on it.
    pub operation_id: Option<OperationId>,
}

impl Store {
    /// A snapshot that was not deleted, in detail.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn snapshot_detail(&self, id: SnapshotId) -> Result<Option<SnapshotDetail>> {
        let moment = self.begin_read().await?;
        let found = snapshots::there(&moment, id).await?;
        Ok(in_detail(&moment, found.into_iter().collect()).await?.pop())
    }

    /// A page of snapshots, in detail. Keyset paging: the cost does not grow with the page's number.
    ///
    /// # Errors
    /// `BadRequest` for an unknown marker; when the database does not answer.
    pub async fn snapshots(&self, filter: &SnapshotFilter, page: &Page) -> Result<Vec<SnapshotDetail>> {
        let moment = self.begin_read().await?;
        let found = snapshots::page(&moment, filter, page).await?;
        in_detail(&moment, found).await
    }
}

async fn in_detail(connection: &impl ConnectionTrait, snapshots: Vec<Snapshot>) -> Result<Vec<SnapshotDetail>> {
    if snapshots.is_empty() {
        return Ok(vec![]);
    }
    let words = |id: fn(&Snapshot) -> String| -> HashSet<String> { snapshots.iter().map(id).collect() };
    let branches: HashMap<String, String> = branch::Entity::find()
        .filter(branch::Column::Id.is_in(words(|one| one.branch_id.to_string())))
        .all(connection)
        .await
        .map_err(database_error)?
        .into_iter()
        .map(|row| (row.id, row.name))
        .collect();
    let servers: HashMap<String, server::Model> = server::Entity::find()
        .filter(server::Column::Id.is_in(words(|one| one.server_id.to_string())))
        .all(connection)
        .await
        .map_err(database_error)?
        .into_iter()
        .map(|row| (row.id.clone(), row))
        .collect();
    let mut parts: HashMap<SnapshotId, Vec<DiskSnapshot>> = HashMap::new();
    let rows = disk_snapshot::Entity::find()
        .filter(disk_snapshot::Column::SnapshotId.is_in(words(|one| one.id.to_string())))
        .order_by_asc(disk_snapshot::Column::Position)
        .all(connection)
        .await
        .map_err(database_error)?;
    let mut layer_ids = HashSet::new();
    for row in rows {
        let part = DiskSnapshot::try_from(row)?;
        layer_ids.insert(part.layer_id);
        parts.entry(part.snapshot_id).or_default().push(part);
    }
    let layers: HashMap<LayerId, Layer> = layer::Entity::find()
        .filter(layer::Column::Id.is_in(layer_ids.iter().map(ToString::to_string)))
        .all(connection)
        .await
        .map_err(database_error)?
        .into_iter()
        .map(|row| Layer::try_from(row).map(|layer| (layer.id, layer)))
        .collect::<Result<_>>()?;
    snapshots
        .into_iter()
        .map(|snapshot| {
            let id = snapshot.id;
            let record = servers.get(&snapshot.server_id.to_string());
            let (current, operation_id) = match record {
                Some(row) => (
                    row.current_snapshot_id == Some(id.to_string()),
                    from_optional_id("servers.operation_id", row.operation_id.as_deref())?,
                ),
                None => (false, None),
            };
            let missing = |part: &DiskSnapshot| Error::internal(format!("Layer {} is missing.", part.layer_id));
            let disks = parts.remove(&id).unwrap_or_default().into_iter().map(|part| {
                let layer = layers.get(&part.layer_id).ok_or_else(|| missing(&part))?.clone();
                Ok((part, layer))
            });
            let busy = matches!(
                snapshot.status,
                SnapshotStatus::Creating | SnapshotStatus::Restoring | SnapshotStatus::Deleting
            );
            Ok(SnapshotDetail {
                branch: branches.get(&snapshot.branch_id.to_string()).cloned(),
                current,
                disks: disks.collect::<Result<_>>()?,
                operation_id: operation_id.filter(|_| busy),
                snapshot,
            })
        })
        .collect()
}
