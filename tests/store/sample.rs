//! Rows to write.

use ratoon::clock;
use ratoon::domain::disk::{Attachment, DiskFacts, DiskKind, DiskSnapshot, Layer, LayerRole};
use ratoon::domain::operation::{Operation, OperationStatus};
use ratoon::domain::snapshot::{Branch, Consistency, ConsistencyRecord, Snapshot, SnapshotStatus};
use ratoon::ids::{BranchId, DiskId, DiskSnapshotId, LayerId, OperationId, ServerId, SnapshotId};
use ratoon::store::trees::TreeChange;
use serde_json::json;

/// A capture of a server, with all that its beginning writes.
pub fn capture(server: ServerId, branch: &str) -> (Operation, TreeChange) {
    let branch = Branch {
        id: BranchId::new(),
        server_id: server,
        name: branch.to_owned(),
        fork_snapshot_id: None,
        created_at: clock::now(),
    };
    let snapshot = snapshot(server, branch.id);
    let layer = Layer {
        id: LayerId::new(),
        server_id: server,
        disk_id: DiskId::new(),
        backend: "rbd".into(),
        pool: "vms".into(),
        backend_id: "1630".into(),
        key: "disk".into(),
        kind: DiskKind::System,
        role: LayerRole::Head,
        parent: None,
        parent_layer: None,
        equals: None,
        parked_mark: String::new(),
        facts: DiskFacts { name: Some("Wurzel ∛ 🌱".into()), ..DiskFacts::default() },
    };
    let id = DiskSnapshotId::new();
    let part = DiskSnapshot {
        id,
        snapshot_id: snapshot.id,
        layer_id: layer.id,
        origin: id,
        backend_id: "7".into(),
        position: 0,
        size_bytes: 1 << 62,
        attachment: Attachment { device: Some("/dev/vda".into()), tag: None, delete_on_termination: true },
    };
    let operation = operation(server, snapshot.id);
    let change = TreeChange {
        branches: vec![branch],
        snapshots: vec![snapshot],
        layers: vec![layer],
        disk_snapshots: vec![part],
        ..TreeChange::default()
    };
    (operation, change)
}

/// A node whose texts are what people, and their keyboards, come up with.
pub fn snapshot(server: ServerId, branch: BranchId) -> Snapshot {
    Snapshot {
        id: SnapshotId::new(),
        server_id: server,
        project_id: "project".into(),
        user_id: "user".into(),
        parent_id: None,
        branch_id: branch,
        sequence: 0,
        name: "vor dem Umbau — 升级前 🌱 ".into(),
        description: "'; DROP TABLE snapshots; --\n\\ \" % _".into(),
        status: SnapshotStatus::Available,
        hidden: false,
        safety: true,
        protection: None,
        consistency: ConsistencyRecord::asked(Consistency::Auto),
        partial: true,
        at_rest: false,
        left_out: vec![],
        beside: None,
        server_name: "web".into(),
        flavor: "tiny".into(),
        fault: None,
        created_at: clock::now(),
        updated_at: clock::now(),
    }
}

/// An operation that waits.
pub fn operation(server: ServerId, snapshot: SnapshotId) -> Operation {
    Operation {
        id: OperationId::new(),
        kind: "snapshot_create".into(),
        status: OperationStatus::Queued,
        server_id: server,
        snapshot_id: snapshot,
        project_id: "project".into(),
        user_id: "user".into(),
        request_id: "req-1".into(),
        params: json!({ "name": "🌱", "none": null, "number": 9_007_199_254_740_993_i64 }),
        state: json!({}),
        step: 0,
        steps_total: 4,
        phase: None,
        committed: false,
        cancel_requested: false,
        warnings: vec![],
        error: None,
        engine_id: None,
        generation: 0,
        created_at: clock::now(),
        started_at: None,
        finished_at: None,
    }
}
