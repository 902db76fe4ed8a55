//! What the deletion planner decides, and what it refuses.

use super::*;
use crate::domain::disk::LayerRole;
use crate::domain::forest::tests::{Grove, grove};
use crate::domain::plan::capture::tests::Scene;
use crate::domain::snapshot::Protection;
use crate::error::Kind;

type Nodes<'a> = &'a [(&'a str, Option<&'a str>, &'a str)];

const CHAIN: Nodes<'_> = &[("a", None, "main"), ("b", Some("a"), "main"), ("c", Some("b"), "main")];
/// a - b - c on main; a - d - e on side.
const FORK: Nodes<'_> = &[
    ("a", None, "main"),
    ("b", Some("a"), "main"),
    ("c", Some("b"), "main"),
    ("d", Some("a"), "side"),
    ("e", Some("d"), "side"),
];

/// Three lines part at a, and again three at b.
const THREES: Nodes<'_> = &[
    ("a", None, "main"),
    ("b", Some("a"), "main"),
    ("c", Some("b"), "main"),
    ("d", Some("a"), "second"),
    ("e", Some("a"), "third"),
    ("f", Some("b"), "fourth"),
    ("g", Some("b"), "fifth"),
];

/// The forest as it will be: `a(b(c) d)`, hidden ones with `~`; then where the server is, then the branches.
fn after(grove: &Grove, plan: &DeletePlan) -> String {
    let forest = &grove.forest;
    let mut nodes: Vec<Snapshot> = forest.nodes.iter().filter(|node| !plan.gone.contains(&node.id)).cloned().collect();
    for node in &mut nodes {
        node.hidden = plan.joints.iter().any(|joint| joint.id == node.id);
        if let Some((_, parent)) = plan.moved.iter().find(|(id, _)| *id == node.id) {
            node.parent_id = *parent;
        }
    }
    let mut branches = forest.branches.clone();
    branches.retain(|branch| !plan.branches_gone.contains(&branch.id));
    for (id, fork) in &plan.branches_moved {
        branches.iter_mut().filter(|branch| branch.id == *id).for_each(|branch| branch.fork_snapshot_id = *fork);
    }
    let current = plan.current.unwrap_or(forest.current);
    let then = Forest::new(forest.server_id, nodes, branches, current, forest.current_branch, 2);
    then.check().unwrap();
    fn draw(forest: &Forest, parent: Option<SnapshotId>) -> String {
        let children: Vec<String> = forest
            .children(parent)
            .into_iter()
            .map(|node| {
                let below = draw(forest, Some(node.id));
                let below = if below.is_empty() { below } else { format!("({below})") };
                format!("{}{}{below}", if node.hidden { "~" } else { "" }, node.name)
            })
            .collect();
        children.join(" ")
    }
    let name = |id: SnapshotId| then.node(id).unwrap().name.clone();
    let branches: Vec<String> = then
        .branches
        .iter()
        .map(|branch| match branch.fork_snapshot_id {
            Some(fork) => format!("{}@{}", branch.name, name(fork)),
            None => branch.name.clone(),
        })
        .collect();
    format!("{} | {} | {}", draw(&then, None), then.current.map_or("-".to_owned(), name), branches.join(" "))
}

fn no_storage<'a>(forest: &'a Forest) -> DeleteWorld<'a> {
    DeleteWorld { forest, snapshots: &forest.nodes, layers: &[], disk_snapshots: &[], clones_hold: &|_| false }
}

fn target(grove: &Grove, words: &str) -> Target {
    match words.split_once(' ') {
        Some(("subtree", name)) => Target::Subtree(grove.ids[name]),
        Some(("branch", name)) => Target::Branch(grove.branch_ids[name]),
        _ if words == "tree" => Target::Tree,
        _ if words == "leftovers" => Target::Leftovers,
        _ => Target::Snapshot(grove.ids[words]),
    }
}

#[test]
fn a_node_at_any_place_goes_or_stays_as_a_joint_and_nothing_else_changes() {
    for (what, nodes, current, branch, delete, expected) in [
        ("the only one", &CHAIN[..1], "a", "main", "a", " | - | main"),
        ("a root with one child", CHAIN, "c", "main", "a", "b(c) | c | main"),
        ("an inner one", CHAIN, "c", "main", "b", "a(c) | c | main"),
        ("the tip, which the server grew from", CHAIN, "c", "main", "c", "a(b) | b | main"),
        ("a leaf beside the server", FORK, "c", "main", "e", "a(b(c) d) | c | main side@a"),
        ("the last of a branch that is left", &FORK[..4], "c", "main", "d", "a(b(c)) | c | main"),
        ("the last of the branch that the server is on", &FORK[..4], "d", "side", "d", "a(b(c)) | a | main side@a"),
        ("a root at which two lines part", FORK, "c", "main", "a", "~a(b(c) d(e)) | c | main side@a"),
        ("under the server and with a child", CHAIN, "b", "main", "b", "a(c) | a | main"),
        ("the fork under the server", FORK, "a", "main", "a", "~a(b(c) d(e)) | - | main side@a"),
        ("the root under the server", CHAIN, "a", "main", "a", "b(c) | - | main"),
        ("the first of a branch", FORK, "c", "main", "d", "a(b(c) e) | c | main side@a"),
        ("the first node behind a fork", FORK, "c", "main", "b", "a(c d(e)) | c | main side@a"),
        ("a subtree", FORK, "c", "main", "subtree d", "a(b(c)) | c | main"),
        ("the subtree under the server", FORK, "c", "main", "subtree b", "a(d(e)) | a | main side@a"),
        ("the subtree of a root", FORK, "c", "main", "subtree a", " | - | main"),
        ("a branch", FORK, "c", "main", "branch side", "a(b(c)) | c | main"),
        ("a branch with the root of others", FORK, "e", "side", "branch main", "d(e) | e | side"),
        ("all", FORK, "e", "side", "tree", " | - | side"),
        (
            "a root at which three lines part",
            THREES,
            "c",
            "main",
            "a",
            "~a(b(c f g) d e) | c | main second@a third@a fourth@b fifth@b",
        ),
        (
            "an inner one at which three lines part",
            THREES,
            "d",
            "second",
            "b",
            "a(~b(c f g) d e) | d | main second@a third@a fourth@b fifth@b",
        ),
        ("one of three lines", THREES, "c", "main", "f", "a(b(c g) d e) | c | main second@a third@a fifth@b"),
        ("the subtree of an inner fork", THREES, "d", "second", "subtree b", "a(d e) | d | main second@a third@a"),
    ] {
        for safety in [false, true] {
            let mut grove = grove(nodes, Some(current), branch);
            grove.forest.nodes.iter_mut().for_each(|node| node.safety = safety);
            let plan = plan(&no_storage(&grove.forest), target(&grove, delete)).unwrap();
            assert_eq!(after(&grove, &plan), expected, "{what}: {delete} of {nodes:?}, safety {safety}");
        }
    }
}

#[test]
fn a_joint_goes_by_itself_when_only_one_line_is_left() {
    let mut grove = grove(FORK, Some("c"), "main");
    let hidden = grove.ids["a"];
    let mut nodes = grove.forest.nodes.clone();
    nodes.iter_mut().filter(|node| node.id == hidden).for_each(|node| node.hidden = true);
    let forest = &grove.forest;
    grove.forest =
        Forest::new(forest.server_id, nodes, forest.branches.clone(), forest.current, forest.current_branch, 1);
    for (delete, expected) in [
        ("e", "~a(b(c) d) | c | main side@a"),
        ("subtree d", "b(c) | c | main"),
        ("branch side", "b(c) | c | main"),
        ("b", "~a(c d(e)) | c | main side@a"),
    ] {
        let plan = plan(&no_storage(&grove.forest), target(&grove, delete)).unwrap();
        assert_eq!(after(&grove, &plan), expected, "{delete}");
    }
}

#[test]
fn what_cannot_be_deleted_is_refused() {
    let grove = grove(FORK, Some("c"), "main");
    let kind = |forest: &Forest, target| plan(&no_storage(forest), target).unwrap_err().kind();
    assert_eq!(kind(&grove.forest, Target::Branch(grove.branch_ids["main"])), Kind::Conflict, "the server is on it");
    assert_eq!(kind(&grove.forest, Target::Snapshot(SnapshotId::new())), Kind::NotFound);
    assert_eq!(kind(&grove.forest, Target::Branch(BranchId::new())), Kind::NotFound);
    let mut busy = grove.forest.clone();
    busy.nodes[1].status = SnapshotStatus::Restoring;
    assert_eq!(kind(&busy, Target::Snapshot(grove.ids["b"])), Kind::Conflict);
    assert_eq!(kind(&busy, Target::Subtree(grove.ids["a"])), Kind::Conflict, "one of it");
}

#[test]
fn a_protected_snapshot_is_refused_wherever_it_is_asked_for_with_who_and_why() {
    let mut grove = grove(FORK, Some("c"), "main");
    let (user_id, reason) = ("alice".to_owned(), "the auditors' state".to_owned());
    grove.forest.nodes[4].protection = Some(Protection { user_id, reason, since: crate::clock::now() });
    for words in ["e", "subtree a", "branch side", "tree"] {
        let refused = plan(&no_storage(&grove.forest), target(&grove, words)).unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict, "{words}");
        assert!(
            refused.to_string().contains("alice") && refused.to_string().contains("auditors"),
            "{words}: {refused}"
        );
    }
    assert!(plan(&no_storage(&grove.forest), target(&grove, "d")).is_ok(), "its neighbours are not protected");
}

#[test]
fn what_was_deleted_and_had_to_stay_can_be_asked_for_again() {
    let mut grove = grove(FORK, Some("c"), "main");
    grove.forest.nodes[0].hidden = true;
    grove.forest.nodes[3].hidden = true;
    grove.forest.nodes[3].status = SnapshotStatus::ErrorDeleting;
    for words in ["a", "d"] {
        let plan = plan(&no_storage(&grove.forest), target(&grove, words)).unwrap();
        assert_eq!(after(&grove, &plan), "~a(b(c) e) | c | main side@a", "{words}");
    }
}

#[test]
fn a_failed_capture_is_no_part_of_the_forest_and_goes_with_what_is_left_of_it() {
    let grove = grove(CHAIN, Some("c"), "main");
    let mut failed = grove.forest.nodes[2].clone();
    (failed.id, failed.status, failed.parent_id) = (SnapshotId::new(), SnapshotStatus::Error, None);
    let snapshots: Vec<Snapshot> = grove.forest.nodes.iter().chain([&failed]).cloned().collect();
    let world = DeleteWorld { snapshots: &snapshots, ..no_storage(&grove.forest) };
    assert_eq!(plan(&world, Target::Snapshot(failed.id)).unwrap().gone, [failed.id]);
    assert_eq!(plan(&world, Target::Snapshot(grove.ids["b"])).unwrap().gone, [grove.ids["b"]]);
    let all: Vec<SnapshotId> = snapshots.iter().map(|node| node.id).collect();
    assert_eq!(plan(&world, Target::Tree).unwrap().gone, all);
}

/// Storage of one disk: what lies on what, by words.
struct Store {
    scene: Scene,
    named: std::collections::BTreeMap<&'static str, LayerId>,
}

impl Store {
    fn new(nodes: Nodes<'_>, current: &str, branch: &str) -> Self {
        let mut scene = Scene::new(nodes, Some(current), branch, &["disk"]);
        let head = scene.layers[0].id;
        scene.layers[0].key = "head".into();
        Self { scene, named: [("head", head)].into() }
    }

    fn layer(&mut self, name: &'static str) -> &mut Layer {
        let id = self.named[name];
        self.scene.layers.iter_mut().find(|layer| layer.id == id).unwrap()
    }

    /// A disk that gave way.
    fn parked(&mut self, name: &'static str) {
        let layer =
            Layer { id: LayerId::new(), role: LayerRole::Parked, key: name.into(), ..self.scene.layers[0].clone() };
        self.named.insert(name, layer.id);
        self.scene.layers.push(layer);
    }

    fn part_of(&self, node: &str) -> DiskSnapshot {
        let id = self.scene.node(node);
        self.scene.parts.iter().find(|part| part.snapshot_id == id).unwrap().clone()
    }

    /// A node's snapshot lies on a disk.
    fn on(&mut self, layer: &'static str, node: &str) {
        let id = DiskSnapshotId::new();
        self.scene.parts.push(DiskSnapshot {
            id,
            snapshot_id: self.scene.node(node),
            layer_id: self.named[layer],
            origin: id,
            backend_id: "there".into(),
            position: 0,
            size_bytes: 1,
            attachment: crate::domain::disk::Attachment::default(),
        });
    }

    /// A node's snapshot is another's.
    fn shares(&mut self, node: &str, with: &str) {
        let part = self.part_of(with);
        let id = DiskSnapshotId::new();
        self.scene.parts.push(DiskSnapshot { id, snapshot_id: self.scene.node(node), ..part });
    }

    fn made_of(&mut self, layer: &'static str, node: &str) {
        let part = self.part_of(node);
        let layer = self.layer(layer);
        (layer.parent, layer.parent_layer) = (Some(part.origin), Some(part.layer_id));
    }

    fn equals(&mut self, layer: &'static str, node: &str) {
        let origin = self.part_of(node).origin;
        self.layer(layer).equals = Some(origin);
    }

    /// The removals in words, then the hidden nodes.
    fn delete(&self, words: &str, clones_hold: bool) -> String {
        let world = DeleteWorld {
            forest: &self.scene.grove.forest,
            snapshots: &self.scene.grove.forest.nodes,
            layers: &self.scene.layers,
            disk_snapshots: &self.scene.parts,
            clones_hold: &|_| clones_hold,
        };
        let plan = plan(&world, target(&self.scene.grove, words)).unwrap();
        let name = |id: SnapshotId| self.scene.grove.forest.node(id).unwrap().name.clone();
        let mut said: Vec<String> = plan
            .removals
            .iter()
            .map(|removal| match removal {
                Removal::Snapshot(origin) => {
                    let part = self.scene.parts.iter().find(|part| part.id == *origin).unwrap();
                    name(part.snapshot_id)
                }
                Removal::Layer(id) => {
                    self.scene.layers.iter().find(|layer| layer.id == *id).unwrap().key.to_uppercase()
                }
            })
            .collect();
        said.extend(plan.joints.iter().map(|joint| format!("~{}", name(joint.id))));
        assert_eq!(plan.stays.is_empty(), !said.iter().any(|word| word.starts_with('~')) && !self.keeps_a_disk(&plan));
        said.join(" ")
    }

    fn knows(&self, origin: DiskSnapshotId) -> bool {
        self.scene.parts.iter().any(|part| part.origin == origin)
    }

    /// Whether a parked disk stays that carries nothing any more.
    fn keeps_a_disk(&self, plan: &DeletePlan) -> bool {
        self.scene.layers.iter().any(|layer| {
            let mut parts = self.scene.parts.iter().filter(|part| part.layer_id == layer.id).peekable();
            layer.role == LayerRole::Parked
                && !plan.removals.contains(&Removal::Layer(layer.id))
                && (parts.peek().is_some() || layer.equals.is_some_and(|origin| !self.knows(origin)))
                && parts.all(|part| plan.removals.contains(&Removal::Snapshot(part.origin)))
        })
    }
}

/// a and b were captured on a disk that gave way when the server went back to a; c was captured on its clone.
fn went_back() -> Store {
    let nodes: Nodes<'_> = &[("a", None, "main"), ("b", Some("a"), "main"), ("c", Some("a"), "side")];
    let mut store = Store::new(nodes, "c", "side");
    store.parked("old");
    store.on("old", "a");
    store.on("old", "b");
    store.equals("old", "b");
    store.made_of("head", "a");
    store.on("head", "c");
    store
}

#[test]
fn snapshots_of_one_disk_do_not_need_each_other() {
    for delete in ["a", "b", "c"] {
        let mut store = Store::new(CHAIN, "c", "main");
        for node in ["a", "b", "c"] {
            store.on("head", node);
        }
        assert_eq!(store.delete(delete, true), delete);
    }
}

#[test]
fn a_snapshot_that_another_node_shares_stays_until_both_are_gone() {
    let mut store = Store::new(CHAIN, "c", "main");
    store.on("head", "a");
    store.shares("b", "a");
    store.on("head", "c");
    assert_eq!(store.delete("a", true), "");
    assert_eq!(store.delete("b", true), "");
    assert_eq!(store.delete("tree", true), "a c");
}

#[test]
fn a_disk_goes_when_nothing_lies_on_it_and_nothing_was_made_of_it() {
    let store = went_back();
    assert_eq!(store.delete("b", false), "b", "a lies on the disk");
    assert_eq!(store.delete("branch main", false), "a b", "the head was made of it: its backend keeps it");
    let mut store = went_back();
    (store.layer("head").parent, store.layer("head").parent_layer) = (None, None); // flattened
    assert_eq!(store.delete("branch main", false), "a b OLD");
}

#[test]
fn a_disk_that_had_to_stay_goes_when_its_last_clone_is_gone() {
    let mut store = went_back();
    // Branch main was deleted: no row tells of a and b any more, and OLD is left for the head's sake.
    let main = store.scene.grove.branch_ids["main"];
    let forest = &store.scene.grove.forest;
    let nodes: Vec<Snapshot> = forest.nodes.iter().filter(|node| node.branch_id != main).cloned().collect();
    let rest = nodes.into_iter().map(|node| Snapshot { parent_id: None, ..node }).collect();
    let branches = forest.branches.iter().filter(|branch| branch.id != main).cloned();
    let branches =
        branches.map(|branch| crate::domain::snapshot::Branch { fork_snapshot_id: None, ..branch }).collect();
    store.scene.grove.forest = Forest::new(forest.server_id, rest, branches, forest.current, forest.current_branch, 1);
    let c = store.scene.node("c");
    store.scene.parts.retain(|part| part.snapshot_id == c);
    assert_eq!(store.delete("leftovers", false), "", "the head was made of it");
    (store.layer("head").parent, store.layer("head").parent_layer) = (None, None); // flattened
    assert_eq!(store.delete("leftovers", false), "OLD");
}

#[test]
fn a_backend_that_keeps_snapshots_for_their_clones_keeps_their_node_as_a_joint() {
    let store = went_back();
    assert_eq!(store.delete("a", true), "~a", "two lines part here, and the head was made of it");
    assert_eq!(store.delete("branch main", true), "b ~a");
    assert_eq!(store.delete("c", true), "c");
}

#[test]
fn what_goes_sets_free_what_an_earlier_deletion_had_to_leave() {
    // a on OLD; the head MIDDLE was made of it and gave way to a clone of its own b; a was deleted and is a joint.
    let nodes: Nodes<'_> = &[("a", None, "main"), ("b", Some("a"), "main"), ("c", Some("b"), "side")];
    let mut store = Store::new(nodes, "c", "side");
    store.parked("old");
    store.parked("middle");
    store.on("old", "a");
    store.equals("old", "a");
    store.made_of("middle", "a");
    store.on("middle", "b");
    store.equals("middle", "b");
    let forest = &store.scene.grove.forest;
    let mut rows = forest.nodes.clone();
    rows[0].hidden = true;
    store.scene.grove.forest =
        Forest::new(forest.server_id, rows, forest.branches.clone(), forest.current, forest.current_branch, 1);
    assert_eq!(store.delete("b", true), "b MIDDLE a OLD", "round after round");
}

#[test]
fn a_parked_disk_that_equals_no_node_is_not_taken_for_useless() {
    let mut store = Store::new(CHAIN, "c", "main");
    for node in ["a", "b", "c"] {
        store.on("head", node);
    }
    store.parked("declined"); // the only copy of what a restore without safety snapshot took away
    assert_eq!(store.delete("subtree a", false), "a b c");
    assert_eq!(store.delete("tree", false), "a b c DECLINED", "with the whole tree it goes");
}
