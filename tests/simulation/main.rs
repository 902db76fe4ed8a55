//! Random acts against a model that knows every byte: guests write, owners stop, start, attach and detach, snapshots are
//! taken and restored, engines are killed, calls fail, operations are cancelled. After each act the world must be what the
//! model says, and no work may be lost.
//!
//! The seed of a failure is printed; `RATOON_SIMULATION_SEED=n` runs that one alone, `RATOON_SIMULATION_SEEDS=n` so many.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)]

#[path = "../databases/mod.rs"]
mod databases;
#[path = "../operations/lab.rs"]
#[allow(dead_code)]
mod lab;
#[path = "../operations/state.rs"]
#[allow(dead_code)]
mod state;

mod acts;
mod model;
mod random;

/// Seeds that an ordinary run tries.
const SEEDS: u64 = 12;
/// Acts of each.
const ACTS: usize = 40;
/// Seeds at once.
const AT_ONCE: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let story = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = story.clone();
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { acts::Simulation::new(seed, told).await.run(ACTS).await });
    }));
    if let Err(panic) = end {
        let story = story.lock().unwrap();
        for line in story.iter().rev().take(15).rev() {
            println!("  {line}");
        }
        println!("seed {seed} failed at act {}; replay with RATOON_SIMULATION_SEED={seed}", story.len());
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn whatever_happens_every_byte_is_where_the_model_says() {
    if let Some(seed) = number("RATOON_SIMULATION_SEED") {
        return run(seed);
    }
    let seeds = number("RATOON_SIMULATION_SEEDS").unwrap_or(SEEDS);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|worker| scope.spawn(move || (worker..seeds).step_by(AT_ONCE as usize).for_each(run)))
            .collect();
        let failed = workers.into_iter().filter_map(|worker| worker.join().err()).next();
        if let Some(panic) = failed {
            std::panic::resume_unwind(panic);
        }
    });
}
