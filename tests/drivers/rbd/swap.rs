//! The head's name changes hands, whole or not at all.

use ratoon::domain::disk::Layer;
use ratoon::drivers::{NewLayer, SnapshotDriver, Source};
use ratoon::error::Kind;

use super::bench::{Bench, bench};

async fn names(bench: &Bench, head: &Layer, next: &Layer) -> (String, String) {
    let name = async |layer: &Layer| bench.name_of(&layer.backend_id).await.unwrap();
    (name(head).await, name(next).await)
}

fn expected(bench: &Bench, head: &Layer, next: &Layer, swapped: bool) -> (String, String) {
    let head_name = format!("{}_disk", bench.server);
    if swapped { (format!("ratoon.{}", head.id), head_name) } else { (head_name, format!("ratoon.{}", next.id)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_goes_there_stays_and_goes_back() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (.., next) = bench.prepared(&head).await;
    for _ in 0..2 {
        bench.driver.swap(&bench.call, &head, &next).await.unwrap();
        assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, true));
    }
    for _ in 0..2 {
        bench.driver.swap(&bench.call, &next, &head).await.unwrap();
        assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_died_between_the_renames_is_finished_or_undone() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (.., next) = bench.prepared(&head).await;
    let (from, to) = (format!("vms/{}_disk", bench.server), format!("vms/ratoon.{}", head.id));
    for forward in [true, false] {
        bench.rbd(&["rename", &from, &to]);
        let (old, new) = if forward { (&head, &next) } else { (&next, &head) };
        bench.driver.swap(&bench.call, old, new).await.unwrap();
        assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, forward));
        if forward {
            bench.driver.swap(&bench.call, &next, &head).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_while_somebody_has_either_open() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (.., next) = bench.prepared(&head).await;
    for used in [&head, &next] {
        let guest = bench.somebody_opens(&used.backend_id);
        let error = bench.driver.swap(&bench.call, &head, &next).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true));
        assert!(error.chain().contains("client.") && !error.told().contains("client."), "{error}");
        drop(guest);
        assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, false));
    }
    bench.driver.swap(&bench.call, &head, &next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opened_the_old_head_meanwhile_gets_his_name_back() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (.., next) = bench.prepared(&head).await;
    let (name, parked) = (format!("vms/{}_disk", bench.server), format!("vms/ratoon.{}", head.id));
    // Seen after the first rename; then seen after the second.
    for renames in [1, 2] {
        let guest = bench.somebody_opens(&head.backend_id);
        bench.rbd(&["rename", &name, &parked]);
        if renames == 2 {
            bench.rbd(&["rename", &format!("vms/ratoon.{}", next.id), &name]);
        }
        let error = bench.driver.swap(&bench.call, &head, &next).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, true), "{error}");
        assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, false), "{renames}");
        drop(guest);
    }
    // Both open: nobody's name is taken from under him.
    let guest = bench.somebody_opens(&head.backend_id);
    bench.rbd(&["rename", &name, &parked]);
    bench.rbd(&["rename", &format!("vms/ratoon.{}", next.id), &name]);
    let other = bench.somebody_opens(&next.backend_id);
    let error = bench.driver.swap(&bench.call, &head, &next).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false), "{error}");
    assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, true));
    drop((guest, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_image_under_the_name_stays_untouched() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (.., next) = bench.prepared(&head).await;
    let name = format!("vms/{}_disk", bench.server);
    bench.rbd(&["rename", &name, &format!("vms/ratoon.{}", head.id)]);
    bench.rbd(&["create", "-s", "1M", &name]);
    let third = bench.id_of(&name);
    let error = bench.driver.swap(&bench.call, &head, &next).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Conflict, false));
    assert!(error.to_string().contains(&third), "{error}");
    assert_eq!(bench.id_of(&name), third);
    assert!(!bench.driver.heal_head(&head).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_next_is_noticed_before_anything_moves() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let next = Layer { id: bench.layer_id(), backend_id: "ffffffffffff".into(), ..head.clone() };
    let error = bench.driver.swap(&bench.call, &head, &next).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let name = bench.name_of(&head.backend_id).await;
    assert_eq!(name, Some(format!("{}_disk", bench.server)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_gives_a_lost_head_its_name() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let heads = [head.clone()];
    assert!(!bench.driver.heal_head(&head).await.unwrap());
    assert!(bench.driver.missing_heads(&heads).await.unwrap().is_empty());
    bench.rbd(&["rename", &format!("vms/{}_disk", bench.server), &format!("vms/ratoon.{}", head.id)]);
    assert_eq!(bench.driver.missing_heads(&heads).await.unwrap(), heads);
    assert!(bench.driver.heal_head(&head).await.unwrap());
    assert!(!bench.driver.heal_head(&head).await.unwrap());
    let name = bench.name_of(&head.backend_id).await;
    assert_eq!(name, Some(format!("{}_disk", bench.server)));
}

/// librbd renames in three writes (`pool.rs`): here is what is left when it dies after the first, and after the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_died_half_way_is_finished() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (.., next) = bench.prepared(&head).await;
    let (name, parked) = (format!("rbd_id.{}_disk", bench.server), format!("rbd_id.ratoon.{}", head.id));

    // After the first: the image opens under both names, the directory has the old one.
    bench.rados(&["cp", &name, &parked]);
    bench.driver.swap(&bench.call, &head, &next).await.unwrap();
    assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, true));
    bench.driver.swap(&bench.call, &next, &head).await.unwrap();

    // After the second: the directory has the new one, and Nova would still open the old head under the old.
    bench.rados(&["cp", &name, "rbd_id.keep"]);
    bench.rbd(&["rename", &format!("vms/{}_disk", bench.server), &format!("vms/ratoon.{}", head.id)]);
    bench.rados(&["cp", "rbd_id.keep", &name]);
    bench.rados(&["rm", "rbd_id.keep"]);
    assert_eq!(bench.id_of(&format!("vms/{}_disk", bench.server)), head.backend_id);
    bench.driver.swap(&bench.call, &head, &next).await.unwrap();
    assert_eq!(names(&bench, &head, &next).await, expected(&bench, &head, &next, true));
    assert_eq!(bench.id_of(&format!("vms/{}_disk", bench.server)), next.backend_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nova_left_on_a_new_layer_is_taken_away_once_nothing_hangs_on_it() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let (origin, snapshot) = bench.captured(&head).await;
    let source = Source { layer: &head, origin, backend_id: &snapshot };
    let before = bench.traces();
    let new = NewLayer { id: bench.layer_id(), size_bytes_min: 0, copied: false };
    let backend_id = bench.driver.prepare(&bench.call, source, &new).await.unwrap();
    let layer = Layer { id: new.id, backend_id, ..head.clone() };
    let spec = format!("vms/ratoon.{}", new.id);
    let (novas, ours) = ("0123456789abcdef0123456789abcdef", format!("{spec}@ratoon-ours"));
    bench.rbd(&["snap", "create", "--no-progress", &format!("{spec}@{novas}")]);
    bench.rbd(&["snap", "protect", &format!("{spec}@{novas}")]);
    bench.rbd(&["snap", "create", "--no-progress", &ours]);
    let image = format!("images/{}", bench.layer_id());
    bench.rbd(&["clone", &format!("{spec}@{novas}"), &image]);
    let error = bench.driver.clear(&layer).await.unwrap_err();
    assert!(error.kind() == Kind::Conflict && error.is_retryable(), "{}", error.chain());
    assert!(bench.driver.discard(&bench.call, source, &new).await.unwrap_err().is_retryable());
    bench.rbd(&["rm", "--no-progress", &image]);
    bench.driver.clear(&layer).await.unwrap();
    bench.driver.clear(&layer).await.unwrap();
    let left = bench.rbd(&["snap", "ls", &spec]);
    assert!(left.contains("ratoon-ours") && !left.contains(novas), "{left}");
    bench.rbd(&["snap", "rm", "--no-progress", &ours]);
    bench.rbd(&["snap", "create", "--no-progress", &format!("{spec}@{novas}")]);
    bench.driver.discard(&bench.call, source, &new).await.unwrap();
    assert_eq!(bench.traces(), before);
}
