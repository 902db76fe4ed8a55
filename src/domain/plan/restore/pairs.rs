//! Which live disk gives way to which disk of the node.
//!
//! A disk's id is not enough: an owner who attaches a parked volume beside its own clone has two live disks of one id. So
//! those that are the very same come first, and no live disk gives way twice.

use super::RestoreWorld;
use crate::domain::disk::{DiskKind, DiskSnapshot, Layer, LeftOut};
use crate::domain::plan::LiveDisk;

/// How near a live disk is to a part and its layer.
type Near = fn(&DiskSnapshot, &Layer, &LiveDisk) -> bool;

/// From the nearest to the farthest.
const NEAR: [Near; 4] = [
    // It carries the very snapshot.
    |part, _, live| live.layer.id == part.layer_id,
    // It was made of it.
    |part, _, live| live.layer.parent == Some(part.origin),
    |_, layer, live| live.layer.disk_id == layer.disk_id,
    // After a rebuild the system disk is of another lineage, but it still is what gives way.
    |_, layer, live| layer.kind != DiskKind::Volume && live.disk.key == layer.key,
];

/// For each part, with its layer, the live disk in its place (in [`RestoreWorld::live`]); `None` where there is none.
/// A live disk that the node left out on purpose gives way to none.
pub(super) fn pairs(
    world: &RestoreWorld<'_>,
    parts: &[(&DiskSnapshot, &Layer)],
    left_out: &[LeftOut],
) -> Vec<Option<usize>> {
    let mut pairs: Vec<Option<usize>> = vec![None; parts.len()];
    for near in NEAR {
        for (at, (part, layer)) in parts.iter().enumerate() {
            if pairs[at].is_none() {
                let free = |place: &usize| {
                    !pairs.contains(&Some(*place)) && !left_out.iter().any(|out| out.key == world.live[*place].disk.key)
                };
                pairs[at] = (0..world.live.len()).filter(free).find(|place| near(part, layer, &world.live[*place]));
            }
        }
    }
    pairs
}
