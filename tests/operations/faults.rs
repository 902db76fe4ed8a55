//! Every outside call of every operation goes wrong once: for now, for good, with its answer lost, or as the last thing that
//! its engine did. The end is finished or undone, and nothing is orphaned.

use ratoon::domain::operation::OperationStatus;
use ratoon::drivers::fake::faults::{Harm, When, Which};

use crate::cases::CASES;
use crate::loops::Undisturbed;

/// What may come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is overcome.
    SameAsUndisturbed,
    /// Undone, or, behind the point of no return, finished with or without a warning.
    FinishedOrUndone,
}

/// Calls that change nothing: whether they fail before or after their effect is the same.
fn only_looks(call: &str) -> bool {
    ["server", "actions", "compare_image"].contains(&call) || call.starts_with("list_") || call.starts_with("show_")
}

async fn harm_every_call(when: When, harm: Harm, end: End) {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        assert!(!all.calls.is_empty(), "{case:?} makes calls");
        for (number, call) in (1..).zip(&all.calls) {
            if when == When::After && only_looks(call) {
                continue;
            }
            let (lab, id) = all.again().await;
            lab.cloud.plan_fault(Which::Nth(number), when, harm);
            let ended = lab.finish(id).await;
            assert_eq!(lab.cloud.clear_faults(), 0, "{case:?}: call {number} ({call}) was made");
            let what = format!("{case:?}: call {number} ({call}) meets {harm:?} {when:?}; {:?}", ended.error);
            match ended.status {
                OperationStatus::Succeeded if ended.warnings.is_empty() => {
                    all.must_be_as_if_undisturbed(&lab, &what).await;
                }
                OperationStatus::Succeeded => lab.must_be_clean(&what).await,
                _ => all.must_be_as_before(&lab, &what).await,
            }
            if end == End::SameAsUndisturbed {
                assert_eq!(ended.status, OperationStatus::Succeeded, "{what}");
                assert!(ended.warnings.is_empty(), "{what}: {:?}", ended.warnings);
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_fails_for_now_is_tried_again() {
    harm_every_call(When::Before, Harm::Temporary, End::SameAsUndisturbed).await;
}

#[tokio::test]
async fn a_lost_answer_is_not_a_failure() {
    harm_every_call(When::After, Harm::Temporary, End::SameAsUndisturbed).await;
}

#[tokio::test]
async fn a_call_that_is_refused_undoes_everything() {
    harm_every_call(When::Before, Harm::Permanent, End::FinishedOrUndone).await;
}

#[tokio::test]
async fn a_call_that_works_and_is_called_refused_undoes_everything() {
    harm_every_call(When::After, Harm::Permanent, End::FinishedOrUndone).await;
}

/// To die before a call is to have died after the one before it.
#[tokio::test]
async fn an_engine_may_die_after_any_act() {
    harm_every_call(When::After, Harm::Death, End::SameAsUndisturbed).await;
}
