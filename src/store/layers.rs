//! Layers and disk snapshots: the storage side of a tree.

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::rows::{disk_snapshot, layer};
use super::{Store, database_error, from_id, from_json, from_optional_id, from_word, to_json};
use crate::domain::disk::{DiskKind, DiskSnapshot, Layer, LayerRole};
use crate::error::{Error, Result};
use crate::ids::{LayerId, ServerId};

impl TryFrom<layer::Model> for Layer {
    type Error = Error;
    fn try_from(row: layer::Model) -> Result<Self> {
        Ok(Self {
            id: from_id("layers.id", &row.id)?,
            server_id: from_id("layers.server_id", &row.server_id)?,
            disk_id: from_id("layers.disk_id", &row.disk_id)?,
            backend: row.backend,
            pool: row.pool,
            backend_id: row.backend_id,
            key: row.key,
            kind: from_word("layers.kind", &row.kind, |word| {
                [DiskKind::System, DiskKind::Ephemeral, DiskKind::Volume].into_iter().find(|kind| kind.as_str() == word)
            })?,
            role: from_word("layers.role", &row.role, |word| {
                [LayerRole::Head, LayerRole::Parked, LayerRole::Preparing, LayerRole::Taken, LayerRole::Detached]
                    .into_iter()
                    .find(|role| role.as_str() == word)
            })?,
            parent: from_optional_id("layers.parent_disk_snapshot_id", row.parent_disk_snapshot_id.as_deref())?,
            parent_layer: from_optional_id("layers.parent_layer_id", row.parent_layer_id.as_deref())?,
            equals: from_optional_id("layers.equals_disk_snapshot_id", row.equals_disk_snapshot_id.as_deref())?,
            parked_mark: row.parked_mark,
            facts: from_json("layers.facts", &row.facts)?,
        })
    }
}

impl TryFrom<disk_snapshot::Model> for DiskSnapshot {
    type Error = Error;
    fn try_from(row: disk_snapshot::Model) -> Result<Self> {
        let number = |column: &str, value: i64| {
            u64::try_from(value).map_err(|_| Error::internal(format!("Column {column} is negative: {value}.")))
        };
        Ok(Self {
            id: from_id("disk_snapshots.id", &row.id)?,
            snapshot_id: from_id("disk_snapshots.snapshot_id", &row.snapshot_id)?,
            layer_id: from_id("disk_snapshots.layer_id", &row.layer_id)?,
            origin: from_id("disk_snapshots.origin_id", &row.origin_id)?,
            backend_id: row.backend_id,
            position: u32::try_from(row.position)
                .map_err(|_| Error::internal("Column disk_snapshots.position is out of range."))?,
            size_bytes: number("disk_snapshots.size_bytes", row.size_bytes)?,
            attachment: from_json("disk_snapshots.attachment", &row.attachment)?,
        })
    }
}

/// Writes a layer as it is now.
pub(super) async fn save(connection: &impl ConnectionTrait, layer: &Layer) -> Result<()> {
    let row = layer::ActiveModel {
        id: Set(layer.id.to_string()),
        server_id: Set(layer.server_id.to_string()),
        disk_id: Set(layer.disk_id.to_string()),
        backend: Set(layer.backend.clone()),
        pool: Set(layer.pool.clone()),
        backend_id: Set(layer.backend_id.clone()),
        key: Set(layer.key.clone()),
        kind: Set(layer.kind.as_str().to_owned()),
        role: Set(layer.role.as_str().to_owned()),
        parent_disk_snapshot_id: Set(layer.parent.map(|id| id.to_string())),
        parent_layer_id: Set(layer.parent_layer.map(|id| id.to_string())),
        equals_disk_snapshot_id: Set(layer.equals.map(|id| id.to_string())),
        parked_mark: Set(layer.parked_mark.clone()),
        facts: Set(to_json(&layer.facts)?),
    };
    let there = layer::Entity::find_by_id(layer.id.to_string()).one(connection).await.map_err(database_error)?;
    if there.is_some() {
        layer::Entity::update(row).exec(connection).await.map(|_| ()).map_err(database_error)
    } else {
        layer::Entity::insert(row).exec(connection).await.map(|_| ()).map_err(database_error)
    }
}

/// Forgets a layer.
pub(super) async fn remove(connection: &impl ConnectionTrait, id: LayerId) -> Result<()> {
    layer::Entity::delete_by_id(id.to_string()).exec(connection).await.map(|_| ()).map_err(database_error)
}

/// Writes a disk snapshot as it is now.
pub(super) async fn save_disk_snapshot(
    connection: &impl ConnectionTrait,
    server: ServerId,
    disk: &DiskSnapshot,
) -> Result<()> {
    let size = i64::try_from(disk.size_bytes).map_err(|_| Error::internal("A disk is larger than 8 EiB."))?;
    let row = disk_snapshot::ActiveModel {
        id: Set(disk.id.to_string()),
        server_id: Set(server.to_string()),
        snapshot_id: Set(disk.snapshot_id.to_string()),
        layer_id: Set(disk.layer_id.to_string()),
        origin_id: Set(disk.origin.to_string()),
        backend_id: Set(disk.backend_id.clone()),
        position: Set(i64::from(disk.position)),
        size_bytes: Set(size),
        attachment: Set(to_json(&disk.attachment)?),
    };
    let there = disk_snapshot::Entity::find_by_id(disk.id.to_string()).one(connection).await.map_err(database_error)?;
    if there.is_some() {
        disk_snapshot::Entity::update(row).exec(connection).await.map(|_| ()).map_err(database_error)
    } else {
        disk_snapshot::Entity::insert(row).exec(connection).await.map(|_| ()).map_err(database_error)
    }
}

/// Forgets one disk snapshot.
pub(super) async fn remove_disk_snapshot(
    connection: &impl ConnectionTrait,
    id: crate::ids::DiskSnapshotId,
) -> Result<()> {
    disk_snapshot::Entity::delete_by_id(id.to_string()).exec(connection).await.map(|_| ()).map_err(database_error)
}

/// Forgets a snapshot's disk snapshots.
pub(super) async fn remove_disk_snapshots(
    connection: &impl ConnectionTrait,
    snapshot: crate::ids::SnapshotId,
) -> Result<()> {
    disk_snapshot::Entity::delete_many()
        .filter(disk_snapshot::Column::SnapshotId.eq(snapshot.to_string()))
        .exec(connection)
        .await
        .map(|_| ())
        .map_err(database_error)
}

/// All layers of a server.
pub(super) async fn of_server(connection: &impl ConnectionTrait, server: ServerId) -> Result<Vec<Layer>> {
    let rows = layer::Entity::find()
        .filter(layer::Column::ServerId.eq(server.to_string()))
        .order_by_asc(layer::Column::Id)
        .all(connection)
        .await
        .map_err(database_error)?;
    rows.into_iter().map(Layer::try_from).collect()
}

/// All disk snapshots of a server, those of one snapshot in the order of its disks.
pub(super) async fn disk_snapshots_of_server(
    connection: &impl ConnectionTrait,
    server: ServerId,
) -> Result<Vec<DiskSnapshot>> {
    let rows = disk_snapshot::Entity::find()
        .filter(disk_snapshot::Column::ServerId.eq(server.to_string()))
        .order_by_asc(disk_snapshot::Column::SnapshotId)
        .order_by_asc(disk_snapshot::Column::Position)
        .all(connection)
        .await
        .map_err(database_error)?;
    rows.into_iter().map(DiskSnapshot::try_from).collect()
}

impl Store {
    /// Every head that we know, for the sweep.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn heads(&self) -> Result<Vec<Layer>> {
        let rows = layer::Entity::find()
            .filter(layer::Column::Role.eq(LayerRole::Head.as_str()))
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.into_iter().map(Layer::try_from).collect()
    }
}
