//! The doctor's trial: what it makes is gone afterwards, and so is what an earlier one left that was killed.

use chrono::TimeDelta;
use ratoon::clock;
use ratoon::drivers::rbd::Cluster;
use ratoon::drivers::rbd::trial::try_pools;
use uuid::{NoContext, Timestamp, Uuid};

use super::bench::{Bench, bench};

/// The id of a trial that began so long ago.
fn begun_before(ago: TimeDelta) -> String {
    let seconds = u64::try_from((clock::now() - ago).timestamp()).unwrap();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)).to_string()
}

fn images_of(bench: &Bench, id: &str) -> Vec<String> {
    let listed = ["vms", "images"].map(|pool| bench.rbd(&["ls", pool])).join("\n");
    listed.lines().filter(|name| name.contains(id)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_trial_left_goes_with_the_next_one_and_what_another_is_at_stays() {
    let Some(bench) = bench() else { return };
    let (dead, living) = (begun_before(TimeDelta::hours(1)), begun_before(TimeDelta::minutes(1)));
    for id in [&dead, &living] {
        let (source, carrier) = (format!("vms/ratoon.doctor.{id}"), format!("images/ratoon.doctor.{id}.carrier"));
        bench.rbd(&["create", "-s", "4M", &source]);
        for (parent, child) in [(&source, &carrier), (&carrier, &format!("{source}.head"))] {
            bench.rbd(&["snap", "create", "--no-progress", &format!("{parent}@c")]);
            bench.rbd(&["clone", "--rbd-default-clone-format", "2", &format!("{parent}@c"), child]);
        }
    }
    let cluster = Cluster::new(bench.config.clone());
    let tried = try_pools(&cluster, "vms", "images").await;
    let (of_the_dead, of_the_living) = (images_of(&bench, &dead), images_of(&bench, &living));
    let source = format!("vms/ratoon.doctor.{living}");
    for (child, parent) in [
        (format!("{source}.head"), None),
        (format!("images/ratoon.doctor.{living}.carrier"), Some("c")),
        (source, Some("c")),
    ] {
        if let Some(snapshot) = parent {
            bench.rbd(&["snap", "rm", "--no-progress", &format!("{child}@{snapshot}")]);
        }
        bench.rbd(&["rm", "--no-progress", &child]);
    }
    tried.unwrap();
    assert_eq!(of_the_dead, [""; 0]);
    assert_eq!(of_the_living.len(), 3, "{of_the_living:?}");
    try_pools(&cluster, "vms", "images").await.unwrap();
    assert_eq!(images_of(&bench, "ratoon.doctor."), [""; 0], "its own are gone, too");
}
