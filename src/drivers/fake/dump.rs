//! All there is in the fake cloud, as sorted text: for comparing "as before", and for people.

use std::fmt::Write;

use super::FakeCloud;
use super::state::Picture;

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// With the bytes of live disks.
    All,
    /// Without what live disks hold at present: a guest writes when it likes, and when it is stopped.
    WithoutLiveBytes,
}

/// A short name for a content.
#[must_use]
pub fn fingerprint(bytes: &[u64]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for value in bytes {
        hash = (hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }
    format!("{hash:016x}")
}

fn pictures<'a>(text: &mut String, all: impl Iterator<Item = (&'a String, &'a Picture)>) {
    let mut lines: Vec<String> = all
        .map(|(id, picture)| {
            let gone = if picture.trashed { " (kept for clones)" } else { "" };
            format!("    snapshot {} [{id}] bytes {}{gone}", picture.name, fingerprint(&picture.bytes))
        })
        .collect();
    lines.sort();
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
}

impl FakeCloud {
    /// Everything but Nova's log of actions.
    #[must_use]
    pub fn dump(&self, detail: Detail) -> String {
        let state = self.state();
        let mut text = String::new();
        for (id, server) in &state.servers {
            let facts = &server.facts;
            let _ = writeln!(
                text,
                "server {id} {} task {:?} locked {:?}",
                facts.status.as_str(),
                facts.task_state,
                facts.locked.then_some(&facts.locked_reason)
            );
            for (place, volume) in facts.volumes.iter().enumerate() {
                let how = &volume.attachment;
                let _ = writeln!(
                    text,
                    "    volume {place}: {} tag {:?} delete_on_termination {}",
                    volume.volume_id, how.tag, how.delete_on_termination
                );
            }
        }
        // By our own ids, which are given out in the order of the plan: the order in which backends came to it may differ.
        let mut images: Vec<_> = state.images.iter().collect();
        images.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        for (id, image) in images {
            let bytes = match detail {
                Detail::WithoutLiveBytes if !image.name.starts_with("ratoon.") => "-".to_owned(),
                _ => fingerprint(&image.bytes),
            };
            let _ = writeln!(
                text,
                "image {id} {} bytes {bytes} parent {:?} watchers {:?} {:?}",
                image.name, image.parent, image.watchers, image.metadata
            );
            pictures(&mut text, image.pictures.iter());
        }
        let mut volumes: Vec<_> = state.volumes.iter().collect();
        volumes.sort_by_key(|(id, volume)| (volume.facts.metadata.get("ratoon.layer"), *id));
        for (id, volume) in volumes {
            let bytes = match detail {
                Detail::WithoutLiveBytes if volume.attached_to.is_some() => "-".to_owned(),
                _ => fingerprint(&volume.bytes),
            };
            let _ = writeln!(
                text,
                "volume {id} {:?} bytes {bytes} attached to {:?} type {:?} {:?}",
                volume.facts.name, volume.attached_to, volume.facts.volume_type, volume.facts.metadata
            );
            pictures(&mut text, volume.pictures.iter());
        }
        let mut projects: Vec<&str> = state.volumes.values().map(|volume| volume.project_id.as_str()).collect();
        projects.sort_unstable();
        projects.dedup();
        for project in projects {
            let (volumes, snapshots, gigabytes) = state.used(project);
            let _ = writeln!(text, "quota {project}: volumes {volumes} snapshots {snapshots} gigabytes {gigabytes}");
        }
        text
    }

    /// Names of all backend objects that are ours: images and volumes that we made or parked (by id), and snapshots.
    #[must_use]
    pub fn our_objects(&self) -> Objects {
        let state = self.state();
        let mut objects = Objects::default();
        for (id, image) in &state.images {
            objects.disks.push((id.clone(), image.name.clone()));
            let live = image.pictures.iter().filter(|(_, picture)| !picture.trashed);
            objects.snapshots.extend(live.map(|(at, picture)| (id.clone(), at.clone(), picture.name.clone())));
        }
        for (id, volume) in &state.volumes {
            let ours = volume.facts.metadata.keys().any(|key| key.starts_with("ratoon."));
            let name = if ours { format!("ratoon.{id}") } else { id.clone() };
            objects.disks.push((id.clone(), name));
            let all = volume.pictures.iter();
            objects.snapshots.extend(all.map(|(at, picture)| (id.clone(), at.clone(), picture.name.clone())));
        }
        objects
    }

    /// What a snapshot holds.
    #[must_use]
    pub fn snapshot_bytes(&self, disk: &str, snapshot: &str) -> Option<Vec<u64>> {
        let state = self.state();
        let image = state.images.get(disk).and_then(|image| image.pictures.get(snapshot));
        let picture = image.or_else(|| state.volumes.get(disk).and_then(|volume| volume.pictures.get(snapshot)));
        picture.map(|picture| picture.bytes.clone())
    }
}

/// See [`FakeCloud::our_objects`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// Every disk: backend id, and a name that begins with `ratoon.` where it is ours.
    pub disks: Vec<(String, String)>,
    /// Every snapshot: its disk's id, its own id, its name.
    pub snapshots: Vec<(String, String, String)>,
}
