//! Planners: from what is known and what is asked, the acts with their reasons, or a refusal with its evidence. Pure.

use serde::{Deserialize, Serialize};

use crate::domain::disk::{DiskKind, FoundDisk, Layer, LayerRole};
use crate::domain::forest::Forest;
use crate::domain::server::{ServerFacts, ServerStatus};
use crate::domain::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::ids::{BranchId, DiskId, LayerId, SnapshotId};

pub mod capture;
pub mod delete;
pub mod flatten;
pub mod guard;
pub mod image;
pub mod restore;

/// The branch that something happens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchChoice {
    /// One that is there.
    Continue(BranchId),
    /// A new one of this name.
    New(String),
}

/// Most snapshots that are named as what could go.
const NAMED_MAX: usize = 3;

/// Names what could be deleted where a server has as many snapshots as it may have: what nobody protects and where no two lines
/// part, except `spare`; snapshots that a restore has taken first, then the oldest.
fn what_could_go(forest: &Forest, spare: Option<SnapshotId>) -> Option<String> {
    let mut could_go: Vec<&Snapshot> = forest
        .nodes
        .iter()
        .filter(|node| !node.hidden && node.protection.is_none())
        .filter(|node| forest.current != Some(node.id) && spare != Some(node.id))
        .filter(|node| forest.children(Some(node.id)).len() < 2)
        .collect();
    could_go.sort_by_key(|node| (!node.safety, node.sequence));
    let named = could_go.iter().take(NAMED_MAX).map(|node| format!("\"{}\" ({})", node.name, node.id));
    let names = named.collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then_some(names)
}

/// A live disk with what we know of it.
#[derive(Debug, Clone)]
pub struct LiveDisk {
    /// As found.
    pub disk: FoundDisk,
    /// Its row, a fresh one if it was met for the first time.
    pub layer: Layer,
    /// Whether the row is fresh.
    pub is_new: bool,
}

/// Pairs what was found on a server with our layers, which are heads thereby, whatever their rows said. A disk that no layer
/// names gets a fresh row: a volume or an image that was never seen before.
#[must_use]
pub fn match_layers(server: &ServerFacts, found: &[FoundDisk], layers: &[Layer]) -> Vec<LiveDisk> {
    found
        .iter()
        .map(|disk| {
            let known = layers.iter().find(|layer| {
                layer.backend == disk.backend && layer.pool == disk.pool && layer.backend_id == disk.backend_id
            });
            let mut layer = known.cloned().unwrap_or_else(|| Layer {
                id: LayerId::new(),
                server_id: server.id,
                disk_id: DiskId::new(),
                backend: disk.backend.clone(),
                pool: disk.pool.clone(),
                backend_id: disk.backend_id.clone(),
                key: disk.key.clone(),
                kind: disk.kind,
                role: LayerRole::Head,
                parent: None,
                parent_layer: None,
                equals: None,
                parked_mark: String::new(),
                facts: disk.facts.clone(),
            });
            // A volume's name or type may have been changed by its owner; the pool of the parent never is, once known.
            let parent_pool = layer.facts.parent_pool.clone().or_else(|| disk.facts.parent_pool.clone());
            layer.facts = disk.facts.clone();
            layer.facts.parent_pool = parent_pool;
            layer.role = LayerRole::Head;
            // What it held when it was parked says nothing any more: whoever attached it may have written.
            layer.equals = None;
            layer.parked_mark = String::new();
            LiveDisk { disk: disk.clone(), layer, is_new: known.is_none() }
        })
        .collect()
}

/// Refuses servers that neither capture nor restore can serve, whatever their state.
///
/// # Errors
/// `Conflict`, with the reason and what to do.
pub fn refuse_unsupported(server: &ServerFacts) -> Result<()> {
    if server.image_id.is_none() {
        return Err(Error::conflict(format!(
            "Server {} boots from a volume; only servers that boot from an image can be captured.",
            server.id
        ))
        .remedy("Snapshot its volumes with Cinder; boot volumes will be supported by a later version."));
    }
    let yes = |key: &str| {
        server
            .extra_specs
            .get(key)
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "" | "false" | "none" | "no" | "0"))
    };
    for key in ["hw:tpm_version", "image:hw_tpm_version", "hw:tpm_model", "image:hw_tpm_model"] {
        if yes(key) {
            return Err(Error::conflict(format!(
                "Server {} has an emulated TPM ({key}), whose content cannot be taken back.",
                server.id
            ))
            .remedy("Snapshot its volumes with Cinder; or rebuild it from an image, or resize it to a flavor, without a TPM."));
        }
    }
    for key in ["hw:ephemeral_encryption", "image:hw_ephemeral_encryption"] {
        if yes(key) {
            return Err(Error::conflict(format!("The disks of server {} are encrypted by Nova ({key}).", server.id))
                .remedy("Snapshot its volumes with Cinder; disks that Nova encrypts cannot be served."));
        }
    }
    Ok(())
}

/// Refuses a server whose system disk no driver has found. Asked after its state: an offloaded one has none.
///
/// # Errors
/// `Conflict`, with what to do.
pub fn refuse_without_system_disk(server: &ServerFacts, found: &[FoundDisk]) -> Result<()> {
    if !found.iter().any(|disk| disk.kind == DiskKind::System) {
        return Err(Error::conflict(format!("No driver serves the system disk of server {}.", server.id))
            .remedy("Its disk must lie in the Ceph pool that [rbd] pool names (Nova's images_type = rbd)."));
    }
    Ok(())
}

/// Refuses a server that Nova, or its owner by a lock, keeps for itself.
///
/// # Errors
/// `Conflict`, with the reason and what to do.
pub fn refuse_busy(server: &ServerFacts, allowed: &[ServerStatus], act: &str) -> Result<()> {
    if let Some(task) = &server.task_state {
        return Err(Error::conflict(format!("Nova is at work on server {} ({task}).", server.id))
            .remedy("Try again when that has finished."));
    }
    refuse_state(server, allowed, act)
}

/// As [`refuse_busy`], for an act that no task of Nova's is in the way of.
///
/// # Errors
/// `Conflict`, with the reason and what to do.
pub fn refuse_state(server: &ServerFacts, allowed: &[ServerStatus], act: &str) -> Result<()> {
    if server.locked {
        return Err(Error::conflict(format!(
            "Server {} is locked{}.",
            server.id,
            server.locked_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
        ))
        .remedy("Unlock it with: openstack server unlock"));
    }
    if !allowed.contains(&server.status) {
        let names: Vec<&str> = allowed.iter().map(ServerStatus::as_str).collect();
        return Err(Error::conflict(format!(
            "Server {} is {}; it can be {act} only when it is {}.",
            server.id,
            server.status.as_str(),
            names.join(" or ")
        ))
        .remedy(
            "Bring it into such a state first: openstack server start, unpause, unshelve, unrescue, or resize confirm.",
        ));
    }
    Ok(())
}

/// Whether a word of the caller's means this disk: its key, device name (`/dev/vdb` or `vdb`), volume id, or disk id.
#[must_use]
pub fn names_disk(word: &str, key: &str, device: Option<&str>, backend_id: &str, disk_id: Option<DiskId>) -> bool {
    word == key
        || word == backend_id
        || device.is_some_and(|device| device == word || device.strip_prefix("/dev/") == Some(word))
        || (key == "disk" && matches!(word, "vda" | "/dev/vda" | "system"))
        || disk_id.is_some_and(|id| id.to_string() == word)
}

#[cfg(test)]
mod tests {
    use super::capture::tests::Scene;
    use super::*;
    use crate::ids::DiskSnapshotId;

    #[test]
    fn a_parked_disk_that_is_found_live_is_a_head_of_which_nothing_is_known_any_more() {
        let scene = Scene::new(&[], None, "main", &["data"]);
        let mut row = scene.layer("data").clone();
        row.role = LayerRole::Parked;
        row.equals = Some(DiskSnapshotId::new());
        row.parked_mark = "then".into();
        let live = match_layers(&scene.server, &[scene.live[0].disk.clone()], &[row.clone()]);
        let expected = Layer { role: LayerRole::Head, equals: None, parked_mark: String::new(), ..row };
        assert_eq!((&live[0].layer, live[0].is_new), (&expected, false));
    }
}
