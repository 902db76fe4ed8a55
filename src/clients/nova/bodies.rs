//! Nova's bodies at microversion 2.93, as far as we read them. Every field may be missing or null unless a server
//! cannot be without it: an administrator's clean-up, an old record, a cell that is down all show such holes.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde::Deserialize;

use crate::domain::disk::Attachment;
use crate::domain::server::{AttachedVolume, ServerAction, ServerFacts, ServerState, ServerStatus};
use crate::ids::ServerId;

#[derive(Deserialize)]
pub(super) struct ServerBody {
    pub(super) server: Server,
}

#[derive(Deserialize)]
pub(super) struct ServersBody {
    pub(super) servers: Vec<Server>,
    #[serde(default)]
    pub(super) servers_links: Vec<Link>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    pub(super) rel: String,
}

#[derive(Deserialize)]
pub(super) struct Server {
    pub(super) id: ServerId,
    name: Option<String>,
    tenant_id: Option<String>,
    status: Option<String>,
    #[serde(rename = "OS-EXT-STS:task_state")]
    task_state: Option<String>,
    locked: Option<bool>,
    pub(super) locked_reason: Option<String>,
    image: Option<Image>,
    flavor: Option<Flavor>,
    metadata: Option<BTreeMap<String, String>>,
}

/// The image a server was booted from; an empty string where it boots from a volume.
#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Of { id: String },
    Text(#[allow(dead_code)] String),
}

#[derive(Deserialize)]
struct Flavor {
    original_name: Option<String>,
    disk: Option<u64>,
    extra_specs: Option<BTreeMap<String, String>>,
}

impl Server {
    pub(super) fn into_state(self) -> ServerState {
        self.into_facts(Vec::new()).state()
    }

    pub(super) fn into_facts(self, volumes: Vec<AttachedVolume>) -> ServerFacts {
        let image_id = match self.image {
            Some(Image::Of { id }) => Some(id),
            _ => None,
        };
        let flavor = self.flavor.unwrap_or(Flavor { original_name: None, disk: None, extra_specs: None });
        ServerFacts {
            id: self.id,
            name: self.name.unwrap_or_default(),
            project_id: self.tenant_id.unwrap_or_default(),
            status: ServerStatus::from_nova(self.status.as_deref().unwrap_or("UNKNOWN")),
            task_state: self.task_state,
            locked: self.locked.unwrap_or(false),
            locked_reason: self.locked_reason,
            image_id,
            flavor: flavor.original_name.unwrap_or_default(),
            root_gb: flavor.disk.unwrap_or(0),
            extra_specs: flavor.extra_specs.unwrap_or_default(),
            volumes,
            metadata: self.metadata.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct AttachmentsBody {
    #[serde(rename = "volumeAttachments")]
    pub(super) attachments: Vec<VolumeAttachment>,
}

#[derive(Deserialize)]
pub(super) struct VolumeAttachment {
    #[serde(rename = "volumeId")]
    pub(super) volume_id: Option<String>,
    device: Option<String>,
    tag: Option<String>,
    delete_on_termination: Option<bool>,
}

impl AttachmentsBody {
    /// The volumes in Nova's order.
    pub(super) fn into_volumes(self) -> Vec<AttachedVolume> {
        self.attachments
            .into_iter()
            .filter_map(|entry| {
                Some(AttachedVolume {
                    volume_id: entry.volume_id?,
                    attachment: Attachment {
                        device: entry.device,
                        tag: entry.tag,
                        delete_on_termination: entry.delete_on_termination.unwrap_or(false),
                    },
                })
            })
            .collect()
    }
}

#[derive(Deserialize)]
pub(super) struct ActionsBody {
    #[serde(rename = "instanceActions")]
    actions: Vec<Action>,
}

#[derive(Deserialize)]
struct Action {
    action: Option<String>,
    request_id: Option<String>,
    user_id: Option<String>,
    start_time: Option<NaiveDateTime>,
    message: Option<String>,
}

impl ActionsBody {
    pub(super) fn into_actions(self) -> Vec<ServerAction> {
        self.actions
            .into_iter()
            .map(|entry| ServerAction {
                action: entry.action.unwrap_or_default(),
                request_id: entry.request_id.unwrap_or_default(),
                user_id: entry.user_id,
                started_at: entry.start_time.map(|at| at.and_utc()),
                failed: entry.message.is_some_and(|message| message == "Error"),
            })
            .collect()
    }
}
