//! What the restore planner decides, and what it refuses.

use super::*;
use crate::domain::disk::DiskFacts;
use crate::domain::plan::capture::tests::{SPOILS, Scene, placement};
use crate::error::Kind;

const CHAIN: &[(&str, Option<&str>, &str)] = &[("a", None, "main"), ("b", Some("a"), "main"), ("c", Some("b"), "main")];

/// A running server at c of a - b - c, all on main, each with all its disks.
fn scene(disks: &[&str]) -> Scene {
    let mut scene = Scene::new(CHAIN, Some("c"), "main", disks);
    for node in ["a", "b", "c"] {
        scene.holds(node, disks);
    }
    scene
}

/// The same, stopped right after c.
fn at_rest(disks: &[&str]) -> Scene {
    let mut scene = scene(disks);
    scene.server.status = ServerStatus::Shutoff;
    scene.unchanged_since = Some(scene.node("c"));
    scene
}

struct Ask<'a> {
    target: &'a str,
    disks: Option<&'a [&'a str]>,
    branch_name: Option<&'a str>,
    safety: bool,
    untouched: Vec<LayerId>,
}

fn to(target: &str) -> Ask<'_> {
    Ask { target, disks: None, branch_name: None, safety: true, untouched: vec![] }
}

fn ask(scene: &Scene, ask: Ask<'_>) -> Result<RestorePlan> {
    let world = RestoreWorld {
        server: &scene.server,
        live: &scene.live,
        forest: &scene.grove.forest,
        layers: &scene.layers,
        disk_snapshots: &scene.parts,
        unchanged_since: scene.unchanged_since,
        untouched: &ask.untouched.into_iter().collect(),
        placement: &placement,
        nodes_max: scene.nodes_max,
        clone_depth_max: 3,
        copies: &|backend| backend == "named",
    };
    let request = RestoreRequest {
        target: scene.node(ask.target),
        disks: ask.disks.map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
        branch_name: ask.branch_name.map(str::to_owned),
        safety: ask.safety,
    };
    plan(&world, &request)
}

fn on(scene: &Scene, branch: &str) -> BranchChoice {
    BranchChoice::Continue(scene.grove.branch_ids[branch])
}

fn part(scene: &Scene, node: &str, key: &str) -> DiskSnapshot {
    let layers: Vec<LayerId> = scene.layers.iter().filter(|layer| layer.key == key).map(|layer| layer.id).collect();
    let found = scene.parts.iter().find(|part| part.snapshot_id == scene.node(node) && layers.contains(&part.layer_id));
    found.unwrap().clone()
}

/// Parks a layer that equals this part.
fn park(scene: &mut Scene, equals: DiskSnapshotId, of: &str) -> LayerId {
    let layer = Layer {
        id: LayerId::new(),
        role: LayerRole::Parked,
        equals: Some(equals),
        backend_id: "parked".into(),
        facts: DiskFacts::default(),
        ..scene.layer(of).clone()
    };
    scene.layers.push(layer.clone());
    layer.id
}

fn comebacks(plan: &RestorePlan) -> Vec<Comeback> {
    plan.moves.iter().map(|disk| disk.comeback).collect()
}

#[test]
fn a_server_that_cannot_be_restored_is_refused_with_the_reason() {
    for (name, spoil, word) in SPOILS {
        let mut scene = scene(&["disk", "data"]);
        spoil(&mut scene);
        let error = ask(&scene, to("a")).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{name}");
        assert!(error.chain().contains(word), "{name}: {}", error.chain());
        assert!(error.remedy_text().is_some(), "{name}: what to do?");
    }
}

#[test]
fn a_server_is_restored_running_or_stopped_and_in_no_other_state() {
    for (word, stops) in [
        ("ACTIVE", Some(true)),
        ("SHUTOFF", Some(false)),
        ("PAUSED", None),
        ("SUSPENDED", None),
        ("RESCUE", None),
        ("RESIZE", None),
        ("VERIFY_RESIZE", None),
        ("SHELVED", None),
        ("BUILD", None),
        ("SOFT_DELETED", None),
    ] {
        let mut scene = scene(&["disk"]);
        scene.server.status = ServerStatus::from_nova(word);
        assert_eq!(ask(&scene, to("a")).ok().map(|plan| plan.stops), stops, "{word}");
    }
}

#[test]
fn a_node_that_is_not_there_busy_or_hidden_is_refused() {
    let mut busy = scene(&["disk"]);
    busy.grove.forest.nodes[0].status = SnapshotStatus::Restoring;
    assert!(ask(&busy, to("a")).unwrap_err().to_string().contains("is restoring"));

    let mut hidden = scene(&["disk"]);
    hidden.grove.forest.nodes[1].hidden = true;
    let error = ask(&hidden, to("b")).unwrap_err();
    let (a, c) = (hidden.node("a").to_string(), hidden.node("c").to_string());
    assert!(error.chain().contains(&a) && error.chain().contains(&c), "names its relatives: {}", error.chain());

    let mut missing = scene(&["disk"]);
    missing.grove.ids.insert("x".into(), SnapshotId::new());
    assert_eq!(ask(&missing, to("x")).unwrap_err().kind(), Kind::Conflict);
}

#[test]
fn disks_come_back_by_cloning_unless_a_parked_one_is_untouched_or_the_live_one_is_the_same() {
    let cloned = scene(&["disk", "data"]);
    assert_eq!(comebacks(&ask(&cloned, to("b")).unwrap()), [Comeback::Clone, Comeback::Clone]);

    let mut parked = scene(&["disk", "data"]);
    let part_b = part(&parked, "b", "data").origin;
    let layer = park(&mut parked, part_b, "data");
    let plan = ask(&parked, Ask { untouched: vec![layer], ..to("b") }).unwrap();
    assert_eq!(comebacks(&plan), [Comeback::Clone, Comeback::Reuse(layer)]);
    assert_eq!(plan.needs[0].1.volumes, 0, "nothing is made for a parked one");
    assert_eq!(
        comebacks(&ask(&parked, to("b")).unwrap()),
        [Comeback::Clone, Comeback::Clone],
        "somebody has touched it"
    );
    let plan = ask(&parked, Ask { untouched: vec![layer], ..to("a") }).unwrap();
    assert_eq!(comebacks(&plan), [Comeback::Clone, Comeback::Clone], "it equals another node");

    let same = at_rest(&["disk", "data"]);
    let plan = ask(&same, to("c")).unwrap();
    assert_eq!(comebacks(&plan), [Comeback::Keep, Comeback::Keep]);
    assert!(plan.is_empty() && plan.needs.is_empty());
    assert_eq!(plan.safety, Safety::NotNeeded(same.node("c")));

    let mut halfway = at_rest(&["disk", "data"]);
    let shared = part(&halfway, "b", "disk").origin;
    let mine = part(&halfway, "c", "disk").id;
    halfway.parts.iter_mut().find(|part| part.id == mine).unwrap().origin = shared;
    assert_eq!(
        comebacks(&ask(&halfway, to("b")).unwrap()),
        [Comeback::Keep, Comeback::Clone],
        "b and c share the system disk"
    );
}

#[test]
fn a_parked_disk_that_its_owner_has_attached_is_not_used_again() {
    let mut scene = scene(&["disk", "data"]);
    let origin = part(&scene, "b", "data").origin;
    let layer = park(&mut scene, origin, "data");
    let row = scene.layers.last().unwrap().clone();
    scene.show(&row);
    let plan = ask(&scene, Ask { untouched: vec![layer], ..to("b") }).unwrap();
    assert_eq!(comebacks(&plan), [Comeback::Clone, Comeback::Clone]);
}

#[test]
fn a_parked_system_disk_is_not_used_again_once_the_flavor_asks_for_a_larger_one() {
    for (root_gb, disk, reused) in
        [(0, "disk", true), (1, "disk", true), (2, "disk", false), (2, "disk.eph0", true), (2, "data", true)]
    {
        let mut scene = scene(&["disk", "disk.eph0", "data"]);
        scene.server.root_gb = root_gb;
        let origin = part(&scene, "b", disk).origin;
        let layer = park(&mut scene, origin, disk);
        let plan = ask(&scene, Ask { untouched: vec![layer], ..to("b") }).unwrap();
        let place = scene.live.iter().position(|live| live.disk.key == disk).unwrap();
        let expected = if reused { Comeback::Reuse(layer) } else { Comeback::Clone };
        assert_eq!(plan.moves[place].comeback, expected, "{root_gb} GB, {disk}");
        assert_eq!(plan.moves[place].reason.contains("smaller"), !reused, "{root_gb} GB, {disk}");
    }
}

#[test]
fn the_present_is_kept_unless_it_equals_a_node_or_is_declined() {
    let running = scene(&["disk", "data"]);
    assert_eq!(ask(&running, to("a")).unwrap().safety, Safety::Take(on(&running, "main")));

    let plan = ask(&running, Ask { safety: false, ..to("a") }).unwrap();
    assert_eq!(plan.safety, Safety::Declined);
    assert_eq!(plan.loses.len(), 2, "says what is lost: {:?}", plan.loses);

    let rest = at_rest(&["disk", "data"]);
    let plan = ask(&rest, to("a")).unwrap();
    assert_eq!((plan.safety, plan.loses.len()), (Safety::NotNeeded(rest.node("c")), 0));

    let mut wider = at_rest(&["disk"]);
    wider.attach("extra");
    let plan = ask(&wider, to("a")).unwrap();
    assert_eq!(plan.leaves, [1]);
    assert_eq!(plan.safety, Safety::Take(on(&wider, "main")), "c does not have the volume that leaves");

    let mut nowhere = scene(&["disk"]);
    nowhere.grove.forest.current_branch = None;
    assert_eq!(ask(&nowhere, to("a")).unwrap().safety, Safety::Take(BranchChoice::New("branch-2".into())));
    let wanted = Ask { branch_name: Some("branch-2"), ..to("a") };
    let plan = ask(&nowhere, wanted).unwrap();
    assert_eq!(
        plan.safety,
        Safety::Take(BranchChoice::New("branch-3".into())),
        "the caller's name is the other branch's"
    );
    assert_eq!(plan.branch, Some(BranchChoice::New("branch-2".into())));

    let mut full = scene(&["disk"]);
    full.nodes_max = 3;
    let error = ask(&full, to("a")).unwrap_err();
    assert!(error.to_string().contains("safety snapshot"), "{error}");
    let remedy = error.chain();
    assert!(
        remedy.contains("for example \"") && !remedy.contains("\"a\""),
        "what could go, without the target: {remedy}"
    );
    assert!(ask(&full, Ask { safety: false, ..to("a") }).is_ok());
}

#[test]
fn a_live_disk_made_of_the_node_and_not_run_since_equals_it() {
    // Restored to b and stopped: the live disk is a new layer, made of b's part.
    let mut scene = at_rest(&["disk"]);
    let made_of = part(&scene, "b", "disk").origin;
    let mut layer = scene.layer("disk").clone();
    layer.id = LayerId::new();
    layer.parent = Some(made_of);
    scene.layers.push(layer.clone());
    scene.live.clear();
    scene.show(&layer);
    scene.unchanged_since = Some(scene.node("b"));
    assert_eq!(comebacks(&ask(&scene, to("b")).unwrap()), [Comeback::Keep]);
    let plan = ask(&scene, to("a")).unwrap();
    assert_eq!((comebacks(&plan), plan.safety), (vec![Comeback::Clone], Safety::NotNeeded(scene.node("b"))));
    assert_eq!(equal_part(&scene.parts, scene.node("b"), &layer).map(|part| part.origin), Some(made_of));
    assert_eq!(equal_part(&scene.parts, scene.node("a"), &layer), None);
}

#[test]
fn a_branch_is_continued_at_its_tip_and_begun_anywhere_else() {
    let running = scene(&["disk"]);
    let branch = |plan: RestorePlan| plan.branch.unwrap();
    let new = |name: &str| BranchChoice::New(name.into());
    assert_eq!(branch(ask(&running, to("a")).unwrap()), new("branch-2"), "in the middle of main");
    assert_eq!(branch(ask(&running, to("c")).unwrap()), new("branch-2"), "the safety snapshot becomes main's tip");
    let declined = Ask { safety: false, ..to("c") };
    assert_eq!(branch(ask(&running, declined).unwrap()), on(&running, "main"), "without one, c stays the tip");
    let named = Ask { branch_name: Some("try"), ..to("a") };
    assert_eq!(branch(ask(&running, named).unwrap()), new("try"));
    let named = Ask { branch_name: Some("try"), safety: false, ..to("c") };
    assert_eq!(branch(ask(&running, named).unwrap()), new("try"), "naming one always begins one");
    let taken = Ask { branch_name: Some("main"), ..to("a") };
    assert_eq!(ask(&running, taken).unwrap_err().kind(), Kind::Conflict);

    let rest = at_rest(&["disk"]);
    assert_eq!(branch(ask(&rest, to("c")).unwrap()), on(&rest, "main"), "here already");

    // On a branch of its own, away from main.
    let mut side = Scene::new(
        &[("a", None, "main"), ("b", Some("a"), "main"), ("s", Some("a"), "side")],
        Some("s"),
        "side",
        &["disk"],
    );
    for node in ["a", "b", "s"] {
        side.holds(node, &["disk"]);
    }
    assert_eq!(branch(ask(&side, to("b")).unwrap()), on(&side, "main"), "back to main's tip; the safety goes to side");
    assert_eq!(branch(ask(&side, to("s")).unwrap()), new("branch-2"), "discards changes on side, whose tip moves on");
    assert_eq!(ask(&side, to("b")).unwrap().current_after, Some(side.node("b")));

    // On a branch that began at a and has nothing of its own yet.
    let mut fresh = Scene::new(&[("a", None, "main"), ("b", Some("a"), "main")], Some("a"), "fresh", &["disk"]);
    for node in ["a", "b"] {
        fresh.holds(node, &["disk"]);
    }
    fresh.server.status = ServerStatus::Shutoff;
    fresh.unchanged_since = Some(fresh.node("a"));
    assert_eq!(branch(ask(&fresh, to("a")).unwrap()), on(&fresh, "fresh"), "here already");
    assert_eq!(branch(ask(&fresh, to("b")).unwrap()), on(&fresh, "main"));
}

#[test]
fn only_named_disks_come_back_and_the_rest_stays_on_its_branch() {
    let running = scene(&["disk", "data", "logs"]);
    let disk_id = running.live[1].layer.disk_id.to_string();
    for word in ["data", "id-data", disk_id.as_str()] {
        let words = [word];
        let plan = ask(&running, Ask { disks: Some(&words), ..to("a") }).unwrap();
        assert_eq!(plan.moves.len(), 1, "{word}");
        assert_eq!(plan.moves[0].live, Some(1), "{word}");
        assert_eq!(
            (plan.whole, plan.branch, plan.current_after),
            (false, None, None),
            "{word}: the safety snapshot is where we are"
        );
        assert_eq!(plan.order, [Slot::Comes(0), Slot::Stays(2)], "{word}");
        assert_eq!(plan.leaves, [0_usize; 0], "{word}");
    }
    let declined = ask(&running, Ask { disks: Some(&["data"]), safety: false, ..to("a") }).unwrap();
    assert_eq!(declined.current_after, Some(running.node("c")));
    let all = ask(&running, Ask { disks: Some(&["disk", "data", "logs"]), ..to("a") }).unwrap();
    assert!(all.whole && all.branch.is_some(), "all by name are all");

    for (words, field) in [(&["nothing"][..], "disks"), (&[][..], "disks")] {
        let error = ask(&running, Ask { disks: Some(words), ..to("a") }).unwrap_err();
        assert_eq!((error.kind(), error.field()), (Kind::BadRequest, Some(field)), "{words:?}");
    }
    let branch = Ask { disks: Some(&["data"]), branch_name: Some("x"), ..to("a") };
    assert_eq!(ask(&running, branch).unwrap_err().field(), Some("branch_name"));
}

#[test]
fn the_volumes_stand_in_the_nodes_order_and_those_at_the_beginning_are_kept() {
    use Slot::Comes;
    // Live disks: disk is 0, so volumes begin at 1. Moves: the node's disks in its order.
    type Case =
        (&'static str, &'static [&'static str], &'static [&'static str], &'static [Slot], usize, &'static [usize]);
    const CASES: &[Case] = &[
        ("all come", &["x", "y"], &["x", "y"], &[Comes(1), Comes(2)], 0, &[]),
        ("one was detached", &["x", "y"], &["y"], &[Comes(1), Comes(2)], 0, &[]),
        ("one was attached", &["x"], &["x", "y"], &[Comes(1)], 0, &[2]),
        ("one for another", &["x", "y"], &["y", "z"], &[Comes(1), Comes(2)], 0, &[2]),
        ("none is left", &["x"], &[], &[Comes(1)], 0, &[]),
        ("all were attached since", &[], &["x", "y"], &[], 0, &[1, 2]),
    ];
    for (name, node, now, order, kept, leaves) in CASES {
        let disks: Vec<&str> = ["disk"].into_iter().chain(node.iter().copied()).collect();
        let mut scene = scene(&disks);
        for key in *node {
            scene.detach(key);
        }
        for key in *now {
            match scene.layers.iter().find(|layer| layer.key == *key).cloned() {
                Some(layer) => scene.show(&layer),
                None => drop(scene.attach(key)),
            }
        }
        let plan = ask(&scene, to("a")).unwrap();
        assert_eq!(
            (plan.order.as_slice(), plan.order_kept, plan.leaves.as_slice()),
            (*order, *kept, *leaves),
            "{name}"
        );
    }
}

#[test]
fn volumes_that_stay_the_same_are_not_touched_up_to_the_first_change() {
    use Slot::{Comes, Stays};
    // Stopped after c, which shares x with a (and so keeps it), not y.
    for (shared, now, order, kept) in [
        (&["x", "y"][..], &["x", "y"][..], vec![Stays(1), Stays(2)], 2),
        (&["x"], &["x", "y"], vec![Stays(1), Comes(2)], 1),
        (&["y"], &["x", "y"], vec![Comes(1), Stays(2)], 0),
        (&["x", "y"], &["y", "x"], vec![Stays(2), Stays(1)], 0),
    ] {
        let mut scene = at_rest(&["disk", "x", "y"]);
        for key in shared {
            let (from, mine) = (part(&scene, "a", key).origin, part(&scene, "c", key).id);
            scene.parts.iter_mut().find(|part| part.id == mine).unwrap().origin = from;
        }
        for key in ["x", "y"] {
            scene.detach(key);
        }
        for key in now {
            let layer = scene.layer(key).clone();
            scene.show(&layer);
        }
        let plan = ask(&scene, to("a")).unwrap();
        assert_eq!((plan.order, plan.order_kept), (order, kept), "shared {shared:?} now {now:?}");
    }
}

#[test]
fn what_the_node_left_out_on_purpose_stays_attached_behind_its_disks() {
    let mut scene = scene(&["disk", "data"]);
    scene.attach("scratch");
    let disk_id = Some(scene.layer("scratch").disk_id);
    let out = |key: &str, disk_id| LeftOut { key: key.into(), reason: "excluded by the caller".into(), disk_id };
    for left_out in [out("scratch", None), out("replaced since", disk_id)] {
        scene.grove.forest.nodes[0].left_out = vec![left_out];
        let plan = ask(&scene, to("a")).unwrap();
        assert_eq!((plan.leaves.as_slice(), plan.order.as_slice()), (&[][..], &[Slot::Comes(1), Slot::Stays(2)][..]));
    }
    let plan = ask(&scene, to("b")).unwrap();
    assert_eq!(plan.leaves, [2], "b knows nothing of it");
}

#[test]
fn a_disk_that_cannot_be_replaced_is_refused_only_where_it_would_be() {
    let mut scene = scene(&["disk", "data", "logs"]);
    scene.live[2].disk.unsupported = Some("it is attached to several servers".into());
    let error = ask(&scene, to("a")).unwrap_err();
    assert!(error.chain().contains("several servers"), "{}", error.chain());
    let error = ask(&scene, Ask { disks: Some(&["data"]), ..to("a") }).unwrap_err();
    assert!(error.chain().contains("detached and attached again"), "logs stands behind data: {}", error.chain());
    let plan = ask(&scene, Ask { disks: Some(&["disk"]), ..to("a") }).unwrap();
    assert_eq!(plan.needs[0].1.snapshots, 1, "the safety snapshot covers data; logs cannot be covered");
}

#[test]
fn a_named_disk_that_the_server_has_no_more_is_refused_before_anything_happens() {
    let mut scene = scene(&["disk", "disk.eph0"]);
    scene.detach("disk.eph0");
    let error = ask(&scene, to("a")).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.chain().contains("disk.eph0"), "{}", error.chain());
    assert!(ask(&scene, Ask { disks: Some(&["disk"]), ..to("a") }).is_ok());
}

#[test]
fn after_a_rebuild_the_new_system_disk_gives_way() {
    let mut scene = scene(&["disk"]);
    scene.detach("disk");
    scene.attach("disk");
    let plan = ask(&scene, to("a")).unwrap();
    assert_eq!((plan.moves[0].live, plan.moves[0].comeback), (Some(0), Comeback::Clone));
}

mod consequences;
mod pairs;
