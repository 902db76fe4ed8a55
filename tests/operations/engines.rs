//! Engines as they run in service: they take work, show that they live, drain, die, and are succeeded.

use std::sync::Arc;
use std::time::Duration;

use ratoon::clock;
use ratoon::domain::operation::{EventKind, OperationStatus};
use ratoon::drivers::fake::faults::{Harm, When, Which};
use ratoon::ids::OperationId;
use ratoon::operations::Verdict;
use ratoon::operations::engine::{self, EngineSettings};
use ratoon::operations::runner::{self, Outcome};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::cases::CASES;
use crate::lab::Lab;
use crate::loops::Undisturbed;

fn settings(alone: bool) -> EngineSettings {
    EngineSettings {
        host: "here".into(),
        workers: 2,
        lease: Duration::from_millis(100),
        heartbeat: Duration::from_millis(10),
        poll: Duration::from_millis(2),
        drain: Duration::from_secs(10),
        alone,
    }
}

/// A process of its own: it can be killed.
struct Process {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<ratoon::error::Result<()>>,
}

impl Process {
    async fn start(lab: &Lab, alone: bool) -> Self {
        Self::start_with(lab, settings(alone)).await
    }

    async fn start_with(lab: &Lab, settings: EngineSettings) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = lab.world_of_another_process().await;
        let (stop, stopped) = watch::channel(false);
        let ended = runtime.spawn(engine::run(Arc::new(world), settings, stopped));
        Self { runtime, stop, ended }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.ended.await.unwrap().unwrap();
        self.runtime.shutdown_background();
    }
}

async fn until_final(lab: &Lab, id: OperationId) -> OperationStatus {
    let wait = async {
        loop {
            let status = lab.world.store.operation(id).await.unwrap().unwrap().status;
            if status.is_final() {
                return status;
            }
            clock::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the operation ends")
}

#[tokio::test]
async fn an_engine_takes_what_waits_and_leaves_no_trace_when_it_is_stopped() {
    let lab = Lab::with_a_server().await;
    let process = Process::start(&lab, true).await;
    let a = lab.ask_capture("a", |_| {}).await.unwrap();
    assert_eq!(until_final(&lab, a).await, OperationStatus::Succeeded);
    lab.cloud.guest_write(lab.server);
    let back = lab.ask_restore(lab.node("a").await, |_| {}).await.unwrap();
    assert_eq!(until_final(&lab, back).await, OperationStatus::Succeeded);
    process.end().await;
    assert_eq!(lab.world.store.engines().await.unwrap(), []);
    lab.must_be_clean("engine").await;
}

#[tokio::test]
async fn what_a_dead_engine_left_is_adopted_when_its_counter_stands_still() {
    for alone in [true, false] {
        let lab = Lab::with_a_server().await;
        let id = lab.ask_capture("a", |_| {}).await.unwrap();
        lab.cloud.plan_fault(Which::Named("snapshot_volume", 1), When::After, Harm::Death);
        let first = Process::start(&lab, alone).await;
        lab.cloud.died().await;
        assert_eq!(lab.status(), "PAUSED");
        first.kill();
        let second = Process::start(&lab, alone).await;
        assert_eq!(until_final(&lab, id).await, OperationStatus::Succeeded);
        assert_eq!(lab.status(), "ACTIVE");
        second.end().await;
        lab.must_be_clean("adopted").await;
        assert_eq!(lab.world.store.engines().await.unwrap(), [], "the dead one is forgotten too");
    }
}

async fn until_beats(lab: &Lab, engines: usize, beats: i64) {
    let wait = async {
        while lab.world.store.engines().await.unwrap().iter().filter(|engine| engine.beats >= beats).count() < engines {
            clock::sleep(Duration::from_millis(2)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), wait).await;
    assert!(done.is_ok(), "{engines} engines beat: {:?}", lab.world.store.engines().await);
}

#[tokio::test]
async fn an_engine_that_lives_keeps_what_it_works_on() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |request| request.pause_limit_ms = Some(60_000)).await.unwrap();
    // The first engine works on one disk for as long as the server is paused.
    lab.cloud.plan_fault(Which::Named("snapshot_volume", 1), When::Before, Harm::WhilePaused(lab.server));
    let patient = EngineSettings { lease: Duration::from_secs(20), ..settings(false) };
    let first = Process::start_with(&lab, patient.clone()).await;
    let second = Process::start_with(&lab, patient).await;
    until_beats(&lab, 2, 20).await;
    assert_eq!(lab.world.store.operation(id).await.unwrap().unwrap().generation, 1, "nobody took it away");
    lab.cloud.edit_server(lab.server, |facts| facts.status = ratoon::domain::server::ServerStatus::Active);
    assert_eq!(until_final(&lab, id).await, OperationStatus::Succeeded);
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn a_database_that_was_away_makes_no_engine_dead() {
    for _ in 0..2 {
        let lab = Lab::with_a_server().await;
        let id = lab.ask_capture("a", |request| request.pause_limit_ms = Some(60_000)).await.unwrap();
        lab.cloud.plan_fault(Which::Named("snapshot_volume", 1), When::Before, Harm::WhilePaused(lab.server));
        let lease = Duration::from_secs(3); // an engine that gets little of the processor beats within this
        let usual = EngineSettings { lease, ..settings(false) };
        let first = Process::start_with(&lab, usual.clone()).await;
        let second = Process::start_with(&lab, usual).await;
        until_beats(&lab, 2, 5).await;
        let outage = lab.database_is_away().await;
        clock::sleep(lease + Duration::from_millis(500)).await;
        outage.end().await;
        let beats = lab.world.store.engines().await.unwrap().iter().map(|engine| engine.beats).max().unwrap();
        until_beats(&lab, 2, beats + 5).await;
        assert_eq!(lab.world.store.operation(id).await.unwrap().unwrap().generation, 1, "nobody took it away");
        lab.cloud.edit_server(lab.server, |facts| facts.status = ratoon::domain::server::ServerStatus::Active);
        assert_eq!(until_final(&lab, id).await, OperationStatus::Succeeded);
        first.end().await;
        second.end().await;
    }
}

#[tokio::test]
async fn an_engine_that_was_taken_for_dead_and_lives_enters_again() {
    let lab = Lab::with_a_server().await;
    let process = Process::start(&lab, false).await;
    until_beats(&lab, 1, 1).await;
    let engine = lab.world.store.engines().await.unwrap().remove(0);
    lab.world.store.forget_engine(engine.id).await.unwrap();
    until_beats(&lab, 1, 1).await;
    assert_eq!(lab.world.store.engines().await.unwrap()[0].id, engine.id);
    process.end().await;
}

#[tokio::test]
async fn what_an_engine_holds_that_nobody_knows_is_adopted_too() {
    let lab = Lab::with_a_server().await;
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    lab.take().await.unwrap(); // by an engine that is not entered, and does nothing
    let process = Process::start(&lab, false).await;
    assert_eq!(until_final(&lab, id).await, OperationStatus::Succeeded);
    process.end().await;
    lab.must_be_clean("adopted").await;
}

#[tokio::test]
async fn what_an_engine_claimed_without_hearing_of_it_is_done_by_that_very_engine() {
    let lab = Lab::with_a_server().await;
    let slow = EngineSettings { poll: Duration::from_millis(300), ..settings(false) };
    let process = Process::start_with(&lab, slow).await;
    until_beats(&lab, 1, 1).await;
    let engine = lab.world.store.engines().await.unwrap()[0].id;
    // The answer to a claim is lost: the row says that the engine has it, and the engine knows of nothing.
    let a = lab.ask_capture("a", |_| {}).await.unwrap();
    let claimed = lab.world.store.claim_next(engine, &[], &[]).await.unwrap();
    assert!(claimed.is_none_or(|operation| operation.id == a), "or the engine itself was quicker");
    assert_eq!(until_final(&lab, a).await, OperationStatus::Succeeded);
    process.end().await;
    lab.must_be_clean("a lost claim").await;
}

#[tokio::test]
async fn a_draining_engine_gives_its_operation_back_at_a_steps_end_but_never_a_paused_server() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for (number, (step, event)) in all.events.iter().copied().enumerate() {
            let what = format!("{case:?}: drained at {step} {}", event.as_str());
            let (lab, id) = all.again().await;
            let (stop, stopped) = watch::channel(false);
            let mut left = number;
            lab.probe.script(move |_, _| {
                if left == 0 {
                    stop.send_replace(true);
                }
                left = left.saturating_sub(1);
                Verdict::Go
            });
            let operation = lab.take().await.unwrap();
            let outcome = runner::run(&lab.world, &operation, stopped).await.unwrap();
            lab.probe.calm();
            if outcome == Outcome::LetGo {
                let released = lab.world.store.operation(id).await.unwrap().unwrap();
                assert_eq!(released.engine_id, None, "{what}");
                assert_eq!(lab.status(), all.lab.status(), "{what}: neither paused nor stopped by us");
            } else {
                let last = number + 1 == all.events.len();
                let paused = lab.cloud.history(lab.server).contains(&"pause".to_owned());
                assert!(last || event == EventKind::Started || paused, "{what}: it went on");
            }
            lab.must_succeed(id).await;
            all.must_be_as_if_undisturbed(&lab, &what).await;
        }
    }
}

#[tokio::test]
async fn an_operation_whose_step_panics_is_given_back_and_the_engine_lives_on() {
    let lab = Lab::with_a_server().await;
    let mut panics = 2;
    lab.probe.script(move |step, event| {
        if panics > 0 && (step, event) == ("capture", EventKind::Done) {
            panics -= 1;
            panic!("planned by a test");
        }
        Verdict::Go
    });
    let id = lab.ask_capture("a", |_| {}).await.unwrap();
    let process = Process::start(&lab, true).await;
    assert_eq!(until_final(&lab, id).await, OperationStatus::Succeeded);
    process.end().await;
    lab.must_be_clean("panic").await;
}

#[tokio::test]
async fn an_operation_that_no_engine_can_read_does_not_keep_others_from_their_work() {
    use sea_orm::ConnectionTrait;
    for damage in ["kind = 'of_a_later_version'", "params = '{'"] {
        let lab = Lab::with_a_server().await;
        lab.ask_capture("a", |_| {}).await.unwrap();
        let other = lab.cloud.add_server("db");
        let sql = lab.sql().await;
        sql.execute_unprepared(&format!("UPDATE operations SET {damage}")).await.unwrap();
        let one_at_a_time = EngineSettings { workers: 1, lease: Duration::from_secs(60), ..settings(true) };
        let process = Process::start_with(&lab, one_at_a_time).await;
        let id = lab.ask_capture("b", |request| request.server_id = other).await.unwrap();
        assert_eq!(until_final(&lab, id).await, OperationStatus::Succeeded, "{damage}");
        process.end().await;
        let waiting = "DELETE FROM operations WHERE engine_id IS NULL AND finished_at IS NULL";
        let left = sql.execute_unprepared(waiting).await.unwrap().rows_affected();
        assert_eq!(left, 1, "{damage}: it waits for an engine that can read it");
    }
}
