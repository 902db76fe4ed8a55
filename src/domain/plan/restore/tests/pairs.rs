//! Which live disk gives way to which disk of the node.

use super::*;

/// Stopped right after c; the owner had attached `data` beside its own clone, which stands before or behind it. Both are
/// parts of c, with one disk id.
fn beside_its_clone(clone_first: bool) -> Scene {
    let mut scene = Scene::new(CHAIN, Some("c"), "main", &["disk", "data"]);
    scene.holds("a", &["disk", "data"]);
    let old = scene.layer("data").clone();
    let clone = Layer {
        id: LayerId::new(),
        backend_id: "id-clone".into(),
        key: "clone".into(),
        parent: Some(part(&scene, "a", "data").origin),
        ..old.clone()
    };
    scene.layers.push(clone.clone());
    scene.detach("data");
    for layer in if clone_first { [&clone, &old] } else { [&old, &clone] } {
        scene.show(layer);
    }
    scene.holds("c", if clone_first { &["disk", "clone", "data"] } else { &["disk", "data", "clone"] });
    scene.server.status = ServerStatus::Shutoff;
    scene.unchanged_since = Some(scene.node("c"));
    scene
}

#[test]
fn of_two_live_disks_of_one_line_each_stands_for_its_own_part() {
    let lives = |plan: &RestorePlan| plan.moves.iter().map(|disk| disk.live).collect::<Vec<_>>();
    for clone_first in [true, false] {
        let mut scene = beside_its_clone(clone_first);
        let plan = ask(&scene, to("c")).unwrap();
        assert!(plan.is_empty(), "clone first: {clone_first}: {plan:?}");
        assert_eq!(lives(&plan), [Some(0), Some(1), Some(2)], "clone first: {clone_first}");

        let (old, clone) = if clone_first { (2, 1) } else { (1, 2) };
        let plan = ask(&scene, to("a")).unwrap();
        assert_eq!(lives(&plan), [Some(0), Some(old)], "clone first: {clone_first}: the very disk gives way");
        assert_eq!(plan.leaves, [clone], "clone first: {clone_first}: the other one leaves");
        assert_eq!(plan.safety, Safety::NotNeeded(scene.node("c")), "clone first: {clone_first}: c has both");

        // The clone gave way to another of its line: that one stands for it, never the disk that is another part's own.
        let next = Layer { id: LayerId::new(), backend_id: "id-next".into(), ..scene.layer("clone").clone() };
        scene.layers.push(next.clone());
        scene.live.retain(|live| live.disk.key != "clone");
        scene.show(&next);
        for word in ["clone", "id-next"] {
            let plan = ask(&scene, Ask { disks: Some(&[word]), ..to("c") }).unwrap();
            assert_eq!(lives(&plan), [Some(2)], "clone first: {clone_first}: {word}");
        }
    }
}

#[test]
fn a_disk_id_that_two_disks_of_the_node_share_names_neither() {
    let scene = beside_its_clone(true);
    let disk_id = scene.layer("data").disk_id.to_string();
    let error = ask(&scene, Ask { disks: Some(&[&disk_id]), ..to("c") }).unwrap_err();
    assert_eq!((error.kind(), error.field()), (Kind::BadRequest, Some("disks")));
    assert!(error.to_string().contains("clone") && error.to_string().contains("data"), "{error}");
}

#[test]
fn what_the_node_left_out_does_not_give_way_to_a_disk_of_its_own_line() {
    let mut scene = scene(&["disk", "data"]);
    let data = scene.layer("data").clone();
    scene.detach("data");
    let beside = Layer { id: LayerId::new(), backend_id: "id-beside".into(), key: "beside".into(), ..data };
    scene.layers.push(beside.clone());
    scene.show(&beside);
    scene.grove.forest.nodes[0].left_out =
        vec![crate::domain::disk::LeftOut::never("beside".into(), "excluded by the caller")];
    let plan = ask(&scene, to("a")).unwrap();
    assert_eq!(plan.moves[1].live, None, "data comes back beside it");
    assert_eq!(plan.leaves, Vec::<usize>::new());
}
