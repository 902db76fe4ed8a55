//! How Nova, played, removes the disks of a server: it deletes, rebuilds and shelves. As the real one it removes images whose
//! name begins with the server's id, leaves those that have snapshots, and takes a disk that is there for the new one.

use super::FakeCloud;
use super::owner::{OWNER, blank_image};
use super::state::{State, head_name};
use crate::domain::server::ServerStatus;
use crate::error::Result;
use crate::ids::ServerId;

impl FakeCloud {
    /// The owner asks Nova for an act (`delete`, `rebuild`, `shelve`), or an administrator evacuates the server: from here on
    /// it has a task state.
    ///
    /// # Errors
    /// When there is no such server.
    pub fn nova_begins(&self, id: ServerId, action: &str, task: &str) -> Result<()> {
        let mut state = self.state();
        state.note(id, action, OWNER)?;
        state.server(id)?.facts.task_state = Some(task.to_owned());
        Ok(())
    }

    /// Nova could not do what it was asked for, and has noted that.
    pub fn nova_gives_up(&self, id: ServerId, status: &str) {
        if let Ok(server) = self.state().server(id)
            && let Some(action) = server.actions.last_mut()
        {
            action.failed = true;
        }
        self.edit_server(id, |facts| {
            facts.status = ServerStatus::from_nova(status);
            facts.task_state = None;
        });
    }

    /// Nova deletes the server: its disks as far as it can, volumes that shall go with it as far as they have no snapshots.
    pub fn nova_deletes(&self, id: ServerId) {
        let mut state = self.state();
        stop(&mut state, id);
        remove_disks(&mut state, id);
        let Some(server) = state.servers.remove(&id) else { return };
        state.servers_gone.insert(id, server.actions);
        for volume in server.facts.volumes {
            let Some(it) = state.volumes.get_mut(&volume.volume_id) else { continue };
            it.attached_to = None;
            it.updated += 1;
            if volume.attachment.delete_on_termination && it.pictures.is_empty() {
                state.volumes.remove(&volume.volume_id);
            }
        }
    }

    /// Nova is asked in another region, or with another database: it knows nothing of the server, which runs on.
    pub fn nova_forgets(&self, id: ServerId) {
        self.state().servers.remove(&id);
    }

    /// Nova rebuilds the server from an image: the system disk, and what else is there no more, is made anew.
    pub fn nova_rebuilds(&self, id: ServerId) {
        let mut state = self.state();
        stop(&mut state, id);
        let keys: Vec<String> = state.keys_of(id);
        remove_disks(&mut state, id);
        make_disks(&mut state, id, &keys);
        if let Some(server) = state.servers.get_mut(&id) {
            server.facts.task_state = None;
        }
    }

    /// Nova clears the host of a shelved server.
    pub fn nova_offloads(&self, id: ServerId) {
        let mut state = self.state();
        stop(&mut state, id);
        remove_disks(&mut state, id);
        if let Some(server) = state.servers.get_mut(&id) {
            server.facts.task_state = None;
            server.facts.status = ServerStatus::from_nova("SHELVED_OFFLOADED");
        }
    }

    /// Nova makes the disk of a shelved server anew, from the image that it was shelved to.
    ///
    /// # Errors
    /// When there is no such server.
    pub fn nova_unshelves(&self, id: ServerId) -> Result<()> {
        let mut state = self.state();
        state.note(id, "unshelve", OWNER)?;
        make_disks(&mut state, id, &["disk".to_owned()]);
        let server = state.server(id)?;
        server.facts.task_state = None;
        server.facts.status = ServerStatus::Active;
        Ok(())
    }
}

fn stop(state: &mut State, id: ServerId) {
    let user = format!("server {id}");
    for image in state.images.values_mut() {
        image.watchers.retain(|watcher| *watcher != user);
    }
}

fn remove_disks(state: &mut State, id: ServerId) {
    state.images.retain(|_, image| !image.name.starts_with(&id.to_string()) || !image.pictures.is_empty());
}

fn make_disks(state: &mut State, id: ServerId, keys: &[String]) {
    let runs = state.servers.get(&id).is_some_and(|server| server.facts.status != ServerStatus::Shutoff);
    for key in keys {
        let name = head_name(id, key);
        let there = state.image_named(&name).map(str::to_owned);
        let image = there.unwrap_or_else(|| {
            let image = state.fresh("image");
            state.images.insert(image.clone(), blank_image(name, 1));
            image
        });
        if let Some(image) = state.images.get_mut(&image).filter(|_| runs) {
            image.watchers.push(format!("server {id}"));
        }
    }
}
