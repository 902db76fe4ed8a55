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

async fn harm_every_call(when: When, harm: Harm, end: End) {
    for case in CASES {
        let all = Undisturbed::of(case).await;
        for number in 1.. {
            let (lab, id) = all.again().await;
            lab.cloud.plan_fault(Which::Nth(number), when, harm);
            let ended = lab.finish(id).await;
            let calls = lab.cloud.calls();
            let met = lab.cloud.clear_faults() == 0;
            let call = calls.get(usize::try_from(number).unwrap() - 1);
            let what = format!("{case:?}: call {number} ({call:?}) meets {harm:?} {when:?}; {:?}", ended.error);
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
            if !met {
                assert!(number > 3, "{what}: there were calls to harm");
                break;
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

#[tokio::test]
async fn an_engine_may_die_before_any_call() {
    harm_every_call(When::Before, Harm::Death, End::SameAsUndisturbed).await;
}

#[tokio::test]
async fn an_engine_may_die_after_any_call() {
    harm_every_call(When::After, Harm::Death, End::SameAsUndisturbed).await;
}
