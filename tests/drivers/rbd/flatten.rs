//! Flattening of parked images: what they hold stays, what was made of their snapshots too, and what they were made of can go.

use ratoon::domain::disk::Layer;
use ratoon::drivers::SnapshotDriver;
use ratoon::error::Kind;
use ratoon::ids::DiskSnapshotId;

use super::bench::{Bench, MIB, SIZE, bench};

/// A disk, a parked layer that was made of it, and one that was made of that, each written to in its first object.
struct Line {
    head: Layer,
    first: Layer,
    last: Layer,
    /// The snapshot of `first` that `last` was made of.
    origin: DiskSnapshotId,
}

fn name(layer: &Layer) -> String {
    format!("vms/ratoon.{}", layer.id)
}

fn write(bench: &Bench, spec: &str) {
    let one_object = ["--io-threads", "1", "--io-size", "4096", "--io-total", "65536"];
    bench.rbd(&[&["bench", "--io-type", "write"], &one_object[..], &[spec]].concat());
}

async fn line(bench: &Bench) -> Line {
    let head = bench.disk("disk", &[]);
    write(bench, &format!("vms/{}_disk", bench.server));
    let (origin, _, first) = bench.prepared(&head).await;
    let first = Layer { parent: Some(origin), parent_layer: Some(head.id), ..first };
    write(bench, &name(&first));
    let (origin, _, last) = bench.prepared(&first).await;
    let last = Layer { parent: Some(origin), parent_layer: Some(first.id), ..last };
    write(bench, &name(&last));
    Line { head, first, last, origin }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flattened_layer_holds_what_it_held_and_what_it_was_made_of_can_go() {
    let Some(bench) = bench() else { return };
    let Line { head, first, last, origin } = line(&bench).await;
    // A snapshot of it, and a clone of that, are older than its last bytes.
    let (_, _, clone) = bench.prepared(&last).await;
    write(&bench, &name(&last));
    let all = [name(&last), name(&clone), format!("vms/{}_disk", bench.server)];
    let bytes = || all.iter().map(|spec| bench.bytes(spec)).collect::<Vec<_>>();
    let before = bytes();
    bench.driver.remove_snapshot(&bench.call, &first, origin).await.unwrap();
    let held = bench.driver.purge(&bench.call, &first, first.parent).await;
    assert_eq!(held.unwrap_err().kind(), Kind::Conflict, "a layer hangs on it");

    assert_eq!(bench.driver.used_bytes(&last).await.unwrap(), MIB);
    assert_eq!(bench.driver.flatten_cost(&last).await.unwrap(), Some(SIZE - MIB));
    for _ in 0..2 {
        bench.driver.flatten(&last).await.unwrap();
    }
    assert_eq!(bench.driver.flatten_cost(&last).await.unwrap(), Some(0));
    assert!(bench.info(&name(&last)).get("parent").is_none());
    assert!(!bench.traces().iter().any(|trace| trace.contains(&origin.to_string())), "its carrier is gone");
    assert!(bench.driver.purge(&bench.call, &first, first.parent).await.unwrap());
    assert!(bytes() == before);
    assert!(bench.driver.exists(&head).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_may_read_by_way_of_is_not_flattened() {
    let Some(bench) = bench() else { return };
    let Line { head, first, last, .. } = line(&bench).await;
    let refused = async |layer: &Layer, why: &str| {
        assert_eq!(bench.driver.flatten_cost(layer).await.unwrap(), None, "{why}");
        let error = bench.driver.flatten(layer).await.unwrap_err();
        assert!(error.kind() == Kind::Conflict && error.to_string().contains(why), "{error}");
    };
    refused(&head, "is not parked").await;
    // Of `first` the carrier was made, and of that `last`.
    let open = bench.somebody_opens(&last.backend_id);
    refused(&last, "has vms/").await;
    refused(&first, "has vms/").await;
    drop(open);
    bench.rbd(&["rename", &name(&last), &format!("vms/{}_disk.eph0", bench.server)]);
    refused(&first, "by somebody else").await;
    bench.rbd(&["rename", &format!("vms/{}_disk.eph0", bench.server), &name(&last)]);
    // Somebody else has made a clone; that its snapshot was removed since changes nothing for whoever reads it.
    let (mine, _) = bench.captured(&last).await;
    let foreign = format!("vms/foreign.{}", last.id);
    bench.rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{}@ratoon-{mine}", name(&last)), &foreign]);
    refused(&last, "by somebody else").await;
    bench.driver.remove_snapshot(&bench.call, &last, mine).await.unwrap();
    refused(&last, "by somebody else").await;
    assert!(bench.info(&name(&last)).get("parent").is_some());
    bench.rbd(&["rm", "--no-progress", &foreign]);
    bench.driver.flatten(&last).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_snapshots_would_go_on_reading_from_its_parent_is_not_flattened() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &["--image-feature", "layering"]);
    let (_, _, parked) = bench.prepared(&head).await;
    assert_eq!(bench.driver.flatten_cost(&parked).await.unwrap(), Some(SIZE), "it has no snapshots");
    bench.captured(&parked).await;
    assert_eq!(bench.driver.flatten_cost(&parked).await.unwrap(), None);
    let refused = bench.driver.flatten(&parked).await.unwrap_err();
    assert!(refused.to_string().contains("deep-flatten"), "{refused}");
}
