//! Serving: puts the rooms together for one process, runs its roles, and ends them in order on SIGTERM or SIGINT.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use futures::FutureExt;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::api::{self, ApiState};
use crate::app::{App, observe};
use crate::background::sweep;
use crate::clients::{Keystone, Nova, OpenStack};
use crate::clock;
use crate::config::Settings;
use crate::consumer;
use crate::consumer::observer::{self, Observe, ObserverSettings};
use crate::error::{Error, Result};
use crate::operations::World;
use crate::operations::engine::{self, EngineSettings};
use crate::operations::failpoint::Failpoint;
use crate::parts::{
    admission_settings, api_settings, app_settings, credentials, drivers, engine_settings, listener_settings,
    operation_settings, policy_files, policy_server, store_config,
};
use crate::store::Store;

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

fn listen(host: &str, port: u16, group: &str) -> Result<TcpListener> {
    // Brackets around an IPv6 address belong to URLs, and people write them here too.
    let listener = TcpListener::bind((host.trim_matches(['[', ']']), port)).map_err(|error| {
        Error::unavailable(format!("Nobody can listen on {host}, port {port} ({error})."))
            .remedy(format!("Check [{group}] bind_host and bind_port, and that nobody else listens there."))
    })?;
    tracing::info!(host, port, "[{group}] listens");
    Ok(listener)
}

fn spawn_server(tasks: &mut JoinSet<Result<()>>, server: Server, name: &'static str) {
    tasks
        .spawn(async move { server.await.map_err(|error| Error::unavailable(format!("{name} has ended ({error})."))) });
}

/// Tells systemd, if it has started us (`Type=notify`).
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told how far we are");
    }
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
    let mut handles = vec![];
    if settings.metrics.enabled {
        let listener = listen(&settings.metrics.bind_host, settings.metrics.bind_port, "metrics")?;
        let server = api::metrics::serve(listener, store.clone())?;
        handles.push(server.handle());
        spawn_server(&mut tasks, server, "/metrics");
    }
    if role != Role::Engine {
        let listener = listen(&settings.api.bind_host, settings.api.bind_port, "api")?;
        let state = Arc::new(ApiState {
            app: App {
                store: store.clone(),
                compute,
                drivers: drivers(&settings, &openstack),
                settings: app_settings(&settings),
            },
            authenticator: Arc::new(Keystone::new(&openstack, settings.keystone_authtoken.token_cache_time)),
            admission: admission_settings(&settings),
            policy: policy_files(&settings)?,
            policy_server: Some(Arc::new(policy_server(&settings)?)),
            settings: api_settings(&settings),
        });
        let server = api::serve(listener, state)?;
        handles.push(server.handle());
        spawn_server(&mut tasks, server, "The API");
    }
    tell_systemd(NotifyState::Ready);
    let ended = tokio::select! {
        () = told_to_stop() => None,
        ended = tasks.join_next() => ended,
    };
    tracing::info!("stopping");
    tell_systemd(NotifyState::Stopping);
    // The watch's receivers may all be gone already; then there is nobody left to tell.
    let _ = stop.send(true);
    for handle in handles {
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
}
