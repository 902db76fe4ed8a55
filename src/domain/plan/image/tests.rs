//! Which mode holds, what messages say together, when a node is captured, and which nodes go.

use super::*;
use crate::domain::forest::tests::grove;
use crate::domain::snapshot::{Beside, Protection};
use crate::ids::ServerId;
use CaptureMode::{After, During, Off};

#[test]
fn the_servers_word_goes_before_the_projects_mode_and_that_before_the_clouds() {
    for (cloud, project, word, expected, unknown) in [
        (During, None, None, During, None),
        (After, None, None, After, None),
        (During, Some(Off), None, Off, None),
        (Off, Some(After), None, After, None),
        (Off, Some(After), Some("during"), During, None),
        (During, None, Some("off"), Off, None),
        (Off, None, Some(" After "), After, None),
        (Off, None, Some("always"), Off, Some("always")),
        (Off, Some(After), Some(""), After, Some("")),
    ] {
        let projects = project.map(|mode| ("mine".to_owned(), mode)).into_iter().collect();
        let modes = CaptureModes { cloud, projects };
        assert_eq!(modes.of("mine", word), (expected, unknown), "{modes:?} {word:?}");
        if word.is_none() {
            assert_eq!(modes.of("another's", None), (cloud, None), "{modes:?}");
        }
    }
}

#[test]
fn a_node_is_captured_as_soon_as_mode_and_nova_allow() {
    for (mode, task, expected) in [
        (During, Some("image_snapshot"), Verdict::Capture { amid: true }),
        (During, Some("image_snapshot_pending"), Verdict::Capture { amid: true }),
        (During, Some("image_pending_upload"), Verdict::Capture { amid: true }),
        (During, Some("image_uploading"), Verdict::Capture { amid: true }),
        (During, Some("image_backup"), Verdict::Capture { amid: true }),
        (During, Some("powering-off"), Verdict::Wait),
        (During, None, Verdict::Capture { amid: false }),
        (After, Some("image_uploading"), Verdict::Wait),
        (After, Some("rebuilding"), Verdict::Wait),
        (After, None, Verdict::Capture { amid: false }),
        (Off, Some("image_uploading"), Verdict::Leave),
        (Off, None, Verdict::Leave),
    ] {
        assert_eq!(decide(mode, task), expected, "{mode:?} {task:?}");
    }
}

fn event(what: What, request: Option<&str>, image: Option<&str>, second: i64) -> ServerEvent {
    ServerEvent {
        message_id: format!("{what:?}{second}"),
        server_id: ServerId::new(),
        what,
        project_id: None,
        request_id: request.map(str::to_owned),
        image_id: image.map(str::to_owned),
        sent_at: DateTime::from_timestamp(second, 0),
    }
}

fn making(request: &str, image: Option<&str>, begun: Option<i64>, told: i64) -> Making {
    let at = |second| DateTime::from_timestamp(second, 0);
    Making {
        request: request.to_owned(),
        image_id: image.map(str::to_owned),
        begun_at: begun.and_then(at),
        told_at: at(told),
    }
}

#[test]
fn all_messages_of_one_request_are_one_image() {
    let (start, end) = (What::SnapshotStart, What::SnapshotEnd);
    for (events, expected) in [
        (vec![], vec![]),
        (vec![event(What::Changed, Some("r"), Some("i"), 1)], vec![]),
        (vec![event(start, None, Some("i"), 1)], vec![]),
        (
            vec![event(start, Some("r"), None, 2), event(start, Some("r"), Some("i"), 3)],
            vec![making("r", Some("i"), Some(2), 2)],
        ),
        (
            vec![event(start, Some("r"), Some("i"), 3), event(start, Some("r"), None, 2)],
            vec![making("r", Some("i"), Some(2), 2)],
        ),
        (vec![event(end, Some("r"), Some("i"), 9)], vec![making("r", Some("i"), None, 9)]),
        (vec![event(end, Some("r"), None, 9), event(start, Some("r"), None, 4)], vec![making("r", None, Some(4), 4)]),
        (
            vec![
                event(start, Some("r"), None, 1),
                event(start, Some("s"), Some("j"), 2),
                event(end, Some("r"), Some("i"), 3),
            ],
            vec![making("r", Some("i"), Some(1), 1), making("s", Some("j"), Some(2), 2)],
        ),
    ] {
        assert_eq!(told(&events), expected, "{events:?}");
    }
}

#[test]
fn of_images_that_nobody_told_of_only_the_newest_of_late_counts() {
    let act = |action: &str, request: &str, minute: i64, failed: bool| ServerAction {
        action: action.into(),
        request_id: request.into(),
        user_id: None,
        started_at: DateTime::from_timestamp(minute * 60, 0),
        failed,
    };
    let now = DateTime::from_timestamp(100 * 60, 0).unwrap();
    for (actions, expected) in [
        (vec![], None),
        (vec![act("stop", "r1", 99, false)], None),
        (vec![act("stop", "r2", 99, false), act("createImage", "r1", 98, false)], Some("r1")),
        (vec![act("createBackup", "r2", 97, false), act("createImage", "r1", 96, false)], Some("r2")),
        (vec![act("createImage", "r2", 97, true), act("createImage", "r1", 96, false)], None),
        (vec![act("createImage", "r1", 39, false)], None),
    ] {
        assert_eq!(untold(&actions, now).map(|it| it.request).as_deref(), expected, "{actions:?}");
    }
}

#[test]
fn of_an_image_that_nobody_told_of_the_sweep_gives_the_word_its_time_and_then_captures_what_is_still_wanted() {
    use CaptureMode::{After, During, Off};
    let now = DateTime::from_timestamp(10_000, 0).unwrap();
    for (mode, seconds, expected) in [
        (Off, 500, Recall::Leave),
        (Off, 5, Recall::Leave),
        (After, 5, Recall::Wait),
        (During, 119, Recall::Wait),
        (During, -5, Recall::Wait),
        (After, 120, Recall::Capture),
        (During, 120, Recall::TooLate),
    ] {
        assert_eq!(recall(mode, now - TimeDelta::seconds(seconds), now), expected, "{mode:?} {seconds}");
    }
}

#[test]
fn only_nodes_of_backups_that_nobody_protects_go_with_their_image() {
    let grove = grove(&[("a", None, "main")], Some("a"), "main");
    let beside = |image: Option<&str>, backup| Beside { request: "r".into(), image_id: image.map(Into::into), backup };
    let protection = Protection { user_id: "u".into(), reason: String::new(), since: crate::clock::now() };
    type Spoil<'a> = Box<dyn Fn(&mut Snapshot) + 'a>;
    let spoils: [(&str, Spoil<'_>); 7] = [
        ("an ordinary node", Box::new(|node| node.beside = None)),
        ("an ordinary image's", Box::new(|node| node.beside = Some(beside(Some("i"), false)))),
        ("its image was never named", Box::new(|node| node.beside = Some(beside(None, true)))),
        ("it is protected", Box::new(|node| node.protection = Some(protection.clone()))),
        ("it is hidden", Box::new(|node| node.hidden = true)),
        ("it is being captured", Box::new(|node| node.status = SnapshotStatus::Creating)),
        ("somebody is told what of it could not go", Box::new(|node| node.status = SnapshotStatus::ErrorDeleting)),
    ];
    let mut node = grove.forest.nodes[0].clone();
    node.beside = Some(beside(Some("i"), true));
    let nodes = [node.clone()];
    assert_eq!(rotating(&nodes).map(|(node, image)| (node.id, image)).collect::<Vec<_>>(), [(node.id, "i")]);
    for (why, spoil) in spoils {
        let mut spoiled = node.clone();
        spoil(&mut spoiled);
        assert_eq!(rotating(&[spoiled]).count(), 0, "{why}");
    }
}
