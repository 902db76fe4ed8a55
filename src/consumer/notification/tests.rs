//! What the samples of a real cloud (`tests/notifications/samples/`) do not show.

use serde_json::{Value, json};

use super::*;
use crate::error::Kind;

const SERVER: &str = "047733fe-cdfb-4534-b153-6892c8a6aee2";
const IMAGE: &str = "52b70235-f3a6-4c29-a973-eb6bd1bf2e38";
const TOKEN: &str = "gAAAAA-a-token";

fn message(kind: &str, payload: Value) -> Value {
    json!({"message_id": "3c9b086e-0ed5-43fd-b4f3-b1c115497af4", "event_type": kind, "payload": payload})
}

fn versioned(data: Value) -> Value {
    json!({"nova_object.version": "1.10", "nova_object.name": "InstanceUpdatePayload", "nova_object.data": data})
}

fn read(message: &Value) -> Result<Option<ServerEvent>> {
    decode(message.to_string().as_bytes())
}

fn what(kind: &str, payload: Value) -> Option<What> {
    read(&message(kind, payload)).unwrap().map(|event| event.what)
}

#[test]
fn an_update_tells_by_its_task_what_is_about_to_happen() {
    for (task, state, wanted) in [
        (Some("deleting"), "active", What::Deleting),
        (Some("deleting"), "soft-delete", What::Deleting),
        (Some("deleting"), "deleted", What::Changed),
        (Some("soft-deleting"), "active", What::Changed),
        (Some("restoring"), "soft-delete", What::Changed),
        (Some("rebuilding"), "active", What::Rebuilding),
        (Some("rebuild_block_device_mapping"), "active", What::Rebuilding),
        (Some("rebuild_spawning"), "error", What::Rebuilding),
        (Some("image_snapshot"), "active", What::Changed),
        (Some("resize_reverting"), "resized", What::Changed),
        (None, "active", What::Changed),
    ] {
        let old = json!({"instance_id": SERVER, "state": state, "new_task_state": task, "old_task_state": "deleting"});
        assert_eq!(what("compute.instance.update", old), Some(wanted), "unversioned {task:?} {state}");
        let new = json!({"uuid": SERVER, "state": state, "task_state": task});
        assert_eq!(what("instance.update", versioned(new)), Some(wanted), "versioned {task:?} {state}");
    }
}

#[test]
fn a_payload_of_a_later_version_is_read_as_long_as_it_names_its_server() {
    for version in ["1.10", "2.0", "9.0"] {
        let payload = json!({"nova_object.version": version, "nova_object.data": {"uuid": SERVER}});
        assert_eq!(what("instance.delete.start", payload), Some(What::Deleting), "{version}");
    }
}

#[test]
fn acts_are_known_in_both_formats() {
    for (old, new, wanted) in [
        ("soft_delete.start", "soft_delete.start", Some(What::Changed)),
        ("restore.end", "restore.end", Some(What::Changed)),
        ("rebuild.error", "rebuild.error", Some(What::Changed)),
        ("delete.error", "delete.error", Some(What::Changed)),
        ("rebuild.scheduled", "rebuild_scheduled", Some(What::Rebuilding)),
        ("evacuate", "evacuate", Some(What::Changed)),
        ("resize.revert.end", "resize_revert.end", Some(What::Changed)),
        ("live_migration._post.end", "live_migration_post.end", Some(What::Changed)),
        ("volume.swap", "volume_swap.end", Some(What::Changed)),
        ("exists", "exists", None),
        ("create.end", "create.end", None),
        ("interface_attach.end", "interface_attach.end", None),
    ] {
        let payload = json!({"instance_id": SERVER, "uuid": SERVER});
        assert_eq!(what(&format!("compute.instance.{old}"), payload.clone()), wanted, "{old}");
        assert_eq!(what(&format!("instance.{new}"), versioned(payload)), wanted, "{new}");
    }
}

#[test]
fn failures_within_nova_concern_the_server_that_they_name() {
    let args = json!({"exception": "no", "args": {"instance": {"uuid": SERVER, "project_id": "p"}, "token": TOKEN}});
    assert_eq!(what("terminate_instance", args.clone()), Some(What::Changed));
    assert_eq!(what("get_console_output", args), None);
    assert_eq!(what("terminate_instance", json!({"args": {"instance": 7}})), None);
    assert_eq!(what("compute_task.rebuild_server", json!({"instance_id": SERVER})), Some(What::Changed));
    let versioned = versioned(json!({"instance_uuid": SERVER}));
    assert_eq!(what("compute_task.rebuild_server.error", versioned), Some(What::Changed));
    assert_eq!(what("compute_task.build_instances", json!({"instance_id": SERVER})), None);
}

#[test]
fn an_image_concerns_the_server_that_its_properties_name_if_they_name_one() {
    let image = |named: Value| {
        let payload = json!({"id": IMAGE, "owner": "p", "properties": {"instance_uuid": named}});
        read(&message("image.create", payload)).unwrap()
    };
    let event = image(json!(SERVER)).unwrap();
    assert_eq!((event.what, event.image_id.as_deref()), (What::Changed, Some(IMAGE)));
    assert_eq!(event.project_id.as_deref(), Some("p"));
    for named in [json!("my own words"), json!(null), json!(["x"])] {
        assert_eq!(image(named.clone()), None, "{named}");
    }
}

#[test]
fn cinders_messages_carry_the_request_of_nova() {
    let mut cinder = message("volume.attach.end", json!({"volume_attachment": [{"instance_uuid": SERVER}]}));
    cinder["_context_request_id"] = json!("req-of-cinder");
    assert_eq!(read(&cinder).unwrap().unwrap().request_id.as_deref(), Some("req-of-cinder"));
    cinder["_context_global_request_id"] = json!("req-of-nova");
    assert_eq!(read(&cinder).unwrap().unwrap().request_id.as_deref(), Some("req-of-nova"));
}

#[test]
fn what_cannot_be_read_says_why_and_quotes_nothing() {
    let server = json!({"uuid": SERVER});
    let no_id = json!({"event_type": "instance.pause.end", "payload": versioned(server.clone())});
    let long_id = json!({"message_id": TOKEN.repeat(9), "event_type": "instance.pause.end",
        "payload": versioned(server.clone())});
    for (message, why) in [
        (json!({"payload": {}, "token": TOKEN}), "names no event"),
        (message("instance.pause.end", json!(TOKEN)), "not of the expected shape"),
        (message("instance.pause.end", versioned(json!({"uuid": TOKEN}))), "does not name it"),
        (json!({"event_type": "instance.pause.end"}), "no payload"),
        (no_id, "no id"),
        (long_id, "no id"),
    ] {
        let error = read(&message).unwrap_err();
        assert_eq!(error.kind(), Kind::Backend);
        assert!(error.chain().contains(why) && !error.chain().contains(TOKEN), "{message}: {}", error.chain());
    }
}

#[test]
fn an_id_that_no_column_would_take_is_left_out() {
    let mut odd = message("instance.pause.end", versioned(json!({"uuid": SERVER, "tenant_id": "a\u{0}b"})));
    odd["_context_request_id"] = json!("x".repeat(65));
    let event = read(&odd).unwrap().unwrap();
    assert_eq!((event.project_id, event.request_id), (None, None));
}

#[test]
fn other_services_messages_are_passed_over() {
    for kind in [
        "scheduler.select_destinations.end",
        "port.create.end",
        "identity.user.created",
        "snapshot.create.end",
        "compute.exception",
        "flavor.create",
        "aggregate.delete.end",
        "image.upload",
        "volume.usage",
        "keypair.create.end",
    ] {
        assert_eq!(what(kind, json!({"instance_uuid": SERVER})), None, "{kind}");
    }
}
