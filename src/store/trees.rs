//! A server's tree with its storage side, read and written whole.
//!
//! Every change of a tree goes through [`apply`]: it writes the rows of a [`TreeChange`], then loads the tree again inside
//! the same transaction and checks its invariants, so that no damaged tree is ever committed.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::client_tokens::{self, ClientToken};
use super::rows::{branch, server};
use super::servers::ServerRecord;
use super::{Store, branches, database_error, layers, servers, snapshots};
use crate::domain::disk::{DiskSnapshot, Layer};
use crate::domain::forest::Forest;
use crate::domain::snapshot::{Branch, Snapshot};
use crate::error::{Error, Result};
use crate::ids::{BranchId, DiskSnapshotId, LayerId, ServerId, SnapshotId};

/// All that we know of a server.
#[derive(Debug, Clone)]
pub struct ServerTree {
    /// The server's record.
    pub record: ServerRecord,
    /// Its forest: live nodes only.
    pub forest: Forest,
    /// Its snapshots that are not deleted, unfinished and failed ones included.
    pub snapshots: Vec<Snapshot>,
    /// Its layers.
    pub layers: Vec<Layer>,
    /// Its disk snapshots.
    pub disk_snapshots: Vec<DiskSnapshot>,
}

impl ServerTree {
    /// A layer.
    ///
    /// # Errors
    /// `Internal`: rows contradict one another.
    pub fn layer(&self, id: LayerId) -> Result<&Layer> {
        self.find_layer(id)
            .ok_or_else(|| Error::internal(format!("Layer {id} of server {} is missing.", self.record.id)))
    }
    /// A disk snapshot.
    ///
    /// # Errors
    /// `Internal`: rows contradict one another.
    pub fn disk_snapshot(&self, id: DiskSnapshotId) -> Result<&DiskSnapshot> {
        self.disk_snapshots
            .iter()
            .find(|disk| disk.id == id)
            .ok_or_else(|| Error::internal(format!("Disk snapshot {id} of server {} is missing.", self.record.id)))
    }
    /// A snapshot, finished or not.
    ///
    /// # Errors
    /// `Internal`: rows contradict one another.
    pub fn snapshot(&self, id: SnapshotId) -> Result<&Snapshot> {
        self.find_snapshot(id)
            .ok_or_else(|| Error::internal(format!("Snapshot {id} of server {} is missing.", self.record.id)))
    }
    /// A layer that may be gone.
    #[must_use]
    pub fn find_layer(&self, id: LayerId) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.id == id)
    }
    /// A snapshot that may be deleted.
    #[must_use]
    pub fn find_snapshot(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.id == id)
    }
    /// The disk snapshots of a snapshot, in the order of the disks.
    #[must_use]
    pub fn disks_of(&self, snapshot: SnapshotId) -> Vec<&DiskSnapshot> {
        let mut disks: Vec<&DiskSnapshot> =
            self.disk_snapshots.iter().filter(|disk| disk.snapshot_id == snapshot).collect();
        disks.sort_by_key(|disk| disk.position);
        disks
    }
}

/// Rows to write, as they shall be.
#[derive(Debug, Clone, Default)]
pub struct TreeChange {
    /// Snapshots to write.
    pub snapshots: Vec<Snapshot>,
    /// Layers to write.
    pub layers: Vec<Layer>,
    /// Layers to forget.
    pub layers_gone: Vec<LayerId>,
    /// Disk snapshots to write.
    pub disk_snapshots: Vec<DiskSnapshot>,
    /// Disk snapshots that are forgotten.
    pub disk_snapshots_gone: Vec<DiskSnapshotId>,
    /// Snapshots whose disk snapshots are to be forgotten.
    pub disk_snapshots_gone_of: Vec<SnapshotId>,
    /// Branches to write.
    pub branches: Vec<Branch>,
    /// Branches that begin at another node.
    pub branches_changed: Vec<Branch>,
    /// Branches to forget.
    pub branches_gone: Vec<BranchId>,
    /// Where the live disks are now.
    pub current: Option<(Option<SnapshotId>, Option<BranchId>)>,
    /// Which node the live disks equal since which request; `Some(None)` = none.
    pub equals: Option<Option<(SnapshotId, String)>>,
    /// What deleted nodes still hold, in bytes.
    pub reclaim_pending_bytes: Option<u64>,
    /// Nova no longer knows the server.
    pub deleted: bool,
    /// The request of a rebuild that was dealt with.
    pub rebuild_seen: Option<String>,
    /// The caller's own name for the request that begins this, which nobody may have used for this server before.
    pub client_token: Option<ClientToken>,
}

/// Writes a change inside a transaction and checks the tree that results. Counts a generation.
pub(super) async fn apply(connection: &impl ConnectionTrait, id: ServerId, change: &TreeChange) -> Result<()> {
    servers::lock(connection, id).await?;
    if let Some(token) = &change.client_token {
        client_tokens::take(connection, id, token).await?;
    }
    for branch in &change.branches {
        branches::insert(connection, branch).await?;
    }
    for branch in &change.branches_changed {
        branches::move_fork(connection, branch).await?;
    }
    for layer in &change.layers {
        layers::save(connection, layer).await?;
    }
    for snapshot in &change.snapshots {
        snapshots::save(connection, snapshot).await?;
    }
    for disk in &change.disk_snapshots {
        layers::save_disk_snapshot(connection, id, disk).await?;
    }
    for snapshot in &change.disk_snapshots_gone_of {
        layers::remove_disk_snapshots(connection, *snapshot).await?;
    }
    for part in &change.disk_snapshots_gone {
        layers::remove_disk_snapshot(connection, *part).await?;
    }
    for layer in &change.layers_gone {
        layers::remove(connection, *layer).await?;
    }
    let mut update = server::Entity::update_many().filter(server::Column::Id.eq(id.to_string()));
    let mut touched = false;
    if let Some((current, branch)) = change.current {
        touched = true;
        update = update
            .col_expr(server::Column::CurrentSnapshotId, Expr::value(current.map(|id| id.to_string())))
            .col_expr(server::Column::CurrentBranchId, Expr::value(branch.map(|id| id.to_string())));
    }
    if let Some(equals) = &change.equals {
        touched = true;
        update = update
            .col_expr(server::Column::EqualsSnapshotId, Expr::value(equals.as_ref().map(|(id, _)| id.to_string())))
            .col_expr(server::Column::EqualsMark, Expr::value(equals.as_ref().map(|(_, mark)| mark.clone())));
    }
    if let Some(bytes) = change.reclaim_pending_bytes {
        touched = true;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        update = update.col_expr(server::Column::ReclaimPendingBytes, Expr::value(bytes));
    }
    if change.deleted {
        touched = true;
        let now = crate::clock::now().naive_utc();
        update = update.col_expr(server::Column::DeletedAt, Expr::value(now));
    }
    if let Some(request) = &change.rebuild_seen {
        touched = true;
        update = update.col_expr(server::Column::RebuildSeen, Expr::value(request.as_str()));
    }
    if touched {
        update.exec(connection).await.map_err(database_error)?;
    }
    for branch in &change.branches_gone {
        branch::Entity::delete_by_id(branch.to_string()).exec(connection).await.map_err(database_error)?;
    }
    branches::bump_generation(connection, id).await?;
    if let Some(tree) = load(connection, id).await? {
        check_storage_side(&tree)?;
    }
    Ok(())
}

/// Every disk snapshot names a layer; every node that can be restored has disks. (The forest was checked by [`load`].)
fn check_storage_side(tree: &ServerTree) -> Result<()> {
    for disk in &tree.disk_snapshots {
        tree.layer(disk.layer_id)?;
    }
    for node in tree.forest.nodes.iter().filter(|node| !node.hidden) {
        if tree.disks_of(node.id).is_empty() {
            return Err(Error::internal(format!("Snapshot {} has no disks.", node.id)));
        }
    }
    Ok(())
}

/// Loads a server's tree and checks its invariants.
pub(super) async fn load(connection: &impl ConnectionTrait, id: ServerId) -> Result<Option<ServerTree>> {
    let Some(row) = server::Entity::find_by_id(id.to_string()).one(connection).await.map_err(database_error)? else {
        return Ok(None);
    };
    let record = ServerRecord::try_from(row)?;
    let snapshots = snapshots::of_server(connection, id).await?;
    let forest = Forest::new(
        id,
        snapshots.clone(),
        branches::of_server(connection, id).await?,
        record.current_snapshot_id,
        record.current_branch_id,
        record.generation,
    );
    forest.check()?;
    let layers = layers::of_server(connection, id).await?;
    let disk_snapshots = layers::disk_snapshots_of_server(connection, id).await?;
    Ok(Some(ServerTree { record, forest, snapshots, layers, disk_snapshots }))
}

/// Enters a server that is not known yet, or notes its present name and owner.
pub(super) async fn enter_server(
    connection: &impl ConnectionTrait,
    id: ServerId,
    project_id: &str,
    name: &str,
) -> Result<()> {
    let now = crate::clock::now().naive_utc();
    let known = server::Entity::update_many()
        .col_expr(server::Column::Name, Expr::value(name))
        .col_expr(server::Column::ProjectId, Expr::value(project_id))
        .filter(server::Column::Id.eq(id.to_string()))
        .exec(connection)
        .await
        .map_err(database_error)?;
    if known.rows_affected > 0 {
        return Ok(());
    }
    // Another process may be entering it at this moment.
    server::Entity::insert(server::ActiveModel {
        id: Set(id.to_string()),
        project_id: Set(project_id.to_owned()),
        name: Set(name.to_owned()),
        current_snapshot_id: Set(None),
        current_branch_id: Set(None),
        generation: Set(0),
        next_sequence: Set(1),
        operation_id: Set(None),
        equals_snapshot_id: Set(None),
        equals_mark: Set(None),
        reclaim_pending_bytes: Set(None),
        deleted_at: Set(None),
        rebuild_seen: Set(None),
        warnings: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    })
    .on_conflict_do_nothing()
    .exec_without_returning(connection)
    .await
    .map(|_| ())
    .map_err(database_error)
}

impl Store {
    /// A server's tree, if it has a record.
    ///
    /// # Errors
    /// `Internal` when an invariant does not hold; when the database does not answer.
    pub async fn tree(&self, id: ServerId) -> Result<Option<ServerTree>> {
        let tx = self.begin_read().await?;
        load(&tx, id).await
    }
}
