//! What to do when Nova makes an image of a server: whether and when a node is captured beside it, and which nodes go with
//! their backups.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::event::{ServerEvent, What};
use crate::domain::server::{ServerAction, is_making_image};
use crate::domain::snapshot::{Snapshot, SnapshotStatus};
use crate::ids::ProjectId;

/// The server's metadata by which its owner chooses a [`CaptureMode`].
pub const METADATA_KEY: &str = "ratoon_capture";

/// When a node is captured beside an image that Nova makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureMode {
    /// At once, as near to the image as can be; without a pause, which Nova does not allow then.
    #[default]
    During,
    /// When Nova has finished, as any other capture.
    After,
    /// Never.
    Off,
}

impl CaptureMode {
    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "during" => Some(Self::During),
            "after" => Some(Self::After),
            "off" => Some(Self::Off),
            _ => None,
        }
    }
}

/// The operator's choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptureModes {
    /// For the cloud.
    pub cloud: CaptureMode,
    /// For some projects.
    pub projects: BTreeMap<ProjectId, CaptureMode>,
}

impl CaptureModes {
    /// The mode of one server: its owner's word goes before the project's mode, and that before the cloud's. A word that is
    /// none counts as no word, and is returned too.
    #[must_use]
    pub fn of<'a>(&self, project: &str, word: Option<&'a str>) -> (CaptureMode, Option<&'a str>) {
        let otherwise = self.projects.get(project).copied().unwrap_or(self.cloud);
        match word {
            None => (otherwise, None),
            Some(word) => CaptureMode::parse(word).map_or((otherwise, Some(word)), |mode| (mode, None)),
        }
    }
}

/// An image of a server that Nova makes or has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// Nova's request.
    pub request: String,
    /// The image, if a message names it.
    pub image_id: Option<String>,
    /// When Nova told that it begins, if that was heard.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the first message of it was sent.
    pub told_at: Option<DateTime<Utc>>,
}

/// The images that messages tell of, each once: Nova tells of each twice, and in two formats. In the messages' order.
#[must_use]
pub fn told(events: &[ServerEvent]) -> Vec<Making> {
    let mut all: Vec<Making> = Vec::new();
    for event in events.iter().filter(|event| matches!(event.what, What::SnapshotStart | What::SnapshotEnd)) {
        let Some(request) = &event.request_id else { continue };
        let place = all.iter().position(|it| it.request == *request).unwrap_or_else(|| {
            all.push(Making { request: request.clone(), image_id: None, begun_at: None, told_at: None });
            all.len() - 1
        });
        let it = &mut all[place];
        it.image_id = it.image_id.take().or_else(|| event.image_id.clone());
        it.told_at = earlier(it.told_at, event.sent_at);
        if event.what == What::SnapshotStart {
            it.begun_at = earlier(it.begun_at, event.sent_at);
        }
    }
    all
}

fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    one.into_iter().chain(other).min()
}

/// How long after its beginning an image of which no message has told is still captured for.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::hours(1);

/// The newest image in Nova's list of actions (newest first), if it was begun lately and has not failed: the messages about it
/// may have been lost.
#[must_use]
pub fn untold(actions: &[ServerAction], now: DateTime<Utc>) -> Option<Making> {
    let newest = actions.iter().find(|action| makes_image(action))?;
    let begun = newest.started_at.filter(|at| now - *at < FORGOTTEN_AFTER && !newest.failed)?;
    Some(Making { request: newest.request_id.clone(), image_id: None, begun_at: None, told_at: Some(begun) })
}

/// A message that Nova has sent is here after this time, if it comes at all.
const TOLD_WITHIN: TimeDelta = TimeDelta::minutes(2);

/// What the sweep does about an image that has no node, since no message has told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// Nothing: nobody wants a node.
    Leave,
    /// A message may still come: later.
    Wait,
    /// A node is captured: it was to be one of the time after the image.
    Capture,
    /// The moment that was wanted is gone: that is said.
    TooLate,
}

/// The decision, for an image that Nova began at a time.
#[must_use]
pub fn recall(mode: CaptureMode, begun_at: DateTime<Utc>, now: DateTime<Utc>) -> Recall {
    match mode {
        CaptureMode::Off => Recall::Leave,
        _ if now - begun_at < TOLD_WITHIN => Recall::Wait,
        CaptureMode::After => Recall::Capture,
        CaptureMode::During => Recall::TooLate,
    }
}

fn makes_image(action: &ServerAction) -> bool {
    action.action == "createImage" || is_backup(action)
}

/// Whether an action of Nova's makes a backup: an image that Nova deletes when there are newer ones.
#[must_use]
pub fn is_backup(action: &ServerAction) -> bool {
    action.action == "createBackup"
}

/// What to do about an image that has no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: nobody wants a node.
    Leave,
    /// Nova is still at work: later.
    Wait,
    /// A node is captured now. `amid`: while Nova makes an image.
    Capture {
        /// See there.
        amid: bool,
    },
}

/// The decision, by the mode and by what Nova does with the server just now.
#[must_use]
pub fn decide(mode: CaptureMode, task_state: Option<&str>) -> Verdict {
    match (mode, task_state) {
        (CaptureMode::Off, _) => Verdict::Leave,
        (_, None) => Verdict::Capture { amid: false },
        (CaptureMode::During, Some(task)) if is_making_image(task) => Verdict::Capture { amid: true },
        (_, Some(_)) => Verdict::Wait,
    }
}

/// The nodes that go when their image is gone, each with that image: those of backups that nobody protects.
pub fn rotating(snapshots: &[Snapshot]) -> impl Iterator<Item = (&Snapshot, &str)> {
    let may_go = |node: &&Snapshot| {
        matches!(node.status, SnapshotStatus::Available | SnapshotStatus::Error)
            && !node.hidden
            && node.protection.is_none()
    };
    snapshots.iter().filter(may_go).filter_map(|node| {
        let beside = node.beside.as_ref().filter(|beside| beside.backup)?;
        Some((node, beside.image_id.as_deref()?))
    })
}

#[cfg(test)]
mod tests;
