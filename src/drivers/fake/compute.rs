//! Nova, played: every act asks; its effect comes at once or after some looks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::FakeCloud;
use super::state::{OUR_USER, State};
use crate::clients::compute::Compute;
use crate::domain::disk::Attachment;
use crate::domain::server::{ServerAction, ServerFacts, ServerStatus};
use crate::error::{Error, Result};
use crate::ids::ServerId;

/// Nova's list of actions ends here.
const ACTIONS_MAX: usize = 100;

/// A power act, by whomever: refused while another runs or from a wrong state.
pub(super) fn power(state: &mut State, id: ServerId, user: &str, action: &str) -> Result<()> {
    let (from, to, task): (&[ServerStatus], ServerStatus, &str) = match action {
        "stop" => (&[ServerStatus::Active], ServerStatus::Shutoff, "powering-off"),
        "start" => (&[ServerStatus::Shutoff], ServerStatus::Active, "powering-on"),
        "pause" => (&[ServerStatus::Active], ServerStatus::Paused, "pausing"),
        "unpause" => (&[ServerStatus::Paused], ServerStatus::Active, "unpausing"),
        other => return Err(Error::internal(format!("The fake cloud knows no {other}."))),
    };
    let server = state.server(id)?;
    if let Some(task) = &server.facts.task_state {
        return Err(Error::conflict(format!("Server {id} is {task}.")).retryable());
    }
    if server.facts.status == to {
        return Ok(());
    }
    if !from.contains(&server.facts.status) {
        return Err(Error::conflict(format!("Cannot {action} server {id}: it is {}.", server.facts.status.as_str())));
    }
    if action == "start" && !state.heads(id).iter().any(|(key, _)| key == "disk") {
        return Err(Error::conflict(format!("Server {id} cannot start: its disk is missing.")));
    }
    state.note(id, action, user)?;
    state.turn(id, to, task)
}

/// Puts a lock on, or takes it off.
pub(super) fn set_lock(state: &mut State, id: ServerId, user: &str, reason: Option<&str>) -> Result<()> {
    state.note(id, if reason.is_some() { "lock" } else { "unlock" }, user)?;
    let facts = &mut state.server(id)?.facts;
    facts.locked = reason.is_some();
    facts.locked_reason = reason.map(str::to_owned);
    Ok(())
}

/// Attaches a volume.
pub(super) fn attach(state: &mut State, id: ServerId, user: &str, volume: &str, how: &Attachment) -> Result<()> {
    state.server(id)?;
    if state.volume(volume)?.attached_to == Some(id) {
        return Ok(());
    }
    state.hang(id, volume, how)?;
    state.note(id, "attach_volume", user)
}

/// Detaches a volume.
pub(super) fn detach(state: &mut State, id: ServerId, user: &str, volume: &str) -> Result<()> {
    if state.unhang(id, volume)? { state.note(id, "detach_volume", user) } else { Ok(()) }
}

#[async_trait]
impl Compute for FakeCloud {
    async fn server(&self, id: ServerId) -> Result<ServerFacts> {
        self.call("server", |state| {
            state.look(id)?;
            Ok(state.server(id)?.facts.clone())
        })
        .await
    }

    async fn image_properties(&self, _: &str) -> Result<BTreeMap<String, String>> {
        self.call("image_properties", |state| Ok(state.image_properties.clone())).await
    }

    async fn image_name(&self, image_id: &str) -> Result<Option<String>> {
        self.call("image_name", |state| Ok(state.glance.get(image_id).cloned())).await
    }

    async fn was_deleted(&self, id: ServerId) -> Result<bool> {
        self.call("was_deleted", |state| Ok(state.servers_gone.contains_key(&id))).await
    }

    async fn actions(&self, id: ServerId) -> Result<Vec<ServerAction>> {
        self.call("actions", |state| {
            let actions = match state.servers_gone.get(&id) {
                Some(actions) => actions,
                None => &state.server(id)?.actions,
            };
            Ok(actions.iter().rev().take(ACTIONS_MAX).cloned().collect())
        })
        .await
    }

    async fn lock(&self, id: ServerId, reason: &str) -> Result<()> {
        self.call("lock", |state| set_lock(state, id, OUR_USER, Some(reason))).await
    }

    async fn unlock(&self, id: ServerId) -> Result<()> {
        self.call("unlock", |state| set_lock(state, id, OUR_USER, None)).await
    }

    async fn stop(&self, id: ServerId) -> Result<()> {
        self.call("stop", |state| power(state, id, OUR_USER, "stop")).await
    }

    async fn start(&self, id: ServerId) -> Result<()> {
        self.call("start", |state| power(state, id, OUR_USER, "start")).await
    }

    async fn pause(&self, id: ServerId) -> Result<()> {
        self.call("pause", |state| {
            if state.is_paused(id) {
                return Err(Error::conflict(format!("Server {id} is paused already.")));
            }
            power(state, id, OUR_USER, "pause")
        })
        .await
    }

    async fn unpause(&self, id: ServerId) -> Result<()> {
        self.call("unpause", |state| power(state, id, OUR_USER, "unpause")).await
    }

    async fn attach(&self, id: ServerId, volume_id: &str, attachment: &Attachment) -> Result<()> {
        self.call("attach", |state| attach(state, id, OUR_USER, volume_id, attachment)).await
    }

    async fn detach(&self, id: ServerId, volume_id: &str) -> Result<()> {
        self.call("detach", |state| detach(state, id, OUR_USER, volume_id)).await
    }

    async fn locked_servers(&self, prefix: &str) -> Result<Vec<ServerId>> {
        self.call("locked_servers", |state| {
            let ours = |reason: &Option<String>| reason.as_deref().is_some_and(|reason| reason.starts_with(prefix));
            let locked = state.servers.iter().filter(|(_, server)| ours(&server.facts.locked_reason));
            Ok(locked.map(|(id, _)| *id).collect())
        })
        .await
    }

    async fn paused_servers(&self) -> Result<Vec<ServerId>> {
        self.call("paused_servers", |state| {
            Ok(state.servers.keys().copied().filter(|id| state.is_paused(*id)).collect())
        })
        .await
    }

    async fn changed_servers(&self, since: Option<DateTime<Utc>>) -> Result<Vec<ServerId>> {
        self.call("changed_servers", |state| {
            let gone = state.servers_gone.keys().filter(|_| since.is_some());
            Ok(state.servers.keys().chain(gone).copied().collect())
        })
        .await
    }

    async fn own_user_id(&self) -> Result<String> {
        Ok(OUR_USER.to_owned())
    }
}
