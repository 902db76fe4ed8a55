//! What every driver does, whatever lies behind it: the fakes, on which the operations' loops rest, as the real ones.

use ratoon::domain::disk::{Layer, LayerRole};
use ratoon::drivers::{Call, NewLayer, SnapshotDriver, Source};
use ratoon::ids::{DiskSnapshotId, LayerId};

/// Asks a driver for each act twice, on a disk that may be in use and keeps what it has.
pub async fn holds(driver: &dyn SnapshotDriver, call: &Call, disk: &Layer, origin: DiskSnapshotId, id: LayerId) {
    let name = driver.name();
    assert_eq!(driver.name(), disk.backend, "the rows name it");
    let new = NewLayer { id, size_bytes_min: 0, copied: false };
    let nothing = Source { layer: disk, origin, backend_id: "0" };
    driver.prepare(call, nothing, &new).await.expect_err("there is no such snapshot");

    let captured = driver.capture(call, disk, origin).await.unwrap();
    assert_eq!(driver.capture(call, disk, origin).await.unwrap(), captured, "{name}: found, not taken again");
    assert!(captured.size_bytes > 0 && !captured.backend_id.is_empty(), "{name}: {captured:?}");

    let source = Source { backend_id: &captured.backend_id, ..nothing };
    let backend_id = driver.prepare(call, source, &new).await.unwrap();
    assert_eq!(driver.prepare(call, source, &new).await.unwrap(), backend_id, "{name}: found, not made again");
    let layer = Layer {
        id,
        backend_id,
        role: LayerRole::Parked,
        parent: Some(origin),
        parent_layer: Some(disk.id),
        ..disk.clone()
    };
    assert!(driver.exists(&layer).await.unwrap(), "{name}");
    assert_eq!(driver.users(&layer).await.unwrap(), Vec::<String>::new(), "{name}: nobody has it open");

    for _ in 0..2 {
        driver.discard(call, source, &new).await.unwrap();
        assert!(!driver.exists(&layer).await.unwrap(), "{name}: it is gone");
    }
    assert_eq!(driver.used_bytes(&layer).await.unwrap(), 0, "{name}: what is gone takes nothing");
    assert!(driver.purge(call, &layer, Some(origin)).await.unwrap(), "{name}: what is gone is removed");
    for _ in 0..2 {
        driver.remove_snapshot(call, disk, origin).await.unwrap();
    }
    driver.prepare(call, source, &new).await.expect_err("the snapshot is gone");
    assert!(driver.exists(disk).await.unwrap(), "{name}: the disk is as before");
}
