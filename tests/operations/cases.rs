//! The operations that every loop runs: each a laboratory made ready once, and what is asked of each copy of it.

use ratoon::app::guard::guard;
use ratoon::ids::OperationId;

use crate::lab::Lab;

/// One kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// A running server with four disks is captured.
    Capture,
    /// A stopped server, captured before, is captured again: all is shared.
    CaptureAtRest,
    /// Back to an older node: all disks are cloned, and the branch's older safety snapshot goes.
    RestoreByCloning,
    /// Back to the branch that was left: the parked disks become heads again.
    RestoreByReuse,
    /// One volume goes back, the rest stays.
    RestoreOneDisk,
    /// One volume was detached since, another attached.
    RestoreOverGap,
    /// The root, at which two lines part; the live disks were made of it.
    DeleteFork,
    /// A branch that was left, with the disks that were parked for it.
    DeleteBranch,
    /// An inner node, over a root that an earlier deletion had to leave as a joint.
    DeleteInner,
    /// Nova is about to delete the server: its heads are taken over.
    TakeOver,
    /// Nova has given up: they are given back.
    GiveBack,
    /// Nova has rebuilt the server: the heads that were taken are kept with the tree.
    RetireRebuilt,
    /// Nova has deleted the server, and a volume that nobody had captured.
    RetireDeleted,
    /// A parked disk is all that keeps the one that it was made of.
    Flatten,
}

/// All of them.
pub const CASES: [Case; 14] = [
    Case::Capture,
    Case::CaptureAtRest,
    Case::RestoreByCloning,
    Case::RestoreByReuse,
    Case::RestoreOneDisk,
    Case::RestoreOverGap,
    Case::DeleteFork,
    Case::DeleteBranch,
    Case::DeleteInner,
    Case::TakeOver,
    Case::GiveBack,
    Case::RetireRebuilt,
    Case::RetireDeleted,
    Case::Flatten,
];

impl Case {
    /// The laboratory just before the operation is asked for.
    pub async fn ready(self) -> Lab {
        let lab = Lab::with_a_server().await;
        match self {
            Self::Capture => {}
            Self::CaptureAtRest => {
                lab.cloud.owner_stop(lab.server).unwrap();
                lab.capture("a").await;
            }
            Self::RestoreByCloning => {
                let a = lab.capture("a").await;
                lab.cloud.guest_write(lab.server);
                lab.restore(a).await; // leaves a safety snapshot on main
                lab.restore(lab.safety_node().await.id).await;
                lab.cloud.guest_write(lab.server);
            }
            Self::RestoreOneDisk => {
                lab.capture("a").await;
                lab.cloud.guest_write(lab.server);
                lab.capture("b").await;
                lab.cloud.guest_write(lab.server);
            }
            Self::DeleteFork | Self::DeleteBranch | Self::DeleteInner => {
                let a = lab.capture("a").await;
                lab.cloud.guest_write(lab.server);
                lab.capture("b").await;
                lab.cloud.guest_write(lab.server);
                lab.restore(a).await;
                lab.cloud.guest_write(lab.server);
                lab.capture("c").await;
                if self == Self::DeleteInner {
                    let id = lab.ask_delete("a").await.unwrap();
                    lab.must_succeed(id).await;
                }
            }
            Self::TakeOver | Self::GiveBack | Self::RetireRebuilt | Self::RetireDeleted => {
                if self == Self::RetireDeleted {
                    let left_out = lab.volumes()[..1].to_vec();
                    let id = lab.ask_capture("a", |request| request.exclude_disks = left_out).await.unwrap();
                    lab.must_succeed(id).await;
                } else {
                    lab.capture("a").await;
                }
                lab.cloud.guest_write(lab.server);
                let (act, task) =
                    if self == Self::RetireRebuilt { ("rebuild", "rebuilding") } else { ("delete", "deleting") };
                lab.cloud.nova_begins(lab.server, act, task).unwrap();
                if self != Self::TakeOver {
                    let id = guard(&lab.app, lab.server, false).await.unwrap().unwrap();
                    lab.must_succeed(id).await;
                }
                match self {
                    Self::GiveBack => lab.cloud.nova_gives_up(lab.server, "ERROR"),
                    Self::RetireRebuilt => lab.cloud.nova_rebuilds(lab.server),
                    Self::RetireDeleted => lab.cloud.nova_deletes(lab.server),
                    _ => {}
                }
            }
            Self::Flatten => lab.leave_a_parked_disk_for_another().await,
            Self::RestoreByReuse => {
                let a = lab.capture("a").await;
                lab.cloud.guest_write(lab.server);
                lab.restore(a).await;
                lab.cloud.guest_write(lab.server);
                lab.capture("b").await;
                lab.cloud.guest_write(lab.server);
            }
            Self::RestoreOverGap => {
                lab.capture("a").await;
                let volumes = lab.volumes();
                lab.cloud.owner_detach(lab.server, &volumes[0]).unwrap();
                let other = lab.cloud.add_volume("data-3");
                lab.cloud.owner_attach(lab.server, &other, &Default::default()).unwrap();
                lab.cloud.guest_write(lab.server);
            }
        }
        lab.probe.forget();
        lab
    }

    /// Asks for the operation.
    pub async fn ask(self, lab: &Lab) -> OperationId {
        match self {
            Self::Capture | Self::CaptureAtRest => lab.ask_capture("new", |_| {}).await.unwrap(),
            Self::RestoreByCloning | Self::RestoreOverGap => {
                lab.ask_restore(lab.node("a").await, |_| {}).await.unwrap()
            }
            Self::DeleteFork => lab.ask_delete("a").await.unwrap(),
            Self::DeleteInner => lab.ask_delete("b").await.unwrap(),
            Self::TakeOver | Self::GiveBack | Self::RetireRebuilt | Self::RetireDeleted => {
                guard(&lab.app, lab.server, false).await.unwrap().unwrap()
            }
            Self::DeleteBranch => lab.ask_delete_branch("main").await.unwrap(),
            Self::Flatten => lab.ask_flatten().await,
            Self::RestoreByReuse => lab.ask_restore(lab.safety_node().await.id, |_| {}).await.unwrap(),
            Self::RestoreOneDisk => {
                let volumes = lab.volumes();
                let disks = Some(vec![volumes[0].clone()]);
                lab.ask_restore(lab.node("a").await, |request| request.disks = disks).await.unwrap()
            }
        }
    }
}
