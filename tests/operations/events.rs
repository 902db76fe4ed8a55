//! Captures beside images that Nova makes: when, once each, in whose words; what becomes of those of backups; and that Nova is
//! never disturbed.

use ratoon::app::App;
use ratoon::app::observe::observe;
use ratoon::app::snapshots::UpdateSnapshot;
use ratoon::background::sweep::{Progress, sweep};
use ratoon::domain::event::{ServerEvent, What};
use ratoon::domain::operation::OperationStatus;
use ratoon::domain::plan::image::CaptureMode;
use ratoon::domain::snapshot::{Beside, Consistency, Snapshot, SnapshotStatus};
use ratoon::drivers::fake::dump::Detail;
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::error::{Kind, Result};
use ratoon::ids::OperationId;
use ratoon::store::trees::TreeChange;

use crate::lab::Lab;

/// An image that Nova makes, or has made.
struct Image {
    request: String,
    id: String,
}

impl Image {
    /// The owner asks for an image of this name; Nova is at work until [`Lab::cloud`] ends it.
    fn begun(lab: &Lab, action: &str, name: &str) -> Self {
        let (request, id) = lab.cloud.nova_images(lab.server, action, name).unwrap();
        Self { request, id }
    }

    /// Nova's message, in the format that names the image or in the one that does not.
    fn message(&self, lab: &Lab, what: What, named: bool) -> ServerEvent {
        ServerEvent {
            message_id: OperationId::new().to_string(),
            server_id: lab.server,
            what,
            project_id: None,
            request_id: Some(self.request.clone()),
            image_id: named.then(|| self.id.clone()),
            sent_at: Some(ratoon::clock::now()),
        }
    }

    fn start(&self, lab: &Lab) -> [ServerEvent; 2] {
        [self.message(lab, What::SnapshotStart, false), self.message(lab, What::SnapshotStart, true)]
    }

    fn end(&self, lab: &Lab) -> [ServerEvent; 2] {
        [self.message(lab, What::SnapshotEnd, false), self.message(lab, What::SnapshotEnd, true)]
    }
}

/// Any other message about the server.
fn changed(lab: &Lab) -> [ServerEvent; 1] {
    let image = Image { request: "req-other".into(), id: String::new() };
    [image.message(lab, What::Changed, false)]
}

async fn hear(lab: &Lab, events: &[ServerEvent]) -> Result<()> {
    observe(&lab.app, lab.server, events).await
}

/// Engines do all that waits, one after the other, as they die.
async fn work(lab: &Lab) {
    while let Some(operation) = lab.take().await {
        lab.work(&operation).await;
    }
}

/// The snapshots of the server, unfinished ones too.
async fn snapshots(lab: &Lab) -> Vec<Snapshot> {
    lab.world.store.tree(lab.server).await.unwrap().map(|tree| tree.snapshots).unwrap_or_default()
}

async fn only(lab: &Lab) -> Snapshot {
    let mut all = snapshots(lab).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn names(lab: &Lab) -> Vec<String> {
    snapshots(lab).await.into_iter().map(|node| node.name).collect()
}

async fn warnings(lab: &Lab) -> Vec<String> {
    let record = lab.world.store.server(lab.server).await.unwrap();
    record.map(|record| record.warnings.into_iter().map(|it| it.text).collect()).unwrap_or_default()
}

fn choose(lab: &Lab, word: &str) {
    lab.cloud.edit_server(lab.server, |facts| {
        facts.metadata.insert("ratoon_capture".to_owned(), word.to_owned());
    });
}

#[tokio::test]
async fn while_nova_makes_an_image_all_disks_of_the_running_server_become_a_node_tied_to_it() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    let before = lab.cloud.live_bytes(lab.server);
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    let node = only(&lab).await;
    assert_eq!((node.name.as_str(), node.status), ("nightly", SnapshotStatus::Available));
    assert!(node.description.contains(&image.id) && node.description.contains("Made beside"), "{}", node.description);
    let beside = Beside { request: image.request.clone(), image_id: Some(image.id.clone()), backup: false };
    assert_eq!((node.beside, node.user_id.as_str()), (Some(beside), "owner"));
    assert_eq!(node.consistency.reached, Some(Consistency::None));
    let reason = node.consistency.reason.unwrap();
    assert!(reason.contains("allows no pause"), "{reason}");
    let ms = reason.split("captured ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!((0..60_000).contains(&ms.parse::<i64>().unwrap()), "{reason}");
    let tree = lab.tree().await;
    let parts = tree.disks_of(node.id);
    assert_eq!(parts.len(), 4);
    for (part, (key, bytes)) in parts.iter().zip(&before) {
        let held = lab.cloud.snapshot_bytes(&tree.layer(part.layer_id).unwrap().backend_id, &part.backend_id);
        assert_eq!(held.as_ref(), Some(bytes), "{key}");
    }
    assert_eq!(lab.cloud.peek(lab.server).unwrap().task_state.as_deref(), Some("image_uploading"), "Nova goes on");
    assert_eq!(
        lab.cloud.history(lab.server).last().map(String::as_str),
        Some("createImage"),
        "nothing was asked of Nova"
    );
    lab.cloud.end_image(lab.server);
    hear(&lab, &image.end(&lab)).await.unwrap();
    work(&lab).await;
    only(&lab).await;
    lab.must_be_clean("after the image").await;
}

#[tokio::test]
async fn a_stopped_server_is_captured_at_rest_though_nova_makes_an_image_of_it() {
    let lab = Lab::with_a_server().await;
    lab.cloud.owner_stop(lab.server).unwrap();
    let image = Image::begun(&lab, "createImage", "nightly");
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    let node = only(&lab).await;
    assert_eq!((node.consistency.reached, node.consistency.reason), (Some(Consistency::Crash), None));
    assert!(node.at_rest);
}

#[tokio::test]
async fn an_ordinary_caller_is_refused_while_nova_makes_an_image() {
    let lab = Lab::with_a_server().await;
    Image::begun(&lab, "createImage", "nightly");
    let error = lab.ask_capture("a", |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("image_uploading"), "{error}");
}

#[tokio::test]
async fn an_ordinary_capture_that_was_accepted_before_does_not_go_on_beside_the_image() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    Image::begun(&lab, "createImage", "nightly");
    assert_eq!(lab.finish(id).await.status, OperationStatus::Failed);
}

#[tokio::test]
async fn after_the_image_the_capture_is_one_as_any_other() {
    let mut lab = Lab::with_a_server().await;
    lab.app.settings.capture.cloud = CaptureMode::After;
    let image = Image::begun(&lab, "createImage", "nightly");
    let waits = hear(&lab, &image.start(&lab)).await.unwrap_err();
    assert_eq!((waits.kind(), waits.is_retryable()), (Kind::Conflict, true), "the hint stays");
    assert!(snapshots(&lab).await.is_empty());
    lab.cloud.end_image(lab.server);
    hear(&lab, &[image.start(&lab), image.end(&lab)].concat()).await.unwrap();
    work(&lab).await;
    let node = only(&lab).await;
    assert_eq!((node.consistency.reached, node.consistency.reason), (Some(Consistency::Crash), None));
    assert!(lab.cloud.history(lab.server).contains(&"pause".to_owned()));
    assert_eq!(node.beside.unwrap().image_id, Some(image.id.clone()));
    for _ in 0..3 {
        hear(&lab, &changed(&lab)).await.unwrap(); // the pause, and what Cinder says of our own snapshots
    }
    work(&lab).await;
    only(&lab).await;
}

#[tokio::test]
async fn after_an_image_whose_end_nobody_told_of_the_next_message_reminds() {
    for (mode, expected) in [(CaptureMode::After, 1), (CaptureMode::During, 0), (CaptureMode::Off, 0)] {
        for known in [false, true] {
            let mut lab = Lab::with_a_server().await;
            if known {
                lab.capture("a").await;
            }
            let before = snapshots(&lab).await.len();
            lab.app.settings.capture.cloud = mode;
            Image::begun(&lab, "createImage", "nightly");
            hear(&lab, &changed(&lab)).await.unwrap();
            assert_eq!(snapshots(&lab).await.len(), before, "{mode:?} {known}: Nova is still at work");
            lab.cloud.end_image(lab.server);
            hear(&lab, &changed(&lab)).await.unwrap();
            work(&lab).await;
            assert_eq!(snapshots(&lab).await.len(), before + expected, "{mode:?} {known}");
        }
    }
}

#[tokio::test]
async fn the_mode_is_the_servers_then_the_projects_then_the_clouds() {
    use CaptureMode::{After, During, Off};
    for (cloud, project, word, expected) in [
        (During, None, None, During),
        (Off, None, None, Off),
        (During, Some(Off), None, Off),
        (Off, Some(After), None, After),
        (Off, Some(Off), Some("during"), During),
        (During, Some(During), Some("after"), After),
        (During, None, Some("off"), Off),
    ] {
        let what = format!("{cloud:?} {project:?} {word:?}");
        let mut lab = Lab::with_a_server().await;
        lab.app.settings.capture.cloud = cloud;
        lab.app.settings.capture.projects.extend(project.map(|mode| ("project".to_owned(), mode)));
        if let Some(word) = word {
            choose(&lab, word);
        }
        let image = Image::begun(&lab, "createImage", "nightly");
        let heard = hear(&lab, &image.start(&lab)).await;
        assert_eq!(heard.is_err(), expected == After, "{what}");
        work(&lab).await;
        assert_eq!(snapshots(&lab).await.len(), usize::from(expected == During), "{what}");
        lab.cloud.end_image(lab.server);
        hear(&lab, &image.end(&lab)).await.unwrap();
        work(&lab).await;
        assert_eq!(snapshots(&lab).await.len(), usize::from(expected != Off), "{what}");
    }
}

#[tokio::test]
async fn a_word_that_is_none_is_said_to_the_owner_and_the_clouds_choice_holds() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    choose(&lab, "always");
    let image = Image::begun(&lab, "createImage", "nightly");
    for _ in 0..2 {
        hear(&lab, &image.start(&lab)).await.unwrap();
        work(&lab).await;
    }
    assert_eq!(names(&lab).await, ["a", "nightly"]);
    let warnings = warnings(&lab).await;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("always") && warnings[0].contains("openstack server set"), "{}", warnings[0]);
}

#[tokio::test]
async fn whatever_is_heard_in_whatever_order_and_twice_there_is_one_node_that_knows_its_image() {
    for first in 0..4 {
        for second in (0..4).filter(|it| *it != first) {
            for works_at_once in [true, false] {
                let what = format!("{first} {second} {works_at_once}");
                let lab = Lab::with_a_server().await;
                let image = Image::begun(&lab, "createImage", "nightly");
                let all = [image.start(&lab), image.end(&lab)].concat();
                let rest = (0..4).filter(|it| *it != first && *it != second);
                for place in [first, second].into_iter().chain(rest) {
                    for _ in 0..2 {
                        hear(&lab, &all[place..=place]).await.unwrap();
                        if works_at_once {
                            work(&lab).await;
                        }
                    }
                }
                work(&lab).await;
                let node = only(&lab).await;
                assert_eq!((node.name.as_str(), node.status), ("nightly", SnapshotStatus::Available), "{what}");
                assert!(node.description.contains(&image.id), "{what}: {}", node.description);
                assert_eq!(node.beside.unwrap().image_id, Some(image.id), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_node_that_its_owner_has_renamed_keeps_the_name_when_its_image_becomes_known() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    let [unnamed, named] = image.start(&lab);
    hear(&lab, &[unnamed]).await.unwrap();
    work(&lab).await;
    let node = only(&lab).await;
    assert_eq!(node.name, format!("image of {}", image.request));
    let rename = UpdateSnapshot { name: Some("mine".into()), ..UpdateSnapshot::default() };
    lab.app.update_snapshot(&lab.caller(), node.id, rename).await.unwrap();
    hear(&lab, &[named]).await.unwrap();
    let node = only(&lab).await;
    assert_eq!((node.name.as_str(), node.beside.unwrap().image_id), ("mine", Some(image.id)));
}

#[tokio::test]
async fn an_engine_that_read_a_node_before_its_image_was_known_does_not_forget_the_image() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    let [unnamed, named] = image.start(&lab);
    hear(&lab, &[unnamed]).await.unwrap();
    work(&lab).await;
    let read_before = only(&lab).await;
    hear(&lab, &[named]).await.unwrap();
    let store = &lab.world.store;
    let mut operation = store.operation(lab.last_operation().await).await.unwrap().unwrap();
    operation.id = OperationId::new();
    let change = TreeChange { snapshots: vec![read_before], ..TreeChange::default() };
    store.begin_operation(&operation, "web", change, None).await.unwrap();
    let node = only(&lab).await;
    assert_eq!((node.name.as_str(), node.beside.unwrap().image_id), ("nightly", Some(image.id)));
}

#[tokio::test]
async fn an_image_whose_name_cannot_be_read_gives_its_id() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    lab.cloud.plan_fault(Which::Every("image_name"), When::Before, Harm::Temporary);
    hear(&lab, &image.start(&lab)).await.unwrap();
    assert_eq!(names(&lab).await, [format!("image {}", image.id)]);
}

#[tokio::test]
async fn two_engines_that_hear_of_an_image_at_once_make_one_node() {
    for _ in 0..5 {
        let lab = Lab::with_a_server().await;
        let image = Image::begun(&lab, "createImage", "nightly");
        let other = App { store: lab.world_of_another_process().await.store, ..lab.app.clone() };
        let events = image.start(&lab);
        let (one, two) = tokio::join!(hear(&lab, &events), observe(&other, lab.server, &events));
        for error in [one, two].into_iter().filter_map(Result::err) {
            assert!(error.is_retryable(), "{}", error.chain());
        }
        work(&lab).await;
        hear(&lab, &events).await.unwrap();
        work(&lab).await;
        only(&lab).await;
    }
}

#[tokio::test]
async fn a_node_that_was_deleted_does_not_come_back_with_a_late_message() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    let id = lab.ask_delete("nightly").await.unwrap();
    lab.must_succeed(id).await;
    lab.cloud.end_image(lab.server);
    hear(&lab, &image.end(&lab)).await.unwrap();
    work(&lab).await;
    assert!(snapshots(&lab).await.is_empty());
}

#[tokio::test]
async fn of_an_image_of_which_only_the_end_was_heard_there_is_a_node_as_any_other() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    lab.cloud.end_image(lab.server);
    hear(&lab, &image.end(&lab)).await.unwrap();
    work(&lab).await;
    let node = only(&lab).await;
    assert_eq!((node.name.as_str(), node.consistency.reached), ("nightly", Some(Consistency::Crash)));
    assert_eq!(node.consistency.reason, None, "its distance is not known");
}

#[tokio::test]
async fn a_node_that_comes_when_nova_has_finished_tells_how_late_it_is() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    lab.cloud.end_image(lab.server);
    let mut events = image.start(&lab);
    events[1].sent_at = events[1].sent_at.map(|at| at - chrono::TimeDelta::seconds(90));
    hear(&lab, &events).await.unwrap();
    work(&lab).await;
    let record = only(&lab).await.consistency;
    assert_eq!(record.reached, Some(Consistency::Crash));
    let reason = record.reason.unwrap();
    assert!(reason.starts_with("captured 9") && reason.contains("ms after"), "{reason}");
}

#[tokio::test]
async fn a_clock_of_novas_that_is_ahead_makes_no_negative_distance() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    let mut events = image.start(&lab);
    for event in &mut events {
        event.sent_at = event.sent_at.map(|at| at + chrono::TimeDelta::seconds(90));
    }
    hear(&lab, &events).await.unwrap();
    work(&lab).await;
    let reason = only(&lab).await.consistency.reason.unwrap();
    assert!(reason.contains("captured 0 ms after"), "{reason}");
}

#[tokio::test]
async fn what_keeps_a_capture_from_being_made_is_said_to_the_owner_once_and_nova_goes_on() {
    type Spoil = fn(&mut Lab);
    let spoils: [(&str, Spoil); 4] = [
        ("quota", |lab| lab.cloud.set_quota(-1, 3, -1)),
        ("the most that one server may have", |lab| lab.app.settings.nodes_max = 1),
        ("encrypted", |lab| lab.cloud.set_unsupported(&lab.volumes()[0], Some("it is encrypted"))),
        ("locked", |lab| lab.cloud.owner_lock(lab.server, "mine").unwrap()),
    ];
    for (why, spoil) in spoils {
        let mut lab = Lab::with_a_server().await;
        lab.capture("a").await;
        lab.cloud.guest_write(lab.server);
        spoil(&mut lab);
        let image = Image::begun(&lab, "createImage", "nightly");
        let before = lab.cloud.dump(Detail::All);
        for _ in 0..2 {
            hear(&lab, &image.start(&lab)).await.unwrap();
            work(&lab).await;
        }
        assert_eq!(names(&lab).await, ["a"], "{why}");
        assert_eq!(lab.cloud.dump(Detail::All), before, "{why}: nothing was touched, Nova's task least of all");
        let said = warnings(&lab).await;
        assert_eq!(said.len(), 1, "{why}: {said:?}");
        for part in [why, "Remedy: ", "\"nightly\"", &image.id] {
            assert!(said[0].contains(part), "{why}: {part} is not in: {}", said[0]);
        }
        lab.cloud.set_quota(-1, -1, -1);
        lab.cloud.end_image(lab.server);
        hear(&lab, &image.end(&lab)).await.unwrap();
        work(&lab).await;
        assert_eq!(names(&lab).await, ["a"], "{why}: it was decided");
    }
}

#[tokio::test]
async fn a_refusal_waits_for_the_message_that_names_the_image() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    lab.cloud.owner_lock(lab.server, "mine").unwrap();
    let image = Image::begun(&lab, "createImage", "nightly");
    let [mut unnamed, _] = image.start(&lab);
    let error = hear(&lab, std::slice::from_ref(&unnamed)).await.unwrap_err();
    assert!(error.is_retryable(), "{}", error.chain());
    assert!(warnings(&lab).await.is_empty());
    // Nova may send no other format.
    unnamed.sent_at = unnamed.sent_at.map(|at| at - chrono::TimeDelta::seconds(9));
    hear(&lab, &[unnamed]).await.unwrap();
    assert_eq!(warnings(&lab).await.len(), 1);
}

#[tokio::test]
async fn a_server_gets_its_first_record_with_its_first_node_only() {
    let lab = Lab::with_a_server().await;
    lab.cloud.set_quota(-1, 0, -1);
    let image = Image::begun(&lab, "createImage", "nightly");
    hear(&lab, &image.start(&lab)).await.unwrap();
    assert!(lab.world.store.tree(lab.server).await.unwrap().is_none());
}

#[tokio::test]
async fn servers_that_cannot_be_captured_are_left_alone_without_a_word() {
    type Spoil = fn(&Lab);
    let spoils: [(&str, Spoil); 2] = [
        ("it boots from a volume", |lab| lab.cloud.edit_server(lab.server, |facts| facts.image_id = None)),
        ("it has a TPM", |lab| lab.cloud.set_image_property("hw_tpm_version", "2.0")),
    ];
    for (why, spoil) in spoils {
        let lab = Lab::with_a_server().await;
        lab.capture("a").await;
        spoil(&lab);
        let image = Image::begun(&lab, "createImage", "nightly");
        hear(&lab, &image.start(&lab)).await.unwrap();
        assert_eq!((names(&lab).await, warnings(&lab).await), (vec!["a".to_owned()], vec![]), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_needs_no_node() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    lab.cloud.owner_delete_server(lab.server);
    hear(&lab, &image.start(&lab)).await.unwrap();
}

#[tokio::test]
async fn behind_another_operation_the_hint_waits() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let image = Image::begun(&lab, "createImage", "nightly");
    let error = hear(&lab, &image.start(&lab)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    lab.cloud.end_image(lab.server);
    lab.must_succeed(id).await;
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    assert_eq!(names(&lab).await, ["a", "nightly"]);
}

#[tokio::test]
async fn a_capture_beside_an_image_that_fails_is_seen_and_not_tried_again() {
    let lab = Lab::with_a_server().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    lab.cloud.plan_fault(Which::Every("snapshot_image"), When::Before, Harm::Permanent);
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    lab.cloud.clear_faults();
    lab.cloud.end_image(lab.server);
    hear(&lab, &image.end(&lab)).await.unwrap();
    work(&lab).await;
    assert_eq!(only(&lab).await.status, SnapshotStatus::Error);
    lab.must_be_clean("after the failure").await;
}

#[tokio::test]
async fn whatever_engine_dies_at_whatever_event_of_it_the_image_has_its_node() {
    let mut died = 0;
    for number in 0..12 {
        let lab = Lab::with_a_server().await;
        let image = Image::begun(&lab, "createImage", "nightly");
        hear(&lab, &image.start(&lab)).await.unwrap();
        lab.probe.die_at(number);
        let first = lab.engine().await;
        died += usize::from(first == ratoon::operations::runner::Outcome::LetGo);
        hear(&lab, &image.start(&lab)).await.unwrap();
        work(&lab).await;
        lab.cloud.end_image(lab.server);
        hear(&lab, &image.end(&lab)).await.unwrap();
        let node = only(&lab).await;
        assert_eq!(
            (node.status, node.consistency.reached),
            (SnapshotStatus::Available, Some(Consistency::None)),
            "event {number}"
        );
        assert_eq!(node.beside.unwrap().image_id, Some(image.id), "event {number}");
        assert!(!lab.cloud.history(lab.server).contains(&"pause".to_owned()), "event {number}");
        lab.must_be_clean(&format!("event {number}")).await;
    }
    assert!((8..12).contains(&died), "all events, and some more: {died}");
}

/// Two backups, each with its node.
async fn with_backups() -> (Lab, Vec<Image>) {
    let lab = Lab::with_a_server().await;
    let mut images = Vec::new();
    for name in ["monday", "tuesday"] {
        let image = Image::begun(&lab, "createBackup", name);
        hear(&lab, &image.start(&lab)).await.unwrap();
        work(&lab).await;
        lab.cloud.end_image(lab.server);
        hear(&lab, &image.end(&lab)).await.unwrap();
        lab.cloud.guest_write(lab.server);
        images.push(image);
    }
    assert_eq!(names(&lab).await, ["monday", "tuesday"]);
    (lab, images)
}

/// The sweep looks, and what it begins is done.
async fn swept(lab: &Lab) {
    sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
    work(lab).await;
}

#[tokio::test]
async fn a_node_goes_with_its_backup_whether_a_message_tells_or_the_sweep_finds_it() {
    for told in [true, false] {
        let (lab, images) = with_backups().await;
        swept(&lab).await;
        assert_eq!(names(&lab).await.len(), 2, "their images are there");
        lab.cloud.delete_image(&images[0].id);
        if told {
            hear(&lab, &changed(&lab)).await.unwrap();
            work(&lab).await;
        } else {
            swept(&lab).await;
        }
        assert_eq!(names(&lab).await, ["tuesday"], "told {told}");
        lab.must_be_clean(&format!("told {told}")).await;
    }
}

#[tokio::test]
async fn a_protected_node_outlives_its_backup() {
    let (lab, images) = with_backups().await;
    let protect = UpdateSnapshot { protected: Some(true), ..UpdateSnapshot::default() };
    lab.app.update_snapshot(&lab.caller(), lab.node("monday").await, protect).await.unwrap();
    lab.cloud.delete_image(&images[0].id);
    hear(&lab, &changed(&lab)).await.unwrap();
    swept(&lab).await;
    assert_eq!(names(&lab).await, ["monday", "tuesday"]);
}

#[tokio::test]
async fn a_glance_that_shows_no_backup_at_all_costs_no_node() {
    let (lab, images) = with_backups().await;
    for image in &images {
        lab.cloud.delete_image(&image.id);
    }
    hear(&lab, &changed(&lab)).await.unwrap();
    swept(&lab).await;
    assert_eq!(names(&lab).await, ["monday", "tuesday"]);
}

#[tokio::test]
async fn nodes_stay_while_glance_cannot_be_asked_and_nodes_of_ordinary_images_always() {
    let (lab, images) = with_backups().await;
    let image = Image::begun(&lab, "createImage", "nightly");
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    lab.cloud.end_image(lab.server);
    lab.cloud.delete_image(&image.id);
    lab.cloud.delete_image(&images[0].id);
    for harm in [Harm::Temporary, Harm::Permanent] {
        lab.cloud.plan_fault(Which::Every("image_name"), When::Before, harm);
        hear(&lab, &changed(&lab)).await.unwrap();
        swept(&lab).await;
        assert_eq!(names(&lab).await, ["monday", "tuesday", "nightly"], "{harm:?}");
        lab.cloud.clear_faults();
    }
    swept(&lab).await;
    assert_eq!(names(&lab).await, ["tuesday", "nightly"]);
}

#[tokio::test]
async fn a_node_whose_backup_goes_while_another_operation_works_goes_later() {
    let (lab, images) = with_backups().await;
    let id = lab.ask_capture("mine", |_| {}).await.unwrap();
    lab.cloud.delete_image(&images[0].id);
    assert!(hear(&lab, &changed(&lab)).await.unwrap_err().is_retryable(), "the hint waits");
    lab.must_succeed(id).await;
    assert_eq!(names(&lab).await, ["monday", "tuesday", "mine"]);
    swept(&lab).await;
    assert_eq!(names(&lab).await, ["tuesday", "mine"]);
}

#[tokio::test]
async fn of_an_image_that_was_missed_a_message_that_comes_after_all_makes_the_node() {
    let lab = Lab::with_a_server().await;
    lab.capture("a").await;
    let image = Image::begun(&lab, "createImage", "nightly");
    lab.cloud.end_image(lab.server);
    lab.cloud.age_actions(lab.server, chrono::TimeDelta::minutes(3));
    sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
    assert_eq!(warnings(&lab).await.len(), 1);
    hear(&lab, &image.start(&lab)).await.unwrap();
    work(&lab).await;
    assert_eq!(names(&lab).await, ["a", "nightly"]);
}

#[tokio::test]
async fn an_image_whose_message_waits_for_its_turn_is_left_to_it_by_the_sweep() {
    for mode in [CaptureMode::During, CaptureMode::After] {
        let mut lab = Lab::with_a_server().await;
        lab.app.settings.capture.cloud = mode;
        lab.capture("a").await;
        let image = Image::begun(&lab, "createImage", "nightly");
        lab.cloud.end_image(lab.server);
        lab.cloud.age_actions(lab.server, chrono::TimeDelta::minutes(3));
        lab.world.store.take_in(&image.end(&lab)).await.unwrap();
        sweep(&lab.world, &lab.app, &mut Progress::default()).await.unwrap();
        work(&lab).await;
        assert_eq!((names(&lab).await.len(), warnings(&lab).await.len()), (1, 0), "{mode:?}");
    }
}

#[tokio::test]
async fn of_an_image_that_nobody_told_of_the_sweep_captures_what_is_still_wanted_and_says_what_is_not() {
    for (mode, captures, says) in [(CaptureMode::After, 1, 0), (CaptureMode::During, 0, 1), (CaptureMode::Off, 0, 0)] {
        let mut lab = Lab::with_a_server().await;
        lab.app.settings.capture.cloud = mode;
        lab.capture("a").await;
        let image = Image::begun(&lab, "createImage", "nightly");
        lab.cloud.end_image(lab.server);
        let mut progress = Progress::default();
        let early = sweep(&lab.world, &lab.app, &mut progress).await;
        assert_eq!(early.is_err(), mode != CaptureMode::Off, "{mode:?}: a message may still come");
        assert_eq!((names(&lab).await.len(), warnings(&lab).await.len()), (1, 0), "{mode:?}");
        lab.cloud.age_actions(lab.server, chrono::TimeDelta::minutes(3));
        for _ in 0..2 {
            sweep(&lab.world, &lab.app, &mut progress).await.unwrap();
            work(&lab).await;
        }
        let said = warnings(&lab).await;
        assert_eq!((names(&lab).await.len(), said.len()), (1 + captures, says), "{mode:?} {said:?}");
        assert!(said.iter().all(|text| text.contains(&image.request) && text.contains("snapshot create")), "{said:?}");
        lab.must_be_clean("after the sweep").await;
    }
}
