//! What we ask of Glance: the properties of an image that decide what a snapshot of its servers can cover, and the name of an
//! image that Nova has made.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::service::Service;
use super::session::Session;
use crate::error::{Result, if_found};

/// The properties that matter: TPM, encryption, firmware, guest agent. None of an image that is gone.
pub(super) async fn properties(session: &Session, image_id: &str) -> Result<BTreeMap<String, String>> {
    let image = if_found(session.get(Service::Image, &["images", image_id]).fetch::<Map<String, Value>>().await)?;
    Ok(image.as_ref().map(that_matter).unwrap_or_default())
}

/// The name of an image; `None` of one that is gone, or that waits in Glance to be removed.
pub(super) async fn name(session: &Session, image_id: &str) -> Result<Option<String>> {
    let image = if_found(session.get(Service::Image, &["images", image_id]).fetch::<Map<String, Value>>().await)?;
    Ok(image.and_then(|image| {
        let word = |key: &str| image.get(key).and_then(Value::as_str).unwrap_or_default();
        let gone = matches!(word("status"), "deleted" | "pending_delete");
        (!gone).then(|| word("name").to_owned())
    }))
}

fn that_matter(image: &Map<String, Value>) -> BTreeMap<String, String> {
    image
        .iter()
        .filter(|(name, _)| {
            name.starts_with("hw_tpm")
                || name.contains("encrypt")
                || matches!(name.as_str(), "hw_firmware_type" | "hw_qemu_guest_agent" | "os_require_quiesce")
        })
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}
