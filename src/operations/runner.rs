//! Runs one claimed operation to its end, or unwinds it. The only loop of its kind.

use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use crate::clients::REQUEST_ID;
use crate::domain::operation::{EventKind, Operation, OperationError, OperationEvent, OperationStatus};
use crate::error::{Error, Kind, Result};
use crate::operations::{Reversal, Step, StepContext, Verdict, Work, World, load};
use crate::store::operations::{Fence, Progress};
use crate::{clock, measures, telemetry};

/// Longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "Cancelled by its owner.")
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The operation is final.
    Final(OperationStatus),
    /// The claim was given back or lost; another engine goes on.
    LetGo,
}

/// The operation at work.
struct Run<'a> {
    world: &'a World,
    operation: &'a Operation,
    fence: Fence,
    work: Box<dyn Work>,
    steps: &'static [Step],
    status: OperationStatus,
    /// Next step to run (running) or to undo (unwinding).
    step: i32,
    committed: bool,
    error: Option<OperationError>,
    stop: watch::Receiver<bool>,
}

/// Why a run stops before its operation is final.
enum Halt {
    /// The engine drains: the claim is to be given back.
    Draining,
    /// The claim was lost, or the probe plays dead: write nothing more.
    Gone,
    /// Its owner asked for it to be undone just before its point of no return.
    Cancelled,
}

/// Runs a claimed operation until it is final, the claim is lost, or `stop` turns true (between tries;
/// a step that works is left to work).
///
/// # Errors
/// When the row cannot be read, or the database stays away.
pub async fn run(world: &World, operation: &Operation, stop: watch::Receiver<bool>) -> Result<Outcome> {
    let work = load(operation)?;
    let fence = Fence { operation_id: operation.id, generation: operation.generation };
    let steps = work.steps();
    let mut run = Run {
        world,
        operation,
        fence,
        work,
        steps,
        status: operation.status,
        step: operation.step,
        committed: operation.committed,
        error: operation.error.clone(),
        stop,
    };
    let span = tracing::info_span!(
        "operation",
        operation_id = %operation.id,
        kind = %operation.kind,
        server_id = %operation.server_id,
        request_id = %operation.request_id,
    );
    REQUEST_ID
        .scope(operation.request_id.clone(), async {
            match run.until_final().await {
                Ok(status) => {
                    let took = (clock::now() - operation.created_at).to_std().unwrap_or_default();
                    measures::operation_ended(&operation.kind, status.as_str(), took);
                    Ok(Outcome::Final(status))
                }
                Err(Halt::Gone | Halt::Cancelled) => Ok(Outcome::LetGo),
                Err(Halt::Draining) => {
                    world.store.release_claim(fence).await?;
                    Ok(Outcome::LetGo)
                }
            }
        })
        .instrument(span)
        .await
}

impl Run<'_> {
    async fn until_final(&mut self) -> std::result::Result<OperationStatus, Halt> {
        loop {
            if *self.stop.borrow() && !self.status.is_final() && self.work.may_rest() {
                return Err(Halt::Draining);
            }
            match self.status {
                OperationStatus::Queued | OperationStatus::Running => self.forward().await?,
                OperationStatus::Unwinding => self.backward().await?,
                OperationStatus::Succeeded | OperationStatus::Failed | OperationStatus::Cancelled => {
                    return Ok(self.status);
                }
            }
        }
    }

    /// Runs the next step, or ends the operation, or turns round.
    async fn forward(&mut self) -> std::result::Result<(), Halt> {
        let Some(step) = usize::try_from(self.step).ok().and_then(|place| self.steps.get(place)).copied() else {
            self.status = OperationStatus::Succeeded;
            let event = self.event("end", EventKind::Done, None);
            self.write(&event, None).await?;
            tracing::info!("operation succeeded");
            return Ok(());
        };
        if !self.committed && self.cancel_asked().await? {
            return self.turn_round(&step, cancelled(), EventKind::Failed).await;
        }
        if step.reversal == Reversal::PointOfNoReturn {
            self.committed = true;
        }
        let verdict = match self.log(&step, EventKind::Started, None).await {
            Err(Halt::Cancelled) => {
                self.committed = false;
                return self.turn_round(&step, cancelled(), EventKind::Failed).await;
            }
            other => other?,
        };
        match self.attempts(&step, verdict).await? {
            Ok(()) => {
                self.step += 1;
                match self.log(&step, EventKind::Done, None).await? {
                    Verdict::Fail(error) if !self.committed => {
                        self.step -= 1;
                        self.turn_round(&step, error, EventKind::Failed).await
                    }
                    _ => Ok(()),
                }
            }
            Err(error) if step.reversal == Reversal::Optional => {
                let warning = format!("{}: {}", step.name, error.told());
                tracing::warn!(step = step.name, error = %error.chain(), "going on without this step");
                self.insist(|| self.world.store.warn(self.fence, &warning)).await?;
                self.step += 1;
                self.log(&step, EventKind::Failed, Some(error.told())).await?;
                Ok(())
            }
            Err(error) => self.turn_round(&step, error, EventKind::Failed).await,
        }
    }

    /// Tries a step as often as its kind allows. The outer error is the end of this run, the inner one the step's.
    async fn attempts(&mut self, step: &Step, verdict: Verdict) -> std::result::Result<Result<()>, Halt> {
        let mut planned = match verdict {
            Verdict::Fail(error) => Some(error),
            _ => None,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let result = match planned.take() {
                Some(error) => Err(error),
                None => self.run_step(step).await,
            };
            let Err(error) = result else { return Ok(Ok(())) };
            if self.lost_claim(&error) {
                return Err(Halt::Gone);
            }
            let endless = matches!(step.reversal, Reversal::PointOfNoReturn | Reversal::Forward);
            let may_retry = endless || (error.is_retryable() && tries < self.world.settings.attempts_max);
            if !may_retry {
                return Ok(Err(error));
            }
            if endless && tries > self.world.settings.attempts_max {
                tracing::error!(step = step.name, tries, error = %error.chain(), "this step must not fail, and does; trying on");
            } else {
                tracing::warn!(step = step.name, tries, error = %error.chain(), "step failed for now");
            }
            if !self.committed && self.cancel_asked().await? {
                return Ok(Err(cancelled()));
            }
            self.pause_between_tries(tries).await?;
        }
    }

    async fn run_step(&mut self, step: &Step) -> Result<()> {
        let span = telemetry::step_span(self.operation.id, step.name, self.operation.server_id);
        let cx = StepContext { world: self.world, operation: self.operation, fence: self.fence, step: step.name };
        let limit = self.world.settings.step_timeout + self.work.allowance(step.name);
        match tokio::time::timeout(limit, self.work.run(step.name, &cx).instrument(span)).await {
            Ok(result) => result,
            Err(_) => Err(Error::unavailable(format!("Step {} did not end within {} s.", step.name, limit.as_secs()))),
        }
    }

    /// From running to unwinding, beginning with the step that failed.
    async fn turn_round(&mut self, step: &Step, error: Error, event: EventKind) -> std::result::Result<(), Halt> {
        tracing::warn!(step = step.name, error = %error.chain(), "unwinding");
        self.status = OperationStatus::Unwinding;
        self.error = Some(OperationError {
            code: error.kind().code().to_owned(),
            message: error.message(),
            remedy: error.remedy_text().map(str::to_owned),
            step: step.name.to_owned(),
        });
        self.log(step, event, Some(error.told())).await?;
        Ok(())
    }

    /// Undoes the next step, or ends the operation.
    async fn backward(&mut self) -> std::result::Result<(), Halt> {
        let Some(step) = usize::try_from(self.step).ok().and_then(|place| self.steps.get(place)).copied() else {
            return self.end_unwound().await;
        };
        let undoable = matches!(step.reversal, Reversal::Undo | Reversal::UndoOrLeave);
        if undoable {
            self.log(&step, EventKind::UndoStarted, None).await?;
            let mut tries = 0;
            loop {
                tries += 1;
                let span = tracing::info_span!("undo", step = step.name);
                let cx =
                    StepContext { world: self.world, operation: self.operation, fence: self.fence, step: step.name };
                let Err(error) = self.work.undo(step.name, &cx).instrument(span).await else { break };
                if self.lost_claim(&error) {
                    return Err(Halt::Gone);
                }
                // What cannot be tidied up must not keep a server down: the undos that bring it back come after this one.
                let patience = self.world.settings.attempts_max * if error.is_retryable() { 2 } else { 1 };
                if tries >= patience && step.reversal == Reversal::UndoOrLeave {
                    let warning = format!("undo of {}: {}", step.name, error.told());
                    tracing::error!(step = step.name, tries, error = %error.chain(), "undo failed for good; something is left behind");
                    self.insist(|| self.world.store.warn(self.fence, &warning)).await?;
                    break;
                }
                tracing::error!(step = step.name, tries, error = %error.chain(), "undo failed; it is tried until it succeeds");
                self.pause_between_tries(tries).await?;
            }
        }
        self.step -= 1;
        if undoable {
            self.log(&step, EventKind::UndoDone, None).await?;
        }
        Ok(())
    }

    async fn end_unwound(&mut self) -> std::result::Result<(), Halt> {
        let reason = self.error.as_ref().map(OperationError::told).unwrap_or_default();
        let cancelled = self.error.as_ref().is_some_and(|error| error.code == Kind::Cancelled.code());
        let mut tries = 0;
        loop {
            tries += 1;
            let cx = StepContext { world: self.world, operation: self.operation, fence: self.fence, step: "unwound" };
            let Err(error) = self.work.unwound(&cx, &reason).await else { break };
            if self.lost_claim(&error) {
                return Err(Halt::Gone);
            }
            tracing::error!(tries, error = %error.chain(), "could not record that everything is undone; trying on");
            self.pause_between_tries(tries).await?;
        }
        self.status = if cancelled { OperationStatus::Cancelled } else { OperationStatus::Failed };
        let event = self.event("end", EventKind::UndoDone, None);
        self.write(&event, None).await?;
        tracing::info!(status = self.status.as_str(), "operation undone");
        Ok(())
    }

    /// Writes an event of a step, then asks the probe.
    async fn log(
        &mut self,
        step: &Step,
        kind: EventKind,
        detail: Option<String>,
    ) -> std::result::Result<Verdict, Halt> {
        let event = self.event(step.name, kind, detail);
        self.write(&event, Some(step.name)).await?;
        match self.world.probe.at(self.operation, step.name, kind) {
            Verdict::Die => Err(Halt::Gone),
            verdict => Ok(verdict),
        }
    }

    fn event(&self, step: &str, kind: EventKind, detail: Option<String>) -> OperationEvent {
        OperationEvent { at: clock::now(), step: step.to_owned(), kind, detail }
    }

    async fn write(&mut self, event: &OperationEvent, phase: Option<&str>) -> std::result::Result<(), Halt> {
        let state = match self.work.state() {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(error = %error.chain(), "could not write down what the steps learned");
                return Err(Halt::Gone);
            }
        };
        let progress = Progress {
            status: self.status,
            step: self.step,
            phase: phase.map(str::to_owned),
            committed: self.committed,
            state,
            error: self.error.clone(),
        };
        self.insist(|| self.world.store.record_event(self.fence, event, &progress)).await
    }

    async fn cancel_asked(&self) -> std::result::Result<bool, Halt> {
        self.insist(|| self.world.store.cancel_requested(self.operation.id)).await
    }

    /// The database is what we stand on: while it is away there is nothing to do but wait for it.
    async fn insist<T, F>(&self, act: impl Fn() -> F) -> std::result::Result<T, Halt>
    where
        F: Future<Output = Result<T>>,
    {
        let mut tries = 0;
        loop {
            let error = match act().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if self.lost_claim(&error) {
                return Err(Halt::Gone);
            }
            if error.kind() == Kind::Cancelled {
                return Err(Halt::Cancelled);
            }
            tries += 1;
            tracing::error!(tries, error = %error.chain(), "the database does not take what has to be written");
            self.pause_between_tries(tries).await?;
        }
    }

    fn lost_claim(&self, error: &Error) -> bool {
        let lost = error.kind() == Kind::Superseded;
        if lost {
            tracing::warn!("another engine has taken over; this one lets go");
        }
        lost
    }

    async fn pause_between_tries(&self, tries: u32) -> std::result::Result<(), Halt> {
        let wait = self.world.settings.backoff.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(BACKOFF_MAX);
        if !self.work.may_rest() {
            clock::sleep(wait).await;
            return Ok(());
        }
        let mut stop = self.stop.clone();
        tokio::select! {
            () = clock::sleep(wait) => Ok(()),
            _ = stop.wait_for(|stop| *stop) => Err(Halt::Draining),
        }
    }
}
