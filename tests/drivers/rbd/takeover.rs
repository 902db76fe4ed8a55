//! A head is taken from under its name, something that can be removed takes the name, and all of it can be undone.

use ratoon::drivers::{SnapshotDriver, StandIn};
use ratoon::error::Kind;

use super::bench::{Bench, bench};

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
