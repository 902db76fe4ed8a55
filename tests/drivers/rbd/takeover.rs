//! A head is taken from under its name, something that can be removed takes the name, and all of it can be undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratoon::domain::disk::Layer;
use ratoon::drivers::rbd::Cluster;
use ratoon::drivers::rbd::image::Access;
use ratoon::drivers::rbd::pool::Pool;
use ratoon::drivers::{SnapshotDriver, StandIn};
use ratoon::error::Kind;

use super::bench::{Bench, bench};

/// Tries to find a moment without the name: by two renames one is found in each of them.
const HAND_OVERS: usize = 5;

fn list(bench: &Bench) -> Vec<String> {
    let listed = bench.rbd(&["ls", "vms"]);
    listed.lines().filter(|name| name.contains(&bench.server.to_string())).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nova_can_remove_what_bears_the_name_and_the_head_with_its_snapshots_stays() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    bench.captured(&head).await;
    let guest = bench.somebody_opens(&head.backend_id);
    let name = format!("{}_disk", bench.server);
    for _ in 0..2 {
        assert!(bench.driver.take_over(&head, StandIn::Once).await.unwrap(), "whoever has it open");
        assert_eq!(bench.name_of(&head.backend_id).await.unwrap(), format!("ratoon.{}", head.id));
        assert_eq!(list(&bench), std::slice::from_ref(&name));
        assert_eq!(bench.driver.bearer(&head).await.unwrap(), None, "a stand-in is nobody");
    }
    bench.rbd(&["rm", "--no-progress", &format!("vms/{name}")]);
    assert!(bench.driver.take_over(&head, StandIn::Once).await.unwrap());
    assert_eq!(list(&bench), Vec::<String>::new(), "Nova may be done: nothing takes the name once more");
    assert!(bench.driver.take_over(&head, StandIn::Always).await.unwrap());
    assert_eq!(list(&bench), [name], "unless no new disk will be made");
    drop(guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_gets_its_name_back_whether_its_stand_in_was_removed_or_not() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let name = format!("{}_disk", bench.server);
    for removed in [false, true] {
        bench.driver.take_over(&head, StandIn::Once).await.unwrap();
        if removed {
            bench.rbd(&["rm", "--no-progress", &format!("vms/{name}")]);
        }
        assert!(bench.driver.heal_head(&head).await.unwrap());
        assert_eq!(bench.name_of(&head.backend_id).await.unwrap(), name);
        assert_eq!(bench.driver.bearer(&head).await.unwrap(), Some(head.backend_id.clone()));
        assert_eq!(list(&bench), std::slice::from_ref(&name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_is_no_disk_and_goes_with_what_it_stood_for() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    bench.driver.take_over(&head, StandIn::Once).await.unwrap();
    assert!(bench.driver.discover(&bench.server_facts()).await.unwrap().disks.is_empty());
    assert!(bench.driver.take_over(&head, StandIn::None).await.unwrap());
    assert_eq!(list(&bench), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_nova_has_made_meanwhile_is_not_touched() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let name = format!("{}_disk", bench.server);
    bench.driver.take_over(&head, StandIn::None).await.unwrap();
    bench.rbd(&["create", "-s", "1M", &format!("vms/{name}")]);
    assert!(bench.driver.take_over(&head, StandIn::None).await.unwrap());
    assert!(!bench.driver.heal_head(&head).await.unwrap());
    assert_eq!(list(&bench), std::slice::from_ref(&name));
    assert!(bench.driver.bearer(&head).await.unwrap().is_some_and(|id| id != head.backend_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_gone_or_was_renamed_by_hand_is_told_apart() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let name = format!("vms/{}_disk", bench.server);
    bench.rbd(&["rename", &name, &format!("{name}.by-hand")]);
    let error = bench.driver.take_over(&head, StandIn::Once).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false));
    bench.rbd(&["rename", &format!("{name}.by-hand"), &name]);
    bench.rbd(&["rm", "--no-progress", &name]);
    assert!(!bench.driver.take_over(&head, StandIn::Once).await.unwrap());
    assert_eq!(list(&bench), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_no_moment_does_the_name_open_nothing() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    bench.captured(&head).await;
    let onlooker = Cluster::new(bench.config.clone());
    for _ in 0..HAND_OVERS {
        let (name, over) = (format!("{}_disk", bench.server), Arc::new(AtomicBool::new(false)));
        let is_over = over.clone();
        let look = onlooker.run("look at a name", move |connection| {
            let pool = Pool::open(connection, "vms")?;
            let mut found = vec![];
            while !is_over.load(Ordering::Relaxed) {
                found.push(pool.open_name(&name, Access::Read)?.is_some());
            }
            Ok(found)
        });
        let act = async {
            let taken = bench.driver.take_over(&head, StandIn::Once).await;
            over.store(true, Ordering::Relaxed);
            taken
        };
        let (found, taken) = tokio::join!(look, act);
        assert!(taken.unwrap());
        let found = found.unwrap();
        assert!(found.len() > 3 && found.iter().all(|found| *found), "{found:?}");
        assert!(bench.driver.heal_head(&head).await.unwrap());
    }
}

/// What is left when the engine dies after each of the writes of which a handing over is made, or after the last but one when Nova
/// has removed the stand-in before anybody came to finish it.
const WRITES: [&str; 6] =
    ["own id", "own name", "stand-in listed", "stand-in opens", "stand-in removed", "half a stand-in"];

/// A head with a snapshot, and its name, as they are found then.
async fn died_after(write: &str) -> Option<(Bench, Layer, String)> {
    let bench = bench()?;
    let head = bench.disk("disk", &[]);
    bench.captured(&head).await;
    let name = format!("{}_disk", bench.server);
    write_up_to(&bench, &head, &name, write);
    Some((bench, head, name))
}

fn write_up_to(bench: &Bench, head: &Layer, name: &str, write: &str) {
    let own = format!("ratoon.{}", head.id);
    let spare = format!("ratoon.stand-in.{}", head.id);
    let copy = |from: &str, to: &str| bench.rados(&["cp", &format!("rbd_id.{from}"), &format!("rbd_id.{to}")]);
    let remove = |name: &str| bench.rados(&["rm", &format!("rbd_id.{name}")]);
    let rename = |from: &str, to: &str| {
        bench.rbd(&["rename", &format!("vms/{from}"), &format!("vms/{to}")]);
    };
    let spec = format!("vms/{spare}");
    bench.rbd(&["create", "-s", "1M", "--image-feature", "layering", &spec]);
    bench.rbd(&["image-meta", "set", &spec, "ratoon.stand_in", &head.id.to_string()]);
    if write == "half a stand-in" {
        // Listed, and nothing else: its header was not written yet.
        return bench.rados(&["rm", &format!("rbd_header.{}", bench.id_of(&spec))]);
    }
    copy(name, &own);
    if write == "own id" {
        return;
    }
    remove(&own);
    rename(name, &own);
    if write == "own name" {
        return copy(&own, name);
    }
    rename(&spare, name);
    copy(name, &spare);
    match write {
        "stand-in listed" => {
            remove(name);
            copy(&own, name);
        }
        "stand-in removed" => drop(bench.rbd(&["rm", "--no-progress", &format!("vms/{name}")])),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handing_over_that_died_half_way_is_finished() {
    for write in WRITES {
        let Some((bench, head, name)) = died_after(write).await else { return };
        assert!(bench.driver.take_over(&head, StandIn::Always).await.unwrap(), "{write}");
        assert_eq!(bench.name_of(&head.backend_id).await, Some(format!("ratoon.{}", head.id)), "{write}");
        assert_eq!(list(&bench), std::slice::from_ref(&name), "{write}");
        assert_ne!(bench.id_of(&format!("vms/{name}")), head.backend_id, "{write}");
        assert_eq!(bench.driver.bearer(&head).await.unwrap(), None, "{write}");
        bench.rbd(&["rm", "--no-progress", &format!("vms/{name}")]);
        assert!(bench.driver.take_over(&head, StandIn::None).await.unwrap(), "{write}");
        assert_eq!(list(&bench), Vec::<String>::new(), "{write}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handing_over_that_died_half_way_can_be_taken_back() {
    for write in WRITES {
        let Some((bench, head, name)) = died_after(write).await else { return };
        bench.driver.heal_head(&head).await.unwrap();
        assert_eq!(bench.name_of(&head.backend_id).await.as_deref(), Some(name.as_str()), "{write}");
        assert_eq!(bench.driver.bearer(&head).await.unwrap(), Some(head.backend_id.clone()), "{write}");
        bench.driver.take_over(&head, StandIn::None).await.unwrap();
        assert_eq!(list(&bench), Vec::<String>::new(), "{write}");
    }
}
