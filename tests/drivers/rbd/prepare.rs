//! New layers: made once, like the head, with a parent where Glance works; discarded without a trace.

use ratoon::domain::disk::Layer;
use ratoon::drivers::{Label, NewLayer, SnapshotDriver, Source};
use ratoon::error::Kind;

use super::bench::{MIB, SIZE, bench};

/// Parked, and nothing has taken its place.
const PARKED: Label<'static> = Label::Parked { replaced_by: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_prepared_twice_is_one_and_discarded_leaves_nothing() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    bench.write(&format!("vms/{}_disk", bench.server));
    let (origin, snapshot) = bench.captured(&head).await;
    let before = bench.traces();
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };

    let first = bench.driver.prepare(&bench.call, source, &new).await.unwrap();
    let made = bench.traces();
    let second = bench.driver.prepare(&bench.call, source, &new).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(bench.traces(), made);

    let spec = format!("vms/ratoon.{}", new.id);
    assert_eq!(bench.id_of(&spec), first);
    assert_eq!(bench.name_of(&first).await, Some(format!("ratoon.{}", new.id)));
    let info = bench.info(&spec);
    assert_eq!(info["parent"]["pool"], "images");
    assert_eq!(info["parent"]["image"], format!("ratoon.{origin}"));
    assert_eq!(info["parent"]["snapshot"], "c");
    let carrier = bench.info(&format!("images/ratoon.{origin}"));
    assert_eq!(carrier["parent"]["image"], format!("{}_disk", bench.server));
    assert!(bench.bytes(&spec) == bench.bytes(&format!("vms/{}_disk@ratoon-{origin}", bench.server)));
    let meta = bench.meta(&spec);
    assert_eq!(meta["ratoon.server"], bench.server.to_string());
    assert_eq!(meta["ratoon.layer"], new.id.to_string());
    assert_eq!(meta["ratoon.origin"], origin.to_string());
    assert_eq!(meta["ratoon.operation"], bench.call.operation_id.to_string());

    bench.driver.discard(&bench.call, source, &new).await.unwrap();
    bench.driver.discard(&bench.call, source, &new).await.unwrap();
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_keeps_what_the_head_has_today() {
    let Some(bench) = bench() else { return };
    let mut options = vec!["--object-size", "512K", "--data-pool", "images"];
    for feature in ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"] {
        options.extend(["--image-feature", feature]);
    }
    options.extend(["--stripe-unit", "64K", "--stripe-count", "2"]);
    let head = bench.disk("disk", &options);
    let spec = format!("vms/{}_disk", bench.server);
    bench.rbd(&["config", "image", "set", &spec, "rbd_qos_iops_limit", "100"]);
    bench.rbd(&["config", "image", "set", &spec, "rbd_qos_bps_limit", "5000"]);
    bench.rbd(&["image-meta", "set", &spec, "owner", "kept"]);
    bench.driver.label(&bench.call, &head, PARKED).await.unwrap();
    let (origin, snapshot) = bench.captured(&head).await;
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let prepare = async || {
        let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
        bench.driver.prepare(&bench.call, source, &new).await.unwrap();
        format!("vms/ratoon.{}", new.id)
    };

    let clone = prepare().await;
    let (like, info) = (bench.info(&spec), bench.info(&clone));
    for field in ["features", "object_size", "data_pool", "stripe_unit", "stripe_count", "size"] {
        assert_eq!(info[field], like[field], "{field}");
    }
    assert!(info["features"].to_string().contains("deep-flatten"));
    let meta = bench.meta(&clone);
    assert_eq!((&meta["conf_rbd_qos_iops_limit"], &meta["owner"]), (&"100".into(), &"kept".into()));
    assert!(meta.get("ratoon.parked").is_none(), "inherited: {meta}");

    // The carrier remembers the old limits; the next head shall have those of today.
    bench.rbd(&["config", "image", "set", &spec, "rbd_qos_iops_limit", "200"]);
    bench.rbd(&["config", "image", "rm", &spec, "rbd_qos_bps_limit"]);
    let meta = bench.meta(&prepare().await);
    assert_eq!(meta["conf_rbd_qos_iops_limit"], "200");
    assert!(meta.get("conf_rbd_qos_bps_limit").is_none(), "{meta}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_grown_to_the_least_size_and_never_shrunk() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    for (least, expected) in [(MIB, SIZE), (2 * SIZE, 2 * SIZE)] {
        let new = NewLayer { id: bench.layer_id(), size_bytes_min: least, copied: false };
        bench.driver.prepare(&bench.call, source, &new).await.unwrap();
        assert_eq!(bench.info(&format!("vms/ratoon.{}", new.id))["size"], expected);
    }
    // Found, but not grown yet.
    let mut new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    let first = bench.driver.prepare(&bench.call, source, &new).await.unwrap();
    new.size_bytes_min = 3 * SIZE;
    assert_eq!(bench.driver.prepare(&bench.call, source, &new).await.unwrap(), first);
    assert_eq!(bench.info(&format!("vms/ratoon.{}", new.id))["size"], 3 * SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_maker_left_is_made_anew() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let before = bench.traces();
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    let (spec, carrier) = (format!("vms/ratoon.{}", new.id), format!("images/ratoon.{origin}"));
    // Neither is a clone yet: the maker died before the parents were attached.
    bench.rbd(&["create", "-s", "8M", &spec]);
    bench.rbd(&["create", "-s", "8M", &carrier]);

    bench.driver.prepare(&bench.call, source, &new).await.unwrap();
    assert_eq!(bench.info(&spec)["parent"]["image"], format!("ratoon.{origin}"));
    assert!(bench.bytes(&spec) == bench.bytes(&format!("vms/{}_disk@ratoon-{origin}", bench.server)));

    bench.driver.discard(&bench.call, source, &new).await.unwrap();
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_died_half_way_is_finished() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let before = bench.traces();
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    // Without an object map every object is asked for, which takes long enough to be killed in the middle.
    let spec = format!("vms/ratoon.{}", new.id);
    bench.rbd(&["create", "-s", "40G", "--object-size", "1M", "--image-feature", "layering", &spec]);
    let mut removal = std::process::Command::new("rbd")
        .arg("-c")
        .arg(&bench.config.ceph_conf)
        .args(["rm", "--no-progress", &spec])
        .spawn()
        .unwrap();
    let mut begun = false;
    while !begun && removal.try_wait().unwrap().is_none() {
        begun = bench.try_run("rbd", &["info", &spec], b"").is_err();
    }
    removal.kill().unwrap();
    removal.wait().unwrap();
    assert!(bench.traces().contains(&format!("{spec} (being removed)")), "too quick to be caught");
    // What the dead process left open goes after Ceph's watch timeout (30 s); until then the discard is refused.
    bench
        .once("the half removed image is discarded", async || {
            match bench.driver.discard(&bench.call, source, &new).await {
                Ok(()) => true,
                Err(error) => {
                    assert!(error.is_retryable(), "{}", error.chain());
                    false
                }
            }
        })
        .await;
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_glances_pool_the_clone_hangs_on_the_snapshot_itself() {
    let Some(bench) = bench() else { return };
    let driver = ratoon::drivers::rbd::RbdDriver::new(ratoon::drivers::rbd::RbdDriverConfig {
        cluster: bench.config.clone(),
        pool: "vms".into(),
        glance_pool: None,
    });
    let mut head = bench.disk("disk", &[]);
    head.facts.parent_pool = None;
    let (origin, snapshot) = bench.captured(&head).await;
    let before = bench.traces();
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    driver.prepare(&bench.call, source, &new).await.unwrap();
    let parent = &bench.info(&format!("vms/ratoon.{}", new.id))["parent"];
    assert_eq!((&parent["pool"], &parent["image"]), (&"vms".into(), &format!("{}_disk", bench.server).into()));
    driver.discard(&bench.call, source, &new).await.unwrap();
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_takes_nothing_that_is_used() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot, next) = bench.prepared(&head).await;
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let new = NewLayer { id: next.id, size_bytes_min: 0, copied: false };

    let guest = bench.somebody_opens(&next.backend_id);
    let error = bench.driver.discard(&bench.call, source, &new).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
    drop(guest);

    let (own, _) = bench.captured(&next).await;
    let error = bench.driver.discard(&bench.call, source, &new).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false));
    bench.driver.remove_snapshot(&bench.call, &next, own).await.unwrap();

    // A second layer of the same snapshot keeps the carrier.
    let second = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    bench.driver.prepare(&bench.call, source, &second).await.unwrap();
    bench.driver.discard(&bench.call, source, &new).await.unwrap();
    assert!(bench.traces().contains(&format!("images/ratoon.{origin}@c")));
    assert!(bench.bytes(&format!("vms/ratoon.{}", second.id)).len() as u64 == SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_gone_or_replaced_is_said_so() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let before = bench.traces();
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    let gone = Source { layer: &head, origin: bench.origin(), backend_id: &snapshot };
    let error = bench.driver.prepare(&bench.call, gone, &new).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let replaced = Source { layer: &head, origin, backend_id: "999999" };
    let error = bench.driver.prepare(&bench.call, replaced, &new).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("999999"), "{error}");
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_same_bytes_and_hangs_on_nothing() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let before = bench.traces();
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: true };
    let id = bench.driver.prepare(&bench.call, source, &new).await.unwrap();
    assert_eq!(bench.driver.prepare(&bench.call, source, &new).await.unwrap(), id, "found");
    let spec = format!("vms/ratoon.{}", new.id);
    assert!(bench.info(&spec).get("parent").is_none());
    let taken = bench.bytes(&format!("vms/{}_disk@ratoon-{origin}", bench.server));
    assert!(bench.bytes(&spec) == taken);
    let used = async |layer: &Layer| bench.driver.used_bytes(layer).await.unwrap();
    let copy = Layer { id: new.id, backend_id: id, ..head.clone() };
    let new_clone = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    let id = bench.driver.prepare(&bench.call, source, &new_clone).await.unwrap();
    let clone = Layer { id: new_clone.id, backend_id: id, ..head.clone() };
    assert!(used(&copy).await > 0);
    assert_eq!(used(&clone).await, 0, "a clone has nothing of its own");
    bench.driver.discard(&bench.call, source, &new_clone).await.unwrap();
    assert_eq!(used(&clone).await, 0, "nor when it is gone");
    bench.driver.remove_snapshot(&bench.call, &head, origin).await.unwrap();
    assert!(bench.bytes(&spec) == taken, "without the snapshot too");
    bench.driver.discard(&bench.call, source, &new).await.unwrap();
    assert!(bench.traces().len() < before.len(), "the snapshot is gone, and no carrier was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_begun_goes_on() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let before = bench.traces();
    for died_behind_the_copy in [false, true] {
        let new = NewLayer { id: bench.layer_id(), size_bytes_min: 2 * SIZE, copied: true };
        // As one whose maker died before it was flattened, or right after: a clone that bears all marks but the last.
        let (taken, spec) = (format!("vms/{}_disk@ratoon-{origin}", bench.server), format!("vms/ratoon.{}", new.id));
        bench.rbd(&["clone", "--rbd-default-clone-format", "2", &taken, &spec]);
        for (key, value) in [("origin", origin.to_string()), ("operation", bench.call.operation_id.to_string())] {
            bench.rbd(&["image-meta", "set", &spec, &format!("ratoon.{key}"), &value]);
        }
        if died_behind_the_copy {
            bench.rbd(&["flatten", "--no-progress", &spec]);
        }
        let begun = bench.id_of(&spec);

        assert_eq!(bench.driver.prepare(&bench.call, source, &new).await.unwrap(), begun, "it is the same image");
        let info = bench.info(&spec);
        assert!(info.get("parent").is_none());
        assert_eq!(info["size"], 2 * SIZE, "it is grown");
        assert!(bench.bytes(&spec).starts_with(&bench.bytes(&taken)));
        assert_eq!(bench.meta(&spec)["ratoon.layer"], new.id.to_string());

        bench.driver.discard(&bench.call, source, &new).await.unwrap();
        assert_eq!(bench.traces(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_layer_goes_with_novas_snapshot_of_a_resize_and_stays_for_any_other() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, _, next) = bench.prepared(&head).await;
    let spec = format!("vms/ratoon.{}", next.id);
    for snapshot in ["nova-resize", "somebodys"] {
        bench.rbd(&["snap", "create", "--no-progress", &format!("{spec}@{snapshot}")]);
    }
    let error = bench.driver.purge(&bench.call, &next, Some(origin)).await.unwrap_err();
    assert!(error.kind() == Kind::Conflict && error.to_string().contains("somebodys"), "{error}");
    bench.rbd(&["snap", "rm", "--no-progress", &format!("{spec}@somebodys")]);
    for _ in 0..2 {
        assert!(bench.driver.purge(&bench.call, &next, Some(origin)).await.unwrap());
    }
    assert!(!bench.traces().iter().any(|trace| trace.contains(&next.id.to_string())));
}
