//! Brings a stopped server's attached volumes into an order. Nova's order is that of its own rows, so everything behind the
//! first difference is detached and attached again, one after the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::disk::{Attachment, Layer};
use crate::error::{Error, Result};
use crate::operations::StepContext;

/// A volume in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The volume.
    pub volume_id: String,
    /// How it hangs there.
    pub attachment: Attachment,
    /// Its driver's name.
    pub backend: String,
}

/// How many volumes at the beginning are right already.
#[must_use]
pub fn kept(current: &[String], wanted: &[Placed]) -> usize {
    current.iter().zip(wanted).take_while(|(have, want)| **have == want.volume_id).count()
}

/// Marks of volumes, by id, as their drivers gave them right after the detach; see [`crate::drivers::SnapshotDriver::mark`].
pub type Marks = BTreeMap<String, String>;

/// Makes the server's attached volumes exactly `wanted`, in order, as far as they are `known`: a volume that is none of ours
/// stays where it is. The first `untouched` ones are in their places before and after the whole operation. Safe to repeat at
/// any point. Notes the mark of each volume that it detaches; one that was detached by
/// an earlier, interrupted call has none, since nobody has watched it since.
///
/// # Errors
/// When Nova refuses, or an attachment does not come about in time.
pub async fn arrange(
    cx: &StepContext<'_>,
    wanted: &[Placed],
    untouched: usize,
    known: &[Placed],
    marks: &mut Marks,
) -> Result<()> {
    let current = attached(cx, known).await?;
    let keep = kept(&current, wanted);
    for volume in current[keep..].iter().rev() {
        if let Some(placed) = known.iter().find(|placed| placed.volume_id == *volume) {
            marks.insert(volume.clone(), detach(cx, placed).await?);
        }
    }
    for placed in &wanted[keep..] {
        attach(cx, placed).await?;
    }
    verify(cx, wanted, untouched, known).await
}

/// Asserts that a volume can be detached and attached again: that its own service knows of this server's use, and no other.
///
/// # Errors
/// `Conflict` naming the volume.
pub async fn must_be_ours_alone(cx: &StepContext<'_>, placed: &Placed) -> Result<()> {
    let users = users(cx, placed).await?;
    if users == [cx.operation.server_id.to_string()] {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "Volume {} would have to be detached, but its own service does not say that this server has it, or not alone.",
        placed.volume_id
    ))
    .detail(users.join(", "))
    .remedy("Have an administrator compare the volume's attachments in Nova and Cinder, or detach the volume first."))
}

/// Asserts that the server's attached volumes are `wanted`, in order, and that their own service says so too: Nova lists a
/// volume from the moment in which it begins to attach it. Of the first `untouched` ones only Nova is asked: whatever their
/// own service says, we have no part in it.
///
/// # Errors
/// `Backend` naming both orders, or the volume that is not there yet.
pub async fn verify(cx: &StepContext<'_>, wanted: &[Placed], untouched: usize, known: &[Placed]) -> Result<()> {
    let current = attached(cx, known).await?;
    let names: Vec<&str> = wanted.iter().map(|placed| placed.volume_id.as_str()).collect();
    if current != names {
        let (have, want) = (current.join(", "), names.join(", "));
        return Err(Error::backend(format!("The server's volumes are [{have}] instead of [{want}].")).retryable());
    }
    let server = cx.operation.server_id.to_string();
    for placed in wanted.iter().skip(untouched) {
        if !users(cx, placed).await?.contains(&server) {
            let id = &placed.volume_id;
            return Err(Error::backend(format!("Nova lists volume {id}, but it is not attached yet.")).retryable());
        }
    }
    Ok(())
}

async fn attached(cx: &StepContext<'_>, known: &[Placed]) -> Result<Vec<String>> {
    let volumes = cx.world.compute.volumes(cx.operation.server_id).await?;
    let ids = volumes.into_iter().map(|volume| volume.volume_id);
    Ok(ids.filter(|id| known.iter().any(|placed| placed.volume_id == *id)).collect())
}

async fn users(cx: &StepContext<'_>, placed: &Placed) -> Result<Vec<String>> {
    cx.world.drivers.get(&placed.backend)?.users(&probe_layer(cx, placed)).await
}

/// Asks Nova for something that it refuses while it is at work on the server (its owner may be making an image), until it
/// takes it.
async fn ask<F>(cx: &StepContext<'_>, what: &str, act: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    cx.wait(what, cx.world.settings.stop_timeout, || async { act().await.map(Some) }).await
}

/// Detaches a volume, waits until Nova and its own service say so, and returns its mark.
async fn detach(cx: &StepContext<'_>, placed: &Placed) -> Result<String> {
    let id = cx.operation.server_id;
    let volume_id = &placed.volume_id;
    ask(cx, "Nova to detach a volume", || cx.world.compute.detach(id, volume_id)).await?;
    let what = format!("volume {volume_id} to be detached");
    cx.wait(&what, cx.world.settings.attach_timeout, || async move {
        let listed = !attached(cx, std::slice::from_ref(placed)).await?.is_empty();
        Ok((!listed && users(cx, placed).await?.is_empty()).then_some(()))
    })
    .await?;
    cx.world.drivers.get(&placed.backend)?.mark(&probe_layer(cx, placed)).await
}

async fn attach(cx: &StepContext<'_>, placed: &Placed) -> Result<()> {
    let id = cx.operation.server_id;
    // A volume that was detached a moment ago is free only when its own service says so.
    let what = format!("volume {} to become free", placed.volume_id);
    let server = id.to_string();
    cx.wait(&what, cx.world.settings.attach_timeout, || async {
        let users = users(cx, placed).await?;
        Ok(users.iter().all(|user| *user == server).then_some(()))
    })
    .await?;
    ask(cx, "Nova to attach a volume", || cx.world.compute.attach(id, &placed.volume_id, &placed.attachment)).await?;
    let what = format!("volume {} to be attached", placed.volume_id);
    cx.wait(&what, cx.world.settings.attach_timeout, || async {
        let listed = !attached(cx, std::slice::from_ref(placed)).await?.is_empty();
        Ok((listed && users(cx, placed).await?.contains(&server)).then_some(()))
    })
    .await
}

/// Just enough of a layer to ask its driver who uses the volume.
fn probe_layer(cx: &StepContext<'_>, placed: &Placed) -> Layer {
    Layer {
        id: crate::ids::LayerId::new(),
        server_id: cx.operation.server_id,
        disk_id: crate::ids::DiskId::new(),
        backend: placed.backend.clone(),
        pool: String::new(),
        backend_id: placed.volume_id.clone(),
        key: placed.volume_id.clone(),
        kind: crate::domain::disk::DiskKind::Volume,
        role: crate::domain::disk::LayerRole::Head,
        parent: None,
        parent_layer: None,
        equals: None,
        parked_mark: String::new(),
        facts: crate::domain::disk::DiskFacts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_behind_the_first_difference_is_touched() {
        let placed = |id: &str| Placed { volume_id: id.into(), attachment: Attachment::default(), backend: "x".into() };
        for (current, wanted, expected) in [
            (vec!["a", "b"], vec!["a", "b"], 2),
            (vec!["a", "b", "c"], vec!["a", "x", "c"], 1),
            (vec!["a", "b"], vec!["b", "a"], 0),
            (vec!["a"], vec!["a", "b"], 1),
            (vec!["a", "b"], vec!["a"], 1),
            (vec![], vec!["a"], 0),
        ] {
            let current: Vec<String> = current.into_iter().map(str::to_owned).collect();
            let wanted: Vec<Placed> = wanted.into_iter().map(placed).collect();
            assert_eq!(kept(&current, &wanted), expected, "{current:?} -> {wanted:?}");
        }
    }
}
