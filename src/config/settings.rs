//! The typed settings: one struct a group, one field an option. What an option means stands once, in
//! [`super::registry`].
//!
//! There is no default here: every value, defaults too, has passed the registry's checks before it arrives, and a field
//! that the registry does not know (or the other way round) makes every start fail, so it cannot be forgotten.
#![allow(missing_docs)] // Each field's text is its option's help.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::secret::Secret;
use crate::error::{Error, Kind, Result};

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub default: General,
    pub api: Api,
    pub metrics: Metrics,
    pub database: Database,
    pub keystone_authtoken: KeystoneAuthtoken,
    pub oslo_policy: OsloPolicy,
    pub engine: Engine,
    pub capture: Capture,
    pub guard: Guard,
    pub restore: Restore,
    pub rbd: Rbd,
    pub cinder: Cinder,
    pub sweep: Sweep,
    pub events: Events,
    pub oslo_messaging_notifications: OsloMessagingNotifications,
    pub oslo_messaging_rabbit: OsloMessagingRabbit,
    /// The folder of the configuration file, where files without a folder are looked for.
    #[serde(skip)]
    pub folder: PathBuf,
    /// One sentence for each option or group that was set and that Ratoon does not know: to be logged at start.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// `[DEFAULT]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct General {
    pub debug: bool,
    pub log_format: LogFormat,
    pub log_file: Option<PathBuf>,
    #[serde(default = "host_name")]
    pub host: String,
    pub transport_url: Option<Secret>,
}

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    pub bind_host: String,
    pub bind_port: u16,
    pub workers: usize,
    pub public_endpoint: Option<String>,
    pub enable_proxy_headers_parsing: bool,
    pub max_limit: u32,
    pub max_request_body_size: usize,
    #[serde(deserialize_with = "seconds")]
    pub request_timeout: Duration,
}

/// `[metrics]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub enabled: bool,
    pub bind_host: String,
    pub bind_port: u16,
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub connection: Secret,
    pub max_connections: u32,
    #[serde(deserialize_with = "seconds")]
    pub busy_timeout: Duration,
}

/// `[keystone_authtoken]`, with the names that keystonemiddleware gave them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoneAuthtoken {
    pub www_authenticate_uri: Option<String>,
    pub auth_url: Option<String>,
    pub auth_type: String,
    pub username: String,
    pub password: Option<Secret>,
    pub user_domain_name: String,
    pub project_name: String,
    pub project_domain_name: String,
    pub region_name: Option<String>,
    pub interface: String,
    pub cafile: Option<PathBuf>,
    pub insecure: bool,
    #[serde(deserialize_with = "seconds")]
    pub token_cache_time: Duration,
    pub service_type: String,
    pub service_token_roles: Vec<String>,
    pub service_token_roles_required: bool,
    #[serde(deserialize_with = "seconds")]
    pub http_connect_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub http_request_timeout: Duration,
}

impl KeystoneAuthtoken {
    /// Keystone's URL, which serving needs and database work does not.
    pub fn auth_url(&self) -> Result<&str> {
        self.auth_url
            .as_deref()
            .ok_or_else(|| missing("auth_url", "Keystone's URL, such as https://controller:5000/v3"))
    }
    /// The service user's password; needed as [`Self::auth_url`] is.
    pub fn password(&self) -> Result<&Secret> {
        self.password.as_ref().ok_or_else(|| missing("password", "the password of the service user"))
    }
}

fn missing(option: &str, what: &str) -> Error {
    Error::new(Kind::BadRequest, format!("[keystone_authtoken] {option} is not set."))
        .remedy(format!("Set it to {what}."))
}

/// `[oslo_policy]`, with the names that oslo.policy gave them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsloPolicy {
    pub policy_file: PathBuf,
    pub policy_dirs: Vec<PathBuf>,
    pub policy_default_rule: String,
    pub remote_content_type: String,
    pub remote_ssl_verify_server_crt: bool,
    pub remote_ssl_ca_crt_file: Option<PathBuf>,
    #[serde(deserialize_with = "seconds")]
    pub remote_timeout: Duration,
}

/// `[engine]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    pub workers: usize,
    #[serde(rename = "lease_seconds", deserialize_with = "seconds")]
    pub lease: Duration,
    #[serde(rename = "heartbeat_seconds", deserialize_with = "seconds")]
    pub heartbeat: Duration,
    #[serde(rename = "poll_seconds", deserialize_with = "seconds")]
    pub poll: Duration,
    pub step_attempts: u32,
    #[serde(rename = "step_backoff_seconds", deserialize_with = "seconds")]
    pub step_backoff: Duration,
    #[serde(deserialize_with = "seconds")]
    pub step_timeout: Duration,
    #[serde(rename = "drain_seconds", deserialize_with = "seconds")]
    pub drain: Duration,
}

/// `[capture]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    #[serde(rename = "pause_limit_ms", deserialize_with = "milliseconds")]
    pub pause_limit: Duration,
    pub allow_pause: bool,
    pub nodes_per_server: u32,
}

/// `[restore]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    #[serde(deserialize_with = "seconds")]
    pub stop_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub start_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub watcher_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub attach_timeout: Duration,
    pub clone_depth_max: u32,
}

/// `[rbd]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rbd {
    pub enabled: bool,
    pub ceph_conf: PathBuf,
    pub user: String,
    pub keyring: Option<PathBuf>,
    pub pool: String,
    pub glance_pool: String,
    #[serde(deserialize_with = "seconds")]
    pub timeout: Duration,
}

/// `[cinder]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cinder {
    pub enabled: bool,
    #[serde(deserialize_with = "seconds")]
    pub snapshot_timeout: Duration,
    #[serde(deserialize_with = "seconds")]
    pub volume_timeout: Duration,
}

/// `[guard]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    pub enabled: bool,
    #[serde(rename = "keep_deleted_seconds", deserialize_with = "seconds")]
    pub keep_deleted: Duration,
}

/// `[sweep]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    #[serde(rename = "interval_seconds", deserialize_with = "seconds")]
    pub interval: Duration,
    #[serde(rename = "keep_history_seconds", deserialize_with = "seconds")]
    pub keep_history: Duration,
    pub flatten_limit_mib: u32,
}

/// How RabbitMQ keeps a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// By one node.
    Classic,
    /// By a majority of a cluster.
    Quorum,
}

/// When Ratoon captures a server of which Nova makes an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureMode {
    /// Meanwhile.
    During,
    /// Afterwards.
    After,
    /// Never.
    Off,
}

/// `[events]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub enabled: bool,
    pub queue_name: String,
    pub queue_type: QueueType,
    pub queue_length_max: u32,
    pub exchanges: Vec<String>,
    pub topics: Vec<String>,
    pub prefetch: u16,
    pub capture: CaptureMode,
    pub capture_of_projects: Vec<String>,
}

impl Events {
    /// The projects with a mode of their own.
    pub fn modes_of_projects(&self) -> impl Iterator<Item = (&str, CaptureMode)> {
        self.capture_of_projects.iter().filter_map(|entry| project_mode(entry))
    }
}

/// `<project id>:<mode>`
pub(super) fn project_mode(entry: &str) -> Option<(&str, CaptureMode)> {
    let (project, mode) = entry.rsplit_once(':')?;
    let mode = match mode.trim() {
        "during" => CaptureMode::During,
        "after" => CaptureMode::After,
        "off" => CaptureMode::Off,
        _ => return None,
    };
    Some((project.trim(), mode)).filter(|(project, _)| !project.is_empty())
}

/// `[oslo_messaging_notifications]`, with the name that oslo.messaging gave it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsloMessagingNotifications {
    pub transport_url: Option<Secret>,
}

/// `[oslo_messaging_rabbit]`, with the names that oslo.messaging gave them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsloMessagingRabbit {
    pub ssl: bool,
    pub ssl_ca_file: Option<PathBuf>,
    pub ssl_cert_file: Option<PathBuf>,
    pub ssl_key_file: Option<PathBuf>,
}

impl Settings {
    /// Where notifications come from, by the precedence that oslo.messaging has.
    #[must_use]
    pub fn notifications_url(&self) -> Option<&Secret> {
        self.oslo_messaging_notifications.transport_url.as_ref().or(self.default.transport_url.as_ref())
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
