//! What the fake cloud is made of.

use std::collections::BTreeMap;

use super::faults::Faults;
use crate::clock;
use crate::domain::disk::{Attachment, DiskFacts};
use crate::domain::server::{ServerAction, ServerFacts, ServerStatus};
use crate::error::{Error, Result};
use crate::ids::ServerId;

/// Name of the driver of disks that take their place by name.
pub const NAMED: &str = "fake-named";
/// Name of the driver of disks that are attached.
pub const ATTACHED: &str = "fake-attached";
/// Sectors of a disk.
pub const SECTORS: usize = 64;
/// The user id that the service's own acts carry.
pub const OUR_USER: &str = "ratoon";
/// The pool of named disks.
pub(super) const POOL: &str = "vms";

/// A disk's content.
pub(super) type Bytes = Vec<u64>;

/// Writes as a guest does: some sectors here and there, all of them a function of `number` alone.
pub fn scribble(bytes: &mut [u64], number: u64) {
    for piece in 0..3 {
        let value = (number.wrapping_mul(3) + piece + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = usize::try_from(value >> 40).unwrap_or_default() % bytes.len();
        bytes[place] = value;
    }
}

/// A snapshot of an image or a volume.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub name: String,
    pub bytes: Bytes,
    pub size_bytes: u64,
    /// Removed by its owner, kept for clones (images only).
    pub trashed: bool,
}

/// An image of a pool: a disk that takes its place by name.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub name: String,
    pub bytes: Bytes,
    pub size_bytes: u64,
    /// By the backend's id.
    pub pictures: BTreeMap<String, Picture>,
    /// Image and picture that it was cloned from.
    pub parent: Option<(String, String)>,
    pub watchers: Vec<String>,
    pub metadata: BTreeMap<String, String>,
}

/// A volume: a disk that Nova attaches.
#[derive(Debug, Clone)]
pub(super) struct Volume {
    pub project_id: String,
    pub bytes: Bytes,
    pub size_bytes: u64,
    pub pictures: BTreeMap<String, Picture>,
    pub attached_to: Option<ServerId>,
    pub facts: DiskFacts,
    /// Why it can be neither captured nor replaced.
    pub unsupported: Option<String>,
    /// Counts changes.
    pub updated: u64,
    /// The volume and its snapshot that it was made of.
    pub made_of: Option<(String, String)>,
}

/// What a power act turns a server into, once it has been looked at often enough.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub looks: u32,
    pub status: ServerStatus,
}

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub facts: ServerFacts,
    pub pending: Option<Pending>,
    /// The disks of its own that Nova makes it with.
    pub keys: Vec<String>,
    /// Oldest first.
    pub actions: Vec<ServerAction>,
    /// Numbers of the writes that it made while stopping.
    pub last_words: Vec<u64>,
}

/// Most that a project may have; below 0: no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub volumes: i64,
    pub snapshots: i64,
    pub gigabytes: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { volumes: -1, snapshots: -1, gigabytes: -1 }
    }
}

/// All there is.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub servers: BTreeMap<ServerId, Server>,
    /// What was done to those that were deleted.
    pub servers_gone: BTreeMap<ServerId, Vec<ServerAction>>,
    /// Of the one image that all servers were made of.
    pub image_properties: BTreeMap<String, String>,
    /// Names of the images in Glance that Nova has made of servers, by id.
    pub glance: BTreeMap<String, String>,
    /// By the backend's id.
    pub images: BTreeMap<String, Image>,
    /// By id.
    pub volumes: BTreeMap<String, Volume>,
    pub limits: Limits,
    /// Looks that a power act takes.
    pub power_looks: u32,
    /// Whether volume snapshots go though volumes were made of them (Ceph's clones of format 2), or stay (format 1).
    pub clones_let_go: bool,
    /// Tells ids apart.
    pub made: u64,
    /// Numbers the guests' writes.
    pub writes: u64,
    pub faults: Faults,
}

/// Name of the snapshot through which Nova makes an image; it finds the disk by its name, at first and at the end.
pub(super) const NOVAS: &str = "0123456789abcdef0123456789abcdef";

/// The name that Nova expects a server's disk to have.
pub(super) fn head_name(server: ServerId, key: &str) -> String {
    match key.strip_prefix("disk") {
        Some(rest) => format!("{server}_disk{rest}"),
        None => format!("{server}_{key}"),
    }
}

impl State {
    pub fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}-{:06}", self.made)
    }

    pub fn server(&mut self, id: ServerId) -> Result<&mut Server> {
        self.servers.get_mut(&id).ok_or_else(|| Error::not_found("Server", id))
    }

    pub fn image(&mut self, id: &str) -> Result<&mut Image> {
        self.images.get_mut(id).ok_or_else(|| Error::not_found("Image", id))
    }

    pub fn volume(&mut self, id: &str) -> Result<&mut Volume> {
        self.volumes.get_mut(id).ok_or_else(|| Error::not_found("Volume", id))
    }

    pub fn image_named(&self, name: &str) -> Option<&str> {
        self.images.iter().find(|(_, image)| image.name == name).map(|(id, _)| id.as_str())
    }

    pub fn is_paused(&self, id: ServerId) -> bool {
        self.servers.get(&id).is_some_and(|server| server.facts.status == ServerStatus::Paused)
    }

    pub fn note(&mut self, id: ServerId, action: &str, user: &str) -> Result<()> {
        let request_id = self.fresh("req");
        let line = ServerAction {
            action: action.to_owned(),
            request_id,
            user_id: Some(user.to_owned()),
            started_at: Some(clock::now()),
            failed: false,
        };
        self.server(id)?.actions.push(line);
        Ok(())
    }

    /// The disks of its own that a server has, or had before they were taken from under it, by key.
    pub fn keys_of(&self, id: ServerId) -> Vec<String> {
        self.servers.get(&id).map(|server| server.keys.clone()).unwrap_or_default()
    }

    /// The images that a server runs on, by key: every one whose name begins as Nova's names do.
    pub fn heads(&self, id: ServerId) -> Vec<(String, String)> {
        let prefix = format!("{id}_disk");
        let mut heads: Vec<(String, String)> = self
            .images
            .iter()
            .filter_map(|(image, it)| Some((format!("disk{}", it.name.strip_prefix(&prefix)?), image.clone())))
            .collect();
        heads.sort();
        heads
    }

    /// A write of the guest on all its disks.
    pub fn write(&mut self, id: ServerId) -> u64 {
        self.writes += 1;
        let number = self.writes;
        for (_, image) in self.heads(id) {
            if let Some(image) = self.images.get_mut(&image) {
                scribble(&mut image.bytes, number);
            }
        }
        for volume in self.volumes.values_mut().filter(|volume| volume.attached_to == Some(id)) {
            scribble(&mut volume.bytes, number);
        }
        number
    }

    /// Begins a power act; it is done after some looks.
    pub fn turn(&mut self, id: ServerId, status: ServerStatus, task: &str) -> Result<()> {
        let looks = self.power_looks;
        let server = self.server(id)?;
        server.pending = Some(Pending { looks, status });
        server.facts.task_state = Some(task.to_owned());
        if looks == 0 { self.look(id) } else { Ok(()) }
    }

    /// A look at a server; what is pending comes nearer.
    pub fn look(&mut self, id: ServerId) -> Result<()> {
        let server = self.server(id)?;
        let Some(pending) = &mut server.pending else { return Ok(()) };
        if pending.looks > 0 {
            pending.looks -= 1;
            return Ok(());
        }
        let status = pending.status.clone();
        server.pending = None;
        server.facts.task_state = None;
        if status == ServerStatus::Shutoff {
            let number = self.write(id);
            self.server(id)?.last_words.push(number);
        }
        self.server(id)?.facts.status = status.clone();
        let open = status != ServerStatus::Shutoff;
        let user = format!("server {id}");
        for (_, image) in self.heads(id) {
            if let Some(image) = self.images.get_mut(&image) {
                image.watchers.retain(|watcher| *watcher != user);
                if open {
                    image.watchers.push(user.clone());
                }
            }
        }
        Ok(())
    }

    /// What of the quota a project uses: volumes, snapshots, GiB of both.
    pub fn used(&self, project: &str) -> (i64, i64, i64) {
        let gib = |bytes: u64| i64::try_from(bytes.div_ceil(1 << 30)).unwrap_or(i64::MAX);
        let mut used = (0, 0, 0);
        for volume in self.volumes.values().filter(|volume| volume.project_id == project) {
            used.0 += 1;
            used.2 += gib(volume.size_bytes);
            for picture in volume.pictures.values() {
                used.1 += 1;
                used.2 += gib(picture.size_bytes);
            }
        }
        used
    }

    /// Hangs a volume on a server, as the last one.
    pub fn hang(&mut self, server: ServerId, volume_id: &str, attachment: &Attachment) -> Result<()> {
        let volume = self.volume(volume_id)?;
        match volume.attached_to {
            Some(there) if there == server => return Ok(()),
            Some(other) => return Err(Error::conflict(format!("Volume {volume_id} is in use by server {other}."))),
            None => {}
        }
        volume.attached_to = Some(server);
        volume.updated += 1;
        let attachment = attachment.clone();
        let volume_id = volume_id.to_owned();
        self.server(server)?.facts.volumes.push(crate::domain::server::AttachedVolume { volume_id, attachment });
        Ok(())
    }

    /// Takes a volume off a server.
    pub fn unhang(&mut self, server: ServerId, volume_id: &str) -> Result<bool> {
        let facts = &mut self.server(server)?.facts;
        let before = facts.volumes.len();
        facts.volumes.retain(|volume| volume.volume_id != volume_id);
        if facts.volumes.len() == before {
            return Ok(false);
        }
        if let Some(volume) = self.volumes.get_mut(volume_id) {
            volume.attached_to = None;
            volume.updated += 1;
        }
        Ok(true)
    }
}
