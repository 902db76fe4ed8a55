//! The loops that every operation passes: all well, every step repeated, every step failed, every step failed and each undo
//! run twice, an engine killed at every event.

use ratoon::app::guard::guard;
use ratoon::domain::operation::{EventKind, Operation, OperationStatus};
use ratoon::drivers::fake::dump::Detail;
use ratoon::error::Error;
use ratoon::operations::runner::Outcome;
use ratoon::operations::{Reversal, Step, Verdict};

use crate::cases::{CASES, Case};
use crate::lab::Lab;

/// What a case is and becomes when nothing disturbs it.
pub struct Undisturbed {
    pub case: Case,
    pub lab: Lab,
    /// Before it was asked for.
    pub before: String,
    /// When it has finished.
    pub after: String,
    /// Its events, in order.
    pub events: Vec<(&'static str, EventKind)>,
    /// The outside calls of its engine, in order.
    pub calls: Vec<&'static str>,
}

impl Undisturbed {
    pub async fn of(case: Case) -> Self {
        let lab = case.ready().await;
        let before = lab.text(Detail::WithoutLiveBytes).await;
        let run = lab.fork().await;
        let id = case.ask(&run).await;
        run.cloud.clear_faults();
        run.must_succeed(id).await;
        let calls = run.cloud.calls();
        run.must_be_clean(&format!("{case:?}")).await;
        let operation = run.world.store.operation(id).await.unwrap().unwrap();
        assert!(operation.warnings.is_empty(), "{case:?}: {:?}", operation.warnings);
        assert_eq!(run.status(), lab.status(), "{case:?} leaves the server as it was");
        let after = run.text(Detail::All).await;
        let events = run.probe.seen();
        Self { case, lab, before, after, events, calls }
    }

    /// The steps that began, in order.
    pub fn steps(&self) -> Vec<&'static str> {
        self.events.iter().filter(|(_, kind)| *kind == EventKind::Started).map(|(step, _)| *step).collect()
    }

    /// A fresh copy with the operation asked for.
    pub async fn again(&self) -> (Lab, ratoon::ids::OperationId) {
        let lab = self.lab.fork().await;
        let id = self.case.ask(&lab).await;
        (lab, id)
    }

    pub fn reversal(&self, step: &str) -> Reversal {
        let steps: &[Step] = match self.case {
            Case::Capture | Case::CaptureAtRest => &ratoon::operations::snapshot_create::STEPS,
            Case::DeleteFork | Case::DeleteBranch | Case::DeleteInner => &ratoon::operations::snapshot_delete::STEPS,
            Case::TakeOver => &ratoon::operations::head_takeover::STEPS,
            Case::GiveBack => &ratoon::operations::head_giveback::STEPS,
            Case::RetireRebuilt | Case::RetireDeleted => &ratoon::operations::head_retire::STEPS,
            Case::Flatten => &ratoon::operations::layer_flatten::STEPS,
            _ => &ratoon::operations::snapshot_restore::STEPS,
        };
        steps.iter().find(|known| known.name == step).unwrap().reversal
    }

    /// The steps that can still be undone.
    pub fn steps_before_the_point_of_no_return(&self) -> Vec<&'static str> {
        let undoable = |step: &&str| self.reversal(step) != Reversal::PointOfNoReturn;
        self.steps().into_iter().take_while(|step| undoable(step)).collect()
    }

    pub async fn must_be_as_if_undisturbed(&self, lab: &Lab, what: &str) {
        lab.must_be_clean(what).await;
        assert_same(&self.after, &lab.text(Detail::All).await, what);
    }

    pub async fn must_be_as_before(&self, lab: &Lab, what: &str) {
        if matches!(self.case, Case::GiveBack | Case::TakeOver | Case::RetireDeleted) {
            // No name goes back while Nova may be at work, and what Nova has deleted stays so: the next look finishes it.
            lab.probe.calm();
            if let Some(id) = guard(&lab.app, lab.server, false).await.unwrap() {
                lab.must_succeed(id).await;
            }
            return self.must_be_as_if_undisturbed(lab, what).await;
        }
        if self.case == Case::Flatten {
            // A disk that is flat stays so; the next look records it.
            lab.probe.calm();
            let id = lab.ask_flatten().await;
            lab.must_succeed(id).await;
            return self.must_be_as_if_undisturbed(lab, what).await;
        }
        lab.must_be_clean(what).await;
        assert_same(&self.before, &lab.text(Detail::WithoutLiveBytes).await, what);
    }
}

fn assert_same(wanted: &str, found: &str, what: &str) {
    if wanted == found {
        return;
    }
    let mut differences = String::new();
    for line in wanted.lines().filter(|line| !found.lines().any(|other| other == *line)) {
        differences.push_str(&format!("- {line}\n"));
    }
    for line in found.lines().filter(|line| !wanted.lines().any(|other| other == *line)) {
        differences.push_str(&format!("+ {line}\n"));
    }
    panic!("{what}:\n{differences}\nwanted:\n{wanted}\nfound:\n{found}");
}

fn broken(what: &str) -> Verdict {
    Verdict::Fail(Error::backend(format!("planned by a test: {what}")))
}

/// The operation as an adopter finds it who does not know that this step has run: its effects are there, `done` is not.
fn forget_step(mut adopted: Operation, before: &Operation) -> Operation {
    adopted.step = before.step;
    adopted.state = before.state.clone();
    adopted.committed = before.committed;
    adopted
}

#[tokio::test]
async fn every_operation_succeeds_when_nothing_disturbs_it() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        let steps = all.steps();
        let of_steps = all.events.iter().filter(|(step, _)| steps.contains(step)).count();
        assert_eq!(steps.len() * 2, of_steps, "{case:?}: each step begins and ends");
    }
}

#[tokio::test]
async fn an_engine_that_dies_right_after_a_steps_effect_costs_nothing() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for step in all.steps() {
            let what = format!("{case:?}: {step} is done twice");
            let (lab, id) = all.again().await;
            lab.probe.once(step, EventKind::Started, Verdict::Die);
            assert_eq!(lab.engine().await, Outcome::LetGo);
            let before = lab.take().await.unwrap();
            lab.probe.once(step, EventKind::Done, Verdict::Die);
            assert_eq!(lab.work(&before).await, Outcome::LetGo);
            lab.probe.calm();
            let adopted = forget_step(lab.take().await.unwrap(), &before);
            assert_eq!(lab.work(&adopted).await, Outcome::Final(OperationStatus::Succeeded), "{what}");
            lab.must_succeed(id).await;
            all.must_be_as_if_undisturbed(&lab, &what).await;
        }
    }
}

#[tokio::test]
async fn a_step_that_fails_before_or_after_its_effect_leaves_everything_as_before() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for step in all.steps_before_the_point_of_no_return() {
            for event in [EventKind::Started, EventKind::Done] {
                let what = format!("{case:?}: {step} fails when {}", event.as_str());
                let (lab, id) = all.again().await;
                lab.probe.once(step, event, broken(step));
                let ended = lab.finish(id).await;
                assert_eq!(ended.status, OperationStatus::Failed, "{what}");
                assert_eq!(ended.error.unwrap().step, step, "{what}");
                all.must_be_as_before(&lab, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn behind_the_point_of_no_return_a_failing_step_is_tried_again_or_left_out_with_a_warning() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        let early = all.steps_before_the_point_of_no_return().len();
        for step in all.steps().into_iter().skip(early) {
            let what = format!("{case:?}: {step} fails");
            let (lab, id) = all.again().await;
            lab.probe.once(step, EventKind::Started, broken(step));
            let ended = lab.finish(id).await;
            assert_eq!(ended.status, OperationStatus::Succeeded, "{what}");
            lab.must_be_clean(&what).await;
            if all.reversal(step) == Reversal::Optional {
                assert_eq!(ended.warnings.len(), 1, "{what}: {:?}", ended.warnings);
            } else {
                all.must_be_as_if_undisturbed(&lab, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn each_undo_may_run_twice() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        let steps = all.steps_before_the_point_of_no_return();
        for (place, step) in steps.iter().copied().enumerate() {
            for undone in steps[..=place].iter().copied().filter(|step| all.reversal(step) == Reversal::Undo) {
                let what = format!("{case:?}: {step} fails and the undo of {undone} runs twice");
                let (lab, id) = all.again().await;
                lab.probe.script(move |at, event| match event {
                    EventKind::Done if at == step => broken(step),
                    EventKind::UndoStarted if at == undone => Verdict::Die,
                    _ => Verdict::Go,
                });
                assert_eq!(lab.engine().await, Outcome::LetGo, "{what}");
                let before = lab.take().await.unwrap();
                lab.probe.once(undone, EventKind::UndoDone, Verdict::Die);
                assert_eq!(lab.work(&before).await, Outcome::LetGo, "{what}");
                lab.probe.calm();
                let adopted = forget_step(lab.take().await.unwrap(), &before);
                assert_eq!(lab.work(&adopted).await, Outcome::Final(OperationStatus::Failed), "{what}");
                lab.finish(id).await;
                all.must_be_as_before(&lab, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn an_engine_that_dies_at_any_event_is_adopted_and_the_end_is_the_same() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for number in 0..all.events.len() {
            let what = format!("{case:?}: the engine dies at {:?}", all.events[number]);
            let (lab, id) = all.again().await;
            lab.probe.die_at(number);
            lab.must_succeed(id).await;
            all.must_be_as_if_undisturbed(&lab, &what).await;
        }
    }
}

#[tokio::test]
async fn an_engine_that_dies_at_any_event_of_an_unwinding_is_adopted_too() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        let Some(last) = all.steps_before_the_point_of_no_return().pop() else { continue }; // nothing to undo
        for skip in 0.. {
            let what = format!("{case:?}: {last} fails and the engine dies {skip} events later");
            let (lab, id) = all.again().await;
            let mut later = None;
            lab.probe.script(move |at, event| {
                if at == last && event == EventKind::Done {
                    later = Some(skip);
                    return broken(last);
                }
                match &mut later {
                    Some(0) => {
                        later = None;
                        Verdict::Die
                    }
                    Some(left) => {
                        *left -= 1;
                        Verdict::Go
                    }
                    None => Verdict::Go,
                }
            });
            let first = lab.engine().await;
            lab.finish(id).await;
            all.must_be_as_before(&lab, &what).await;
            if first != Outcome::LetGo {
                break; // no event was left to die at
            }
        }
    }
}

#[tokio::test]
async fn a_cancel_before_any_step_up_to_the_point_of_no_return_undoes_everything() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for step in all.steps_before_the_point_of_no_return() {
            let what = format!("{case:?}: cancelled before {step}");
            let (lab, id) = all.again().await;
            if step != all.steps()[0] {
                // The engine is held right before the step, until the cancel is there.
                let before = all.steps().into_iter().take_while(|known| *known != step).last().unwrap();
                lab.probe.once(before, EventKind::Done, Verdict::Die);
                assert_eq!(lab.engine().await, Outcome::LetGo, "{what}");
                lab.probe.calm();
            }
            lab.app.cancel_operation(&lab.caller(), id).await.unwrap();
            assert_eq!(lab.finish(id).await.status, OperationStatus::Cancelled, "{what}");
            all.must_be_as_before(&lab, &what).await;
        }
    }
}

#[tokio::test]
async fn a_cancel_behind_the_point_of_no_return_is_refused() {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        let (lab, id) = all.again().await;
        let turning = all.steps().into_iter().find(|step| all.reversal(step) == Reversal::PointOfNoReturn).unwrap();
        lab.probe.once(turning, EventKind::Started, Verdict::Die);
        assert_eq!(lab.engine().await, Outcome::LetGo);
        assert!(lab.app.cancel_operation(&lab.caller(), id).await.is_err(), "{case:?}");
        lab.must_succeed(id).await;
        all.must_be_as_if_undisturbed(&lab, &format!("{case:?}")).await;
        assert!(lab.app.cancel_operation(&lab.caller(), id).await.is_err(), "{case:?}: it is final");
    }
}
