//! What we ask of Glance: the properties of an image that decide what a snapshot of its servers can cover.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::service::Service;
use super::session::Session;
use crate::error::{Kind, Result};

/// The properties that matter: TPM, encryption, firmware, guest agent. None of an image that is gone.
pub(super) async fn properties(session: &Session, image_id: &str) -> Result<BTreeMap<String, String>> {
    match session.get(Service::Image, &["images", image_id]).fetch::<Map<String, Value>>().await {
        Ok(image) => Ok(that_matter(&image)),
        Err(error) if error.kind() == Kind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
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
