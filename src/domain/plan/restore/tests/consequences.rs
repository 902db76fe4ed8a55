//! What a restore costs in quota, and which older safety snapshots it makes superfluous.

use super::*;
use crate::domain::snapshot::Branch;
use crate::ids::BranchId;

#[test]
fn a_restore_needs_a_volume_for_each_clone_and_a_snapshot_for_each_volume_that_is_kept() {
    let mut scene = scene(&["disk", "x", "y"]);
    scene.live[1].disk.size_bytes = 3 << 30; // grown since
    let plan = ask(&scene, to("a")).unwrap();
    assert_eq!(plan.needs, [("attached".to_owned(), Need { volumes: 2, snapshots: 2, gigabytes: 3 + 1 + 2 })]);
    let plan = ask(&scene, Ask { safety: false, ..to("a") }).unwrap();
    assert_eq!(plan.needs, [("attached".to_owned(), Need { volumes: 2, snapshots: 0, gigabytes: 2 })]);
    let plan = ask(&scene, Ask { disks: Some(&["x"]), safety: false, ..to("a") }).unwrap();
    assert_eq!(plan.needs, [("attached".to_owned(), Need { volumes: 1, snapshots: 0, gigabytes: 1 })]);
    let bare = self::scene(&["disk"]);
    assert_eq!(ask(&bare, to("a")).unwrap().needs, [], "named disks cost no quota");
}

#[test]
fn an_older_safety_snapshot_goes_unless_somebody_needs_it() {
    let made = || {
        let mut scene = scene(&["disk"]);
        scene.grove.forest.nodes[1].safety = true; // b
        scene
    };
    let gone = |scene: &Scene, target: &str| ask(scene, to(target)).unwrap().safety_gone;
    let plain = made();
    assert_eq!(gone(&plain, "a"), [plain.node("b")]);
    assert_eq!(gone(&plain, "b"), [], "it is what comes back");
    assert_eq!(ask(&plain, Ask { safety: false, ..to("a") }).unwrap().safety_gone, [], "no newer one is taken");

    let mut forked = made();
    let fork = Some(forked.node("b"));
    let branch = Branch {
        id: BranchId::new(),
        name: "side".into(),
        fork_snapshot_id: fork,
        ..forked.grove.forest.branches[0].clone()
    };
    forked.grove.forest.branches.push(branch);
    assert_eq!(gone(&forked, "a"), [], "a branch begins at it");

    let mut parked = made();
    let equals = part(&parked, "b", "disk").origin;
    park(&mut parked, equals, "disk");
    assert_eq!(gone(&parked, "a"), [], "a parked disk waits to become it again");

    let mut cloned = made();
    cloned.layers[0].parent = Some(part(&cloned, "b", "disk").origin);
    assert_eq!(gone(&cloned, "a"), [], "something was made of it");

    let mut shared = made();
    let (origin, other) = (part(&shared, "b", "disk").origin, part(&shared, "c", "disk").id);
    shared.parts.iter_mut().find(|part| part.id == other).unwrap().origin = origin;
    assert_eq!(gone(&shared, "a"), [], "another node shares its part");

    let mut elsewhere = made();
    elsewhere.grove.forest.nodes[1].branch_id = BranchId::new();
    assert_eq!(gone(&elsewhere, "a"), [], "it is another branch's");
}

/// The layer of this key was made of another one, that of another, and so on.
fn stands_on(scene: &mut Scene, key: &str, count: usize) {
    let mut above = scene.layer(key).id;
    for _ in 0..count {
        let id = LayerId::new();
        let parent =
            Layer { id, role: LayerRole::Parked, key: "older".into(), parent_layer: None, ..scene.layers[0].clone() };
        scene.layers.push(parent);
        scene.layers.iter_mut().filter(|layer| layer.id == above).for_each(|layer| layer.parent_layer = Some(id));
        above = id;
    }
}

#[test]
fn a_disk_that_would_stand_on_too_many_clones_is_copied_or_named() {
    for (count, comebacks, named) in [
        (2, [Comeback::Clone, Comeback::Clone], vec![]),
        (3, [Comeback::Copy, Comeback::Clone], vec![("data".to_owned(), 4)]),
    ] {
        let mut scene = scene(&["disk", "data"]);
        stands_on(&mut scene, "disk", count);
        stands_on(&mut scene, "data", count);
        let plan = ask(&scene, to("a")).unwrap();
        assert_eq!(plan.moves.iter().map(|disk| disk.comeback).collect::<Vec<_>>(), comebacks, "on {count}");
        assert_eq!(plan.too_deep, named, "on {count}");
    }
}
