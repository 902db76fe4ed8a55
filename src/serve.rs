//! Serving: puts the rooms together for one process, runs its roles, and ends them in order on SIGTERM or SIGINT.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::api::{self, ApiSettings, ApiState};
use crate::app::policy::defaults;
use crate::app::{App, AppSettings, observe};
use crate::background::sweep;
use crate::clients::policy_server::{PolicyServer, PolicyServerSettings};
use crate::clients::{Keystone, Nova, OpenStack, ServiceCredentials};
use crate::clock;
use crate::config::{self, KeystoneAuthtoken, Settings};
use crate::consumer::observer::{self, Observe, ObserverSettings};
use crate::consumer::transport_url::TransportUrl;
use crate::consumer::{self, LinkSettings, ListenerSettings, QueueType, Tls, Topology};
use crate::domain::plan::image::{CaptureMode, CaptureModes};
use crate::drivers::SnapshotDriver;
use crate::drivers::cinder::{CinderDriver, Waiting};
use crate::drivers::rbd::{RbdConfig, RbdDriver, RbdDriverConfig};
use crate::error::{Error, Kind, Result};
use crate::operations::engine::{self, EngineSettings};
use crate::operations::failpoint::Failpoint;
use crate::operations::{Drivers, OperationSettings, World};
use crate::policy::{PolicyFiles, PolicyFilesSettings};
use crate::store::{Store, StoreConfig};

/// What one process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Answer requests.
    Api,
    /// Run operations and the background tasks.
    Engine,
}

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
fn drivers(settings: &Settings, openstack: &Arc<OpenStack>) -> Drivers {
    let mut drivers: Vec<Arc<dyn SnapshotDriver>> = Vec::new();
    if settings.rbd.enabled {
        let cluster = RbdConfig {
            ceph_conf: settings.rbd.ceph_conf.clone(),
            user: settings.rbd.user.clone(),
            keyring: settings.rbd.keyring.clone(),
            timeout: settings.rbd.timeout,
        };
        drivers.push(Arc::new(RbdDriver::new(RbdDriverConfig {
            cluster,
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

fn operation_settings(settings: &Settings) -> OperationSettings {
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

fn app_settings(settings: &Settings) -> AppSettings {
    AppSettings {
        pause_limit_ms: u64::try_from(settings.capture.pause_limit.as_millis()).unwrap_or(u64::MAX),
        allow_pause: settings.capture.allow_pause,
        nodes_max: settings.capture.nodes_per_server as usize,
        clone_depth_max: settings.restore.clone_depth_max as usize,
        flatten_bytes_max: u64::from(settings.sweep.flatten_limit_mib) << 20,
        guard: settings.guard.enabled,
        keep_deleted: settings.guard.keep_deleted,
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

fn api_settings(settings: &Settings) -> ApiSettings {
    let keystone = &settings.keystone_authtoken;
    ApiSettings {
        workers: settings.api.workers,
        public_endpoint: settings.api.public_endpoint.clone(),
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

fn policy_server(settings: &Settings) -> Result<PolicyServer> {
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

/// Hears what other services say of servers, and has these looked at, until the service stops.
fn spawn_listener(
    tasks: &mut JoinSet<Result<()>>,
    app: App,
    settings: &Settings,
    stopped: &watch::Receiver<bool>,
) -> Result<()> {
    let Some(listener) = listener_settings(settings)? else {
        tracing::warn!(
            "notifications are not listened to: what Nova does to servers, such as deleting them, is found by the sweep only. \
             Set transport_url, and leave [events] enabled"
        );
        return Ok(());
    };
    let (wake, store) = (Arc::new(Notify::new()), app.store.clone());
    let observe: Observe = Arc::new(move |server, events| {
        let app = app.clone();
        Box::pin(async move { observe::observe(&app, server, &events).await })
    });
    let observer = ObserverSettings { drain: settings.engine.drain, ..ObserverSettings::default() };
    let observing = observer::run(store.clone(), observe, observer, wake.clone(), stopped.clone());
    tasks.spawn(observing.map(Ok));
    tasks.spawn(consumer::listen(listener, store, wake, stopped.clone()).map(Ok));
    Ok(())
}

/// With SQLite only one engine may run, on one host: a lock on a file beside the database proves it.
fn only_engine(settings: &Settings) -> Result<Option<std::fs::File>> {
    let url = settings.database.connection.expose();
    let Some(path) = url.strip_prefix("sqlite://") else { return Ok(None) };
    let path = format!("{}.engine", path.split('?').next().unwrap_or(path));
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path).map_err(|error| {
        Error::unavailable(format!("The file {path} cannot be opened ({error}).")).remedy("Make its folder writable.")
    })?;
    file.try_lock().map_err(|_| {
        Error::conflict(format!("Another engine holds {path}: with SQLite there is one engine."))
            .remedy("Stop the other one, or use PostgreSQL or MariaDB.")
    })?;
    Ok(Some(file))
}

/// Runs until the process is told to stop.
///
/// # Errors
/// When the database, the port or the configuration does not allow a start.
pub async fn serve(settings: Settings, role: Role) -> Result<()> {
    let store = Store::connect(&store_config(&settings)).await?;
    store.check_schema().await?;
    let openstack = OpenStack::new(credentials(&settings.keystone_authtoken)?)?;
    let compute = Arc::new(Nova::new(&openstack));
    let (stop, stopped) = watch::channel(false);

    let mut engine_lock = None;
    let mut tasks = JoinSet::new();
    if role != Role::Api {
        engine_lock = only_engine(&settings)?;
        let world = Arc::new(World {
            store: store.clone(),
            compute: compute.clone(),
            drivers: drivers(&settings, &openstack),
            settings: operation_settings(&settings),
            probe: Arc::new(Failpoint::from_environment()),
        });
        let app = App {
            store: store.clone(),
            compute: compute.clone(),
            drivers: world.drivers.clone(),
            settings: app_settings(&settings),
        };
        tasks.spawn(sweep_task(world.clone(), app.clone(), &settings, stopped.clone()));
        let engine = engine_settings(&settings, engine_lock.is_some());
        refuse_second_host(&store, &engine).await?;
        spawn_listener(&mut tasks, app, &settings, &stopped)?;
        let stopped = stopped.clone();
        tasks.spawn(async move { engine::run(world, engine, stopped).await });
    }
    let mut handle = None;
    if role != Role::Engine {
        let address = format!("{}:{}", settings.api.bind_host, settings.api.bind_port);
        let listener = TcpListener::bind(&address).map_err(|error| {
            Error::unavailable(format!("The API cannot listen on {address} ({error})."))
                .remedy("Check [api] bind_host and bind_port, and that nobody else listens there.")
        })?;
        let state = Arc::new(ApiState {
            app: App {
                store: store.clone(),
                compute,
                drivers: drivers(&settings, &openstack),
                settings: app_settings(&settings),
            },
            authenticator: Arc::new(Keystone::new(&openstack, settings.keystone_authtoken.token_cache_time)),
            policy: policy_files(&settings)?,
            policy_server: Some(Arc::new(policy_server(&settings)?)),
            settings: api_settings(&settings),
        });
        let server = api::serve(listener, state)?;
        handle = Some(server.handle());
        tasks.spawn(async move {
            server.await.map_err(|error| Error::unavailable(format!("The API has ended ({error}).")))
        });
        tracing::info!(%address, "the API listens");
    }
    let ended = tokio::select! {
        () = told_to_stop() => None,
        ended = tasks.join_next() => ended,
    };
    tracing::info!("stopping");
    // The watch's receivers may all be gone already; then there is nobody left to tell.
    let _ = stop.send(true);
    if let Some(handle) = handle {
        handle.stop(true).await;
    }
    let mut result = ended
        .map_or(Ok(()), |ended| flatten(ended).and(Err(Error::internal("A part of the service has ended by itself."))));
    while let Some(ended) = tasks.join_next().await {
        result = result.and(flatten(ended));
    }
    drop(engine_lock);
    result
}

fn flatten(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.unwrap_or_else(|error| Err(Error::internal(format!("A part of the service has crashed ({error})."))))
}

fn sweep_task(
    world: Arc<World>,
    app: App,
    settings: &Settings,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let every = settings.sweep.interval;
    async move {
        sweep::run(world, app, every, stopped).await;
        Ok(())
    }
}

fn engine_settings(settings: &Settings, alone: bool) -> EngineSettings {
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

/// SQLite's file locks do not reach across hosts; a second one would not be seen by the lock on the file.
async fn refuse_second_host(store: &Store, engine: &EngineSettings) -> Result<()> {
    if !engine.alone {
        return Ok(());
    }
    match store.engines().await?.into_iter().find(|other| other.host != engine.host) {
        None => Ok(()),
        Some(other) => Err(Error::conflict(format!("An engine of host {} has used this SQLite database.", other.host))
            .remedy("Run the engine there, or use PostgreSQL or MariaDB; if that host is gone for good, delete its row from the table engines.")),
    }
}

async fn told_to_stop() {
    let begun = clock::Instant::now();
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => {
            tracing::error!("signals cannot be heard; this process ends only when it is killed");
            std::future::pending::<()>().await;
        }
    }
    tracing::debug!(uptime_s = begun.elapsed().as_secs(), "told to stop");
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

    fn on_sqlite(folder: &tempfile::TempDir) -> Settings {
        Settings::from_text(&format!("[database]\nconnection = sqlite://{}/db\n", folder.path().display())).unwrap()
    }

    #[test]
    fn with_sqlite_a_second_engine_is_refused_as_long_as_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = only_engine(&on_sqlite(&folder)).unwrap();
        let error = only_engine(&on_sqlite(&folder)).unwrap_err();
        assert!(
            error.kind() == crate::error::Kind::Conflict && error.chain().contains("PostgreSQL"),
            "{}",
            error.chain()
        );
        drop(first);
        only_engine(&on_sqlite(&folder)).unwrap();
    }

    #[tokio::test]
    async fn with_sqlite_an_engine_on_another_host_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = on_sqlite(&folder);
        let store = Store::connect(&store_config(&settings)).await.unwrap();
        store.migrate().await.unwrap();
        store.enter_engine(crate::ids::EngineId::new(), "one").await.unwrap();
        for (host, alone, refused) in [("one", true, false), ("two", true, true), ("two", false, false)] {
            let engine = EngineSettings { host: host.into(), ..engine_settings(&settings, alone) };
            assert_eq!(refuse_second_host(&store, &engine).await.is_err(), refused, "{host} {alone}");
        }
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
