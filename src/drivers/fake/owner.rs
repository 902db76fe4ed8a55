//! What others do to the cloud: its builder, the servers' owner (whom locks stop), the guests. None of it is an outside call.

use std::collections::BTreeMap;

use super::FakeCloud;
use super::compute::{attach, detach, power, set_lock};
use super::state::{Image, Limits, NOVAS, OUR_USER, Picture, SECTORS, Server, State, Volume, head_name};
use crate::domain::disk::{Attachment, DiskFacts};
use crate::domain::server::{ServerFacts, ServerStatus};
use crate::error::{Error, Result};
use crate::ids::ServerId;

/// The owner of all that a builder makes.
pub const PROJECT: &str = "project";
/// The owner's user id.
pub const OWNER: &str = "owner";

pub(super) fn blank_image(name: String, gigabytes: u64) -> Image {
    Image {
        name,
        bytes: vec![0; SECTORS],
        size_bytes: gigabytes << 30,
        pictures: BTreeMap::new(),
        parent: None,
        watchers: vec![],
        metadata: BTreeMap::new(),
    }
}

/// The lock stops the owner.
fn unlocked(state: &mut State, id: ServerId) -> Result<()> {
    if state.server(id)?.facts.locked {
        return Err(Error::conflict(format!("Server {id} is locked.")));
    }
    Ok(())
}

impl FakeCloud {
    /// Makes a server that runs, with a system disk.
    #[must_use]
    pub fn add_server(&self, name: &str) -> ServerId {
        let id = ServerId::new();
        let facts = ServerFacts {
            id,
            name: name.to_owned(),
            project_id: PROJECT.to_owned(),
            status: ServerStatus::Active,
            task_state: None,
            locked: false,
            locked_reason: None,
            image_id: Some("cirros".to_owned()),
            flavor: "tiny".to_owned(),
            root_gb: 1,
            extra_specs: BTreeMap::new(),
            volumes: vec![],
            metadata: BTreeMap::new(),
        };
        let mut state = self.state();
        state.servers.insert(
            id,
            Server { facts, pending: None, keys: vec!["disk".to_owned()], actions: vec![], last_words: vec![] },
        );
        let image = state.fresh("image");
        let mut disk = blank_image(head_name(id, "disk"), 1);
        disk.watchers.push(format!("server {id}"));
        state.images.insert(image, disk);
        // A server that was just made has its `create`.
        let _ = state.note(id, "create", OWNER);
        id
    }

    /// Gives a server one more disk of its own: `disk.eph0`, `disk.swap`.
    pub fn add_image(&self, server: ServerId, key: &str) {
        let mut state = self.state();
        let image = state.fresh("image");
        let mut disk = blank_image(head_name(server, key), 1);
        if state.servers.get(&server).is_some_and(|server| server.facts.status != ServerStatus::Shutoff) {
            disk.watchers.push(format!("server {server}"));
        }
        state.images.insert(image, disk);
        if let Some(server) = state.servers.get_mut(&server) {
            server.keys.push(key.to_owned());
        }
    }

    /// Makes a volume that is free. Its name is how a person tells its clones apart from others'.
    #[must_use]
    pub fn add_volume(&self, name: &str) -> String {
        let mut state = self.state();
        let id = state.fresh("volume");
        let facts =
            DiskFacts { name: Some(name.to_owned()), volume_type: Some("fast".to_owned()), ..DiskFacts::default() };
        let volume = Volume {
            project_id: PROJECT.to_owned(),
            bytes: vec![0; SECTORS],
            size_bytes: 1 << 30,
            pictures: BTreeMap::new(),
            attached_to: None,
            facts,
            unsupported: None,
            updated: 1,
            made_of: None,
        };
        state.volumes.insert(id.clone(), volume);
        id
    }

    /// Says why a volume can be neither captured nor replaced.
    pub fn set_unsupported(&self, volume: &str, reason: Option<&str>) {
        if let Some(volume) = self.state().volumes.get_mut(volume) {
            volume.unsupported = reason.map(str::to_owned);
        }
    }

    /// Limits the project; below 0: no limit.
    pub fn set_quota(&self, volumes: i64, snapshots: i64, gigabytes: i64) {
        self.state().limits = Limits { volumes, snapshots, gigabytes };
    }

    /// From now on volume snapshots go though volumes were made of them.
    pub fn let_clones_go(&self) {
        self.state().clones_let_go = true;
    }

    /// From now on a power act is done only after this many looks at the server, with a task state meanwhile.
    pub fn set_power_looks(&self, looks: u32) {
        self.state().power_looks = looks;
    }

    /// Somebody opens the disk that a server's key names, or lets it go.
    pub fn set_watcher(&self, server: ServerId, key: &str, watcher: &str, open: bool) {
        let mut state = self.state();
        let name = head_name(server, key);
        for image in state.images.values_mut().filter(|image| image.name == name) {
            image.watchers.retain(|there| there != watcher);
            if open {
                image.watchers.push(watcher.to_owned());
            }
        }
    }

    /// Changes what Nova says of a server, behind everybody's back.
    pub fn edit_server(&self, id: ServerId, edit: impl FnOnce(&mut ServerFacts)) {
        if let Some(server) = self.state().servers.get_mut(&id) {
            edit(&mut server.facts);
        }
    }

    /// Gives the image that all servers were made of a property.
    pub fn set_image_property(&self, name: &str, value: &str) {
        self.state().image_properties.insert(name.to_owned(), value.to_owned());
    }

    /// The server as Nova has it; no call is counted and nothing pending comes nearer.
    #[must_use]
    pub fn peek(&self, id: ServerId) -> Option<ServerFacts> {
        self.state().servers.get(&id).map(|server| server.facts.clone())
    }

    /// Names of all instance actions, oldest first.
    #[must_use]
    pub fn history(&self, id: ServerId) -> Vec<String> {
        let state = self.state();
        let actions = state.servers.get(&id).map(|server| server.actions.as_slice()).unwrap_or_default();
        actions.iter().map(|action| action.action.clone()).collect()
    }

    /// The guest writes something new on all its disks. Returns the write's number; `None` unless the server runs.
    pub fn guest_write(&self, id: ServerId) -> Option<u64> {
        let mut state = self.state();
        let runs = state.servers.get(&id).is_some_and(|server| server.facts.status == ServerStatus::Active);
        runs.then(|| state.write(id))
    }

    /// Numbers of the writes that the guest made while it was stopped, one a stop.
    #[must_use]
    pub fn last_words(&self, id: ServerId) -> Vec<u64> {
        self.state().servers.get(&id).map(|server| server.last_words.clone()).unwrap_or_default()
    }

    /// What the live disks hold: by key for named disks, then the volumes in Nova's order by id.
    #[must_use]
    pub fn live_bytes(&self, id: ServerId) -> Vec<(String, Vec<u64>)> {
        let state = self.state();
        let mut all: Vec<(String, Vec<u64>)> = Vec::new();
        for (key, image) in state.heads(id) {
            all.extend(state.images.get(&image).map(|image| (key, image.bytes.clone())));
        }
        for attached in state.servers.get(&id).map(|server| server.facts.volumes.as_slice()).unwrap_or_default() {
            let volume = state.volumes.get(&attached.volume_id);
            all.extend(volume.map(|volume| (attached.volume_id.clone(), volume.bytes.clone())));
        }
        all
    }

    /// The owner starts the server.
    ///
    /// # Errors
    /// When it is locked, busy, or in a wrong state.
    pub fn owner_start(&self, id: ServerId) -> Result<()> {
        self.owner_power(id, "start")
    }

    /// The owner stops the server.
    ///
    /// # Errors
    /// As [`FakeCloud::owner_start`].
    pub fn owner_stop(&self, id: ServerId) -> Result<()> {
        self.owner_power(id, "stop")
    }

    /// The owner pauses the server.
    ///
    /// # Errors
    /// As [`FakeCloud::owner_start`].
    pub fn owner_pause(&self, id: ServerId) -> Result<()> {
        self.owner_power(id, "pause")
    }

    /// The owner resumes the server.
    ///
    /// # Errors
    /// As [`FakeCloud::owner_start`].
    pub fn owner_unpause(&self, id: ServerId) -> Result<()> {
        self.owner_power(id, "unpause")
    }

    /// The owner reboots the server: the guest stops and starts.
    ///
    /// # Errors
    /// As [`FakeCloud::owner_start`].
    pub fn owner_reboot(&self, id: ServerId) -> Result<()> {
        let mut state = self.state();
        unlocked(&mut state, id)?;
        if state.server(id)?.facts.status != ServerStatus::Active {
            return Err(Error::conflict(format!("Server {id} does not run.")));
        }
        let number = state.write(id);
        state.server(id)?.last_words.push(number);
        state.note(id, "reboot", OWNER)
    }

    fn owner_power(&self, id: ServerId, action: &str) -> Result<()> {
        let mut state = self.state();
        unlocked(&mut state, id)?;
        power(&mut state, id, OWNER, action)
    }

    /// A request of ours to pause the server, whose answer was lost, is carried out late.
    ///
    /// # Errors
    /// When the server is busy, or in a wrong state.
    pub fn late_pause(&self, id: ServerId) -> Result<()> {
        power(&mut self.state(), id, OUR_USER, "pause")
    }

    /// Cinder loses what it knew of an attachment; Nova and the guest go on with it.
    pub fn lose_attachment(&self, volume: &str) {
        if let Some(volume) = self.state().volumes.get_mut(volume) {
            volume.attached_to = None;
        }
    }

    /// An administrator, whom no lock stops, starts the server.
    ///
    /// # Errors
    /// When it is busy, or in a wrong state.
    pub fn admin_start(&self, id: ServerId) -> Result<()> {
        power(&mut self.state(), id, "admin", "start")
    }

    /// The owner locks the server, with or without a reason of his own.
    ///
    /// # Errors
    /// When there is no such server.
    pub fn owner_lock(&self, id: ServerId, reason: &str) -> Result<()> {
        set_lock(&mut self.state(), id, OWNER, Some(reason))
    }

    /// The owner takes his lock off; an administrator's stays.
    ///
    /// # Errors
    /// When the lock is not his.
    pub fn owner_unlock(&self, id: ServerId) -> Result<()> {
        let mut state = self.state();
        let ours = |reason: &String| reason.starts_with("ratoon ");
        if state.server(id)?.facts.locked_reason.as_ref().is_some_and(ours) {
            return Err(Error::conflict(format!("Server {id} is locked by an administrator.")));
        }
        set_lock(&mut state, id, OWNER, None)
    }

    /// The owner attaches a volume, as the last.
    ///
    /// # Errors
    /// When the server is locked, or the volume in use.
    pub fn owner_attach(&self, id: ServerId, volume: &str, attachment: &Attachment) -> Result<()> {
        let mut state = self.state();
        unlocked(&mut state, id)?;
        attach(&mut state, id, OWNER, volume, attachment)
    }

    /// The owner detaches a volume.
    ///
    /// # Errors
    /// When the server is locked.
    pub fn owner_detach(&self, id: ServerId, volume: &str) -> Result<()> {
        let mut state = self.state();
        unlocked(&mut state, id)?;
        detach(&mut state, id, OWNER, volume)
    }

    /// The owner deletes a volume.
    ///
    /// # Errors
    /// While it is attached or has snapshots.
    pub fn owner_delete_volume(&self, volume: &str) -> Result<()> {
        let mut state = self.state();
        let found = state.volume(volume)?;
        if found.attached_to.is_some() || !found.pictures.is_empty() {
            return Err(Error::conflict(format!("Volume {volume} is in use or has snapshots.")));
        }
        state.volumes.remove(volume);
        Ok(())
    }

    /// The owner writes on a volume through another server: it is no longer what it was.
    ///
    /// # Errors
    /// When there is no such volume.
    pub fn owner_scribble(&self, volume: &str) -> Result<()> {
        let mut state = self.state();
        state.writes += 1;
        let number = state.writes;
        let found = state.volume(volume)?;
        super::state::scribble(&mut found.bytes, number);
        found.updated += 2; // attached there, and detached
        Ok(())
    }

    /// An administrator stops the server.
    ///
    /// # Errors
    /// As [`FakeCloud::admin_start`].
    pub fn admin_stop(&self, id: ServerId) -> Result<()> {
        power(&mut self.state(), id, "admin", "stop")
    }

    /// The owner deletes the server, and nobody hears of it before it is gone.
    pub fn owner_delete_server(&self, id: ServerId) {
        // A server that is not there was deleted before.
        let _ = self.state().note(id, "delete", OWNER);
        self.nova_deletes(id);
    }

    /// Somebody renames an image of the pool by hand.
    pub fn rename_image(&self, from: &str, to: &str) {
        for image in self.state().images.values_mut().filter(|image| image.name == from) {
            to.clone_into(&mut image.name);
        }
    }

    /// The owner, whom no lock keeps from it, has an image made of the server: Nova is at work until
    /// [`FakeCloud::end_image`].
    ///
    /// # Errors
    /// When Nova is at work already.
    pub fn owner_create_image(&self, id: ServerId) -> Result<()> {
        self.nova_images(id, "createImage", "image").map(drop)
    }

    /// As [`FakeCloud::owner_create_image`], for an image of a name, by `createImage` or `createBackup`. Returns Nova's request
    /// and the image's id.
    ///
    /// # Errors
    /// When Nova is at work already.
    pub fn nova_images(&self, id: ServerId, action: &str, name: &str) -> Result<(String, String)> {
        let mut state = self.state();
        state.note(id, action, OWNER)?;
        let server = state.server(id)?;
        if server.facts.task_state.is_some() {
            return Err(Error::conflict(format!("Nova is at work on server {id}.")));
        }
        server.facts.task_state = Some("image_uploading".to_owned());
        let request = server.actions.last().map(|action| action.request_id.clone()).unwrap_or_default();
        let image = uuid::Uuid::now_v7().to_string();
        state.glance.insert(image.clone(), name.to_owned());
        Ok((request, image))
    }

    /// So long ago was all that was done to a server.
    pub fn age_actions(&self, id: ServerId, by: chrono::TimeDelta) {
        if let Ok(server) = self.state().server(id) {
            for action in &mut server.actions {
                action.started_at = action.started_at.map(|at| at - by);
            }
        }
    }

    /// An image that Nova has made is deleted: by its owner, or by Nova's rotation of backups.
    pub fn delete_image(&self, image: &str) {
        self.state().glance.remove(image);
    }

    /// Nova comes to the point where it takes a snapshot of the disk that bears the server's name just now.
    pub fn snapshot_for_image(&self, id: ServerId) {
        let mut state = self.state();
        let (name, picture) = (head_name(id, "disk"), state.fresh("snapshot"));
        for image in state.images.values_mut().filter(|image| image.name == name) {
            let (bytes, size_bytes) = (image.bytes.clone(), image.size_bytes);
            image
                .pictures
                .insert(picture.clone(), Picture { name: NOVAS.to_owned(), bytes, size_bytes, trashed: false });
        }
    }

    /// Nova has finished the image, and removes its snapshot of the disk that bears the server's name now.
    pub fn end_image(&self, id: ServerId) {
        let name = head_name(id, "disk");
        for image in self.state().images.values_mut().filter(|image| image.name == name) {
            image.pictures.retain(|_, picture| picture.name != NOVAS);
        }
        self.edit_server(id, |facts| facts.task_state = None);
    }
}
