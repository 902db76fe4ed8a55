//! Which parked disks are worth being flattened in the background, that is given all bytes which they still read from what they
//! were made of: (layers, what waits) -> candidates, each with the reason; and, once they are measured, whether.
//!
//! Only parked disks of which nothing was made that anybody may have open. A live one would be copied by its server's own QEMU,
//! unthrottled. And whoever has a clone open goes on reading by way of the parents that he found when he opened it: librbd
//! watches no parent's header, and a parent's object map as it was then says which bytes are the grandparent's. Once that is
//! removed he would read zeroes there.
//!
//! What it costs is written once; what it brings is the space of a disk that waits only for them, or restores that need no copy.

use crate::domain::disk::{DiskSnapshot, Layer, LayerRole};
use crate::domain::plan::restore::depth;
use crate::ids::LayerId;

/// What is known.
pub struct FlattenWorld<'a> {
    /// All layers of the server.
    pub layers: &'a [Layer],
    /// All disk snapshots of the server.
    pub disk_snapshots: &'a [DiskSnapshot],
    /// Parked disks that nothing needs any more, but what was made of them ([`super::delete::DeletePlan::pending`]).
    pub pending: &'a [LayerId],
    /// Most clones of clones that a restored disk may stand on.
    pub clone_depth_max: usize,
    /// Whether a backend can flatten at all.
    pub copies: &'a dyn Fn(&str) -> bool,
}

/// What flattening is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gain {
    /// This parked disk can go afterwards.
    Frees(LayerId),
    /// Restores of snapshots on the disk, which stands on so many others, need no copy.
    Shortens(usize),
}

/// Disks that are flattened together, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What for.
    pub gain: Gain,
    /// The disks.
    pub layers: Vec<LayerId>,
}

impl Candidate {
    /// Whether it is worth its price. All in bytes: what would be written, what could go then, and the most that may be written.
    #[must_use]
    pub fn is_worth(&self, writes: u64, frees: u64, limit: u64) -> bool {
        writes <= limit
            && match self.gain {
                Gain::Frees(_) => writes < frees,
                Gain::Shortens(_) => true,
            }
    }
}

/// What could be flattened: first what frees space.
#[must_use]
pub fn candidates(world: &FlattenWorld<'_>) -> Vec<Candidate> {
    let can_be = |layer: &&Layer| (world.copies)(&layer.backend) && nobody_may_have_it_open(world.layers, layer);
    let frees = world.pending.iter().filter_map(|id| {
        let clones: Vec<&Layer> = world.layers.iter().filter(|layer| layer.parent_layer == Some(*id)).collect();
        // One that waits itself is not worth a copy: it goes when what was made of it is flattened.
        let waits = |layer: &&Layer| world.pending.contains(&layer.id);
        let all = !clones.is_empty() && clones.iter().all(can_be) && !clones.iter().any(waits);
        all.then(|| Candidate { gain: Gain::Frees(*id), layers: clones.iter().map(|layer| layer.id).collect() })
    });
    // For the snapshot that it equals the disk itself is used again.
    let is_cloned = |layer: &&Layer| {
        let mut parts = world.disk_snapshots.iter().filter(|part| part.layer_id == layer.id);
        parts.any(|part| layer.equals != Some(part.origin))
    };
    let shortens = world.layers.iter().filter(can_be).filter(is_cloned).filter_map(|layer| {
        let depth = depth(world.layers, layer);
        (depth >= world.clone_depth_max).then(|| Candidate { gain: Gain::Shortens(depth), layers: vec![layer.id] })
    });
    frees.chain(shortens).collect()
}

/// Whether a layer is parked, and all that was made of it, and of that.
fn nobody_may_have_it_open(layers: &[Layer], layer: &Layer) -> bool {
    let mut look = vec![layer];
    // Rows could form a ring only if they were damaged; then each is met again before as many were looked at as there are.
    for _ in layers {
        let Some(layer) = look.pop() else { break };
        if layer.role != LayerRole::Parked {
            return false;
        }
        look.extend(layers.iter().filter(|clone| clone.parent_layer == Some(layer.id)));
    }
    look.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::disk::{DiskFacts, DiskKind};
    use crate::ids::{DiskId, DiskSnapshotId, ServerId, SnapshotId};

    const MIB: u64 = 1 << 20;

    /// A chain: the first was made of nothing, each of the others of the one before it.
    fn chain(roles: &[LayerRole]) -> Vec<Layer> {
        let (server_id, disk_id) = (ServerId::new(), DiskId::new());
        let mut layers: Vec<Layer> = Vec::new();
        for role in roles {
            let parent_layer = layers.last().map(|layer| layer.id);
            layers.push(Layer {
                id: LayerId::new(),
                server_id,
                disk_id,
                backend: "rbd".into(),
                pool: "vms".into(),
                backend_id: "image".into(),
                key: "disk".into(),
                kind: DiskKind::System,
                role: *role,
                parent: parent_layer.map(|_| DiskSnapshotId::new()),
                parent_layer,
                equals: None,
                parked_mark: String::new(),
                facts: DiskFacts::default(),
            });
        }
        layers
    }

    fn part_on(layer: &Layer) -> DiskSnapshot {
        let id = DiskSnapshotId::new();
        DiskSnapshot {
            id,
            snapshot_id: SnapshotId::new(),
            layer_id: layer.id,
            origin: id,
            backend_id: "1".into(),
            position: 0,
            size_bytes: MIB,
            attachment: Default::default(),
        }
    }

    fn found(layers: &[Layer], parts: &[DiskSnapshot], pending: &[LayerId], copies: bool) -> Vec<Candidate> {
        let copies = |_: &str| copies;
        candidates(&FlattenWorld { layers, disk_snapshots: parts, pending, clone_depth_max: 2, copies: &copies })
    }

    #[test]
    fn all_that_was_made_of_a_disk_which_waits_is_flattened_if_nobody_has_any_of_it_open() {
        use LayerRole::{Detached, Head, Parked, Preparing, Taken};
        for (role, expected) in [(Parked, true), (Head, false), (Taken, false), (Preparing, false), (Detached, false)] {
            // One made of the waiting one, or of what was made of it.
            for made_of in [0, 1] {
                let mut layers = chain(&[Parked, Parked, role]);
                layers[2].parent_layer = Some(layers[made_of].id);
                let waits = layers[0].id;
                let clones = layers[1..3 - made_of].iter().map(|layer| layer.id).collect();
                let wanted = Candidate { gain: Gain::Frees(waits), layers: clones };
                let expected = if expected { vec![wanted] } else { vec![] };
                assert_eq!(found(&layers, &[], &[waits], true), expected, "{role:?} {made_of}");
                assert_eq!(found(&layers, &[], &[waits], false), [], "its backend cannot");
                assert_eq!(found(&layers, &[], &[], true), [], "nothing waits");
            }
        }
    }

    #[test]
    fn a_parked_disk_is_flattened_where_a_restore_of_its_snapshots_would_have_to_copy() {
        use LayerRole::{Head, Parked};
        let mut layers = chain(&[Parked, Parked, Parked, Parked]);
        layers[3].parent_layer = None;
        let parts: Vec<_> = layers.iter().map(part_on).collect();
        let deep = Candidate { gain: Gain::Shortens(2), layers: vec![layers[2].id] };
        assert_eq!(found(&layers, &parts, &[], true), [deep]);
        assert_eq!(found(&layers, &parts[..2], &[], true), [], "there is no snapshot on it");
        assert_eq!(found(&layers, &parts, &[], false), [], "its backend cannot");
        layers[2].equals = Some(parts[2].origin);
        assert_eq!(found(&layers, &parts, &[], true), [], "it is used again itself");
        layers[2].equals = None;
        (layers[3].role, layers[3].parent_layer) = (Head, Some(layers[2].id));
        assert_eq!(found(&layers, &parts, &[], true), [], "its server reads by way of it");
    }

    #[test]
    fn of_a_line_of_disks_that_wait_only_the_last_one_is_copied() {
        let layers = chain(&[LayerRole::Parked; 4]);
        let ids: Vec<LayerId> = layers.iter().map(|layer| layer.id).collect();
        let last = Candidate { gain: Gain::Frees(ids[2]), layers: vec![ids[3]] };
        assert_eq!(found(&layers, &[], &ids[..3], true), [last]);
    }

    #[test]
    fn rows_that_form_a_ring_lead_nowhere() {
        let mut layers = chain(&[LayerRole::Parked, LayerRole::Parked]);
        layers[0].parent_layer = Some(layers[1].id);
        let waits = layers[0].id;
        assert_eq!(found(&layers, &[], &[waits], true), []);
    }

    #[test]
    fn it_is_worth_it_where_it_frees_more_than_it_writes_and_stays_within_the_limit() {
        let frees = Candidate { gain: Gain::Frees(LayerId::new()), layers: vec![] };
        let shortens = Candidate { gain: Gain::Shortens(12), layers: vec![] };
        for (writes, could_go, limit, worth, worth_for_depth) in [
            (10, 20, 10, true, true),
            (10, 10, 10, false, true),
            (10, 20, 9, false, false),
            (0, 0, 0, false, true),
            (0, 1, 0, true, true),
            (10, 0, u64::MAX, false, true),
        ] {
            assert_eq!(frees.is_worth(writes, could_go, limit), worth, "{writes} {could_go} {limit}");
            assert_eq!(shortens.is_worth(writes, could_go, limit), worth_for_depth, "{writes} {could_go} {limit}");
        }
    }
}
