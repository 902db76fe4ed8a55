//! A plan in words: what a dry run answers.

use serde::Serialize;
use utoipa::ToSchema;

use super::look::Look;
use crate::domain::disk::{DiskKind, LeftOut, Placement};
use crate::domain::plan::BranchChoice;
use crate::domain::plan::capture::CapturePlan;
use crate::domain::plan::delete::{DeletePlan, Removal};
use crate::domain::plan::restore::{Comeback, NOT_BROUGHT_BACK, RestorePlan, Safety};
use crate::domain::quota::Need;
use crate::ids::{LayerId, SnapshotId};
use crate::store::trees::ServerTree;

/// One disk of a plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PlanDisk)]
pub struct DiskView {
    /// Name of the disk in its server: `disk`, `disk.eph0`, or the id of the volume.
    pub key: String,
    /// Device name as Nova shows it, of volumes only; `null` if there is none.
    #[schema(required)]
    pub device: Option<String>,
    /// What it is to its server.
    pub kind: DiskKind,
    /// What happens to it. In a capture: `snapshot`, or `share` where a snapshot of before still equals it. In a restore: `keep` (it
    /// stays), `reuse` (a parked disk comes back), `clone` and `copy` (a new disk is made), `park` (it gives way) and `detach` (the
    /// snapshot does not have it).
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// `key` of the disk whose place it takes; `null` if there is none.
    #[schema(required)]
    pub replaces: Option<String>,
}

/// One act of a plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PlanStep)]
pub struct StepView {
    /// The operation's step.
    pub step: &'static str,
    /// What it does.
    pub what: String,
}

/// A plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Plan)]
pub struct PlanView {
    /// Kind of the operation.
    pub kind: &'static str,
    /// Generation of the tree it was made for: pass it on to be sure that nothing has changed.
    pub tree_generation: i64,
    /// Disks.
    pub disks: Vec<DiskView>,
    /// Acts.
    pub steps: Vec<StepView>,
    /// What must be created in the project's quota.
    pub needs: Need,
    /// Bytes that are copied, at most: what is empty on a disk is not.
    pub bytes_copied: u64,
    /// Bytes that come back, about: what the parked disks hold that go. What snapshots alone hold is not measured. `null`: a backend
    /// did not answer.
    #[schema(required)]
    pub bytes_freed: Option<u64>,
    /// Whether the server stands still meanwhile.
    pub downtime: bool,
    /// The branch afterwards; `null` for a restore of some disks only, and for a deletion.
    #[schema(required)]
    pub branch: Option<String>,
    /// `continue` or `new`; `null` where `branch` is.
    #[schema(required)]
    pub branch_action: Option<&'static str>,
    /// The safety snapshot: `take`, `not_needed` or `declined`; `null` but for restores.
    #[schema(required)]
    pub safety: Option<&'static str>,
    /// What was found and is not covered.
    pub left_out: Vec<LeftOut>,
    /// What a restore does not bring back.
    pub not_brought_back: Vec<&'static str>,
    /// What will be lost.
    pub loses: Vec<String>,
    /// What else should be known.
    pub warnings: Vec<String>,
}

fn total(needs: &[(String, Need)]) -> Need {
    needs.iter().fold(Need::default(), |sum, (_, need)| Need {
        volumes: sum.volumes + need.volumes,
        snapshots: sum.snapshots + need.snapshots,
        gigabytes: sum.gigabytes + need.gigabytes,
    })
}

/// A disk in words: as its guest knew it when it was last captured.
fn disk_words(tree: &ServerTree, id: LayerId) -> String {
    let Ok(layer) = tree.layer(id) else { return "a disk".to_owned() };
    if layer.kind == DiskKind::System {
        return "the system disk".to_owned();
    }
    let captured = tree.disk_snapshots.iter().rev().find(|part| part.layer_id == id);
    format!("disk {}", captured.and_then(|part| part.attachment.device.as_ref()).unwrap_or(&layer.key))
}

impl PlanView {
    fn branch_words(look: &Look, choice: &BranchChoice) -> (Option<String>, Option<&'static str>) {
        match choice {
            BranchChoice::Continue(id) => {
                (look.tree.forest.branch(*id).map(|branch| branch.name.clone()), Some("continue"))
            }
            BranchChoice::New(name) => (Some(name.clone()), Some("new")),
        }
    }

    /// Of a capture.
    #[must_use]
    pub fn of_capture(look: &Look, plan: &CapturePlan) -> Self {
        let disks = plan
            .disks
            .iter()
            .map(|capture| {
                let disk = &look.live[capture.live].disk;
                DiskView {
                    key: disk.key.clone(),
                    device: disk.attachment.device.clone(),
                    kind: disk.kind,
                    action: if capture.share.is_some() { "share" } else { "snapshot" },
                    reason: capture.reason.clone(),
                    size_bytes: disk.size_bytes,
                    replaces: None,
                }
            })
            .collect();
        let mut steps = Vec::new();
        if plan.pause {
            steps.push(StepView { step: "capture", what: format!("pause the server: {}", plan.pause_reason) });
        }
        steps.push(StepView { step: "capture", what: "ask all disks for a snapshot at once".to_owned() });
        if plan.pause {
            steps.push(StepView { step: "capture", what: "resume the server".to_owned() });
        }
        let (branch, branch_action) = Self::branch_words(look, &plan.branch);
        Self {
            kind: crate::operations::snapshot_create::KIND,
            tree_generation: look.tree.record.generation,
            disks,
            steps,
            needs: total(&plan.needs),
            bytes_copied: 0,
            bytes_freed: Some(0),
            downtime: false,
            branch,
            branch_action,
            safety: None,
            left_out: plan.left_out.clone(),
            not_brought_back: vec![],
            loses: vec![],
            warnings: foreign_snapshots(look),
        }
    }

    /// Of a deletion. `bytes_freed` is what the disks hold that it removes.
    #[must_use]
    pub fn of_delete(tree: &ServerTree, plan: &DeletePlan, bytes_freed: Option<u64>) -> Self {
        let name = |id: SnapshotId| tree.snapshot(id).map(|node| node.name.clone()).unwrap_or_default();
        let moves = plan.current.map(|current| {
            let to = current.map_or("no snapshot".to_owned(), |id| format!("\"{}\"", name(id)));
            StepView { step: "hide", what: format!("\"You are here\" moves to {to}; the server notices nothing") }
        });
        let removals = plan.removals.iter().map(|removal| {
            let what = match removal {
                Removal::Snapshot(origin) => {
                    let part = tree.disk_snapshots.iter().find(|part| part.origin == *origin);
                    let (node, disk) =
                        part.map(|part| (name(part.snapshot_id), disk_words(tree, part.layer_id))).unwrap_or_default();
                    format!("remove the snapshot of {disk} that belongs to \"{node}\"")
                }
                Removal::Layer(id) => format!("remove {}, which is parked", disk_words(tree, *id)),
            };
            StepView { step: "remove", what }
        });
        let mut warnings: Vec<String> = plan
            .joints
            .iter()
            .map(|joint| format!("\"{}\" stays as a hidden joint of the tree: {}", name(joint.id), joint.reason))
            .collect();
        warnings.extend(plan.stays.iter().map(|what| format!("stays for now: {what}")));
        Self {
            kind: crate::operations::snapshot_delete::KIND,
            tree_generation: tree.record.generation,
            disks: vec![],
            steps: moves.into_iter().chain(removals).collect(),
            needs: Need::default(),
            bytes_copied: 0,
            bytes_freed,
            downtime: false,
            branch: None,
            branch_action: None,
            safety: None,
            left_out: vec![],
            not_brought_back: vec![],
            loses: plan
                .deleted()
                .filter(|id| tree.snapshot(*id).is_ok_and(|node| !node.hidden))
                .map(|id| format!("snapshot \"{}\"", name(id)))
                .chain(plan.branches_gone.iter().filter_map(|id| {
                    let branch = tree.forest.branch(*id)?;
                    Some(format!("branch \"{}\"", branch.name))
                }))
                .collect(),
            warnings,
        }
    }

    /// Of a restore.
    #[must_use]
    pub fn of_restore(look: &Look, plan: &RestorePlan, placement: &dyn Fn(&str) -> Placement) -> Self {
        let mut disks: Vec<DiskView> = Vec::new();
        for disk in &plan.moves {
            let Ok(part) = look.tree.disk_snapshot(disk.disk_snapshot) else { continue };
            let Ok(layer) = look.tree.layer(part.layer_id) else { continue };
            disks.push(DiskView {
                key: layer.key.clone(),
                device: part.attachment.device.clone(),
                kind: layer.kind,
                action: match disk.comeback {
                    Comeback::Keep => "keep",
                    Comeback::Reuse(_) => "reuse",
                    Comeback::Clone => "clone",
                    Comeback::Copy => "copy",
                },
                reason: disk.reason.clone(),
                size_bytes: part.size_bytes,
                replaces: disk
                    .live
                    .filter(|_| disk.comeback != Comeback::Keep)
                    .map(|place| look.live[place].disk.key.clone()),
            });
        }
        let given_way = plan.moves.iter().filter(|disk| disk.comeback != Comeback::Keep).filter_map(|disk| disk.live);
        for (place, action, reason) in
            given_way.map(|place| (place, "park", "gives way and is kept with the tree")).chain(
                plan.leaves
                    .iter()
                    .map(|place| (*place, "detach", "the snapshot does not have it; it is kept with the tree")),
            )
        {
            let disk = &look.live[place].disk;
            disks.push(DiskView {
                key: disk.key.clone(),
                device: disk.attachment.device.clone(),
                kind: disk.kind,
                action,
                reason: reason.to_owned(),
                size_bytes: disk.size_bytes,
                replaces: None,
            });
        }
        let (branch, branch_action) =
            plan.branch.as_ref().map_or((None, None), |choice| Self::branch_words(look, choice));
        let mut warnings = foreign_snapshots(look);
        if plan.moves.iter().any(|disk| {
            disk.comeback.is_new()
                && look
                    .tree
                    .disk_snapshot(disk.disk_snapshot)
                    .and_then(|part| look.tree.layer(part.layer_id))
                    .is_ok_and(|layer| placement(&layer.backend) == Placement::Attached)
        }) {
            warnings.push("a restored volume has a new id, and a new serial number in the guest".to_owned());
        }
        warnings.extend(plan.too_deep.iter().map(|(key, depth)| {
            format!(
                "disk {key} will stand on {depth} clones of clones, which makes it slower; its backend cannot copy it"
            )
        }));
        Self {
            kind: crate::operations::snapshot_restore::KIND,
            tree_generation: look.tree.record.generation,
            disks,
            steps: restore_steps(look, plan),
            needs: total(&plan.needs),
            bytes_copied: plan
                .moves
                .iter()
                .filter(|disk| disk.comeback == Comeback::Copy)
                .filter_map(|disk| look.tree.disk_snapshot(disk.disk_snapshot).ok())
                .map(|part| part.size_bytes)
                .sum(),
            bytes_freed: Some(0),
            downtime: plan.stops && !plan.is_empty(),
            branch,
            branch_action,
            safety: Some(match plan.safety {
                Safety::Take(_) => "take",
                Safety::NotNeeded(_) => "not_needed",
                Safety::Declined => "declined",
            }),
            left_out: look.left_out.clone(),
            not_brought_back: NOT_BROUGHT_BACK.to_vec(),
            loses: plan.loses.clone(),
            warnings,
        }
    }
}

fn restore_steps(look: &Look, plan: &RestorePlan) -> Vec<StepView> {
    let mut steps = Vec::new();
    let mut say = |step: &'static str, what: String| steps.push(StepView { step, what });
    if plan.is_empty() {
        return steps;
    }
    say("lock", "lock the server in Nova".to_owned());
    for (comeback, verb) in [(Comeback::Clone, "clone"), (Comeback::Copy, "copy")] {
        let count = plan.moves.iter().filter(|disk| disk.comeback == comeback).count();
        if count > 0 {
            say("prepare", format!("{verb} {count} disk(s) from the snapshot"));
        }
    }
    if plan.stops {
        say("stop", "stop the server".to_owned());
    }
    if matches!(plan.safety, Safety::Take(_)) {
        say("safety", "take a safety snapshot of the disks at rest".to_owned());
    }
    if plan.order_kept < plan.order.len() || !plan.leaves.is_empty() {
        say("arrange", format!("detach and attach the volumes behind the first {}", plan.order_kept));
    }
    if plan.moves.iter().any(|disk| {
        disk.comeback != Comeback::Keep && disk.live.is_some_and(|place| look.live[place].disk.kind != DiskKind::Volume)
    }) {
        say("swap", "put the restored disks of Nova's own in the place of the present ones".to_owned());
    }
    if plan.stops {
        say("start", "start the server".to_owned());
    }
    say("unlock", "unlock the server".to_owned());
    for id in &plan.safety_gone {
        let name = look.tree.forest.node(*id).map(|node| node.name.clone()).unwrap_or_default();
        say("prune", format!("drop the branch's older safety snapshot \"{name}\""));
    }
    steps
}

/// Snapshots on the disks that others made stay with the parked disk: worth knowing.
fn foreign_snapshots(look: &Look) -> Vec<String> {
    look.live
        .iter()
        .filter(|live| !live.disk.foreign_snapshots.is_empty())
        .map(|live| {
            format!("disk {} carries snapshots of others: {}", live.disk.key, live.disk.foreign_snapshots.join(", "))
        })
        .collect()
}
