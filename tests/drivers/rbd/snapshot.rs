//! Snapshots taken, removed, compared; marks.

use ratoon::domain::disk::Layer;
use ratoon::drivers::rbd::{RbdDriver, RbdDriverConfig};
use ratoon::drivers::{Label, NewLayer, SnapshotDriver, Source};
use ratoon::error::Kind;

use super::bench::{MIB, SIZE, bench};

/// Parked, and nothing has taken its place.
const PARKED: Label<'static> = Label::Parked { replaced_by: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_done_twice_is_one_snapshot_and_its_removal_may_be_repeated() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let before = bench.traces();
    let origin = bench.origin();
    let first = bench.driver.capture(&bench.call, &head, origin).await.unwrap();
    let second = bench.driver.capture(&bench.call, &head, origin).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.size_bytes, SIZE);
    assert!(first.backend_id.parse::<u64>().is_ok());
    let spec = format!("vms/{}_disk@ratoon-{origin}", bench.server);
    assert!(bench.traces().contains(&spec));

    bench.driver.remove_snapshot(&bench.call, &head, origin).await.unwrap();
    bench.driver.remove_snapshot(&bench.call, &head, origin).await.unwrap();
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_works_while_somebody_else_holds_the_image() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let guest = bench.somebody_opens(&head.backend_id);
    // Takes the exclusive lock, as QEMU does with its first write.
    guest.set_metadata("test", "1").unwrap();
    let (origin, _) = bench.captured(&head).await;
    assert!(guest.snapshot(&format!("ratoon-{origin}")).unwrap().is_some());
    let users = bench.driver.users(&head).await.unwrap();
    assert_eq!(users.len(), 1, "{users:?}");
    assert!(users[0].starts_with("client.") && users[0].contains(' '), "{users:?}");
    drop(guest);
    assert_eq!(bench.driver.users(&head).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_images_are_well_for_removal_and_named_for_all_else() {
    let Some(bench) = bench() else { return };
    let gone = bench.layer("disk", "ffffffffffff", Some("images"));
    let origin = bench.origin();
    bench.driver.remove_snapshot(&bench.call, &gone, origin).await.unwrap();
    let error = bench.driver.capture(&bench.call, &gone, origin).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    for part in ["ffffffffffff", "vms", &bench.server.to_string()] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(bench.driver.users(&gone).await.unwrap_err().kind(), Kind::NotFound);
    let own = Source { layer: &gone, origin, backend_id: "1" };
    assert!(!bench.driver.equals(&gone, own).await.unwrap(), "what is gone equals nothing, and another is cloned");
    let head = bench.disk("disk", &[]);
    let (origin, backend_id) = bench.captured(&head).await;
    let others = Source { layer: &head, origin, backend_id: &backend_id };
    assert!(!bench.driver.equals(&gone, others).await.unwrap(), "nor another layer's snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_somebody_renamed_is_not_touched() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let odd = format!("vms/odd-{}", bench.server);
    bench.rbd(&["rename", &format!("vms/{}_disk", bench.server), &odd]);
    let error = bench.driver.capture(&bench.call, &head, bench.origin()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false));
    assert!(error.to_string().contains(&odd), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_snapshot_stays_for_its_clone_and_goes_with_it() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let before = bench.traces();
    let (origin, snapshot, next) = bench.prepared(&head).await;
    let content = bench.bytes(&format!("vms/ratoon.{}", next.id));
    bench.driver.remove_snapshot(&bench.call, &head, origin).await.unwrap();
    assert!(!bench.traces().contains(&format!("vms/{}_disk@ratoon-{origin}", bench.server)));
    assert!(bench.bytes(&format!("vms/ratoon.{}", next.id)) == content);
    // The clone goes, then the repeated removal takes the carrier: nothing is left.
    bench.rbd(&["rm", "--no-progress", &format!("vms/ratoon.{}", next.id)]);
    bench.driver.remove_snapshot(&bench.call, &head, origin).await.unwrap();
    assert_eq!(bench.traces(), before, "{snapshot}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_equals_its_snapshot_until_somebody_writes() {
    let Some(bench) = bench() else { return };
    // Without an object map the objects' histories are read instead.
    for features in ["layering,exclusive-lock,object-map,fast-diff,deep-flatten", "layering"] {
        let options: Vec<&str> = features.split(',').flat_map(|feature| ["--image-feature", feature]).collect();
        let key = if features == "layering" { "disk.eph1" } else { "disk.eph0" };
        let head = bench.disk(key, &options);
        let spec = format!("vms/{}_{key}", bench.server);
        bench.write(&spec);
        let (origin, backend_id) = bench.captured(&head).await;
        let other = Layer { id: bench.layer_id(), ..head.clone() };
        let source = Source { layer: &head, origin, backend_id: &backend_id };
        assert!(bench.driver.equals(&head, source).await.unwrap(), "{features}");
        assert!(!bench.driver.equals(&other, source).await.unwrap(), "another layer, which was not made of it");
        let unknown = Source { origin: bench.origin(), ..source };
        assert!(!bench.driver.equals(&head, unknown).await.unwrap(), "a snapshot that is not there");

        bench.write(&spec);
        assert!(!bench.driver.equals(&head, source).await.unwrap(), "{features}, written");

        let (origin, backend_id) = bench.captured(&head).await;
        let source = Source { layer: &head, origin, backend_id: &backend_id };
        assert!(bench.driver.equals(&head, source).await.unwrap(), "{features}, again");
        bench.rbd(&["resize", "--no-progress", "--size", "16M", &spec]);
        assert!(!bench.driver.equals(&head, source).await.unwrap(), "{features}, grown");
    }
}

/// A change as `rbd import-diff` reads it: this many bytes at the beginning are discarded.
fn discarded(length: u64) -> Vec<u8> {
    let mut diff = b"rbd diff v1\n".to_vec();
    diff.push(b'z');
    diff.extend(0_u64.to_le_bytes());
    diff.extend(length.to_le_bytes());
    diff.push(b'e');
    diff
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_equals_what_it_was_made_of_until_somebody_changes_it() {
    let Some(bench) = bench() else { return };
    let without_carrier =
        RbdDriver::new(RbdDriverConfig { cluster: bench.config.clone(), pool: "vms".into(), glance_pool: None });
    let features = ["layering", "exclusive-lock", "object-map", "fast-diff", "deep-flatten"];
    let options: Vec<&str> = features.into_iter().flat_map(|feature| ["--image-feature", feature]).collect();
    for (driver, key, parent_pool) in
        [(&bench.driver, "disk.eph0", Some("images")), (&without_carrier, "disk.eph1", None)]
    {
        let mut head = bench.disk(key, &options);
        head.facts.parent_pool = parent_pool.map(Into::into);
        bench.write(&format!("vms/{}_{key}", bench.server));
        let (other, other_id) = bench.captured(&head).await;
        let (origin, backend_id) = bench.captured(&head).await;
        let source = Source { layer: &head, origin, backend_id: &backend_id };
        // The head goes on: only the snapshot counts.
        bench.write(&format!("vms/{}_{key}", bench.server));
        let clone = async |size_bytes_min: u64| {
            let new = NewLayer { id: bench.layer_id(), size_bytes_min, copied: false };
            let backend_id = driver.prepare(&bench.call, source, &new).await.unwrap();
            (Layer { id: new.id, backend_id, ..head.clone() }, format!("vms/ratoon.{}", new.id))
        };

        let (same, _) = clone(0).await;
        assert!(driver.equals(&same, source).await.unwrap(), "{key}");
        let unlike = Source { origin: other, backend_id: &other_id, ..source };
        assert!(!driver.equals(&same, unlike).await.unwrap(), "{key}: made of another snapshot");
        let (grown, _) = clone(2 * SIZE).await;
        assert!(driver.equals(&grown, source).await.unwrap(), "{key}: grown, as a new clone would be");

        let (written, spec) = clone(0).await;
        bench.write(&spec);
        assert!(!driver.equals(&written, source).await.unwrap(), "{key}: written");
        let (holed, spec) = clone(0).await;
        bench.try_run("rbd", &["import-diff", "--no-progress", "-", &spec], &discarded(MIB)).unwrap();
        assert!(!driver.equals(&holed, source).await.unwrap(), "{key}: a whole object discarded");
        let (cut, spec) = clone(0).await;
        bench.rbd(&["resize", "--no-progress", "--allow-shrink", "--size", "4M", &spec]);
        bench.rbd(&["resize", "--no-progress", "--size", "8M", &spec]);
        assert!(!driver.equals(&cut, source).await.unwrap(), "{key}: shrunk and grown again");
        let (blind, spec) = clone(0).await;
        bench.rbd(&["feature", "disable", &spec, "fast-diff", "object-map"]);
        assert!(!driver.equals(&blind, source).await.unwrap(), "{key}: without an object map nothing is proven");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_of_all_drivers() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let _user = bench.somebody_opens(&head.backend_id);
    let before = bench.traces();
    crate::contract::holds(&bench.driver, &bench.call, &head, bench.origin(), bench.layer_id()).await;
    assert_eq!(bench.traces(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_layer_says_so() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let spec = format!("vms/{}_disk", bench.server);
    for _ in 0..2 {
        assert_eq!(bench.driver.label(&bench.call, &head, PARKED).await.unwrap(), "");
    }
    assert!(bench.meta(&spec)["ratoon.parked"].as_str().is_some_and(|when| when.starts_with("20")));
    for _ in 0..2 {
        bench.driver.label(&bench.call, &head, Label::InUse).await.unwrap();
    }
    assert!(bench.meta(&spec).get("ratoon.parked").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_read_to_their_end() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let image = bench.somebody_opens(&head.backend_id);
    for number in 0..140 {
        image.set_metadata(&format!("key{number:03}"), &"x".repeat(if number == 0 { 9000 } else { number })).unwrap();
    }
    let metadata = image.metadata().unwrap();
    let ours: Vec<_> = metadata.iter().filter(|(key, _)| key.starts_with("key")).collect();
    assert_eq!(ours.len(), 140);
    assert_eq!((metadata["key000"].len(), metadata["key139"].len()), (9000, 139));
    // Each takes up to a second: the monitors hand out snapshot numbers.
    for number in 0..18 {
        image.create_snapshot(&format!("s{number:02}")).unwrap();
    }
    let snapshots = image.snapshots().unwrap();
    assert_eq!(snapshots.len(), 18);
    assert!(snapshots.windows(2).all(|pair| pair[0].id < pair[1].id), "oldest first");
    drop(image);
    let found = bench.driver.discover(&bench.server_facts()).await.unwrap();
    assert_eq!(found.disks[0].foreign_snapshots.len(), 18);
}
