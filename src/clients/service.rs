//! The services we call: their names in a catalog, their URLs, their versions.
//!
//! The crate's own service types are not used: they match the catalog's type exactly (a cloud that has only `volumev3`
//! would have no Cinder), and their version discovery throws the project id out of Cinder's URL.

use std::fmt;

use openstack::session::ServiceType;
use url::Url;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Service {
    Identity,
    Compute,
    BlockStorage,
    Image,
}

impl Service {
    /// The types under which catalogs list it, the official one first.
    pub(super) fn catalog_types(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity"],
            Self::Compute => &["compute"],
            Self::BlockStorage => &["block-storage", "volumev3", "block-store"],
            Self::Image => &["image"],
        }
    }

    /// The service with this official type.
    pub(super) fn of_type(catalog_type: &str) -> Option<Self> {
        [Self::Identity, Self::Compute, Self::BlockStorage, Self::Image]
            .into_iter()
            .find(|service| service.catalog_types()[0] == catalog_type)
    }

    /// The microversion that our bodies are written for. Fixed, not negotiated: what a newer one changes (compute 2.101
    /// answers an attach without a body) must not reach us by an upgrade of the cloud.
    pub(super) fn version_header(self) -> Option<&'static str> {
        match self {
            Self::Compute => Some("compute 2.93"),
            Self::BlockStorage => Some("volume 3.68"),
            Self::Identity | Self::Image => None,
        }
    }

    /// Whether it is shown a service token: Nova and Cinder let services do what users may not (CVE-2023-2088).
    pub(super) fn wants_service_token(self) -> bool {
        matches!(self, Self::Compute | Self::BlockStorage)
    }

    /// The catalog's URL with the API version in it: some clouds register URLs without one.
    pub(super) fn versioned(self, mut url: Url) -> Url {
        let version = match self {
            Self::Identity | Self::BlockStorage => "v3",
            Self::Compute => "v2.1",
            Self::Image => "v2",
        };
        let has_version = url.path_segments().is_some_and(|mut segments| {
            segments.any(|segment| {
                segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
        });
        if !has_version && let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(version);
        }
        url
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "Keystone",
            Self::Compute => "Nova",
            Self::BlockStorage => "Cinder",
            Self::Image => "Glance",
        })
    }
}

impl ServiceType for Service {
    fn catalog_type(&self) -> &'static str {
        self.catalog_types()[0]
    }
    fn version_discovery_supported(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_added_only_where_the_catalog_has_none() {
        for (service, given, expected) in [
            (Service::BlockStorage, "http://c:8776/v3/0f2", "http://c:8776/v3/0f2"),
            (Service::BlockStorage, "http://c/volume", "http://c/volume/v3"),
            (Service::Compute, "http://c:8774/v2.1", "http://c:8774/v2.1"),
            (Service::Compute, "http://c:8774/", "http://c:8774/v2.1"),
            (Service::Image, "http://c:9292", "http://c:9292/v2"),
        ] {
            assert_eq!(service.versioned(Url::parse(given).unwrap()).as_str(), expected);
        }
    }
}
