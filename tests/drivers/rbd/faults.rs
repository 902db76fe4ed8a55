//! Ceph away, wrong, or closed to us.

use std::sync::Arc;
use std::time::Duration;

use ratoon::clock::Instant;
use ratoon::drivers::SnapshotDriver;
use ratoon::drivers::rbd::connection::Connection;
use ratoon::drivers::rbd::image::Access;
use ratoon::drivers::rbd::pool::Pool;
use ratoon::drivers::rbd::{Cluster, RbdConfig, RbdDriver, RbdDriverConfig};
use ratoon::error::Kind;

use super::bench::bench;

fn config(directory: &tempfile::TempDir) -> RbdConfig {
    let ceph_conf = directory.path().join("ceph.conf");
    // A key that is well formed, since without one the client does not even try.
    let keyring = directory.path().join("keyring");
    std::fs::write(&keyring, "[client.ratoon]\nkey = AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==\n").unwrap();
    std::fs::write(&ceph_conf, "[global]\nmon_host = v1:127.0.0.1:1\n").unwrap();
    RbdConfig { ceph_conf, user: "ratoon".into(), keyring: Some(keyring), timeout: Duration::from_secs(5) }
}

fn libraries_are_missing() -> bool {
    // Without Ceph's client libraries there is nothing to try; their absence is itself tested beside the binding.
    let path = std::path::Path::new;
    let missing = ["/usr/lib64", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .iter()
        .all(|directory| !path(directory).join("librbd.so.1").exists());
    if missing {
        println!("skipped: librbd1 is not installed");
    }
    missing
}

#[tokio::test(flavor = "multi_thread")]
async fn monitors_that_do_not_answer_are_unavailable_in_time_for_all_who_wait() {
    if libraries_are_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(config(&directory));
    let start = Instant::now();
    let waiting = (0..4).map(|_| cluster.run_briefly("try", |_| Ok(())));
    for result in futures::future::join_all(waiting).await {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true), "{}", error.chain());
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "four that waited for one attempt took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_configuration_file_is_an_operators_matter() {
    if libraries_are_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory);
    config.ceph_conf = directory.path().join("no-such.conf");
    let error = Cluster::new(config).run("connect", |_| Ok(())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false));
    assert!(error.chain().contains("no-such.conf") && error.remedy_text().is_some(), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_or_pool_never_reads_as_an_absent_image() {
    let Some(bench) = bench() else { return };
    let mut config = bench.config.clone();
    config.user = "nobody-of-that-name".into();
    let error = Cluster::new(config).run("connect", |_| Ok(())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false), "{}", error.chain());

    let pool = "no-such-pool".to_owned();
    let driver = RbdDriver::new(RbdDriverConfig { cluster: bench.config.clone(), pool, glance_pool: None });
    let mut layer = bench.layer("disk", "ffffffffffff", None);
    layer.pool = String::new();
    let error = driver.remove_snapshot(&bench.call, &layer, bench.origin()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (Kind::Backend, false));
    assert!(error.chain().contains("no-such-pool"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_blocklisted_fails_once_and_comes_back_under_another_address() {
    let Some(bench) = bench() else { return };
    let head = bench.disk("disk", &[]);
    let cluster = Cluster::new(bench.config.clone());
    let address = async || cluster.run("ask for our address", |connection| connection.address()).await.unwrap();
    let write = async || {
        let id = head.backend_id.clone();
        let act = move |connection: &Arc<Connection>| {
            let image = Pool::open(connection, "vms")?.open_id(&id, Access::Write)?.expect("the image is there");
            image.set_metadata("test", "1")
        };
        cluster.run("write to an RBD image", act).await
    };
    let blocked = address().await;
    bench.try_run("ceph", &["osd", "blocklist", "add", &blocked, "120"], b"").unwrap();

    // The first may still be answered: the client has not heard of it yet.
    let mut failed = false;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Err(error) = write().await {
            assert_eq!((error.kind(), error.is_retryable()), (Kind::Unavailable, true), "{}", error.chain());
            failed = true;
            break;
        }
    }
    assert!(failed, "the fence did not hold");
    assert_ne!(address().await, blocked);
    write().await.unwrap();
    bench.try_run("ceph", &["osd", "blocklist", "rm", &blocked], b"").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_act_that_hangs_the_next_one_gets_another_connection() {
    let Some(bench) = bench() else { return };
    let cluster = Cluster::new(RbdConfig { timeout: Duration::from_secs(3), ..bench.config.clone() });
    let client_id = |connection: &Arc<Connection>| Ok(connection.client_id());
    let first = cluster.run("ask", client_id).await.unwrap();
    assert_eq!(cluster.run("ask", client_id).await.unwrap(), first);
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let hanging = cluster.run_briefly("hang", move |_| {
        let _ = hang.recv();
        Ok(())
    });
    assert_eq!(hanging.await.unwrap_err().kind(), Kind::Unavailable);
    assert_ne!(cluster.run("ask", client_id).await.unwrap(), first);
    let counted = "ratoon_backend_duration_seconds_count{backend=\"Ceph\",act=\"hang\",outcome=\"error\"} 1";
    assert!(ratoon::measures::render(None).lines().any(|line| line == counted), "what hangs is what is looked for");
    drop(release);
}
