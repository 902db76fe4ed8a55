//! What to do about the disks of a server when Nova is about to remove them, has removed them, or wants them back.
//!
//! Nova cannot remove a disk that carries snapshots: it tries for a minute, gives up silently, and leaves it; a rebuild then
//! boots the *old* disk. So the head is taken from under the name by which Nova removes it, before Nova gets there, and what
//! becomes of it is decided when Nova has finished. The same decisions are made after a notification and by the sweep; all
//! of them rest on what Nova answers now.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::disk::{DiskSnapshot, Layer, LayerRole};
use crate::domain::server::{ServerAction, ServerFacts};
use crate::ids::LayerId;

/// Why Nova removes the disks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removing {
    /// The server is deleted.
    Deleting,
    /// It is rebuilt from an image.
    Rebuilding,
    /// It is shelved, and its host is cleared.
    Shelving,
}

impl Removing {
    /// For names and sentences: "before deleting".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleting => "deleting",
            Self::Rebuilding => "rebuilding",
            Self::Shelving => "shelving",
        }
    }
}

/// What a look at Nova leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, for this reason.
    Leave(&'static str),
    /// Nova neither shows the server nor says that it was deleted: nothing is done.
    Unknown,
    /// Nova is about to remove the disks: the heads are taken.
    TakeOver(Removing),
    /// Nova is about to remove the disks, and all heads were taken.
    IsTaken,
    /// Nova is at rest: it depends on who bears the heads' names now, see [`at_rest`].
    LookAtNames,
    /// Nova has finished: what was taken, or what Nova has left behind, is kept with the tree.
    Retire(Removing),
    /// Nova has not removed the disks after all: the names are given back.
    GiveBack,
    /// A rebuild has finished, and the server runs on its old disk.
    OldDiskCameBack,
}

/// Who bears the name that Nova expects of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// The head itself.
    Itself,
    /// Nothing.
    Nobody,
    /// Another object, which Nova has made.
    Another,
}

/// A disk that takes its place by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its layer.
    pub layer: LayerId,
    /// Whether we have taken it.
    pub taken: bool,
}

/// The disks of a server that the guard is about: heads that take their place by name, and those that were taken.
#[must_use]
pub fn heads(layers: &[Layer], is_named: impl Fn(&str) -> bool) -> Vec<Head> {
    let ours = layers.iter().filter(|layer| matches!(layer.role, LayerRole::Head | LayerRole::Taken));
    ours.filter(|layer| is_named(&layer.backend))
        .map(|layer| Head { layer: layer.id, taken: layer.role == LayerRole::Taken })
        .collect()
}

/// Which heads are kept with the tree. Of a server that has disks again only those that were taken: the others are what it
/// runs on.
#[must_use]
pub fn to_retire(server: Option<&ServerFacts>, heads: &[Head]) -> Vec<LayerId> {
    let has_disks = server.is_some_and(|server| server.status.as_str() != "SHELVED_OFFLOADED");
    heads.iter().filter(|head| head.taken || !has_disks).map(|head| head.layer).collect()
}

/// Nova's acts that replace a server's disk, or take it away for a while.
const REPLACING: [&str; 5] = ["rebuild", "evacuate", "shelve", "shelveOffload", "unshelve"];

/// The newest of Nova's acts that replaces a disk. An evacuation has the same task state as a rebuild: only this tells.
#[must_use]
pub fn newest_replacing(actions: &[ServerAction]) -> Option<&ServerAction> {
    actions.iter().find(|action| REPLACING.contains(&action.action.as_str()))
}

/// Whether [`decide`] depends on Nova's list of actions.
#[must_use]
pub fn needs_actions(server: &ServerFacts) -> bool {
    server.task_state.as_deref().is_none_or(|task| task.starts_with("rebuild"))
}

/// Whether Nova has been asked to delete the server, is at it, and has not noted that it failed.
///
/// A server that awaits the confirmation of a resize is confirmed first, which ends the task `deleting`; its disks are removed
/// without any task (`compute/api.py::_confirm_resize_on_deleting`, Zed). Other acts may come in between: Nova itself asks for
/// a stop when it sees that the guest has ended.
fn is_being_deleted(seen: &Seen<'_>) -> bool {
    let of_deletion = |it: &&ServerAction| matches!(it.action.as_str(), "delete" | "forceDelete" | "restore");
    seen.actions.iter().find(of_deletion).is_some_and(|newest| {
        let is_told = seen.deletion_was_told && !newest.failed; // a host may take long until it begins
        newest.action != "restore" && (is_told || is_under_way(newest, seen.at))
    })
}

/// Whether Nova may be between the confirmation of a resize and the deletion that it is confirmed for: it has no task then, and
/// does not list the deletion yet.
fn was_just_confirmed(actions: &[ServerAction], at: DateTime<Utc>) -> bool {
    actions.first().is_some_and(|action| action.action == "confirmResize" && is_under_way(action, at))
}

fn is_under_way(action: &ServerAction, at: DateTime<Utc>) -> bool {
    !action.failed && action.started_at.is_some_and(|begun| at - begun < DELETION_IS_NEW)
}

/// A deletion that has not ended after this time has got stuck.
const DELETION_IS_NEW: TimeDelta = TimeDelta::minutes(3);

/// A rebuild has got to the disks within this time, or Nova is in trouble. What is older may have been done long ago, and the
/// task state be that of an evacuation, which Nova shows before it lists it among the actions (`compute/api.py::evacuate`, Zed).
const REBUILD_IS_NEW: TimeDelta = TimeDelta::minutes(10);

/// What the first decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// `None` = Nova does not show it.
    pub server: Option<&'a ServerFacts>,
    /// Whether Nova says of a server that it does not show that it was deleted. One of which it knows nothing may be in another
    /// database, or another region, than the one that is asked. Its actions do not tell: of a deletion without a host (of a shelved
    /// server, or while its host is down) Nova lists none (`compute/api.py::_delete`, Zed).
    pub was_deleted: bool,
    /// What was done to it, newest first; read where [`needs_actions`] says so.
    pub actions: &'a [ServerAction],
    /// Its disks that take their place by name.
    pub heads: &'a [Head],
    /// A notification says that the deletion has begun, where Nova's own answer cannot: the reclaim of a soft-deleted server
    /// has no task state, nor has the deletion of one that awaited the confirmation of a resize.
    pub deletion_was_told: bool,
    /// The request of the last rebuild that was dealt with.
    pub rebuild_seen: Option<&'a str>,
    /// When Nova was asked.
    pub at: DateTime<Utc>,
}

/// The first decision.
#[must_use]
pub fn decide(seen: Seen<'_>) -> Verdict {
    let Seen { actions, heads, deletion_was_told, .. } = seen;
    let taken = heads.iter().any(|head| head.taken);
    let Some(server) = seen.server else {
        return if taken || seen.was_deleted { Verdict::Retire(Removing::Deleting) } else { Verdict::Unknown };
    };
    let is_new = |rebuild: &ServerAction| {
        seen.rebuild_seen != Some(rebuild.request_id.as_str())
            && rebuild.started_at.is_some_and(|begun| seen.at - begun < REBUILD_IS_NEW)
    };
    let take = |why| {
        if heads.iter().any(|head| !head.taken) { Verdict::TakeOver(why) } else { Verdict::IsTaken }
    };
    match server.task_state.as_deref() {
        _ if heads.is_empty() => Verdict::Leave("no disk of this server takes its place by name"),
        Some("deleting") => take(Removing::Deleting),
        // Nova removes the disk in this very state; in the next one (`rebuild_block_device_mapping`) it is done, or has given up.
        Some("rebuilding") => match newest_replacing(actions) {
            Some(action) if action.action == "rebuild" && is_new(action) => take(Removing::Rebuilding),
            Some(action) if action.action == "evacuate" => Verdict::Leave("an evacuation goes on with the same disk"),
            Some(_) => Verdict::Leave("it may be an evacuation that Nova does not list yet"),
            None => Verdict::Leave("it cannot be told from an evacuation"),
        },
        Some("shelving_offloading") => take(Removing::Shelving),
        Some("restoring") if taken => Verdict::GiveBack, // its owner has it back before it was reclaimed
        Some(_) => Verdict::Leave("Nova is at work"),
        None if server.status.as_str() == "SHELVED_OFFLOADED" => Verdict::Retire(Removing::Shelving),
        None if server.status.as_str() == "DELETED" => Verdict::Leave("Nova is about to forget the server"),
        None if server.status.as_str() == "SOFT_DELETED" && deletion_was_told => take(Removing::Deleting),
        // Until it has removed the disks Nova shows no task.
        None if server.status.as_str() == "SOFT_DELETED" && taken => Verdict::Leave("Nova is reclaiming it"),
        None if server.status.as_str() != "SOFT_DELETED" && is_being_deleted(&seen) => take(Removing::Deleting),
        None if taken && was_just_confirmed(actions, seen.at) => Verdict::Leave("Nova may be about to delete it"),
        None => Verdict::LookAtNames,
    }
}

/// The second decision, about a server that Nova knows and is not at work on: by the bearers of its heads' names.
/// `rebuild_seen` is the request of the last rebuild that was dealt with; `parts` are the disk snapshots with their times.
#[must_use]
pub fn at_rest(
    heads: &[(Head, Bearer)],
    newest: Option<&ServerAction>,
    rebuild_seen: Option<&str>,
    parts: &[(&DiskSnapshot, chrono::DateTime<chrono::Utc>)],
) -> Verdict {
    let taken = || heads.iter().filter(|(head, _)| head.taken);
    let rebuild = newest.filter(|action| action.action == "rebuild");
    if taken().any(|(_, bearer)| *bearer == Bearer::Another) {
        return Verdict::Retire(if rebuild.is_some() { Removing::Rebuilding } else { Removing::Shelving });
    }
    if taken().next().is_some() {
        return Verdict::GiveBack;
    }
    let Some(rebuild) = rebuild.filter(|it| !it.failed && rebuild_seen != Some(it.request_id.as_str())) else {
        return Verdict::Leave("the names are as Nova expects them");
    };
    let Some(begun) = rebuild.started_at else { return Verdict::Leave("Nova does not say when it rebuilt") };
    let is_older = |layer: LayerId| parts.iter().any(|(part, at)| part.layer_id == layer && *at < begun);
    if heads.iter().any(|(head, bearer)| *bearer == Bearer::Itself && is_older(head.layer)) {
        return Verdict::OldDiskCameBack;
    }
    Verdict::Leave("the names are as Nova expects them")
}

#[cfg(test)]
mod tests;
