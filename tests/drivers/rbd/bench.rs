//! What the tests stand on: a server with a disk made as Nova makes it (a clone of an image in Glance's pool), and the
//! `rbd` command as a second opinion.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ratoon::domain::disk::{DiskFacts, DiskKind, Layer, LayerRole};
use ratoon::domain::server::{ServerFacts, ServerStatus};
use ratoon::drivers::rbd::cluster::Cluster;
use ratoon::drivers::rbd::connection::Connection;
use ratoon::drivers::rbd::image::{Access, Image};
use ratoon::drivers::rbd::pool::Pool;
use ratoon::drivers::rbd::{RbdConfig, RbdDriver, RbdDriverConfig, naming};
use ratoon::drivers::{Call, NewLayer, SnapshotDriver, Source};
use ratoon::ids::{DiskId, DiskSnapshotId, LayerId, OperationId, ServerId};

pub const MIB: u64 = 1 << 20;
/// Size of the disks here: a few objects of 1 MiB.
pub const SIZE: u64 = 8 * MIB;

pub struct Bench {
    pub driver: RbdDriver,
    pub config: RbdConfig,
    /// For looks of the test's own, over one connection: libraries of Ceph 16.2 have aborted after dozens in one process.
    cluster: Cluster,
    pub server: ServerId,
    pub call: Call,
    /// All ids under which images were or may have been made.
    ids: Mutex<Vec<String>>,
}

/// The bench, or a line that says why there is none.
pub fn bench() -> Option<Bench> {
    let Some(conf) = std::env::var_os("RATOON_TEST_CEPH_CONF") else {
        println!("skipped: RATOON_TEST_CEPH_CONF is not set");
        return None;
    };
    let config = RbdConfig {
        ceph_conf: PathBuf::from(conf),
        user: std::env::var("RATOON_TEST_CEPH_USER").unwrap_or_else(|_| "ratoon".into()),
        keyring: None,
        timeout: Duration::from_secs(10),
    };
    let driver = RbdDriver::new(RbdDriverConfig {
        cluster: config.clone(),
        pool: "vms".into(),
        glance_pool: Some("images".into()),
    });
    let server = ServerId::new();
    let call = Call { operation_id: OperationId::new(), step: "test", project_id: "p".into(), again: true };
    let cluster = Cluster::new(config.clone());
    Some(Bench { driver, config, cluster, server, call, ids: Mutex::new(vec![server.to_string()]) })
}

impl Bench {
    pub fn try_run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
        let mut child = Command::new(program)
            .arg("-c")
            .arg(&self.config.ceph_conf)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// The `rbd` command as admin; what it printed.
    pub fn rbd(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.try_run("rbd", arguments, b"").unwrap()).unwrap()
    }

    /// The `rados` command on pool `vms`.
    pub fn rados(&self, arguments: &[&str]) {
        let all: Vec<&str> = ["-p", "vms"].iter().chain(arguments).copied().collect();
        self.try_run("rados", &all, b"").unwrap();
    }

    /// All bytes of an image or a snapshot.
    pub fn bytes(&self, spec: &str) -> Vec<u8> {
        self.try_run("rbd", &["export", "--no-progress", spec, "-"], b"").unwrap()
    }

    /// Writes somewhere in the first 64 KiB of an image.
    pub fn write(&self, spec: &str) {
        self.rbd(&["bench", "--io-type", "write", "--io-size", "4096", "--io-total", "65536", spec]);
    }

    pub fn id_of(&self, spec: &str) -> String {
        let info: serde_json::Value = serde_json::from_str(&self.rbd(&["info", "--format", "json", spec])).unwrap();
        info["id"].as_str().unwrap().to_owned()
    }

    pub fn info(&self, spec: &str) -> serde_json::Value {
        serde_json::from_str(&self.rbd(&["info", "--format", "json", spec])).unwrap()
    }

    pub fn meta(&self, spec: &str) -> serde_json::Value {
        let text = self.rbd(&["image-meta", "list", "--format", "json", spec]);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A disk as Nova makes it; `options` go to `rbd clone`. Returns its layer.
    pub fn disk(&self, key: &str, options: &[&str]) -> Layer {
        let base = format!("images/{}.base.{key}", self.server);
        self.import(&base, 7);
        let snap = format!("{base}@snap");
        self.rbd(&["snap", "create", "--no-progress", &snap]);
        self.rbd(&["snap", "protect", &snap]);
        let head = format!("vms/{}", naming::head_name(self.server, key));
        let mut arguments = vec!["clone", &snap, &head];
        arguments.extend(options);
        self.rbd(&arguments);
        let backend_id = self.id_of(&head);
        self.layer(key, &backend_id, Some("images"))
    }

    /// An image with bytes that tell where they stand.
    pub fn import(&self, spec: &str, seed: u64) {
        let bytes: Vec<u8> = (0..SIZE / 8).flat_map(|word| (word * 31 + seed).to_le_bytes()).collect();
        self.try_run("rbd", &["import", "--no-progress", "--object-size", "1M", "-", spec], &bytes).unwrap();
    }

    pub fn layer(&self, key: &str, backend_id: &str, parent_pool: Option<&str>) -> Layer {
        Layer {
            id: self.layer_id(),
            server_id: self.server,
            disk_id: DiskId::new(),
            backend: "rbd".into(),
            pool: "vms".into(),
            backend_id: backend_id.into(),
            key: key.into(),
            kind: DiskKind::System,
            role: LayerRole::Head,
            parent: None,
            parent_layer: None,
            equals: None,
            parked_mark: String::new(),
            facts: DiskFacts { parent_pool: parent_pool.map(Into::into), ..DiskFacts::default() },
        }
    }

    pub fn layer_id(&self) -> LayerId {
        let id = LayerId::new();
        self.ids.lock().unwrap().push(id.to_string());
        id
    }

    pub fn origin(&self) -> DiskSnapshotId {
        let id = DiskSnapshotId::new();
        self.ids.lock().unwrap().push(id.to_string());
        id
    }

    /// Takes a snapshot; its id and backend id.
    pub async fn captured(&self, layer: &Layer) -> (DiskSnapshotId, String) {
        let origin = self.origin();
        let captured = self.driver.capture(&self.call, layer, origin).await.unwrap();
        (origin, captured.backend_id)
    }

    /// A new layer out of a fresh snapshot of `layer`.
    pub async fn prepared(&self, layer: &Layer) -> (DiskSnapshotId, String, Layer) {
        let (origin, snapshot) = self.captured(layer).await;
        let new = NewLayer { id: self.layer_id(), size_bytes_min: 0, copied: false };
        let source = Source { layer, origin, backend_id: &snapshot };
        let backend_id = self.driver.prepare(&self.call, source, &new).await.unwrap();
        let next = Layer { id: new.id, backend_id, role: LayerRole::Preparing, ..layer.clone() };
        (origin, snapshot, next)
    }

    pub fn server_facts(&self) -> ServerFacts {
        ServerFacts {
            id: self.server,
            name: "s".into(),
            project_id: "p".into(),
            status: ServerStatus::Shutoff,
            task_state: None,
            locked: false,
            locked_reason: None,
            image_id: Some("i".into()),
            flavor: "tiny".into(),
            root_gb: 1,
            extra_specs: Default::default(),
            volumes: Vec::new(),
            metadata: Default::default(),
        }
    }

    /// Somebody else who has the image open for writing until this is dropped.
    pub fn somebody_opens(&self, image_id: &str) -> Image {
        let connection = Arc::new(Connection::open(&self.config).unwrap());
        Pool::open(&connection, "vms").unwrap().open_id(image_id, Access::Write).unwrap().unwrap()
    }

    /// Looks four times a second until it is so; a minute at most.
    pub async fn once(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let begin = ratoon::clock::Instant::now();
        while !is_so().await {
            assert!(begin.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
            ratoon::clock::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The true name of an image, if it is still there: what the pool's directory says.
    pub async fn name_of(&self, image_id: &str) -> Option<String> {
        let id = image_id.to_owned();
        let look = move |connection: &Arc<Connection>| Pool::open(connection, "vms")?.name_of(&id);
        self.cluster.run("look an image up", look).await.unwrap()
    }

    /// Every trace of this bench in both pools: images, all their snapshots, trash.
    pub fn traces(&self) -> Vec<String> {
        let mut found = Vec::new();
        for pool in ["vms", "images"] {
            for name in self.images(pool) {
                let spec = format!("{pool}/{name}");
                let Ok(snaps) = self.try_run("rbd", &["snap", "ls", "--all", "--format", "json", &spec], b"") else {
                    found.push(format!("{spec} (being removed)"));
                    continue;
                };
                let snaps: serde_json::Value = serde_json::from_slice(&snaps).unwrap();
                for snap in snaps.as_array().unwrap() {
                    found.push(format!("{spec}@{}", snap["name"].as_str().unwrap()));
                }
                found.push(spec);
            }
            let trash = self.rbd(&["trash", "ls", "--all", "--format", "json", "-p", pool]);
            for entry in serde_json::from_str::<serde_json::Value>(&trash).unwrap().as_array().unwrap() {
                let name = entry["name"].as_str().unwrap();
                if self.is_ours(name) {
                    found.push(format!("trash of {pool}: {name}"));
                }
            }
        }
        found.sort();
        found
    }

    fn images(&self, pool: &str) -> Vec<String> {
        let names = self.try_run("rbd", &["ls", "-p", pool], b"").unwrap_or_default();
        String::from_utf8_lossy(&names).lines().filter(|name| self.is_ours(name)).map(str::to_owned).collect()
    }

    fn is_ours(&self, name: &str) -> bool {
        self.ids.lock().unwrap().iter().any(|id| name.contains(id.as_str()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Children before parents, without knowing which is which: whatever cannot go yet goes in a later round.
        for _ in 0..6 {
            for pool in ["vms", "images"] {
                for name in self.images(pool) {
                    let spec = format!("{pool}/{name}");
                    let _ = self.try_run("rbd", &["snap", "unprotect", &format!("{spec}@snap")], b"");
                    let _ = self.try_run("rbd", &["snap", "purge", "--no-progress", &spec], b"");
                    let _ = self.try_run("rbd", &["rm", "--no-progress", &spec], b"");
                }
            }
            if self.images("vms").is_empty() && self.images("images").is_empty() {
                return;
            }
        }
        println!("left behind: {:?} {:?}", self.images("vms"), self.images("images"));
    }
}
