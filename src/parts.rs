//! From the settings to the parts: what `ratoon.conf` says, in the words of the rooms that it is for. Nothing is opened or called
//! here.

use std::sync::Arc;
use std::time::Duration;

use crate::api::ApiSettings;
use crate::api::admission::AdmissionSettings;
use crate::app::AppSettings;
use crate::app::policy::defaults;
use crate::clients::policy_server::{PolicyServer, PolicyServerSettings};
use crate::clients::{OpenStack, ServiceCredentials};
use crate::config::{self, KeystoneAuthtoken, Settings};
use crate::consumer::transport_url::TransportUrl;
use crate::consumer::{LinkSettings, ListenerSettings, QueueType, Tls, Topology};
use crate::domain::plan::image::{CaptureMode, CaptureModes};
use crate::drivers::SnapshotDriver;
use crate::drivers::cinder::{CinderDriver, Waiting};
use crate::drivers::rbd::{RbdConfig, RbdDriver, RbdDriverConfig};
use crate::error::{Error, Kind, Result};
use crate::operations::engine::EngineSettings;
use crate::operations::{Drivers, OperationSettings};
use crate::policy::{PolicyFiles, PolicyFilesSettings};
use crate::store::StoreConfig;

/// How to open the configured database.
#[must_use]
pub fn store_config(settings: &Settings) -> StoreConfig {
    StoreConfig {
        url: settings.database.connection.expose().clone(),
        connections_max: settings.database.max_connections,
        busy_timeout: settings.database.busy_timeout,
    }
}

/// The configured credentials, as the clients take them.
///
/// # Errors
/// `BadRequest` naming an option that is missing.
pub fn credentials(keystone: &KeystoneAuthtoken) -> Result<ServiceCredentials> {
    if keystone.auth_type != "password" {
        return Err(Error::new(
            Kind::BadRequest,
            format!("[keystone_authtoken] auth_type {} is not supported.", keystone.auth_type),
        )
        .remedy("Use auth_type = password."));
    }
    Ok(ServiceCredentials {
        auth_url: keystone.auth_url()?.to_owned(),
        username: keystone.username.clone(),
        password: keystone.password()?.expose().clone(),
        user_domain_name: keystone.user_domain_name.clone(),
        project_name: keystone.project_name.clone(),
        project_domain_name: keystone.project_domain_name.clone(),
        region_name: keystone.region_name.clone(),
        interface: keystone.interface.clone(),
        cafile: keystone.cafile.clone(),
        insecure: keystone.insecure,
        connect_timeout: keystone.http_connect_timeout,
        timeout: keystone.http_request_timeout,
    })
}

/// The drivers of one part of the service. The API and the engine have their own: what waits for Ceph is bounded for each
/// driver, so requests that pile up while Ceph hangs never take the threads that operations need.
pub(crate) fn drivers(settings: &Settings, openstack: &Arc<OpenStack>) -> Drivers {
    let mut drivers: Vec<Arc<dyn SnapshotDriver>> = Vec::new();
    if settings.rbd.enabled {
        drivers.push(Arc::new(RbdDriver::new(RbdDriverConfig {
            cluster: rbd_config(settings),
            pool: settings.rbd.pool.clone(),
            glance_pool: Some(settings.rbd.glance_pool.clone()),
        })));
    }
    if settings.cinder.enabled {
        let waiting = Waiting {
            snapshot_timeout: settings.cinder.snapshot_timeout,
            volume_timeout: settings.cinder.volume_timeout,
            ..Waiting::default()
        };
        drivers.push(Arc::new(CinderDriver::new(openstack.clone(), waiting)));
    }
    Drivers::new(drivers)
}

/// How to reach Ceph.
pub fn rbd_config(settings: &Settings) -> RbdConfig {
    RbdConfig {
        ceph_conf: settings.rbd.ceph_conf.clone(),
        user: settings.rbd.user.clone(),
        keyring: settings.rbd.keyring.clone(),
        timeout: settings.rbd.timeout,
    }
}

pub(crate) fn operation_settings(settings: &Settings) -> OperationSettings {
    OperationSettings {
        attempts_max: settings.engine.step_attempts,
        backoff: settings.engine.step_backoff,
        step_timeout: settings.engine.step_timeout,
        poll: Duration::from_millis(200),
        stop_timeout: settings.restore.stop_timeout,
        start_timeout: settings.restore.start_timeout,
        watcher_timeout: settings.restore.watcher_timeout,
        attach_timeout: settings.restore.attach_timeout,
    }
}

pub(crate) fn app_settings(settings: &Settings) -> AppSettings {
    AppSettings {
        pause_limit_ms: u64::try_from(settings.capture.pause_limit.as_millis()).unwrap_or(u64::MAX),
        allow_pause: settings.capture.allow_pause,
        nodes_max: settings.capture.nodes_per_server as usize,
        clone_depth_max: settings.restore.clone_depth_max as usize,
        flatten_bytes_max: u64::from(settings.sweep.flatten_limit_mib) << 20,
        guard: settings.guard.enabled,
        keep_deleted: settings.guard.keep_deleted,
        keep_history: settings.sweep.keep_history,
        listens: settings.events.enabled && settings.notifications_url().is_some(),
        capture: CaptureModes {
            cloud: capture_mode(settings.events.capture),
            projects: settings
                .events
                .modes_of_projects()
                .map(|(id, mode)| (id.to_owned(), capture_mode(mode)))
                .collect(),
        },
    }
}

fn capture_mode(mode: config::CaptureMode) -> CaptureMode {
    match mode {
        config::CaptureMode::During => CaptureMode::During,
        config::CaptureMode::After => CaptureMode::After,
        config::CaptureMode::Off => CaptureMode::Off,
    }
}

pub(crate) fn api_settings(settings: &Settings) -> ApiSettings {
    let keystone = &settings.keystone_authtoken;
    ApiSettings {
        workers: settings.api.workers,
        public_endpoint: settings.api.public_endpoint.clone(),
        proxy_headers: settings.api.enable_proxy_headers_parsing,
        limit_max: u64::from(settings.api.max_limit),
        body_bytes_max: settings.api.max_request_body_size,
        request_timeout: settings.api.request_timeout,
        authenticate_uri: keystone
            .www_authenticate_uri
            .clone()
            .or_else(|| keystone.auth_url.clone())
            .unwrap_or_default(),
    }
}

/// The policy files as configured.
///
/// # Errors
/// `BadRequest` naming one that cannot be used.
pub fn policy_files(settings: &Settings) -> Result<PolicyFiles> {
    let policy = &settings.oslo_policy;
    let files = PolicyFilesSettings {
        file: settings.folder.join(&policy.policy_file),
        folders: policy.policy_dirs.iter().map(|folder| settings.folder.join(folder)).collect(),
        default_rule: policy.policy_default_rule.clone(),
    };
    PolicyFiles::open(files, &defaults())
}

pub(crate) fn policy_server(settings: &Settings) -> Result<PolicyServer> {
    let policy = &settings.oslo_policy;
    PolicyServer::new(&PolicyServerSettings {
        json: policy.remote_content_type == "application/json",
        verify: policy.remote_ssl_verify_server_crt,
        ca_file: policy.remote_ssl_ca_crt_file.clone(),
        timeout: policy.remote_timeout,
    })
}

/// How to listen to notifications; `None` = not at all.
///
/// # Errors
/// `BadRequest` for a transport URL that is none, and for a queue that others read.
pub fn listener_settings(settings: &Settings) -> Result<Option<ListenerSettings>> {
    let (events, rabbit) = (&settings.events, &settings.oslo_messaging_rabbit);
    let Some(url) = settings.notifications_url().filter(|_| events.enabled) else { return Ok(None) };
    let url = TransportUrl::parse(url.expose())?;
    if events.topics.iter().any(|topic| events.queue_name.starts_with(&format!("{topic}."))) {
        return Err(Error::new(
            Kind::BadRequest,
            format!("[events] queue_name {} is the name of a queue that is not Ratoon's.", events.queue_name),
        )
        .remedy("Leave it unset: whoever reads that queue would miss the messages that Ratoon takes."));
    }
    let tls = Tls {
        ca_file: rabbit.ssl_ca_file.clone(),
        cert_file: rabbit.ssl_cert_file.clone(),
        key_file: rabbit.ssl_key_file.clone(),
    };
    Ok(Some(ListenerSettings {
        link: LinkSettings {
            vhost: url.vhost,
            tls: (url.tls || rabbit.ssl).then_some(tls),
            name: format!("ratoon on {}", settings.default.host),
            deadline: Duration::from_secs(10),
            heartbeat: Duration::from_secs(30),
        },
        hosts: url.hosts,
        topology: Topology {
            queue: events.queue_name.clone(),
            queue_type: match events.queue_type {
                config::QueueType::Classic => QueueType::Classic,
                config::QueueType::Quorum => QueueType::Quorum,
            },
            length_max: events.queue_length_max,
            exchanges: events.exchanges.clone(),
            topics: events.topics.clone(),
            renewal: Duration::from_secs(60),
            renewal_soon: Duration::from_secs(5),
            soon: Duration::from_secs(300),
        },
        prefetch: events.prefetch,
        pause: Duration::from_secs(1),
        pause_max: Duration::from_secs(30),
    }))
}

pub(crate) fn engine_settings(settings: &Settings, alone: bool) -> EngineSettings {
    EngineSettings {
        host: settings.default.host.clone(),
        workers: settings.engine.workers,
        lease: settings.engine.lease,
        heartbeat: settings.engine.heartbeat,
        poll: settings.engine.poll,
        drain: settings.engine.drain,
        alone,
    }
}

/// How tokens are judged.
pub(crate) fn admission_settings(settings: &Settings) -> AdmissionSettings {
    let keystone = &settings.keystone_authtoken;
    AdmissionSettings {
        service_type: keystone.service_type.clone(),
        service_token_roles: keystone.service_token_roles.clone(),
        service_token_roles_required: keystone.service_token_roles_required,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "[DEFAULT]\ntransport_url = rabbit://u:hunter2@h/v\n";

    fn listener(text: &str) -> Result<Option<ListenerSettings>> {
        listener_settings(&Settings::from_text(text)?)
    }

    #[test]
    fn the_listener_is_on_where_there_is_a_broker_and_nobody_has_turned_it_off() {
        assert!(listener("").unwrap().is_none());
        assert!(listener(&format!("{URL}[events]\nenabled = false\n")).unwrap().is_none());
        let settings = listener(URL).unwrap().unwrap();
        assert_eq!((settings.hosts.len(), settings.link.vhost.as_str()), (1, "v"));
        assert_eq!(settings.topology.exchanges, ["nova", "glance", "cinder", "openstack"]);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn tls_is_asked_for_in_the_url_or_in_the_group_of_oslo() {
        for (text, tls) in [
            (URL.to_owned(), false),
            (URL.replace("/v", "/v?ssl=1"), true),
            (format!("{URL}[oslo_messaging_rabbit]\nssl = true\n"), true),
        ] {
            assert_eq!(listener(&text).unwrap().unwrap().link.tls.is_some(), tls, "{text}");
        }
    }

    #[test]
    fn a_wrong_url_and_others_queues_are_refused() {
        for (text, why) in [
            (URL.replace("rabbit:", "kafka:"), "only RabbitMQ is spoken here"),
            (format!("{URL}[events]\nqueue_name = notifications.info\n"), "is not Ratoon's"),
            (format!("{URL}[events]\nqueue_name = versioned_notifications.error\n"), "is not Ratoon's"),
        ] {
            let error = listener(&text).err().map(|error| error.chain()).unwrap_or_default();
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
