//! The real Nova, asked with the service user's admin token. [`Compute`] says what callers may rely on.
//!
//! Races: between our look and our act anybody may act too. So an act is sent first and explained afterwards: on a
//! refusal the server is read again, and "it is so already" is success, "a task is in the way" passes, and only the rest
//! is a conflict for people. The order of attachments is the order of Nova's rows, which is the order of the guest's
//! disks; it must not be sorted here.

mod bodies;

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::compute::Compute;
use super::service::Service;
use super::session::{OpenStack, Session};
use super::{glance, keystone};
use crate::domain::disk::Attachment;
use crate::domain::server::{AttachedVolume, ServerAction, ServerFacts, ServerState, ServerStatus};
use crate::error::{Error, Kind, Result};
use crate::ids::ServerId;
use bodies::{ActionsBody, AttachmentsBody, ServerBody, ServersBody};

/// Lines of Nova's list of actions that are read.
const ACTIONS_MAX: &str = "100";
/// Path of the list of servers with what is in them.
const DETAIL: [&str; 2] = ["servers", "detail"];
/// Servers on one page of a list.
const PAGE: &str = "500";

/// The real Nova.
#[derive(Debug)]
pub struct Nova {
    session: Session,
    own_user_id: OnceCell<String>,
}

impl Nova {
    /// Nova, asked in the service user's own name.
    #[must_use]
    pub fn new(openstack: &OpenStack) -> Self {
        Self { session: openstack.admin().clone(), own_user_id: OnceCell::new() }
    }

    async fn act(&self, id: ServerId, body: Value) -> Result<()> {
        self.session.post(Service::Compute, &["servers", &id.to_string(), "action"], body).send().await.map(drop)
    }

    /// An act that shall bring the server to a status.
    async fn act_towards(&self, id: ServerId, act: &str, wanted: ServerStatus) -> Result<()> {
        match self.act(id, json!({act: null})).await {
            Err(error) if error.kind() == Kind::Conflict => {
                let now = self.state(id).await?;
                if now.status == wanted && now.task_state.is_none() {
                    return Ok(());
                }
                Err(explain(error, id, &now))
            }
            other => other,
        }
    }

    async fn read(&self, id: ServerId) -> Result<bodies::Server> {
        let body: ServerBody = self.session.get(Service::Compute, &["servers", &id.to_string()]).fetch().await?;
        Ok(body.server)
    }

    /// All projects' servers that pass a filter of Nova's.
    async fn all_with(&self, path: &[&str], filter: Option<(&str, &str)>) -> Result<Vec<bodies::Server>> {
        let mut found: Vec<bodies::Server> = Vec::new();
        loop {
            let mut call = self.session.get(Service::Compute, path).query("all_tenants", "1").query("limit", PAGE);
            if let Some((filter, value)) = filter {
                call = call.query(filter, value);
            }
            if let Some(last) = found.last() {
                call = call.query("marker", last.id.to_string());
            }
            let page: ServersBody = call.fetch().await?;
            let more = !page.servers.is_empty() && page.servers_links.iter().any(|link| link.rel == "next");
            found.extend(page.servers);
            if !more {
                return Ok(found);
            }
        }
    }

    /// After a refused attach or detach: fine if it is as wanted by now, else the refusal with its reason.
    async fn attachment_or(&self, id: ServerId, volume_id: &str, attached: bool, error: Error) -> Result<()> {
        // A volume in the wrong state is a 400 of Nova's, which is about the state, not about the request.
        if !matches!(error.kind(), Kind::Conflict | Kind::Backend) || error.is_retryable() {
            return Err(error);
        }
        let there = self.volumes(id).await?.iter().any(|volume| volume.volume_id == volume_id);
        if there == attached {
            return Ok(());
        }
        let now = self.state(id).await?;
        // Detaching is under way as long as the row is there: asked twice, Nova refuses the second.
        let passes = !attached;
        let error = Error::conflict(error.to_string()).source(error);
        Err(if passes { error.retryable() } else { explain(error, id, &now) })
    }
}

/// Nova's refusal; worth another try if a task of the server is, or by Nova's words was, what stands in the way: it may have
/// ended between the refusal and the look.
fn explain(error: Error, id: ServerId, now: &ServerState) -> Error {
    match &now.task_state {
        Some(task) => error.context(format!("server {id} is busy ({task})")).retryable(),
        None if error.to_string().contains("in task_state") => error.retryable(),
        None => error.permanent(),
    }
}

#[async_trait]
impl Compute for Nova {
    async fn server(&self, id: ServerId) -> Result<ServerFacts> {
        let server = self.read(id).await?;
        let volumes = self.volumes(id).await?;
        Ok(server.into_facts(volumes))
    }

    async fn state(&self, id: ServerId) -> Result<ServerState> {
        Ok(self.read(id).await?.into_state())
    }

    async fn volumes(&self, id: ServerId) -> Result<Vec<AttachedVolume>> {
        let path = ["servers", &id.to_string(), "os-volume_attachments"];
        let body: AttachmentsBody = self.session.get(Service::Compute, &path).fetch().await?;
        Ok(body.into_volumes())
    }

    async fn image_properties(&self, image_id: &str) -> Result<BTreeMap<String, String>> {
        glance::properties(&self.session, image_id).await
    }

    async fn image_name(&self, image_id: &str) -> Result<Option<String>> {
        glance::name(&self.session, image_id).await
    }

    async fn actions(&self, id: ServerId) -> Result<Vec<ServerAction>> {
        let body: ActionsBody = self
            .session
            .get(Service::Compute, &["servers", &id.to_string(), "os-instance-actions"])
            .query("limit", ACTIONS_MAX)
            .fetch()
            .await?;
        Ok(body.into_actions())
    }

    async fn was_deleted(&self, id: ServerId) -> Result<bool> {
        let call = self.session.get(Service::Compute, &["servers"]).query("all_tenants", "1").query("deleted", "true");
        let found: ServersBody = call.query("uuid", id.to_string()).fetch().await?;
        Ok(found.servers.iter().any(|server| server.id == id))
    }

    async fn lock(&self, id: ServerId, reason: &str) -> Result<()> {
        self.act(id, json!({"lock": {"locked_reason": reason}})).await
    }

    async fn unlock(&self, id: ServerId) -> Result<()> {
        self.act(id, json!({"unlock": null})).await
    }

    async fn stop(&self, id: ServerId) -> Result<()> {
        self.act_towards(id, "os-stop", ServerStatus::Shutoff).await
    }

    async fn start(&self, id: ServerId) -> Result<()> {
        self.act_towards(id, "os-start", ServerStatus::Active).await
    }

    async fn pause(&self, id: ServerId) -> Result<()> {
        match self.act(id, json!({"pause": null})).await {
            Err(error) if error.kind() == Kind::Conflict => Err(explain(error, id, &self.state(id).await?)),
            other => other,
        }
    }

    async fn unpause(&self, id: ServerId) -> Result<()> {
        self.act_towards(id, "unpause", ServerStatus::Active).await
    }

    async fn attach(&self, id: ServerId, volume_id: &str, attachment: &Attachment) -> Result<()> {
        let mut wanted = json!({
            "volumeId": volume_id,
            "delete_on_termination": attachment.delete_on_termination,
        });
        if let Some(tag) = &attachment.tag {
            wanted["tag"] = json!(tag);
        }
        let path = ["servers", &id.to_string(), "os-volume_attachments"];
        match self.session.post(Service::Compute, &path, json!({"volumeAttachment": wanted})).send().await {
            Ok(_) => Ok(()),
            Err(error) => self.attachment_or(id, volume_id, true, error).await,
        }
    }

    async fn detach(&self, id: ServerId, volume_id: &str) -> Result<()> {
        let path = ["servers", &id.to_string(), "os-volume_attachments", volume_id];
        match self.session.delete(Service::Compute, &path).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => self.attachment_or(id, volume_id, false, error).await,
        }
    }

    async fn locked_servers(&self, prefix: &str) -> Result<Vec<ServerId>> {
        let ours =
            |server: &&bodies::Server| server.locked_reason.as_deref().is_some_and(|why| why.starts_with(prefix));
        Ok(self
            .all_with(&DETAIL, Some(("locked", "true")))
            .await?
            .iter()
            .filter(ours)
            .map(|server| server.id)
            .collect())
    }

    async fn paused_servers(&self) -> Result<Vec<ServerId>> {
        Ok(self.all_with(&DETAIL, Some(("status", "PAUSED"))).await?.iter().map(|server| server.id).collect())
    }

    async fn changed_servers(&self, since: Option<DateTime<Utc>>) -> Result<Vec<ServerId>> {
        let since = since.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let filter = since.as_deref().map(|at| ("changes-since", at));
        Ok(self.all_with(&["servers"], filter).await?.iter().map(|server| server.id).collect())
    }

    async fn own_user_id(&self) -> Result<String> {
        self.own_user_id.get_or_try_init(async || Ok(keystone::own_token(&self.session).await?.user_id)).await.cloned()
    }
}
