//! A server and its tree as callers see them.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::page::Link;
use crate::api::v1::branches::BranchView;
use crate::api::v1::schema::Time;
use crate::app;
use crate::app::servers::ServerDetail;
use crate::domain::plan::delete::Joint;
use crate::domain::snapshot::{Consistency, Snapshot, SnapshotStatus};
use crate::ids::{BranchId, OperationId, ServerId, SnapshotId};
use crate::store::servers::{ServerRecord, ServerWarning};
use crate::store::trees::ServerTree;

/// A server.
#[derive(Serialize, ToSchema)]
pub struct OneServer {
    /// The server.
    pub server: ServerView,
}

/// A page of servers.
#[derive(Serialize, ToSchema)]
pub struct Servers {
    /// The servers.
    pub servers: Vec<ServerView>,
    /// A link `next` to the next page; empty if this is the last.
    pub servers_links: Vec<Link>,
}

/// The tree of a server.
#[derive(Serialize, ToSchema)]
pub struct OneTree {
    /// The tree.
    pub tree: TreeView,
}

/// A server that has, or may have, snapshots.
#[derive(Serialize, ToSchema)]
#[schema(as = Server)]
pub struct ServerView {
    /// Id, as Nova gave it.
    id: ServerId,
    /// Name of the server when an operation last began on it, or as Nova says it before the first.
    name: String,
    /// Id of its project.
    project_id: String,
    /// Counts the changes of the tree.
    tree_generation: i64,
    /// The snapshot that the live disks grew from; `null` if there is none.
    #[schema(required)]
    current_snapshot_id: Option<SnapshotId>,
    /// The branch that the next snapshot continues; `null` if there is none.
    #[schema(required)]
    current_branch_id: Option<BranchId>,
    /// Name of that branch; `null` if there is none.
    #[schema(required)]
    current_branch: Option<String>,
    /// Snapshots of the tree, without joints.
    snapshot_count: u64,
    /// Size of all disks of these, in bytes. Storage holds less: snapshots share what did not change.
    snapshot_size_bytes: u64,
    /// What deleted snapshots still hold, in bytes, as measured at the end of the last deletion.
    reclaim_pending_bytes: u64,
    /// The operation that is under way on the server; `null` if there is none.
    #[schema(required)]
    operation_id: Option<OperationId>,
    /// When it was found that Nova no longer knows the server; `null` if it is there.
    #[schema(required)]
    deleted_at: Option<Time>,
    /// When the tree of a deleted server goes, unless a snapshot of it is protected; `null` if the server is there.
    #[schema(required)]
    kept_until: Option<Time>,
    /// What the owner should know, newest last, at most 10. They stay.
    warnings: Vec<Warning>,
}

/// All snapshots of a server; there may be several roots.
#[derive(Serialize, ToSchema)]
#[schema(as = Tree)]
pub struct TreeView {
    /// Id of the server, as Nova gave it.
    server_id: ServerId,
    /// Name of the server when an operation last began on it, or as Nova says it before the first.
    server_name: String,
    /// Counts the changes of the tree.
    tree_generation: i64,
    /// The snapshot that the live disks grew from; `null` if there is none.
    #[schema(required)]
    current_snapshot_id: Option<SnapshotId>,
    /// The branch that the next snapshot continues; `null` if there is none.
    #[schema(required)]
    current_branch_id: Option<BranchId>,
    /// The operation that is under way on the server, and the one that has begun with this answer; `null` if there is none.
    #[schema(required)]
    pub operation_id: Option<OperationId>,
    /// What deleted snapshots still hold, in bytes, as measured at the end of the last deletion.
    reclaim_pending_bytes: u64,
    /// When it was found that Nova no longer knows the server; `null` if it is there.
    #[schema(required)]
    deleted_at: Option<Time>,
    /// When the tree of a deleted server goes, unless a snapshot of it is protected; `null` if the server is there.
    #[schema(required)]
    kept_until: Option<Time>,
    /// What the owner should know, newest last, at most 10. They stay.
    warnings: Vec<Warning>,
    /// The snapshots, each before those that grew from it.
    nodes: Vec<Node>,
    /// The branches, the oldest first.
    branches: Vec<BranchView>,
}

/// Something that the owner of a server should know.
#[derive(Serialize, ToSchema)]
struct Warning {
    /// Since when.
    at: Time,
    /// For people.
    text: String,
}

/// A snapshot in its tree.
#[derive(Serialize, ToSchema)]
struct Node {
    id: SnapshotId,
    /// The snapshot that it grew from; `null` for a root.
    #[schema(required)]
    parent_id: Option<SnapshotId>,
    /// Distance from its root, which has 0.
    depth: usize,
    /// Name; need not be unique.
    name: String,
    /// Description; may be empty.
    description: String,
    status: SnapshotStatus,
    /// Whether it was deleted and stays as a joint, or is on its way out.
    hidden: bool,
    /// Why the joint stays; `null` if it is none, or nothing holds it any more.
    #[schema(required)]
    hidden_reason: Option<String>,
    /// Whether its deletion is refused.
    protected: bool,
    /// Whether it is a safety snapshot.
    safety: bool,
    /// Whether a disk came or went while it was taken.
    partial: bool,
    /// The branch it was captured on.
    branch_id: BranchId,
    /// Name of that branch; `null` if the branch is gone.
    #[schema(required)]
    branch: Option<String>,
    /// Size of all its disks, in bytes.
    size_bytes: u64,
    /// Number of disks in the snapshot.
    disk_count: usize,
    /// What was reached; `null` until the capture is done.
    #[schema(required)]
    consistency: Option<Consistency>,
    /// When it was asked for.
    created_at: Time,
}

/// When the tree of a deleted server goes.
fn kept_until(record: &ServerRecord, keep: Duration) -> Option<Time> {
    let keep = TimeDelta::from_std(keep).ok()?;
    record.deleted_at?.checked_add_signed(keep).map(Time::of)
}

fn warnings(warnings: &[ServerWarning]) -> Vec<Warning> {
    warnings.iter().map(|it| Warning { at: Time::of(it.at), text: it.text.clone() }).collect()
}

impl ServerView {
    /// Of a server whose tree is kept so long after its end.
    pub fn of(detail: &ServerDetail, keep: Duration) -> Self {
        let record = &detail.record;
        Self {
            id: record.id,
            name: record.name.clone(),
            project_id: record.project_id.clone(),
            tree_generation: record.generation,
            current_snapshot_id: record.current_snapshot_id,
            current_branch_id: record.current_branch_id,
            current_branch: detail.current_branch.clone(),
            snapshot_count: detail.totals.snapshots,
            snapshot_size_bytes: detail.totals.bytes,
            reclaim_pending_bytes: record.reclaim_pending_bytes,
            operation_id: record.operation_id,
            deleted_at: record.deleted_at.map(Time::of),
            kept_until: kept_until(record, keep),
            warnings: warnings(&record.warnings),
        }
    }
}

impl TreeView {
    /// Of a tree that is kept so long after its server's end.
    pub fn of(tree: &ServerTree, joints: &[Joint], keep: Duration) -> Self {
        let record = &tree.record;
        let nodes = tree.forest.preorder().into_iter().map(|(depth, node)| Node::of(tree, joints, depth, node));
        Self {
            server_id: record.id,
            server_name: record.name.clone(),
            tree_generation: record.generation,
            current_snapshot_id: record.current_snapshot_id,
            current_branch_id: record.current_branch_id,
            operation_id: record.operation_id,
            reclaim_pending_bytes: record.reclaim_pending_bytes,
            deleted_at: record.deleted_at.map(Time::of),
            kept_until: kept_until(record, keep),
            warnings: warnings(&record.warnings),
            nodes: nodes.collect(),
            branches: app::branches::details(tree).into_iter().map(BranchView::from).collect(),
        }
    }
}

impl Node {
    fn of(tree: &ServerTree, joints: &[Joint], depth: usize, node: &Snapshot) -> Self {
        let disks = tree.disks_of(node.id);
        Self {
            id: node.id,
            parent_id: node.parent_id,
            depth,
            name: node.name.clone(),
            description: node.description.clone(),
            status: node.status,
            hidden: node.hidden,
            hidden_reason: joints.iter().find(|joint| joint.id == node.id).map(|joint| joint.reason.clone()),
            protected: node.protection.is_some(),
            safety: node.safety,
            partial: node.partial,
            branch_id: node.branch_id,
            branch: tree.forest.branch(node.branch_id).map(|branch| branch.name.clone()),
            size_bytes: disks.iter().map(|part| part.size_bytes).sum(),
            disk_count: disks.len(),
            consistency: node.consistency.reached,
            created_at: Time::of(node.created_at),
        }
    }
}
