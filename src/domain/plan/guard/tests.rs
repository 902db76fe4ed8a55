//! The guard's table: what Nova says, what we hold, what follows.

use super::*;
use crate::clock;
use crate::domain::server::ServerStatus;
use crate::ids::{DiskSnapshotId, ServerId, SnapshotId};

fn server(status: &str, task: Option<&str>) -> ServerFacts {
    ServerFacts {
        id: ServerId::new(),
        name: "web".into(),
        project_id: "project".into(),
        status: ServerStatus::from_nova(status),
        task_state: task.map(str::to_owned),
        locked: false,
        locked_reason: None,
        image_id: Some("image".into()),
        flavor: "small".into(),
        root_gb: 1,
        extra_specs: Default::default(),
        volumes: vec![],
        metadata: Default::default(),
    }
}

fn action(word: &str) -> ServerAction {
    ServerAction {
        action: word.into(),
        request_id: format!("req-{word}"),
        user_id: None,
        started_at: Some(clock::now()),
        failed: false,
    }
}

fn head(taken: bool) -> Head {
    Head { layer: LayerId::new(), taken }
}

fn judge(server: Option<&ServerFacts>, actions: &[ServerAction], heads: &[Head], deletion_was_told: bool) -> Verdict {
    let was_deleted = actions.iter().any(|action| action.action == "delete");
    decide(Seen { server, was_deleted, actions, heads, deletion_was_told, rebuild_seen: None, at: clock::now() })
}

#[test]
fn a_head_is_taken_when_nova_is_about_to_remove_it_and_only_then() {
    use Removing::{Deleting, Rebuilding, Shelving};
    let take = Verdict::TakeOver;
    for (status, task, newest, expected) in [
        ("ACTIVE", Some("deleting"), None, Some(take(Deleting))),
        ("SHUTOFF", Some("deleting"), Some("rebuild"), Some(take(Deleting))),
        ("ERROR", Some("deleting"), None, Some(take(Deleting))),
        ("ACTIVE", Some("soft-deleting"), None, None),
        ("SOFT_DELETED", None, None, Some(Verdict::LookAtNames)),
        ("SOFT_DELETED", Some("restoring"), None, None),
        ("ACTIVE", Some("rebuilding"), Some("rebuild"), Some(take(Rebuilding))),
        ("SHUTOFF", Some("rebuild_block_device_mapping"), Some("rebuild"), None),
        ("ACTIVE", Some("rebuild_spawning"), Some("rebuild"), None),
        ("ACTIVE", Some("rebuilding"), Some("evacuate"), None),
        ("ACTIVE", Some("rebuilding"), None, None),
        ("SHUTOFF", Some("shelving_offloading"), Some("shelve"), Some(take(Shelving))),
        ("ACTIVE", Some("shelving"), Some("shelve"), None),
        ("SHELVED_OFFLOADED", Some("spawning"), Some("unshelve"), None),
        ("ACTIVE", Some("resize_migrating"), None, None),
        ("ACTIVE", None, None, Some(Verdict::LookAtNames)),
        ("DELETED", None, Some("delete"), None),
        ("ERROR", None, None, Some(Verdict::LookAtNames)),
    ] {
        let actions: Vec<_> = newest.map(action).into_iter().collect();
        let found = judge(Some(&server(status, task)), &actions, &[head(false)], false);
        match expected {
            Some(expected) => assert_eq!(found, expected, "{status} {task:?} {actions:?}"),
            None => assert!(matches!(found, Verdict::Leave(_)), "{status} {task:?} {actions:?}: {found:?}"),
        }
    }
}

#[test]
fn what_is_taken_is_not_taken_twice() {
    for task in ["deleting", "shelving_offloading"] {
        assert_eq!(judge(Some(&server("ACTIVE", Some(task))), &[], &[head(true)], false), Verdict::IsTaken);
    }
    let some = [head(true), head(false)];
    assert_eq!(
        judge(Some(&server("ACTIVE", Some("deleting"))), &[], &some, false),
        Verdict::TakeOver(Removing::Deleting)
    );
}

#[test]
fn the_head_of_a_server_whose_resize_nova_has_confirmed_to_delete_it_is_taken_and_stays_so() {
    let confirmed = server("ACTIVE", None);
    let deleted_softly = server("SOFT_DELETED", None);
    let long_ago = ServerAction { started_at: Some(clock::now() - TimeDelta::minutes(4)), ..action("delete") };
    let failed = ServerAction { failed: true, ..action("delete") };
    for (actions, is_being_deleted) in [
        (vec![action("confirmResize"), action("delete")], true),
        (vec![action("delete"), action("resize")], true),
        (vec![action("stop"), action("delete"), action("confirmResize")], true),
        (vec![failed, action("resize")], false),
        (vec![long_ago.clone()], false),
        (vec![action("restore"), action("delete")], false),
        (vec![action("delete"), action("restore"), action("delete")], true),
    ] {
        let stays = if is_being_deleted { Verdict::IsTaken } else { Verdict::LookAtNames };
        assert_eq!(judge(Some(&confirmed), &actions, &[head(true)], false), stays, "{actions:?}");
        let expected = if is_being_deleted { Verdict::TakeOver(Removing::Deleting) } else { Verdict::LookAtNames };
        assert_eq!(judge(Some(&confirmed), &actions, &[head(false)], false), expected, "{actions:?}");
        assert_eq!(judge(Some(&deleted_softly), &actions, &[head(false)], false), Verdict::LookAtNames, "{actions:?}");
    }
    let told = judge(Some(&confirmed), &[action("confirmResize"), long_ago], &[head(false)], true);
    assert_eq!(told, Verdict::TakeOver(Removing::Deleting), "its host was slow to begin, and has begun now");
}

#[test]
fn between_the_confirmation_of_a_resize_and_the_deletion_that_it_is_for_what_was_taken_stays_so() {
    let confirmed = server("ACTIVE", None);
    let long_ago = ServerAction { started_at: Some(clock::now() - TimeDelta::minutes(4)), ..action("confirmResize") };
    let failed = ServerAction { failed: true, ..action("confirmResize") };
    for (newest, stays) in
        [(action("confirmResize"), true), (long_ago, false), (failed, false), (action("reboot"), false)]
    {
        let actions = [newest, action("resize")];
        let found = judge(Some(&confirmed), &actions, &[head(true)], false);
        assert_eq!(matches!(found, Verdict::Leave(_)), stays, "{actions:?}: {found:?}");
        let untaken = judge(Some(&confirmed), &actions, &[head(false)], false);
        assert_eq!(untaken, Verdict::LookAtNames, "a confirmation alone is no deletion");
    }
}

#[test]
fn a_server_that_nova_has_deleted_leaves_its_disks_to_the_tree() {
    let deleted = [action("delete"), action("create")];
    for heads in [vec![], vec![head(false)], vec![head(true)]] {
        assert_eq!(judge(None, &deleted, &heads, false), Verdict::Retire(Removing::Deleting));
    }
    assert_eq!(judge(None, &[], &[head(true)], false), Verdict::Retire(Removing::Deleting), "its deletion was seen");
}

#[test]
fn a_server_of_which_nova_knows_nothing_at_all_is_left_alone() {
    for actions in [vec![], vec![action("stop"), action("create")]] {
        assert_eq!(judge(None, &actions, &[head(false)], true), Verdict::Unknown);
    }
}

#[test]
fn the_reclaim_of_a_soft_deleted_server_is_only_told_by_its_notification() {
    let server = server("SOFT_DELETED", None);
    assert_eq!(judge(Some(&server), &[], &[head(false)], true), Verdict::TakeOver(Removing::Deleting));
    assert_eq!(judge(Some(&server), &[], &[head(false)], false), Verdict::LookAtNames);
}

#[test]
fn what_an_offloaded_server_had_is_kept_before_nova_makes_another_disk() {
    let server = server("SHELVED_OFFLOADED", None);
    for taken in [true, false] {
        assert_eq!(judge(Some(&server), &[], &[head(taken)], false), Verdict::Retire(Removing::Shelving));
    }
    assert!(matches!(judge(Some(&server), &[], &[], false), Verdict::Leave(_)));
}

#[test]
fn at_rest_a_taken_head_goes_back_unless_nova_has_made_another_disk() {
    use Bearer::{Another, Itself, Nobody};
    for (bearer, newest, expected) in [
        (Nobody, "rebuild", Verdict::GiveBack),
        (Itself, "rebuild", Verdict::GiveBack),
        (Another, "rebuild", Verdict::Retire(Removing::Rebuilding)),
        (Another, "unshelve", Verdict::Retire(Removing::Shelving)),
    ] {
        let newest = action(newest);
        assert_eq!(at_rest(&[(head(true), bearer)], Some(&newest), None, &[]), expected, "{bearer:?} {newest:?}");
    }
    assert!(matches!(at_rest(&[(head(false), Nobody)], None, None, &[]), Verdict::Leave(_)));
}

#[test]
fn an_old_disk_that_came_back_from_a_rebuild_is_found_once() {
    let mine = head(false);
    let part = DiskSnapshot {
        id: DiskSnapshotId::new(),
        snapshot_id: SnapshotId::new(),
        layer_id: mine.layer,
        origin: DiskSnapshotId::new(),
        backend_id: "1".into(),
        position: 0,
        size_bytes: 1,
        attachment: Default::default(),
    };
    let hour = chrono::Duration::hours(1);
    let (before, after) = (clock::now() - hour, clock::now() + hour);
    let rebuild = action("rebuild");
    let failed = ServerAction { failed: true, ..action("rebuild") };
    for (at, bearer, newest, seen, came_back) in [
        (before, Bearer::Itself, Some(&rebuild), None, true),
        (after, Bearer::Itself, Some(&rebuild), None, false),
        (before, Bearer::Itself, Some(&rebuild), Some("req-rebuild"), false),
        (before, Bearer::Itself, Some(&rebuild), Some("req-older"), true),
        (before, Bearer::Itself, Some(&failed), None, false),
        (before, Bearer::Another, Some(&rebuild), None, false),
        (before, Bearer::Itself, None, None, false),
    ] {
        let found = at_rest(&[(mine.clone(), bearer)], newest, seen, &[(&part, at)]);
        assert_eq!(found == Verdict::OldDiskCameBack, came_back, "{bearer:?} {newest:?} {seen:?}: {found:?}");
    }
}

/// Nova shows the task of an evacuation before it lists the evacuation.
#[test]
fn a_rebuild_of_long_ago_is_no_reason_to_take_a_head() {
    let server = server("ACTIVE", Some("rebuilding"));
    let now = clock::now();
    for (minutes, seen, takes) in [
        (0, None, true),
        (0, Some("req-older"), true),
        (0, Some("req-rebuild"), false),
        (9, None, true),
        (11, None, false),
    ] {
        let begun = ServerAction { started_at: Some(now - TimeDelta::minutes(minutes)), ..action("rebuild") };
        let heads = [head(false)];
        let found = decide(Seen {
            server: Some(&server),
            was_deleted: false,
            actions: &[begun],
            heads: &heads,
            deletion_was_told: false,
            rebuild_seen: seen,
            at: now,
        });
        assert_eq!(found == Verdict::TakeOver(Removing::Rebuilding), takes, "{minutes} {seen:?}: {found:?}");
    }
}

#[test]
fn a_head_that_is_taken_from_a_soft_deleted_server_stays_so_until_it_is_reclaimed_or_wanted_back() {
    let reclaimed = judge(Some(&server("SOFT_DELETED", None)), &[], &[head(true)], false);
    assert!(matches!(reclaimed, Verdict::Leave(_)), "{reclaimed:?}");
    let wanted = judge(Some(&server("SOFT_DELETED", Some("restoring"))), &[], &[head(true)], false);
    assert_eq!(wanted, Verdict::GiveBack);
}

#[test]
fn what_a_server_runs_on_is_never_retired() {
    let heads = [head(true), head(false)];
    let (taken, all) = (vec![heads[0].layer], vec![heads[0].layer, heads[1].layer]);
    for (server, expected) in [
        (Some(server("ACTIVE", None)), &taken),
        (Some(server("SHUTOFF", None)), &taken),
        (Some(server("SHELVED_OFFLOADED", None)), &all),
        (None, &all),
    ] {
        assert_eq!(to_retire(server.as_ref(), &heads), *expected, "{server:?}");
    }
}
