//! Which disks a server has.

use ratoon::domain::disk::DiskKind;
use ratoon::drivers::SnapshotDriver;
use ratoon::drivers::rbd::naming::head_name;
use ratoon::ids::ServerId;

use super::bench::{SIZE, bench};

#[tokio::test(flavor = "multi_thread")]
async fn every_image_of_the_server_is_covered_or_named() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    for key in ["disk.eph0", "disk.eph10", "disk.eph2", "disk.swap", "disk.config", "disk.old"] {
        bench.rbd(&["create", "-s", "1M", &format!("vms/{}", head_name(bench.server, key))]);
    }
    bench.rbd(&["create", "-s", "1M", &format!("vms/{}-odd", bench.server)]);
    let spec = format!("vms/{}", head_name(bench.server, "disk"));
    bench.rbd(&["snap", "create", "--no-progress", &format!("{spec}@nova-resize")]);
    bench.captured(&head).await;

    let found = bench.driver.discover(&bench.server_facts()).await.unwrap();

    let disks: Vec<_> = found.disks.iter().map(|disk| (disk.key.as_str(), disk.kind, disk.position)).collect();
    assert_eq!(
        disks,
        [
            ("disk", DiskKind::System, 0),
            ("disk.eph0", DiskKind::Ephemeral, 1),
            ("disk.eph2", DiskKind::Ephemeral, 2),
            ("disk.eph10", DiskKind::Ephemeral, 3),
        ]
    );
    let left_out: Vec<_> = found.left_out.iter().map(|left| left.key.as_str()).collect();
    assert_eq!(left_out, ["-odd", "disk.config", "disk.old", "disk.swap"]);
    let system = &found.disks[0];
    assert_eq!(system.backend_id, head.backend_id);
    assert_eq!((system.size_bytes, system.pool.as_str()), (SIZE, "vms"));
    assert_eq!(system.facts.parent_pool.as_deref(), Some("images"));
    assert_eq!(system.foreign_snapshots, ["nova-resize"]);
    assert_eq!(system.unsupported, None);
    assert_eq!(found.disks[1].facts.parent_pool, None);

    let heads = bench.driver.heads().await.unwrap();
    let mut keys: Vec<_> = heads.iter().filter(|head| head.server_id == bench.server).map(|head| &head.key).collect();
    keys.sort();
    assert_eq!(keys, ["disk", "disk.eph0", "disk.eph10", "disk.eph2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_disks_are_not_supported_and_say_why() {
    let Some(bench) = bench() else { return };
    bench.disk("disk", &[]);
    let mut server = bench.server_facts();
    server.extra_specs.insert("hw:ephemeral_encryption".into(), "True".into());
    let found = bench.driver.discover(&server).await.unwrap();
    assert!(found.disks[0].unsupported.as_ref().is_some_and(|why| why.contains("hw:ephemeral_encryption")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_system_disk_here_has_no_disks_here() {
    let Some(bench) = bench() else { return };
    let mut server = bench.server_facts();
    server.id = ServerId::new();
    let found = bench.driver.discover(&server).await.unwrap();
    assert!(found.disks.is_empty() && found.left_out.is_empty());

    bench.rbd(&["create", "-s", "1M", &format!("vms/{}", head_name(bench.server, "disk.eph0"))]);
    let found = bench.driver.discover(&bench.server_facts()).await.unwrap();
    assert!(found.disks.is_empty());
    assert_eq!(found.left_out[0].key, "disk.eph0");
}
