//! Serving: puts the rooms together for one process, runs its roles, and ends them in order on SIGTERM or SIGINT.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api::{self, ApiSettings, ApiState};
use crate::app::{App, AppSettings};
use crate::background::sweep;
use crate::clients::{Keystone, Nova, OpenStack, ServiceCredentials};
use crate::clock;
use crate::config::{KeystoneAuthtoken, Settings};
use crate::drivers::SnapshotDriver;
use crate::drivers::cinder::{CinderDriver, Waiting};
use crate::drivers::rbd::{RbdConfig, RbdDriver, RbdDriverConfig};
use crate::error::{Error, Kind, Result};
use crate::operations::engine::{self, EngineSettings};
use crate::operations::failpoint::Failpoint;
use crate::operations::{Drivers, OperationSettings, World};
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
        poll: std::time::Duration::from_millis(200),
        stop_timeout: settings.restore.stop_timeout,
        start_timeout: settings.restore.start_timeout,
        watcher_timeout: settings.restore.watcher_timeout,
        attach_timeout: settings.restore.attach_timeout,
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
    let mut tasks = tokio::task::JoinSet::new();
    if role != Role::Api {
        engine_lock = only_engine(&settings)?;
        let world = Arc::new(World {
            store: store.clone(),
            compute: compute.clone(),
            drivers: drivers(&settings, &openstack),
            settings: operation_settings(&settings),
            probe: Arc::new(Failpoint::from_environment()),
        });
        tasks.spawn(sweep_task(world.clone(), &settings, stopped.clone()));
        let engine = EngineSettings {
            host: settings.default.host.clone(),
            workers: settings.engine.workers,
            lease: settings.engine.lease,
            heartbeat: settings.engine.heartbeat,
            poll: settings.engine.poll,
            drain: settings.engine.drain,
            alone: engine_lock.is_some(),
        };
        refuse_second_host(&store, &engine).await?;
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
                settings: AppSettings {
                    pause_limit_ms: u64::try_from(settings.capture.pause_limit.as_millis()).unwrap_or(u64::MAX),
                    allow_pause: settings.capture.allow_pause,
                    nodes_max: settings.capture.nodes_per_server as usize,
                    clone_depth_max: settings.restore.clone_depth_max as usize,
                },
            },
            authenticator: Arc::new(Keystone::new(&openstack, settings.keystone_authtoken.token_cache_time)),
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
    settings: &Settings,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let every = settings.sweep.interval;
    async move {
        sweep::run(world, every, stopped).await;
        Ok(())
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
