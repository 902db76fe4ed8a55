//! Our half of `tests/bench/intake.py`: what the intake costs, measured within this process.

use std::time::Duration;

use ratoon::clock;
use ratoon::config::Settings;
use ratoon::parts::listener_settings;

use super::ear::{Ear, empty_store};

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/bench/intake.py"))
}

/// Seconds of processor time that this process has used, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time, in ticks of the kernel's interface, which are hundredths on every Linux.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark, run by tests/bench/intake.py"]
async fn what_the_intake_costs() {
    let messages: usize = env("RATOON_BENCH_MESSAGES").parse().unwrap();
    let text = format!(
        "[DEFAULT]\ntransport_url = {}\n[events]\nqueue_name = {}\nexchanges = {}\nqueue_length_max = 1000000\n",
        env("RATOON_BENCH_URL"),
        env("RATOON_BENCH_QUEUE"),
        env("RATOON_BENCH_EXCHANGE"),
    );
    let settings = listener_settings(&Settings::from_text(&text).unwrap()).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = empty_store(&folder).await;
    store.migrate().await.unwrap();
    let (begun, before) = (clock::Instant::now(), cpu_seconds());
    let ear = Ear::with(settings, store, folder);
    // The queue keeps their order, so the last one tells. It has a server of its own.
    let last = env("RATOON_BENCH_LAST").parse().unwrap();
    assert!(ear.hears(last, Duration::from_secs(3600)).await);
    let (cpu, wall) = (cpu_seconds() - before, begun.elapsed().as_secs_f64());
    assert_eq!(ear.inbox().await.len(), messages);
    std::fs::write(env("RATOON_BENCH_OUT"), format!("{{\"cpu_s\": {cpu:.3}, \"wall_s\": {wall:.3}}}\n")).unwrap();
    ear.stop().await;
}
