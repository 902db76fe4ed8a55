//! A whole service on a port of its own: `House::open().await`, then requests that read as sentences.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ratoon::api::admission::{AdmissionSettings, Authenticator};
use ratoon::api::{self, ApiSettings, ApiState};
use ratoon::app::policy::defaults;
use ratoon::app::{App, AppSettings};
use ratoon::clients::{AccessRule, AccessRules, TokenFacts};
use ratoon::clock;
use ratoon::domain::disk::Attachment;
use ratoon::domain::operation::{EventKind, Operation};
use ratoon::drivers::fake::FakeCloud;
use ratoon::error::{Error, Kind, Result};
use ratoon::ids::ServerId;
use ratoon::operations::engine::{self, EngineSettings};
use ratoon::operations::{Drivers, OperationSettings, Probe, Verdict, World};
use ratoon::policy::{PolicyFiles, PolicyFilesSettings};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::databases::{Outage, TestDatabase};

/// The project that the fake cloud's servers belong to.
pub const PROJECT: &str = "project";

struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    /// A token is `<project>/<role>`, or `<project>/<role>@<user>`; others, such as `garbage`, are none, `down` finds Keystone away, `unscoped` has no project,
    /// `restricted` has an access rule: to look at snapshots.
    async fn validate(&self, token: &str, _: bool) -> Result<Arc<TokenFacts>> {
        let (project, role) = match token {
            "down" => {
                return Err(Error::unavailable("Keystone does not answer.")
                    .remedy("Check that Keystone runs.")
                    .detail("http://10.0.0.5:5000"));
            }
            "unscoped" => (None, "member"),
            "restricted" => (Some(PROJECT.to_owned()), "member"),
            other => match other.split_once('/') {
                Some((project, role)) => (Some(project.to_owned()), role),
                None => return Err(Error::new(Kind::Unauthorized, "The token is not valid.")),
            },
        };
        let (role, user) = role.split_once('@').unwrap_or((role, "user"));
        Ok(Arc::new(TokenFacts {
            user_id: user.into(),
            user_domain_id: Some("default".into()),
            project_domain_id: Some("default".into()),
            roles: vec![role.to_owned()],
            expires_at: clock::now() + chrono::Duration::hours(1),
            access_rules: (token == "restricted").then(|| AccessRules {
                rules: vec![AccessRule {
                    service: "server-snapshot".into(),
                    method: "GET".into(),
                    path: "/v1/snapshots/**".into(),
                }],
                catalog_types: vec!["server-snapshot".into()],
            }),
            project_id: project,
        }))
    }
}

struct Calm;

impl Probe for Calm {
    fn at(&self, _: &Operation, _: &'static str, _: EventKind) -> Verdict {
        Verdict::Go
    }
}

pub struct House {
    pub cloud: FakeCloud,
    pub url: String,
    client: Client,
    stop: watch::Sender<bool>,
    database: TestDatabase,
    folder: tempfile::TempDir,
    state: Arc<ApiState>,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// What differs between the services of the tests.
struct How {
    request_timeout: Duration,
    authenticator: Arc<dyn Authenticator>,
    service_token_roles_required: bool,
    proxy_headers: bool,
}

impl Default for How {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(5),
            authenticator: Arc::new(Tokens),
            service_token_roles_required: true,
            proxy_headers: false,
        }
    }
}

impl House {
    /// A service whose engine runs.
    pub async fn open() -> Self {
        Self::build(true, How::default()).await
    }

    /// A service whose engine is away: whatever is accepted stays queued.
    pub async fn without_engine() -> Self {
        Self::build(false, How::default()).await
    }

    /// A service that asks this one about tokens; whether a service token must have the role of a service.
    pub async fn judged_by(authenticator: Arc<dyn Authenticator>, service_token_roles_required: bool) -> Self {
        Self::build(false, How { authenticator, service_token_roles_required, ..How::default() }).await
    }

    /// A service that waits half a second for a request to arrive, or for its database.
    pub async fn hasty() -> Self {
        Self::build(false, How { request_timeout: Duration::from_millis(500), ..How::default() }).await
    }

    /// A service that is told to believe its proxy.
    pub async fn behind_a_proxy() -> Self {
        Self::build(false, How { proxy_headers: true, ..How::default() }).await
    }

    /// Has the operator write this policy file, and the service look at it.
    pub fn policy(&self, text: &str) {
        std::fs::write(self.folder.path().join("policy.yaml"), text).unwrap();
        self.state.policy.look_now();
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One connection to the database, behind the service's back.
    pub async fn sql(&self) -> sea_orm::DatabaseConnection {
        self.database.sql().await
    }

    /// Keeps the service from its database until it is ended.
    pub async fn database_is_away(&self) -> Outage {
        self.database.is_away().await
    }

    async fn build(engine: bool, how: How) -> Self {
        let How { request_timeout, authenticator, service_token_roles_required, proxy_headers } = how;
        let (database, store) = TestDatabase::with_schema(4, request_timeout).await;
        let cloud = FakeCloud::new();
        let drivers = Drivers::new(vec![cloud.named(), cloud.attached()]);
        let (stop, stopped) = watch::channel(false);
        if engine {
            let moment = Duration::from_millis(1);
            let limit = Duration::from_secs(5);
            let world = World {
                store: store.clone(),
                compute: Arc::new(cloud.clone()),
                drivers: drivers.clone(),
                settings: OperationSettings {
                    attempts_max: 3,
                    backoff: moment,
                    step_timeout: limit,
                    poll: moment,
                    stop_timeout: limit,
                    start_timeout: limit,
                    watcher_timeout: limit,
                    attach_timeout: limit,
                },
                probe: Arc::new(Calm),
            };
            let settings = EngineSettings {
                host: "here".into(),
                workers: 4,
                lease: limit,
                heartbeat: Duration::from_millis(500),
                poll: Duration::from_millis(5),
                drain: limit,
                alone: true,
            };
            tokio::spawn(engine::run(Arc::new(world), settings, stopped));
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let policy = PolicyFilesSettings {
            file: folder.path().join("policy.yaml"),
            folders: vec![],
            default_rule: "default".into(),
        };
        let state = Arc::new(ApiState {
            policy: PolicyFiles::open(policy, &defaults()).unwrap(),
            policy_server: None,
            app: App {
                store: store.clone(),
                compute: Arc::new(cloud.clone()),
                drivers,
                settings: AppSettings {
                    pause_limit_ms: 2000,
                    allow_pause: true,
                    nodes_max: 64,
                    clone_depth_max: 12,
                    flatten_bytes_max: u64::MAX,
                    guard: true,
                    keep_deleted: std::time::Duration::from_secs(3600),
                    keep_history: Duration::from_secs(30 * 86_400),
                    listens: true,
                    capture: Default::default(),
                },
            },
            authenticator,
            admission: AdmissionSettings {
                service_type: "server-snapshot".into(),
                service_token_roles: vec!["service".into(), "helper".into()],
                service_token_roles_required,
            },
            settings: ApiSettings {
                workers: 1,
                public_endpoint: None,
                proxy_headers,
                limit_max: 100,
                body_bytes_max: 114_688,
                request_timeout,
                authenticate_uri: "http://keystone:5000".into(),
            },
        });
        tokio::spawn(api::serve(listener, state.clone()).unwrap());
        Self { cloud, url, client: Client::new(), stop, database, folder, state }
    }

    /// A server that runs, with a system disk and two volumes.
    pub fn server(&self) -> ServerId {
        let id = self.cloud.add_server("web");
        for name in ["data-a", "data-b"] {
            let volume = self.cloud.add_volume(name);
            self.cloud.owner_attach(id, &volume, &Attachment::default()).unwrap();
        }
        id
    }

    /// Sends a request as the project's member.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send_as(&format!("{PROJECT}/member"), method, path, body).await
    }

    /// Sends a request with a token; an empty one is not sent at all.
    pub async fn send_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request =
            self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.header("x-auth-token", token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// A bare connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap()
    }

    /// Sends a request with headers, without a token.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_with("GET", path, headers).await
    }

    /// Sends a request with headers, without a body.
    pub async fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.unwrap()).await
    }

    /// Waits until an operation is final; its view.
    pub async fn finished(&self, operation: &Value) -> Value {
        self.is_one_of(operation, &["succeeded", "failed", "cancelled"]).await
    }

    /// Waits until an operation has a status; its view.
    pub async fn is_(&self, operation: &Value, status: &str) -> Value {
        self.is_one_of(operation, &[status]).await
    }

    async fn is_one_of(&self, operation: &Value, wanted: &[&str]) -> Value {
        let path = format!("/v1/operations/{}", operation.as_str().unwrap());
        for _ in 0..2000 {
            let answer = self.send("GET", &path, None).await;
            if answer.body["operation"]["status"].as_str().is_some_and(|status| wanted.contains(&status)) {
                return answer.body["operation"].clone();
            }
            clock::sleep(Duration::from_millis(5)).await;
        }
        panic!("operation {operation} never is {wanted:?}");
    }

    /// Asks for an operation to be cancelled.
    pub async fn cancel(&self, operation: &Value) -> Answer {
        self.send("POST", &format!("/v1/operations/{}/cancel", operation.as_str().unwrap()), None).await
    }

    /// Captures a server and waits; the snapshot's view.
    pub async fn captured(&self, server: ServerId, name: &str) -> Value {
        let body = serde_json::json!({ "snapshot": { "server_id": server, "name": name } });
        let answer = self.send("POST", "/v1/snapshots", Some(body)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let operation = self.finished(&answer.body["snapshot"]["operation_id"]).await;
        assert_eq!(operation["status"], "succeeded", "{operation}");
        let path = format!("/v1/snapshots/{}", answer.body["snapshot"]["id"].as_str().unwrap());
        self.send("GET", &path, None).await.body["snapshot"].clone()
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// What the error says.
    pub fn message(&self) -> String {
        self.body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}
