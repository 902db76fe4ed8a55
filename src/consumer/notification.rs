//! From a notification to a hint about one server. Here stands which messages count, of which service, in which format.
//!
//! Whatever is not named here and does not concern a server is acknowledged and forgotten. Of the others only the members of
//! [`ServerEvent`] are read. A hint may be wrong on purpose: the property `instance_uuid` of an image is its owner's to write.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{Message, lenient, open, parsed, unreadable};
use crate::domain::event::{ServerEvent, What};
use crate::error::Result;
use crate::ids::ServerId;

/// Longest id that is stored; ids of OpenStack's services have 36 characters, requests' 40, LDAP projects' 64.
const ID_LENGTH_MAX: usize = 64;

/// The members of payloads that we know, whichever message has them.
#[derive(Debug, Default, Deserialize)]
struct Payload {
    /// Nova, versioned.
    #[serde(default, deserialize_with = "lenient")]
    uuid: Option<String>,
    /// Nova, unversioned.
    #[serde(default, deserialize_with = "lenient")]
    instance_id: Option<String>,
    /// Nova's failures to find a host.
    #[serde(default, deserialize_with = "lenient")]
    instance_uuid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tenant_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    request_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    snapshot_image_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    state: Option<String>,
    /// Nova, versioned.
    #[serde(default, deserialize_with = "lenient")]
    task_state: Option<String>,
    /// Nova, unversioned.
    #[serde(default, deserialize_with = "lenient")]
    new_task_state: Option<String>,
    /// A failed call within Nova: what it was called with. This is where tokens are.
    #[serde(default, deserialize_with = "lenient")]
    args: Option<Arguments>,
    /// Glance: the image.
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
    /// Glance: the image's project.
    #[serde(default, deserialize_with = "lenient")]
    owner: Option<String>,
    /// Glance: what the image's maker has written to it.
    #[serde(default, deserialize_with = "lenient")]
    properties: Option<Pointer>,
    /// Cinder: where the volume is. A volume at several servers is one that Ratoon refuses, so one of them is enough.
    #[serde(default, deserialize_with = "lenient")]
    volume_attachment: Vec<Pointer>,
}

#[derive(Debug, Default, Deserialize)]
struct Arguments {
    #[serde(default, deserialize_with = "lenient")]
    instance: Option<Instance>,
}

#[derive(Debug, Default, Deserialize)]
struct Instance {
    #[serde(default, deserialize_with = "lenient")]
    uuid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    project_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Pointer {
    #[serde(default, deserialize_with = "lenient")]
    instance_uuid: Option<String>,
}

/// Nova's versioned objects wrap their members. Their versions are not looked at: each kind has its own (an update's is 2.0, an
/// act's 1.x), and a hint of a version that nobody knows yet is better than none, as long as it names a server.
#[derive(Debug, Deserialize)]
struct Versioned<'a> {
    #[serde(borrow, default, rename = "nova_object.data")]
    data: Option<&'a RawValue>,
}

/// Reads a message; `None` = it concerns no server, or nothing that a tree of snapshots could care about.
///
/// # Errors
/// `Backend`, with the reason, for a message that cannot be read; the reason quotes nothing of it.
pub fn decode(body: &[u8]) -> Result<Option<ServerEvent>> {
    open(body, |message| {
        let kind = message.event_type.as_deref().ok_or_else(|| unreadable("The message names no event."))?;
        if let Some(act) = kind.strip_prefix("compute.instance.").or_else(|| kind.strip_prefix("instance.")) {
            return of_server(message, act);
        }
        match kind.split_once('.') {
            Some(("image", "create" | "update" | "activate" | "delete")) => of_image(message),
            // What only Cinder's accounting wants, and the names and labels of volumes.
            Some(("volume", "usage" | "exists" | "update.start" | "update.end")) => Ok(None),
            Some(("volume", _)) => of_volume(message),
            // A server that could not be made has no snapshots.
            Some(("compute_task", act)) if !act.starts_with("build_instances") => of_failed_task(message),
            // Named after the function within Nova that has failed; those that only look change nothing.
            None if !kind.starts_with("get_") => of_failed_call(message),
            _ => Ok(None),
        }
    })
}

/// Nova's `instance.*` and `compute.instance.*`.
fn of_server(message: &Message<'_>, act: &str) -> Result<Option<ServerEvent>> {
    // Neither the disks of a server nor whether it runs.
    const OTHERS: [&str; 5] = ["exists", "create.", "interface_", "trigger_crash_dump", "metadata"];
    if OTHERS.iter().any(|other| act.starts_with(other)) {
        return Ok(None);
    }
    let (payload, state) = nova_payload(message)?;
    let what = match act {
        "delete.start" => What::Deleting,
        "delete.end" => What::Deleted,
        "rebuild.start" | "rebuild.scheduled" | "rebuild_scheduled" => What::Rebuilding,
        "snapshot.start" => What::SnapshotStart,
        "snapshot.end" => What::SnapshotEnd,
        "update" => of_task(&state, &payload),
        _ => What::Changed,
    };
    let id = payload.uuid.as_deref().or(payload.instance_id.as_deref());
    let server = server_id(id).ok_or_else(|| unreadable("The message is of a server and does not name it."))?;
    let mut event = event(message, server, what)?;
    event.project_id = short(payload.tenant_id);
    event.request_id = short(payload.request_id).or(event.request_id);
    event.image_id = uuid(payload.snapshot_image_id.as_deref());
    Ok(Some(event))
}

/// An update says what is about to happen by Nova's task. The task of a soft delete has another name.
fn of_task(new_task_state: &Option<String>, payload: &Payload) -> What {
    match new_task_state.as_deref() {
        Some("deleting") if payload.state.as_deref() != Some("deleted") => What::Deleting,
        Some(task) if task.starts_with("rebuild") => What::Rebuilding,
        _ => What::Changed,
    }
}

/// Nova's payload in either format, and the task that an update names.
fn nova_payload(message: &Message<'_>) -> Result<(Payload, Option<String>)> {
    let raw = message.payload.ok_or_else(|| unreadable("The message has no payload."))?;
    let Versioned { data } = parsed("The payload", raw.get())?;
    let payload: Payload = parsed("The payload", data.unwrap_or(raw).get())?;
    // In the versioned format the task at the top is the new one too.
    let task = payload.new_task_state.clone().or_else(|| payload.task_state.clone());
    Ok((payload, task))
}

fn of_image(message: &Message<'_>) -> Result<Option<ServerEvent>> {
    let payload = plain_payload(message)?;
    let named = payload.properties.and_then(|properties| properties.instance_uuid);
    let Some(server) = server_id(named.as_deref()) else { return Ok(None) };
    let mut event = event(message, server, What::Changed)?;
    event.project_id = short(payload.owner);
    event.image_id = uuid(payload.id.as_deref());
    Ok(Some(event))
}

fn of_volume(message: &Message<'_>) -> Result<Option<ServerEvent>> {
    let payload = plain_payload(message)?;
    let named = payload.volume_attachment.iter().find_map(|place| server_id(place.instance_uuid.as_deref()));
    let Some(server) = named else { return Ok(None) };
    let mut event = event(message, server, What::Changed)?;
    // Nova's request, where Nova has called Cinder.
    event.request_id = short(message.global_request_id.clone()).or(event.request_id);
    event.project_id = short(payload.tenant_id);
    Ok(Some(event))
}

fn of_failed_task(message: &Message<'_>) -> Result<Option<ServerEvent>> {
    let (payload, _) = nova_payload(message)?;
    let named = payload.instance_uuid.as_deref().or(payload.instance_id.as_deref());
    server_id(named).map(|server| event(message, server, What::Changed)).transpose()
}

fn of_failed_call(message: &Message<'_>) -> Result<Option<ServerEvent>> {
    let called_with = plain_payload(message)?.args.and_then(|args| args.instance);
    let Some(instance) = called_with else { return Ok(None) };
    let Some(server) = server_id(instance.uuid.as_deref()) else { return Ok(None) };
    let mut event = event(message, server, What::Changed)?;
    event.project_id = short(instance.project_id);
    Ok(Some(event))
}

fn plain_payload(message: &Message<'_>) -> Result<Payload> {
    message.payload.map_or_else(|| Ok(Payload::default()), |raw| parsed("The payload", raw.get()))
}

fn event(message: &Message<'_>, server_id: ServerId, what: What) -> Result<ServerEvent> {
    let message_id = short(message.message_id.clone())
        .ok_or_else(|| unreadable("The message has no id, or one that is none of oslo.messaging's."))?;
    Ok(ServerEvent {
        message_id,
        server_id,
        what,
        project_id: None,
        request_id: short(message.request_id.clone()),
        image_id: None,
        sent_at: message.sent_at(),
    })
}

fn server_id(text: Option<&str>) -> Option<ServerId> {
    text?.parse().ok()
}

fn uuid(text: Option<&str>) -> Option<String> {
    uuid::Uuid::parse_str(text?).ok().map(|id| id.to_string())
}

/// An id as it is, unless no database column would take it.
fn short(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && id.len() <= ID_LENGTH_MAX && id.chars().all(|c| c.is_ascii_graphic()))
}

#[cfg(test)]
mod tests;
