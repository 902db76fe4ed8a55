//! What the capture planner decides, and what it refuses.

use std::collections::BTreeMap;

use super::*;
use crate::domain::disk::{Attachment, DiskFacts, DiskKind, Layer, LayerRole};
use crate::domain::forest::tests::{Grove, grove};
use crate::domain::snapshot::Protection;
use crate::error::Kind;
use crate::ids::{DiskId, LayerId, ServerId};

/// A server with its tree, for planners; made of words.
pub struct Scene {
    pub server: ServerFacts,
    pub live: Vec<LiveDisk>,
    pub left_out: Vec<LeftOut>,
    pub grove: Grove,
    pub layers: Vec<Layer>,
    pub parts: Vec<DiskSnapshot>,
    pub unchanged_since: Option<SnapshotId>,
    pub pause_allowed: std::result::Result<(), String>,
    pub nodes_max: usize,
    pub amid_image: bool,
}

pub fn placement(backend: &str) -> Placement {
    if backend == "named" { Placement::Named } else { Placement::Attached }
}

fn facts(id: ServerId) -> ServerFacts {
    ServerFacts {
        id,
        name: "web".into(),
        project_id: "p".into(),
        status: ServerStatus::Active,
        task_state: None,
        locked: false,
        locked_reason: None,
        image_id: Some("cirros".into()),
        flavor: "tiny".into(),
        root_gb: 1,
        extra_specs: BTreeMap::new(),
        volumes: vec![],
        metadata: BTreeMap::new(),
    }
}

impl Scene {
    /// A running server whose tree is `nodes`, at `current` on `branch`, with these live disks: `disk` and volumes.
    pub fn new(nodes: &[(&str, Option<&str>, &str)], current: Option<&str>, branch: &str, disks: &[&str]) -> Self {
        let grove = grove(nodes, current, branch);
        let server = facts(grove.forest.server_id);
        let mut scene = Self {
            server,
            live: vec![],
            left_out: vec![],
            grove,
            layers: vec![],
            parts: vec![],
            unchanged_since: None,
            pause_allowed: Ok(()),
            nodes_max: 64,
            amid_image: false,
        };
        for disk in disks {
            scene.attach(disk);
        }
        scene
    }

    /// A server that was never captured.
    pub fn unknown(disks: &[&str]) -> Self {
        let mut scene = Self::new(&[], None, "main", disks);
        scene.grove.forest.branches.clear();
        scene.grove.forest.current_branch = None;
        for live in &mut scene.live {
            live.is_new = true;
        }
        scene.layers.clear();
        scene
    }

    /// Hangs a known disk on the server, as the last one.
    pub fn attach(&mut self, key: &str) -> LayerId {
        let named = key.starts_with("disk");
        let layer = Layer {
            id: LayerId::new(),
            server_id: self.server.id,
            disk_id: DiskId::new(),
            backend: if named { "named" } else { "attached" }.into(),
            pool: String::new(),
            backend_id: format!("id-{key}"),
            key: key.to_owned(),
            kind: match key {
                "disk" => DiskKind::System,
                _ if named => DiskKind::Ephemeral,
                _ => DiskKind::Volume,
            },
            role: LayerRole::Head,
            parent: None,
            parent_layer: None,
            equals: None,
            parked_mark: String::new(),
            facts: DiskFacts::default(),
        };
        self.layers.push(layer.clone());
        self.show(&layer);
        layer.id
    }

    /// Makes a known layer a live disk, the last in order.
    pub fn show(&mut self, layer: &Layer) {
        let place = self.live.len();
        let disk = FoundDisk {
            backend: layer.backend.clone(),
            pool: layer.pool.clone(),
            backend_id: layer.backend_id.clone(),
            key: layer.key.clone(),
            kind: layer.kind,
            position: u32::try_from(place).unwrap(),
            size_bytes: 1 << 30,
            attachment: Attachment {
                device: Some(format!("/dev/vd{}", char::from(b'a' + place as u8))),
                ..Attachment::default()
            },
            facts: DiskFacts::default(),
            unsupported: None,
            foreign_snapshots: vec![],
        };
        self.live.push(LiveDisk { disk, layer: layer.clone(), is_new: false });
    }

    /// Takes a live disk off the server; its layer stays known.
    pub fn detach(&mut self, key: &str) {
        self.live.retain(|live| live.disk.key != key);
    }

    /// Gives a node its parts: one on the layer of each of these disks.
    pub fn holds(&mut self, node: &str, keys: &[&str]) -> Vec<DiskSnapshotId> {
        let ids: Vec<DiskSnapshotId> = keys.iter().map(|_| DiskSnapshotId::new()).collect();
        for ((position, key), id) in (0..).zip(keys).zip(&ids) {
            let layer_id = self.layer(key).id;
            self.parts.push(DiskSnapshot {
                id: *id,
                snapshot_id: self.node(node),
                layer_id,
                origin: *id,
                backend_id: format!("of-{node}"),
                position,
                size_bytes: 1 << 30,
                attachment: Attachment::default(),
            });
        }
        ids
    }

    pub fn node(&self, name: &str) -> SnapshotId {
        self.grove.ids[name]
    }

    /// The newest layer of this key.
    pub fn layer(&self, key: &str) -> &Layer {
        self.layers.iter().rev().find(|layer| layer.key == key).unwrap()
    }

    pub fn capture(&self, consistency: Consistency, exclude: &[&str]) -> Result<CapturePlan> {
        let exclude = exclude.iter().map(|word| (*word).to_owned()).collect();
        let world = CaptureWorld {
            server: &self.server,
            live: &self.live,
            left_out: &self.left_out,
            forest: &self.grove.forest,
            disk_snapshots: &self.parts,
            unchanged_since: self.unchanged_since,
            placement: &placement,
            pause_allowed: self.pause_allowed.clone(),
            nodes_max: self.nodes_max,
            amid_image: self.amid_image,
        };
        plan(&world, &CaptureRequest { consistency, exclude })
    }
}

/// Each thing for which a planner refuses a server, whatever its tree: what is done to the scene, and a word of the reason.
pub type Spoil = (&'static str, fn(&mut Scene), &'static str);

pub const SPOILS: [Spoil; 9] = [
    ("it boots from a volume", |scene| scene.server.image_id = None, "boots from a volume"),
    ("its flavor has a TPM", |scene| extra(scene, "hw:tpm_version", "2.0"), "TPM"),
    ("its image has a TPM", |scene| extra(scene, "image:hw_tpm_version", "2.0"), "TPM"),
    ("Nova encrypts its disks", |scene| extra(scene, "hw:ephemeral_encryption", "True"), "encrypted"),
    ("no driver serves its system disk", |scene| scene.detach("disk"), "No driver serves"),
    ("Nova is at work", |scene| scene.server.task_state = Some("rebuilding".into()), "rebuilding"),
    ("it is locked", |scene| scene.server.locked = true, "is locked"),
    ("it is in an error", |scene| scene.server.status = ServerStatus::from_nova("ERROR"), "is ERROR"),
    (
        "it is shelved",
        |scene| scene.server.status = ServerStatus::from_nova("SHELVED_OFFLOADED"),
        "is SHELVED_OFFLOADED",
    ),
];

fn extra(scene: &mut Scene, key: &str, value: &str) {
    scene.server.extra_specs.insert(key.to_owned(), value.to_owned());
}

#[test]
fn a_server_that_cannot_be_captured_is_refused_with_the_reason() {
    for (name, spoil, word) in SPOILS {
        let mut scene = Scene::unknown(&["disk", "data"]);
        spoil(&mut scene);
        let error = scene.capture(Consistency::Auto, &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{name}");
        assert!(error.chain().contains(word), "{name}: {}", error.chain());
        assert!(error.remedy_text().is_some(), "{name}: what to do?");
    }
}

#[test]
fn a_tpm_that_is_switched_off_is_none() {
    for value in ["", "false", "None", "no", "0"] {
        let mut scene = Scene::unknown(&["disk"]);
        extra(&mut scene, "hw:tpm_version", value);
        assert!(scene.capture(Consistency::Auto, &[]).is_ok(), "{value:?}");
    }
}

#[test]
fn a_server_is_captured_running_stopped_or_paused_and_in_no_other_state() {
    for (word, allowed) in [
        ("ACTIVE", true),
        ("SHUTOFF", true),
        ("PAUSED", true),
        ("BUILD", false),
        ("DELETED", false),
        ("ERROR", false),
        ("HARD_REBOOT", false),
        ("MIGRATING", false),
        ("PASSWORD", false),
        ("REBOOT", false),
        ("REBUILD", false),
        ("RESCUE", false),
        ("RESIZE", false),
        ("REVERT_RESIZE", false),
        ("SHELVED", false),
        ("SHELVED_OFFLOADED", false),
        ("SOFT_DELETED", false),
        ("SUSPENDED", false),
        ("UNKNOWN", false),
        ("VERIFY_RESIZE", false),
    ] {
        let mut scene = Scene::unknown(&["disk"]);
        scene.server.status = ServerStatus::from_nova(word);
        let result = scene.capture(Consistency::Auto, &[]);
        assert_eq!(result.is_ok(), allowed, "{word}: {result:?}");
    }
}

#[test]
fn a_full_tree_is_refused_and_says_what_could_go() {
    let nodes = [
        ("fork", None, "main"),
        ("old", Some("fork"), "main"),
        ("protected", Some("fork"), "side"),
        ("hidden", Some("protected"), "side"),
        ("safety", Some("hidden"), "side"),
        ("current", Some("old"), "main"),
    ];
    let mut scene = Scene::new(&nodes, Some("current"), "main", &["disk"]);
    scene.nodes_max = 7;
    assert!(scene.capture(Consistency::Auto, &[]).is_ok());
    scene.nodes_max = 6;
    let rows = &mut scene.grove.forest.nodes;
    rows[2].protection =
        Some(Protection { user_id: "alice".into(), reason: String::new(), since: crate::clock::now() });
    rows[3].hidden = true;
    rows[4].safety = true;
    let error = scene.capture(Consistency::Auto, &[]).unwrap_err();
    let named: Vec<&str> = error.remedy_text().unwrap().split('"').skip(1).step_by(2).collect();
    assert_eq!(named, ["safety", "old"]);
}

#[test]
fn a_node_grows_from_current_on_the_current_branch() {
    let branch = |scene: &Scene, name: &str| BranchChoice::Continue(scene.grove.branch_ids[name]);
    let chain: &[(&str, Option<&str>, &str)] = &[("a", None, "main"), ("b", Some("a"), "main")];

    let first = Scene::unknown(&["disk"]);
    let plan = first.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!((plan.parent, plan.branch), (None, BranchChoice::New("main".into())), "the first of all");

    let on = Scene::new(chain, Some("b"), "main", &["disk"]);
    let plan = on.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!((plan.parent, plan.branch), (Some(on.node("b")), branch(&on, "main")), "on and on");

    let forked = Scene::new(chain, Some("a"), "side", &["disk"]);
    let plan = forked.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!((plan.parent, plan.branch), (Some(forked.node("a")), branch(&forked, "side")), "on a branch just begun");

    let lost = Scene::new(chain, None, "main", &["disk"]);
    let plan = lost.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!(
        (plan.parent, plan.branch),
        (None, BranchChoice::New("branch-2".into())),
        "another root, another branch"
    );

    let mut rebuilt = Scene::new(chain, Some("b"), "main", &["disk"]);
    rebuilt.live[0].is_new = true;
    let plan = rebuilt.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!((plan.parent, plan.branch), (None, BranchChoice::New("branch-2".into())), "after a rebuild");

    let mut wider = Scene::new(chain, Some("b"), "main", &["disk", "data"]);
    wider.live[1].is_new = true;
    let plan = wider.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!(
        (plan.parent, plan.branch),
        (Some(wider.node("b")), branch(&wider, "main")),
        "a new volume is no rebuild"
    );
}

#[test]
fn a_pause_is_for_running_servers_with_two_disks_or_more() {
    use Consistency::{Auto, Crash, None as Loose};
    // Two disks, one disk: (asked, status, disks, allowed) -> pause, level without one; or refused.
    for (asked, status, disks, allowed, expected) in [
        (Auto, "ACTIVE", 2, true, Some((true, Loose))),
        (Auto, "ACTIVE", 2, false, Some((false, Loose))),
        (Auto, "ACTIVE", 1, true, Some((false, Crash))),
        (Auto, "ACTIVE", 1, false, Some((false, Crash))),
        (Auto, "SHUTOFF", 2, true, Some((false, Crash))),
        (Auto, "SHUTOFF", 2, false, Some((false, Crash))),
        (Auto, "PAUSED", 2, true, Some((false, Crash))),
        (Auto, "PAUSED", 1, false, Some((false, Crash))),
        (Crash, "ACTIVE", 2, true, Some((true, Loose))),
        (Crash, "ACTIVE", 2, false, None),
        (Crash, "ACTIVE", 1, true, Some((false, Crash))),
        (Crash, "ACTIVE", 1, false, Some((false, Crash))),
        (Crash, "SHUTOFF", 2, false, Some((false, Crash))),
        (Crash, "PAUSED", 2, false, Some((false, Crash))),
        (Loose, "ACTIVE", 2, true, Some((false, Loose))),
        (Loose, "ACTIVE", 2, false, Some((false, Loose))),
        (Loose, "ACTIVE", 1, true, Some((false, Loose))),
        (Loose, "SHUTOFF", 2, true, Some((false, Crash))),
        (Loose, "PAUSED", 2, true, Some((false, Crash))),
    ] {
        let mut scene = Scene::unknown(if disks == 2 { &["disk", "data"] } else { &["disk"] });
        scene.server.status = ServerStatus::from_nova(status);
        scene.pause_allowed = if allowed { Ok(()) } else { Err("the owner says never".into()) };
        let what = format!("{asked:?} {status} {disks} disks, allowed {allowed}");
        match scene.capture(asked, &[]) {
            Ok(plan) => {
                assert_eq!(Some((plan.pause, plan.level_without_pause)), expected, "{what}");
                assert!(!plan.pause_reason.is_empty(), "{what}");
            }
            Err(error) => {
                assert_eq!(expected, None, "{what}: {error}");
                assert!(error.chain().contains("the owner says never"), "{what}: {}", error.chain());
            }
        }
    }
}

#[test]
fn a_server_at_rest_shares_only_what_is_wholly_the_same() {
    let chain: &[(&str, Option<&str>, &str)] = &[("a", None, "main")];
    let stopped = |covered: &[&str]| {
        let mut scene = Scene::new(chain, Some("a"), "main", &["disk", "data"]);
        scene.server.status = ServerStatus::Shutoff;
        let parts = scene.holds("a", covered);
        scene.unchanged_since = Some(scene.node("a"));
        (scene, parts)
    };
    let shares = |plan: &CapturePlan| plan.disks.iter().map(|disk| disk.share).collect::<Vec<_>>();

    let (same, parts) = stopped(&["disk", "data"]);
    let plan = same.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!(shares(&plan), [Some(parts[0]), Some(parts[1])]);
    assert_eq!(plan.needs, []);

    let (mut ran, _) = stopped(&["disk", "data"]);
    ran.unchanged_since = None;
    let plan = ran.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!(shares(&plan), [None, None], "it has run since");

    let (wider, _) = stopped(&["disk"]);
    assert_eq!(shares(&wider.capture(Consistency::Auto, &[]).unwrap()), [None, None], "the node lacks a disk");

    let (narrower, _) = stopped(&["disk", "data"]);
    assert_eq!(shares(&narrower.capture(Consistency::Auto, &["data"]).unwrap()), [None], "the node has one more");

    let (mut shared, parts) = stopped(&["disk", "data"]);
    for part in &mut shared.parts {
        part.id = DiskSnapshotId::new(); // shared itself: the origin is what counts
    }
    assert_eq!(shares(&shared.capture(Consistency::Auto, &[]).unwrap()), [Some(parts[0]), Some(parts[1])]);
}

#[test]
fn a_capture_needs_one_snapshot_for_each_volume_and_none_for_named_disks() {
    let mut scene = Scene::unknown(&["disk", "disk.eph0", "data", "logs"]);
    scene.live[2].disk.size_bytes = (5 << 30) + 1;
    let plan = scene.capture(Consistency::Auto, &[]).unwrap();
    assert_eq!(
        plan.needs,
        [("attached".to_owned(), Need { volumes: 0, snapshots: 2, gigabytes: 7 })],
        "GiB are rounded up"
    );
    let plan = scene.capture(Consistency::Auto, &["logs"]).unwrap();
    assert_eq!(plan.needs, [("attached".to_owned(), Need { volumes: 0, snapshots: 1, gigabytes: 6 })]);
}

#[test]
fn a_disk_is_left_out_by_any_of_its_names_and_named_in_the_node() {
    let mut scene = Scene::unknown(&["disk", "data", "logs"]);
    scene.left_out.push(LeftOut::never("disk.swap".into(), "swap"));
    let disk_id = scene.live[1].layer.disk_id.to_string();
    for word in ["data", "/dev/vdb", "vdb", "id-data", disk_id.as_str()] {
        let plan = scene.capture(Consistency::Auto, &[word]).unwrap();
        let taken: Vec<usize> = plan.disks.iter().map(|disk| disk.live).collect();
        assert_eq!(taken, [0, 2], "{word}");
        let keys: Vec<&str> = plan.left_out.iter().map(|out| out.key.as_str()).collect();
        assert_eq!(keys, ["disk.swap", "data"], "{word}");
    }
    for word in ["disk", "vda", "/dev/vda", "system", "vdz", ""] {
        let error = scene.capture(Consistency::Auto, &[word]).unwrap_err();
        assert_eq!((error.kind(), error.field()), (Kind::BadRequest, Some("exclude_disks")), "{word}");
    }
}

#[test]
fn a_disk_id_that_two_live_disks_share_leaves_neither_out() {
    let mut scene = Scene::unknown(&["disk", "data", "copy"]);
    scene.live[2].layer.disk_id = scene.live[1].layer.disk_id;
    let shared = scene.live[1].layer.disk_id.to_string();
    let error = scene.capture(Consistency::Auto, &[&shared]).unwrap_err();
    assert_eq!((error.kind(), error.field()), (Kind::BadRequest, Some("exclude_disks")));
    assert_eq!(scene.capture(Consistency::Auto, &["copy"]).unwrap().disks.len(), 2, "by its own name it is");
}

#[test]
fn a_disk_left_out_twice_is_left_out_once() {
    let scene = Scene::unknown(&["disk", "data"]);
    let plan = scene.capture(Consistency::Auto, &["data", "vdb"]).unwrap();
    assert_eq!(plan.left_out.len(), 1, "{:?}", plan.left_out);
}

#[test]
fn a_disk_that_its_backend_does_not_support_must_be_left_out() {
    let mut scene = Scene::unknown(&["disk", "data"]);
    scene.live[1].disk.unsupported = Some("it is attached to several servers".into());
    let error = scene.capture(Consistency::Auto, &[]).unwrap_err();
    assert!(error.chain().contains("several servers") && error.chain().contains("exclude_disks"), "{}", error.chain());
    let plan = scene.capture(Consistency::Auto, &["data"]).unwrap();
    assert_eq!(plan.disks.len(), 1);
    assert_eq!((plan.pause, plan.level_without_pause), (false, Consistency::Crash), "one disk is left");
}

#[test]
fn beside_an_image_of_novas_a_server_is_captured_without_a_pause() {
    for (status, disks, level, why) in [
        (ServerStatus::Active, &["disk", "data"][..], Consistency::None, "allows no pause"),
        (ServerStatus::Active, &["disk"][..], Consistency::Crash, "one disk"),
        (ServerStatus::Shutoff, &["disk", "data"][..], Consistency::Crash, "stopped"),
        (ServerStatus::Paused, &["disk", "data"][..], Consistency::Crash, "paused already"),
    ] {
        let mut scene = Scene::new(&[], None, "main", disks);
        scene.server.status = status.clone();
        scene.server.task_state = Some("image_uploading".into());
        scene.amid_image = true;
        let plan = scene.capture(Consistency::Auto, &[]).unwrap();
        assert_eq!((plan.pause, plan.level_without_pause), (false, level), "{status:?} {disks:?}");
        assert!(plan.pause_reason.contains(why), "{status:?} {disks:?}: {}", plan.pause_reason);
    }
}

#[test]
fn only_beside_an_image_a_task_of_novas_is_not_in_the_way() {
    for (amid_image, task, refused) in [
        (true, Some("image_uploading"), false),
        (false, Some("image_uploading"), true),
        (true, Some("powering-off"), true),
        (true, None, false),
    ] {
        let mut scene = Scene::new(&[], None, "main", &["disk", "data"]);
        scene.server.task_state = task.map(Into::into);
        scene.amid_image = amid_image;
        let plan = scene.capture(Consistency::Auto, &[]);
        assert_eq!(plan.is_err(), refused, "{amid_image} {task:?}");
        assert_eq!(plan.is_ok_and(|plan| plan.pause), task.is_none(), "{amid_image} {task:?}");
    }
    let mut scene = Scene::new(&[], None, "main", &["disk"]);
    (scene.amid_image, scene.server.task_state, scene.server.locked) = (true, Some("image_backup".into()), true);
    assert!(scene.capture(Consistency::Auto, &[]).is_err(), "a lock is");
}
