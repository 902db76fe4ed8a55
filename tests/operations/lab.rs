//! A laboratory: a service with a database of its own, a cloud in memory, and engines that can be killed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratoon::app::policy::Policy;
use ratoon::app::snapshot_create::CreateSnapshot;
use ratoon::app::snapshot_restore::RestoreSnapshot;
use ratoon::app::{Answer, App, AppSettings, RequestContext};
use ratoon::domain::disk::Attachment;
use ratoon::domain::operation::{EventKind, Operation, OperationStatus};
use ratoon::domain::snapshot::{Consistency, Snapshot};
use ratoon::drivers::fake::FakeCloud;
use ratoon::error::{Error, Result};
use ratoon::ids::{EngineId, OperationId, ServerId, SnapshotId};
use ratoon::operations::runner::{self, Outcome};
use ratoon::operations::{Drivers, OperationSettings, Probe, Verdict, World};
use ratoon::store::Store;
use ratoon::store::trees::ServerTree;
use sea_orm::{ConnectionTrait, DbBackend};
use tokio::sync::watch;

use crate::databases::{Outage, TestDatabase};

/// Clones of clones that a disk may stand on: few, so that tests get there.
pub const DEPTH_MAX: usize = 3;

/// Most engines that one operation may need.
const ENGINES_MAX: usize = 60;

type Script = Box<dyn FnMut(&'static str, EventKind) -> Verdict + Send>;

/// Sees every event, and does what its script says.
#[derive(Default)]
pub struct LabProbe {
    script: Mutex<Option<Script>>,
    seen: Mutex<Vec<(&'static str, EventKind)>>,
}

impl Probe for LabProbe {
    fn at(&self, _operation: &Operation, step: &'static str, event: EventKind) -> Verdict {
        self.seen.lock().unwrap().push((step, event));
        // A script that panics, as planned, is asked again.
        let mut script = self.script.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        script.as_mut().map_or(Verdict::Go, |script| script(step, event))
    }
}

impl LabProbe {
    /// From now on this happens at events.
    pub fn script(&self, script: impl FnMut(&'static str, EventKind) -> Verdict + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }
    /// Nothing special happens any more.
    pub fn calm(&self) {
        *self.script.lock().unwrap() = None;
    }
    /// Once, at this event.
    pub fn once(&self, step: &'static str, event: EventKind, verdict: Verdict) {
        let mut verdict = Some(verdict);
        self.script(
            move |at, kind| {
                if at == step && kind == event { verdict.take().unwrap_or(Verdict::Go) } else { Verdict::Go }
            },
        );
    }
    /// The engine dies at the n-th event from now on, counted from 0.
    pub fn die_at(&self, number: usize) {
        let mut left = Some(number);
        self.script(move |_, _| match left {
            Some(0) => {
                left = None;
                Verdict::Die
            }
            _ => {
                left = left.map(|left| left - 1);
                Verdict::Go
            }
        });
    }
    /// The events so far.
    pub fn seen(&self) -> Vec<(&'static str, EventKind)> {
        self.seen.lock().unwrap().clone()
    }
    /// Forgets the events so far.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

/// See the module's text.
pub struct Lab {
    pub cloud: FakeCloud,
    pub app: App,
    pub world: World,
    pub probe: Arc<LabProbe>,
    pub server: ServerId,
    database: TestDatabase,
    engines: Mutex<Vec<EngineId>>,
}

/// How long a store of the laboratory waits for its database.
const BUSY: Duration = Duration::from_secs(5);

fn settings() -> OperationSettings {
    let moment = Duration::from_millis(1);
    let limit = Duration::from_millis(250);
    OperationSettings {
        attempts_max: 3,
        backoff: moment,
        step_timeout: Duration::from_secs(10),
        poll: moment,
        stop_timeout: limit,
        start_timeout: limit,
        watcher_timeout: limit,
        attach_timeout: limit,
    }
}

impl Lab {
    async fn fresh(cloud: FakeCloud, server: ServerId) -> Self {
        let (database, store) = TestDatabase::with_schema(2, BUSY).await;
        Self::around(database, store, cloud, server)
    }

    fn around(database: TestDatabase, store: Store, cloud: FakeCloud, server: ServerId) -> Self {
        let probe = Arc::new(LabProbe::default());
        let drivers = Drivers::new(vec![cloud.named(), cloud.attached()]);
        let compute: Arc<dyn ratoon::clients::compute::Compute> = Arc::new(cloud.clone());
        let world = World {
            store: store.clone(),
            compute: compute.clone(),
            drivers: drivers.clone(),
            settings: settings(),
            probe: probe.clone(),
        };
        let limits = AppSettings {
            pause_limit_ms: 2000,
            allow_pause: true,
            nodes_max: 64,
            clone_depth_max: DEPTH_MAX,
            flatten_bytes_max: u64::MAX,
            guard: true,
            keep_deleted: std::time::Duration::from_secs(3600),
            keep_history: Duration::from_secs(30 * 86_400),
            listens: true,
            capture: Default::default(),
        };
        let app = App { store, compute, drivers, settings: limits };
        Self { cloud, app, world, probe, server, database, engines: Mutex::default() }
    }

    /// A running server with a system disk, one ephemeral disk, and two volumes.
    pub async fn with_a_server() -> Self {
        let cloud = FakeCloud::new();
        let server = cloud.add_server("web");
        cloud.add_image(server, "disk.eph0");
        for (name, tag) in [("data-1", Some("first")), ("data-2", None)] {
            let volume = cloud.add_volume(name);
            let attachment =
                Attachment { device: None, tag: tag.map(str::to_owned), delete_on_termination: tag.is_some() };
            cloud.owner_attach(server, &volume, &attachment).unwrap();
        }
        cloud.guest_write(server);
        Self::fresh(cloud, server).await
    }

    /// A running server with a system disk only.
    #[allow(dead_code)] // the simulation uses it
    pub async fn with_a_bare_server() -> Self {
        let cloud = FakeCloud::new();
        let server = cloud.add_server("web");
        cloud.guest_write(server);
        Self::fresh(cloud, server).await
    }

    /// One connection to the database, behind the store's back.
    pub async fn sql(&self) -> sea_orm::DatabaseConnection {
        self.database.sql().await
    }

    /// Keeps the service from its database until it is ended.
    pub async fn database_is_away(&self) -> Outage {
        self.database.is_away().await
    }

    /// From now on the engine waits only a moment for its database.
    pub async fn be_hasty(&mut self) {
        self.world.store = self.database.open(2, Duration::from_millis(20)).await;
    }

    /// Another laboratory that is as this one is now.
    pub async fn fork(&self) -> Self {
        let copy = self.database.copy().await;
        let store = copy.open(2, BUSY).await;
        Self::around(copy, store, self.cloud.fork(), self.server)
    }

    pub fn caller(&self) -> RequestContext {
        RequestContext {
            project_id: "project".into(),
            user_id: "owner".into(),
            user_domain_id: None,
            project_domain_id: None,
            policy: Policy::by_default().unwrap(),
            roles: vec!["member".into()],
            service: None,
            request_id: "req-lab".into(),
        }
    }

    pub async fn tree(&self) -> ServerTree {
        self.world.store.tree(self.server).await.unwrap().expect("the server has a record")
    }

    /// The id of the node of this name.
    pub async fn node(&self, name: &str) -> SnapshotId {
        let tree = self.tree().await;
        tree.forest.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}")).id
    }

    /// The newest safety snapshot.
    pub async fn safety_node(&self) -> Snapshot {
        self.tree().await.forest.nodes.iter().rev().find(|node| node.safety).expect("a safety snapshot").clone()
    }

    /// Ids of the volumes on the server, in order.
    pub fn volumes(&self) -> Vec<String> {
        let facts = self.cloud.peek(self.server).unwrap();
        facts.volumes.into_iter().map(|volume| volume.volume_id).collect()
    }

    /// Nova's word for the server's state.
    pub fn status(&self) -> String {
        self.cloud.peek(self.server).map_or_else(|| "gone".to_owned(), |facts| facts.status.as_str().to_owned())
    }

    /// The operation that was asked for last.
    pub async fn last_operation(&self) -> OperationId {
        let page = ratoon::store::Page { limit: 1, ..Default::default() };
        self.world.store.operations(&Default::default(), &page).await.unwrap()[0].id
    }

    /// Asks for a capture.
    pub async fn ask_capture(&self, name: &str, how: impl FnOnce(&mut CreateSnapshot)) -> Result<OperationId> {
        let mut request = CreateSnapshot {
            server_id: self.server,
            name: Some(name.to_owned()),
            description: String::new(),
            consistency: Consistency::Auto,
            pause_limit_ms: None,
            exclude_disks: vec![],
            dry_run: false,
            tree_generation: None,
            client_token: None,
        };
        how(&mut request);
        match self.app.create_snapshot(&self.caller(), request).await? {
            Answer::Accepted((_, operation)) => Ok(operation),
            Answer::Plan(_) => Err(Error::internal("Only planned.")),
        }
    }

    /// Asks for a restore.
    pub async fn ask_restore(&self, node: SnapshotId, how: impl FnOnce(&mut RestoreSnapshot)) -> Result<OperationId> {
        let mut request = RestoreSnapshot {
            snapshot_id: node,
            disks: None,
            branch_name: None,
            safety_snapshot: true,
            dry_run: false,
            tree_generation: None,
        };
        how(&mut request);
        match self.app.restore_snapshot(&self.caller(), request).await? {
            Answer::Accepted((_, operation)) => Ok(operation),
            Answer::Plan(_) => Err(Error::internal("Only planned.")),
        }
    }

    /// Asks for a node's deletion.
    pub async fn ask_delete(&self, name: &str) -> Result<OperationId> {
        let node = self.node(name).await;
        match self.app.delete_snapshot(&self.caller(), node, Default::default()).await? {
            Answer::Accepted((_, operation)) => Ok(operation),
            Answer::Plan(_) => Err(Error::internal("Only planned.")),
        }
    }

    /// Asks for a branch's deletion.
    pub async fn ask_delete_branch(&self, name: &str) -> Result<OperationId> {
        let branch = self.tree().await.forest.branch_named(name).unwrap().id;
        match self.app.delete_branch(&self.caller(), branch, Default::default()).await? {
            Answer::Accepted((_, operation)) => Ok(operation),
            Answer::Plan(_) => Err(Error::internal("Only planned.")),
        }
    }

    /// Captures, which must succeed.
    pub async fn capture(&self, name: &str) -> SnapshotId {
        let operation = self.ask_capture(name, |_| {}).await.unwrap();
        self.must_succeed(operation).await;
        self.node(name).await
    }

    /// Restores all of a node, which must succeed.
    pub async fn restore(&self, node: SnapshotId) {
        let operation = self.ask_restore(node, |_| {}).await.unwrap();
        self.must_succeed(operation).await;
    }

    /// Runs an operation to its end and asserts success.
    pub async fn must_succeed(&self, id: OperationId) {
        let ended = self.finish(id).await;
        assert_eq!(ended.status, OperationStatus::Succeeded, "{:?} {:?}", ended.error, ended.warnings);
    }

    /// The world with connections of its own.
    pub async fn world_of_another_process(&self) -> World {
        World { store: self.database.open(2, BUSY).await, ..self.world.clone() }
    }

    /// A new engine takes what waits, or what earlier engines left.
    pub async fn take(&self) -> Option<Operation> {
        let engine = EngineId::new();
        let dead = self.engines.lock().unwrap().clone();
        let taken = match self.world.store.adopt_next(engine, &dead, &[]).await.unwrap() {
            Some(operation) => Some(operation),
            None => self.world.store.claim_next(engine, &[], &[]).await.unwrap(),
        };
        if taken.is_some() {
            *self.engines.lock().unwrap() = vec![engine];
        }
        taken
    }

    /// An engine works on an operation until it is done with it, or dies.
    pub async fn work(&self, operation: &Operation) -> Outcome {
        let (_stop, stopped) = watch::channel(false);
        let work = async {
            tokio::select! {
                biased;
                outcome = runner::run(&self.world, operation, stopped) => outcome.unwrap(),
                () = self.cloud.died() => Outcome::LetGo,
            }
        };
        // Long: in the soak the histories only get the processor that nobody else wants.
        tokio::time::timeout(Duration::from_secs(300), work).await.unwrap_or_else(|_| {
            panic!(
                "operation {} hangs; events: {:?}",
                operation.kind,
                self.probe.seen().iter().rev().take(8).collect::<Vec<_>>()
            )
        })
    }

    /// A new engine takes the operation and works until it is done with it, or dies.
    pub async fn engine(&self) -> Outcome {
        let operation = match self.take().await {
            Some(operation) => operation,
            None => {
                self.transactions_have_ended().await;
                self.take().await.expect("an operation waits")
            }
        };
        self.work(&operation).await
    }

    /// Waits for whoever has locked an operation's row: a transaction of an engine that was cut off may still be rolled back, and
    /// who looks for work passes such a row over.
    async fn transactions_have_ended(&self) {
        let sql = self.sql().await;
        if sql.get_database_backend() != DbBackend::Sqlite {
            sql.execute_unprepared("SELECT id FROM operations FOR UPDATE").await.unwrap();
        }
    }

    /// One engine after the other, until the operation is final.
    pub async fn finish(&self, id: OperationId) -> Operation {
        for _ in 0..ENGINES_MAX {
            let operation = self.world.store.operation(id).await.unwrap().unwrap();
            if operation.status.is_final() {
                return operation;
            }
            self.engine().await;
        }
        panic!("operation {id} did not end with {ENGINES_MAX} engines");
    }
}
