//! The REST API: `/`, `/v1`, `/healthcheck`. Handlers are short: who asks, what, one call into `app`, a view of the answer.
//!
//! A request's way: [`envelope`] gives it an id and a span, checks the microversion, and sees that every error leaves as the
//! API's own; [`caller`] turns its token into a caller; a handler of [`v1`] does the rest. The only room that names actix-web.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App as ActixApp, HttpServer, web};

use crate::app::App;
use crate::error::{Error, Result};

pub mod access_rules;
pub mod admission;
pub mod body;
pub mod caller;
pub mod envelope;
pub mod fault;
pub mod healthcheck;
pub mod metrics;
pub mod page;
pub mod v1;
pub mod version;

use admission::{AdmissionSettings, Authenticator};

use crate::policy::{PolicyFiles, RemoteCheck};

/// How the API is served.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Threads.
    pub workers: usize,
    /// What links begin with; the request's own host where absent.
    pub public_endpoint: Option<String>,
    /// Whether what a proxy says of the caller is believed.
    pub proxy_headers: bool,
    /// Longest page of a list.
    pub limit_max: u64,
    /// Largest request body in bytes.
    pub body_bytes_max: usize,
    /// Longest wait for a request's head, and for its body.
    pub request_timeout: Duration,
    /// What 401 answers name in `WWW-Authenticate`.
    pub authenticate_uri: String,
}

/// What every handler can reach.
pub struct ApiState {
    /// The use cases.
    pub app: App,
    /// Who checks tokens.
    pub authenticator: Arc<dyn Authenticator>,
    /// How tokens are judged beside that.
    pub admission: AdmissionSettings,
    /// Who may do what.
    pub policy: PolicyFiles,
    /// Whom rules of the kind `http:` ask.
    pub policy_server: Option<Arc<dyn RemoteCheck>>,
    /// Settings.
    pub settings: ApiSettings,
}

/// Serves on a listener until the returned server is stopped.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(listener: TcpListener, state: Arc<ApiState>) -> Result<Server> {
    let settings = state.settings.clone();
    let data = web::Data::from(state);
    let server = HttpServer::new(move || {
        ActixApp::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(data.settings.body_bytes_max))
            .wrap(from_fn(envelope::envelope))
            .configure(routes)
    })
    .workers(settings.workers)
    .client_request_timeout(settings.request_timeout)
    .disable_signals()
    .listen(listener)
    .map_err(|error| Error::unavailable(format!("The API cannot listen ({error}).")))?
    .run();
    Ok(server)
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/healthcheck")
                .route(web::get().to(healthcheck::get))
                .route(web::head().to(healthcheck::head)),
        )
        .service(web::resource("/").route(web::get().to(v1::discovery::versions)))
        .service(web::resource(["/v1", "/v1/"]).route(web::get().to(v1::discovery::version)))
        .service(web::resource("/v1/openapi.json").route(web::get().to(v1::openapi::show)))
        .service(web::resource("/v1/servers").route(web::get().to(v1::servers::list)))
        .service(web::resource("/v1/servers/{id}").route(web::get().to(v1::servers::show)))
        .service(
            web::resource("/v1/servers/{id}/tree")
                .route(web::get().to(v1::servers::tree))
                .route(web::delete().to(v1::servers::delete_tree)),
        )
        .service(web::resource("/v1/servers/{id}/branches").route(web::get().to(v1::branches::list)))
        .service(
            web::resource("/v1/snapshots")
                .route(web::get().to(v1::snapshots::list))
                .route(web::post().to(v1::snapshots::create)),
        )
        .service(
            web::resource("/v1/snapshots/{id}")
                .route(web::get().to(v1::snapshots::show))
                .route(web::patch().to(v1::snapshots::update))
                .route(web::delete().to(v1::snapshots::delete)),
        )
        .service(web::resource("/v1/snapshots/{id}/restore").route(web::post().to(v1::snapshots::restore)))
        .service(
            web::resource("/v1/branches/{id}")
                .route(web::get().to(v1::branches::show))
                .route(web::patch().to(v1::branches::update))
                .route(web::delete().to(v1::branches::delete)),
        )
        .service(web::resource("/v1/branches/{id}/restore").route(web::post().to(v1::branches::restore)))
        .service(web::resource("/v1/operations").route(web::get().to(v1::operations::list)))
        .service(web::resource("/v1/operations/{id}").route(web::get().to(v1::operations::show)))
        .service(web::resource("/v1/operations/{id}/cancel").route(web::post().to(v1::operations::cancel)))
        .service(web::resource("/v1/engines").route(web::get().to(v1::engines::list)));
}
