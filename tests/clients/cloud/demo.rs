//! What a plain user does on the real cloud while we do our part: the user `demo`, over raw HTTP.

use std::time::Duration;

use ratoon::clock;
use serde_json::{Value, json};

/// A user with a token and the URLs of the services.
pub struct User {
    http: reqwest::Client,
    pub token: String,
    pub project_id: String,
    compute: String,
    volume: String,
    image: String,
}

/// A machine's boot loader speaks within a second, its guest is up after five.
const FIRMWARE: Duration = Duration::from_secs(45);

/// The test bed's own fault: about one emulated machine in 500 stops at its first read, before its boot loader has said a word
/// and with nothing of ours near it.
fn press_reset(server: &str) {
    let told = std::process::Command::new("virsh").args(["-q", "-c", "qemu:///system", "reset", server]).output();
    eprintln!("{server} never left its firmware; reset: {told:?}");
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: source the cloud's openrc"))
}

impl User {
    /// Logs in with the password that all users of the test cloud share.
    pub async fn login(user: &str, project: &str) -> Self {
        let http = reqwest::Client::new();
        let domain = json!({"name": "Default"});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": domain, "password": env("OS_PASSWORD")}}},
            "scope": {"project": {"name": project, "domain": domain}}}});
        let url = format!("{}/auth/tokens", env("OS_AUTH_URL"));
        let answer = http.post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "login of {user}: {}", answer.status());
        let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        let url = |types: &[&str]| {
            let catalog = body["token"]["catalog"].as_array().unwrap();
            let entry = catalog.iter().find(|entry| types.contains(&entry["type"].as_str().unwrap())).unwrap();
            entry["endpoints"][0]["url"].as_str().unwrap().trim_end_matches('/').to_owned()
        };
        Self {
            http,
            token,
            project_id: body["token"]["project"]["id"].as_str().unwrap().to_owned(),
            compute: url(&["compute"]),
            volume: url(&["volumev3", "block-storage"]),
            image: url(&["image"]),
        }
    }

    async fn send(&self, method: reqwest::Method, url: String, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .http
            .request(method, url)
            .header("X-Auth-Token", &self.token)
            .header("OpenStack-API-Version", "compute 2.90, volume 3.68");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    pub async fn compute(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.send(method, format!("{}/{path}", self.compute), body).await
    }

    pub async fn volumes(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.send(method, format!("{}/{path}", self.volume), body).await
    }

    /// Boots a server from the test image; returns its id once it is ACTIVE.
    pub async fn boot(&self, name: &str) -> String {
        let image = self.image().await;
        self.boot_with(name, json!({"imageRef": image, "metadata": {"purpose": "test"}})).await
    }

    /// Boots a server from a volume that Nova makes of the test image and deletes with the server.
    pub async fn boot_from_volume(&self, name: &str) -> String {
        let disk = json!({"uuid": self.image().await, "source_type": "image", "destination_type": "volume",
            "boot_index": 0, "volume_size": 1, "delete_on_termination": true});
        self.boot_with(name, json!({"block_device_mapping_v2": [disk]})).await
    }

    async fn image(&self) -> Value {
        let (_, images) = self.send(reqwest::Method::GET, format!("{}/v2/images?name=tick", self.image), None).await;
        images["images"][0]["id"].clone()
    }

    async fn boot_with(&self, name: &str, mut server: Value) -> String {
        let (_, flavors) = self.compute(reqwest::Method::GET, "flavors", None).await;
        let flavor = flavors["flavors"].as_array().unwrap().iter().find(|f| f["name"] == "tiny").unwrap();
        server["name"] = json!(name);
        server["flavorRef"] = flavor["id"].clone();
        server["networks"] = json!("none");
        let (status, body) = self.compute(reqwest::Method::POST, "servers", Some(json!({"server": server}))).await;
        assert_eq!(status, 202, "{body}");
        let id = body["server"]["id"].as_str().unwrap().to_owned();
        until("the server is ACTIVE", async || {
            let (_, body) = self.compute(reqwest::Method::GET, &format!("servers/{id}"), None).await;
            assert_ne!(body["server"]["status"], "ERROR", "{body}");
            body["server"]["status"] == "ACTIVE"
        })
        .await;
        id
    }

    /// Makes a volume of 1 GiB; returns its id once it is available.
    pub async fn volume(&self, name: Option<&str>, metadata: Value) -> String {
        let body = json!({"volume": {"name": name, "size": 1, "metadata": metadata}});
        let (status, body) = self.volumes(reqwest::Method::POST, "volumes", Some(body)).await;
        assert_eq!(status, 202, "{body}");
        let id = body["volume"]["id"].as_str().unwrap().to_owned();
        until("the volume is available", async || self.volume_status(&id).await == "available").await;
        id
    }

    /// Cinder's word for a volume; empty when it is gone.
    pub async fn volume_status(&self, id: &str) -> String {
        let (_, body) = self.volumes(reqwest::Method::GET, &format!("volumes/{id}"), None).await;
        body["volume"]["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the guest has come up since its last start: one that still boots lets no disk go, and Nova asks it for
    /// minutes.
    pub async fn guest_is_up(&self, server: &str) {
        let path = format!("servers/{server}/action");
        let begin = clock::Instant::now();
        let mut was_reset = false;
        until("the guest is up", async || {
            let ask = Some(json!({"os-getConsoleOutput": {}}));
            let (_, body) = self.compute(reqwest::Method::POST, &path, ask).await;
            let console = body["output"].as_str().unwrap_or_default();
            if console.trim().is_empty() && !was_reset && begin.elapsed() > FIRMWARE {
                was_reset = true;
                press_reset(server);
            }
            console.contains("GUEST up")
        })
        .await;
    }

    async fn identity(&self, method: reqwest::Method, path: &str) -> Value {
        self.send(method, format!("{}/{path}", env("OS_AUTH_URL")), None).await.1
    }

    /// Takes a service and its endpoints out of the catalog.
    pub async fn forget_service(&self, service_type: &str) {
        let body = self.identity(reqwest::Method::GET, &format!("services?type={service_type}")).await;
        for service in body["services"].as_array().unwrap() {
            self.identity(reqwest::Method::DELETE, &format!("services/{}", service["id"].as_str().unwrap())).await;
        }
    }

    /// Deletes the server, all snapshots of the volumes, and the volumes.
    pub async fn clean_up(&self, servers: &[String], volumes: &[String]) {
        for id in servers {
            let unlock = Some(json!({"unlock": null}));
            self.compute(reqwest::Method::POST, &format!("servers/{id}/action"), unlock).await;
            self.compute(reqwest::Method::DELETE, &format!("servers/{id}"), None).await;
            until("the server is gone", async || {
                self.compute(reqwest::Method::GET, &format!("servers/{id}"), None).await.0 == 404
            })
            .await;
        }
        // Volumes made of snapshots first, then the snapshots, then their volumes.
        for round in 0..3 {
            for id in volumes.iter().rev() {
                let (_, body) =
                    self.volumes(reqwest::Method::GET, &format!("snapshots/detail?volume_id={id}"), None).await;
                for snapshot in body["snapshots"].as_array().cloned().unwrap_or_default() {
                    let path = format!("snapshots/{}", snapshot["id"].as_str().unwrap());
                    self.volumes(reqwest::Method::DELETE, &path, None).await;
                }
                clock::sleep(Duration::from_secs(1 + round)).await;
                self.volumes(reqwest::Method::DELETE, &format!("volumes/{id}"), None).await;
            }
            clock::sleep(Duration::from_secs(2)).await;
        }
        for id in volumes {
            let status = self.volume_status(id).await;
            eprintln!("after clean-up volume {id}: '{status}'");
        }
    }
}

/// Waits for something, two minutes at most.
pub async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let begin = clock::Instant::now();
    while !check().await {
        assert!(begin.elapsed() < Duration::from_secs(120), "{what}: not within two minutes");
        clock::sleep(Duration::from_millis(500)).await;
    }
    eprintln!("{what} ({:.1} s)", begin.elapsed().as_secs_f32());
}
