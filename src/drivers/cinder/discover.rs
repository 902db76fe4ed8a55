//! Which volumes a server has, and which of them we can go back to.

use crate::clients::Cinder;
use crate::clients::cinder::Volume;
use crate::domain::disk::{DiskFacts, DiskKind, Found, FoundDisk, LeftOut};
use crate::domain::server::{AttachedVolume, ServerFacts};
use crate::error::Result;

use super::{KEY_NAME, NAME, PARKED_SUFFIX};

/// Keys that Cinder puts among the metadata it shows, and refuses or misreads when they are given back.
const CINDERS_OWN: [&str; 2] = ["readonly", "attached_mode"];

/// All volumes of the server, in its order.
pub(super) async fn discover(admin: &Cinder, server: &ServerFacts) -> Result<Found> {
    let mut found = Found::default();
    let mut seen = Vec::with_capacity(server.volumes.len());
    for (index, attached) in server.volumes.iter().enumerate() {
        match admin.volume(&attached.volume_id).await? {
            Some(volume) => seen.push((index, attached, volume)),
            None => found.left_out.push(LeftOut::never(
                attached.volume_id.clone(),
                "Nova shows it attached, but Cinder knows no such volume",
            )),
        }
    }
    let boot = boot_volume(server, seen.iter().map(|(_, attached, volume)| (*attached, volume)));
    for (index, attached, volume) in seen {
        let is_boot = boot.as_deref() == Some(volume.id.as_str());
        let unsupported = unsupported(&volume, is_boot);
        found.disks.push(FoundDisk {
            backend: NAME.to_owned(),
            pool: String::new(),
            backend_id: volume.id.clone(),
            key: volume.id.clone(),
            kind: DiskKind::Volume,
            // The system disk is 0.
            position: u32::try_from(index + 1).unwrap_or(u32::MAX),
            size_bytes: volume.size << 30,
            attachment: attached.attachment.clone(),
            facts: facts(volume),
            unsupported,
            foreign_snapshots: Vec::new(),
        });
    }
    Ok(found)
}

/// The volume that the server boots from, if it boots from one: the one on the first device of its bus, else the first
/// that is bootable (Nova does not show which it is, only where it hangs).
fn boot_volume<'a>(
    server: &ServerFacts,
    volumes: impl Iterator<Item = (&'a AttachedVolume, &'a Volume)> + Clone,
) -> Option<String> {
    if server.image_id.is_some() {
        return None;
    }
    let on_first_device =
        |attached: &AttachedVolume| attached.attachment.device.as_deref().is_some_and(|device| device.ends_with("da"));
    volumes
        .clone()
        .find(|(attached, _)| on_first_device(attached))
        .or_else(|| volumes.clone().find(|(_, volume)| volume.bootable == "true"))
        .map(|(_, volume)| volume.id.clone())
}

fn unsupported(volume: &Volume, is_boot: bool) -> Option<String> {
    let reason = if is_boot {
        "the server boots from it; boot volumes are not covered yet"
    } else if volume.multiattach || volume.attachments.len() > 1 {
        "it can be attached to several servers at once, so it has no history of one server"
    } else if volume.encrypted {
        "it is encrypted, and Cinder's keys do not follow a volume that is put in its place"
    } else if volume.status != "in-use" {
        return Some(format!("its status is {} and not in-use", volume.status));
    } else {
        return None;
    };
    Some(reason.to_owned())
}

/// What is needed to make another like it.
fn facts(volume: Volume) -> DiskFacts {
    // A head may still carry the name that it had as a parked or a prepared layer: it must not be taken for its own.
    let name = match volume.name {
        Some(name) if name.starts_with("ratoon.") => volume.metadata.get(KEY_NAME).cloned(),
        Some(name) => Some(name.strip_suffix(PARKED_SUFFIX).unwrap_or(&name).to_owned()),
        None => None,
    };
    DiskFacts {
        name: name.filter(|name| !name.is_empty()),
        volume_type: volume.volume_type,
        availability_zone: volume.availability_zone,
        metadata: volume
            .metadata
            .into_iter()
            .filter(|(key, _)| !key.starts_with("ratoon") && !CINDERS_OWN.contains(&key.as_str()))
            .collect(),
        parent_pool: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(json: &str) -> Volume {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_volume_that_cannot_be_covered_says_why() {
        for (json, is_boot, expected) in [
            (r#"{"id":"v","status":"in-use"}"#, false, None),
            (r#"{"id":"v","status":"in-use"}"#, true, Some("boots from it")),
            (r#"{"id":"v","status":"in-use","multiattach":true}"#, false, Some("several servers")),
            (r#"{"id":"v","status":"in-use","encrypted":true}"#, false, Some("encrypted")),
            (r#"{"id":"v","status":"detaching"}"#, false, Some("status is detaching")),
        ] {
            let reason = unsupported(&volume(json), is_boot);
            assert_eq!(reason.is_some(), expected.is_some(), "{json}");
            assert!(reason.unwrap_or_default().contains(expected.unwrap_or_default()), "{json}");
        }
    }

    #[test]
    fn names_and_marks_of_ours_are_not_taken_for_the_owners() {
        for (json, name) in [
            (r#"{"id":"v","name":"data","metadata":{"a":"b","ratoon.layer":"x","readonly":"False"}}"#, Some("data")),
            (r#"{"id":"v","name":"data (parked by ratoon)","metadata":{"a":"b"}}"#, Some("data")),
            (r#"{"id":"v","name":"ratoon.0197","metadata":{"a":"b","ratoon.name":"data"}}"#, Some("data")),
            (r#"{"id":"v","name":"ratoon.0197","metadata":{"a":"b"}}"#, None),
            (r#"{"id":"v","name":null,"metadata":{"a":"b"}}"#, None),
            (r#"{"id":"v","name":"","metadata":{"a":"b"}}"#, None),
        ] {
            let facts = facts(volume(json));
            assert_eq!(facts.name.as_deref(), name, "{json}");
            assert_eq!(facts.metadata, [("a".to_owned(), "b".to_owned())].into(), "{json}");
        }
    }
}
