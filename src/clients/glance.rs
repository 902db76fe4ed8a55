//! What we ask of Glance: the properties of an image that decide what a snapshot of its servers can cover.

use std::collections::BTreeMap;
use std::time::Duration;

use moka::future::Cache;
use serde_json::{Map, Value};

use super::service::Service;
use super::session::Session;
use crate::error::{Error, Kind, Result};

/// Images kept at most.
const IMAGES_MAX: u64 = 256;
/// How long an image's properties are believed: a server is read many times while it stops.
const FRESH: Duration = Duration::from_secs(60);

/// Glance, read with the service's own token.
#[derive(Debug)]
pub(super) struct Glance {
    session: Session,
    properties: Cache<String, BTreeMap<String, String>>,
}

impl Glance {
    pub(super) fn new(session: Session) -> Self {
        Self { session, properties: Cache::builder().max_capacity(IMAGES_MAX).time_to_live(FRESH).build() }
    }

    /// The properties that matter: TPM, encryption, firmware, guest agent. None of an image that is gone.
    pub(super) async fn properties(&self, image_id: &str) -> Result<BTreeMap<String, String>> {
        let read = async {
            match self.session.get(Service::Image, &["images", image_id]).fetch::<Map<String, Value>>().await {
                Ok(image) => Ok(that_matter(&image)),
                Err(error) if error.kind() == Kind::NotFound => Ok(BTreeMap::new()),
                Err(error) => Err(error),
            }
        };
        self.properties.try_get_with_by_ref(image_id, read).await.map_err(|error| Error::clone(&error))
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
