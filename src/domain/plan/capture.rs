//! Plans a capture: (server, its disks, its tree, the request) -> what to snapshot, what to share, whether to pause.

use crate::domain::disk::{DiskSnapshot, FoundDisk, LeftOut, Placement};
use crate::domain::forest::Forest;
use crate::domain::plan::{
    BranchChoice, LiveDisk, names_disk, refuse_busy, refuse_state, refuse_unsupported, refuse_without_system_disk,
    what_could_go,
};
use crate::domain::quota::Need;
use crate::domain::server::{ServerFacts, ServerStatus, is_making_image};
use crate::domain::snapshot::Consistency;
use crate::error::{Error, Result};
use crate::ids::{DiskSnapshotId, SnapshotId};

/// What the caller wants.
#[derive(Debug, Clone)]
pub struct CaptureRequest {
    /// Level.
    pub consistency: Consistency,
    /// Disks to leave out, in any of the words that [`names_disk`] knows.
    pub exclude: Vec<String>,
}

/// What is known.
pub struct CaptureWorld<'a> {
    /// Nova's view.
    pub server: &'a ServerFacts,
    /// Disks found just now, in the server's order, each with its layer.
    pub live: &'a [LiveDisk],
    /// What was found and is never covered.
    pub left_out: &'a [LeftOut],
    /// The tree.
    pub forest: &'a Forest,
    /// All disk snapshots of the server.
    pub disk_snapshots: &'a [DiskSnapshot],
    /// The node that the live disks equal, because the server has not run since.
    pub unchanged_since: Option<SnapshotId>,
    /// How each backend's disks are placed.
    pub placement: &'a dyn Fn(&str) -> Placement,
    /// Whether the cloud's settings, and the server's own, allow a pause.
    pub pause_allowed: std::result::Result<(), String>,
    /// Most nodes that one server may have.
    pub nodes_max: usize,
    /// Whether the capture may go on beside an image that Nova makes of the server.
    pub amid_image: bool,
}

/// One disk of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskCapture {
    /// Place in [`CaptureWorld::live`].
    pub live: usize,
    /// The disk snapshot to share instead of taking one.
    pub share: Option<DiskSnapshotId>,
    /// Why.
    pub reason: String,
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturePlan {
    /// The node's parent.
    pub parent: Option<SnapshotId>,
    /// The node's branch.
    pub branch: BranchChoice,
    /// The disks, in order.
    pub disks: Vec<DiskCapture>,
    /// What the node does not cover.
    pub left_out: Vec<LeftOut>,
    /// Whether to pause the server while the disks are asked.
    pub pause: bool,
    /// Why a pause, or why none.
    pub pause_reason: String,
    /// The level that the node has without any pause; `None` where only a pause can tell.
    pub level_without_pause: Consistency,
    /// What must be created, per backend.
    pub needs: Vec<(String, Need)>,
}

/// At the limit nothing goes by itself; it is said what could.
fn too_many(world: &CaptureWorld<'_>) -> Error {
    let forest = world.forest;
    let remedy = match what_could_go(forest, None) {
        None => "Ask the cloud's operator to raise [capture] nodes_per_server.".to_owned(),
        Some(names) => format!("Delete what is not needed, for example {names}."),
    };
    Error::conflict(format!(
        "Server {} already has {} snapshots, the most that one server may have.",
        world.server.id,
        forest.nodes.len()
    ))
    .remedy(remedy)
}

/// Plans a capture.
///
/// # Errors
/// `Conflict` with the reason where it cannot be; `BadRequest` naming the field for a disk that is not there.
pub fn plan(world: &CaptureWorld<'_>, request: &CaptureRequest) -> Result<CapturePlan> {
    let found: Vec<FoundDisk> = world.live.iter().map(|live| live.disk.clone()).collect();
    refuse_unsupported(world.server)?;
    let refuse = if is_amid_image(world) { refuse_state } else { refuse_busy };
    refuse(world.server, &[ServerStatus::Active, ServerStatus::Shutoff, ServerStatus::Paused], "captured")?;
    refuse_without_system_disk(world.server, &found)?;
    if world.forest.nodes.len() >= world.nodes_max {
        return Err(too_many(world));
    }
    let mut left_out = world.left_out.to_vec();
    let excluded = excluded_places(world, request, &mut left_out)?;
    let chosen: Vec<usize> = (0..world.live.len()).filter(|place| !excluded.contains(place)).collect();
    refuse_unsupported_disks(world, &chosen)?;

    let same_disks = |node: SnapshotId| {
        let theirs: Vec<&DiskSnapshot> = world.disk_snapshots.iter().filter(|disk| disk.snapshot_id == node).collect();
        theirs.len() == chosen.len()
            && chosen.iter().all(|place| theirs.iter().any(|disk| disk.layer_id == world.live[*place].layer.id))
    };
    let share_with = world.unchanged_since.filter(|node| same_disks(*node));
    let disks: Vec<DiskCapture> = chosen
        .iter()
        .map(|place| {
            let layer = world.live[*place].layer.id;
            let share = share_with.and_then(|node| {
                world.disk_snapshots.iter().find(|disk| disk.snapshot_id == node && disk.layer_id == layer)
            });
            DiskCapture {
                live: *place,
                share: share.map(|disk| disk.origin),
                reason: match share {
                    Some(_) => "the server has not run since the last snapshot: its disk snapshot is shared".to_owned(),
                    None => "taken on its own backend".to_owned(),
                },
            }
        })
        .collect();

    let to_take = disks.iter().filter(|disk| disk.share.is_none()).count();
    let (pause, pause_reason, level) = decide_pause(world, request.consistency, to_take, disks.len())?;
    Ok(CapturePlan {
        parent: parent_of(world),
        branch: branch_of(world),
        needs: needs(world, &disks),
        disks,
        left_out,
        pause,
        pause_reason,
        level_without_pause: level,
    })
}

fn excluded_places(
    world: &CaptureWorld<'_>,
    request: &CaptureRequest,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<usize>> {
    let mut excluded = Vec::new();
    for word in &request.exclude {
        let named: Vec<usize> = (0..world.live.len())
            .filter(|place| {
                let LiveDisk { disk, layer, .. } = &world.live[*place];
                let device = disk.attachment.device.as_deref();
                names_disk(word, &disk.key, device, &disk.backend_id, Some(layer.disk_id))
            })
            .collect();
        let [place] = named[..] else {
            let names: Vec<&str> = world.live.iter().map(|live| live.disk.key.as_str()).collect();
            let why = if named.is_empty() { "no disk" } else { "several disks" };
            return Err(Error::bad_field(
                "exclude_disks",
                format!("The server has {why} {word}; it has {}.", names.join(", ")),
            ));
        };
        if world.live[place].disk.kind == crate::domain::disk::DiskKind::System {
            return Err(Error::bad_field("exclude_disks", "The system disk cannot be excluded."));
        }
        if excluded.contains(&place) {
            continue;
        }
        let live = &world.live[place];
        left_out.push(LeftOut {
            key: live.disk.key.clone(),
            reason: "excluded by the caller".to_owned(),
            disk_id: Some(live.layer.disk_id),
        });
        excluded.push(place);
    }
    Ok(excluded)
}

fn refuse_unsupported_disks(world: &CaptureWorld<'_>, chosen: &[usize]) -> Result<()> {
    for place in chosen {
        let disk = &world.live[*place].disk;
        if let Some(reason) = &disk.unsupported {
            return Err(Error::conflict(format!("Disk {} cannot be captured: {reason}.", disk.key))
                .remedy("Leave it out with exclude_disks, or detach it."));
        }
    }
    Ok(())
}

/// The node grows from `current`, unless the system disk is one that no snapshot of the tree lies on and none was cloned from:
/// after a rebuild, or an unshelve with a new disk, another tree begins.
fn parent_of(world: &CaptureWorld<'_>) -> Option<SnapshotId> {
    let replaced = world.live.iter().any(|live| {
        live.disk.kind == crate::domain::disk::DiskKind::System && live.is_new && !world.forest.nodes.is_empty()
    });
    if replaced { None } else { world.forest.current }
}

fn branch_of(world: &CaptureWorld<'_>) -> BranchChoice {
    match world.forest.current_branch {
        Some(branch) if parent_of(world).is_some() || !world.forest.has_nodes(branch) => BranchChoice::Continue(branch),
        _ => BranchChoice::New(world.forest.free_branch_name(None)),
    }
}

fn needs(world: &CaptureWorld<'_>, disks: &[DiskCapture]) -> Vec<(String, Need)> {
    let mut needs: Vec<(String, Need)> = Vec::new();
    for capture in disks.iter().filter(|capture| capture.share.is_none()) {
        let disk = &world.live[capture.live].disk;
        if (world.placement)(&disk.backend) == Placement::Attached {
            add_need(
                &mut needs,
                &disk.backend,
                Need { volumes: 0, snapshots: 1, gigabytes: gibibytes(disk.size_bytes) },
            );
        }
    }
    needs
}

/// Adds up what a backend must provide.
pub(super) fn add_need(needs: &mut Vec<(String, Need)>, backend: &str, more: Need) {
    let place = needs.iter().position(|(name, _)| name == backend).unwrap_or_else(|| {
        needs.push((backend.to_owned(), Need::default()));
        needs.len() - 1
    });
    let need = &mut needs[place].1;
    need.volumes += more.volumes;
    need.snapshots += more.snapshots;
    need.gigabytes += more.gigabytes;
}

/// Bytes in whole GiB, rounded up: what quotas count.
pub(super) fn gibibytes(bytes: u64) -> i64 {
    i64::try_from(bytes.div_ceil(1 << 30)).unwrap_or(i64::MAX)
}

fn is_amid_image(world: &CaptureWorld<'_>) -> bool {
    world.amid_image && world.server.task_state.as_deref().is_some_and(is_making_image)
}

/// Pause or not, why, and what the level is without one.
fn decide_pause(
    world: &CaptureWorld<'_>,
    wanted: Consistency,
    to_take: usize,
    disks: usize,
) -> Result<(bool, String, Consistency)> {
    let still = match world.server.status {
        ServerStatus::Shutoff => Some("the server is stopped"),
        ServerStatus::Paused => Some("the server is paused already"),
        _ => None,
    };
    if let Some(reason) = still {
        return Ok((false, reason.to_owned(), Consistency::Crash));
    }
    match wanted {
        Consistency::None => Ok((false, "not asked for".to_owned(), Consistency::None)),
        _ if disks < 2 || to_take == 0 => {
            Ok((false, "one disk is at one moment by itself".to_owned(), Consistency::Crash))
        }
        Consistency::Auto if is_amid_image(world) => {
            Ok((false, "Nova was making an image of the server and allows no pause then".to_owned(), Consistency::None))
        }
        Consistency::Crash => match &world.pause_allowed {
            Ok(()) => Ok((true, "asked for".to_owned(), Consistency::None)),
            Err(why) => Err(Error::conflict(format!(
                "Consistency \"crash\" needs a short pause of the server, which is not allowed: {why}."
            ))
            .remedy("Ask for consistency \"none\" or \"auto\", or stop the server first.")),
        },
        Consistency::Auto => match &world.pause_allowed {
            Ok(()) => Ok((true, format!("{disks} disks shall be at one moment"), Consistency::None)),
            Err(why) => Ok((false, why.clone(), Consistency::None)),
        },
    }
}

#[cfg(test)]
pub(super) mod tests;
