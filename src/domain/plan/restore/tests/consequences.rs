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
