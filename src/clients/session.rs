//! Who we are towards the cloud: the service user, always, with a token scoped either to its own project (reading,
//! power, locks, attachments) or to the project of a customer (what is made there is owned and paid there).
//!
//! What the crate leaves to us, and why [`ServiceAuth`] exists:
//! - its `refresh` does nothing while the token *looks* alive, so a revoked one (a rotated password, Keystone's keys
//!   gone) would stay in use for hours. A clone of its `Password` has no token yet: a renewal swaps such a clone in, and
//!   only one of many callers that met the same 401 does it;
//! - the catalog is asked again for each call, so a renewed login brings its new endpoints with it;
//! - nothing is asked of Keystone before the first call: the service starts while Keystone is down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures::FutureExt;
use moka::future::Cache;
use openstack::auth::{AuthType, Password};
use openstack::{EndpointFilters, IdOrName, InterfaceType};
use osauth::client::AuthenticatedClient;
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use url::Url;

use super::credentials::ServiceCredentials;
use super::service::Service;
use crate::error::{Error, Result};

/// Sessions of customers' projects kept at most, each with a token.
const PROJECT_SESSIONS_MAX: u64 = 256;
/// A project's session is forgotten when nobody used it for so long.
const PROJECT_SESSION_IDLE: Duration = Duration::from_secs(30 * 60);

/// Which project a session's token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// The service project.
    Own,
    /// A customer's project, by id.
    Project(String),
}

/// One login: the crate's password authentication with the token it holds.
pub(super) struct Login {
    password: Password,
    used: AtomicBool,
}

/// Authentication that can be renewed, with our rules for finding endpoints. Cheap to clone; clones share the token.
#[derive(Clone)]
pub(super) struct ServiceAuth(Arc<Inner>);

struct Inner {
    login: ArcSwap<Login>,
    scope: Scope,
    filters: EndpointFilters,
    identity_url: Url,
}

impl fmt::Debug for ServiceAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAuth").field("scope", &self.0.scope).finish_non_exhaustive()
    }
}

impl ServiceAuth {
    fn new(credentials: &ServiceCredentials, scope: Scope) -> Result<Self> {
        let identity_url = credentials.identity_url()?;
        let (project, domain) = match &scope {
            Scope::Own => (
                IdOrName::Name(credentials.project_name.clone()),
                Some(IdOrName::Name(credentials.project_domain_name.clone())),
            ),
            Scope::Project(id) => (IdOrName::Id(id.clone()), None),
        };
        let password = Password::new(
            identity_url.as_str(),
            credentials.username.as_str(),
            credentials.password.as_str(),
            credentials.user_domain_name.as_str(),
        )
        .map_err(|cause| Error::bad_field("auth_url", "Keystone's URL cannot be used.").source(cause))?
        .with_project_scope(project, domain);

        let interface: InterfaceType = credentials.interface.parse().map_err(|_| {
            Error::bad_field(
                "interface",
                format!("Interface '{}' is none of internal, public, admin.", credentials.interface),
            )
        })?;
        let mut filters = EndpointFilters::default().with_interfaces(vec![interface, InterfaceType::Public]);
        if let Some(region) = &credentials.region_name {
            filters.set_region(region.as_str());
        }
        let login = ArcSwap::from_pointee(Login { password, used: AtomicBool::new(false) });
        Ok(Self(Arc::new(Inner { login, scope, filters, identity_url })))
    }

    /// The login in use now: what a caller hands back to [`ServiceAuth::renew`] when its token was refused.
    pub(super) fn login(&self) -> Arc<Login> {
        self.0.login.load_full()
    }

    /// Replaces a login whose token was refused by one without a token; the next call logs in. Nothing happens when
    /// another caller has replaced it already.
    pub(super) fn renew(&self, refused: &Arc<Login>) {
        let fresh = Login { password: refused.password.clone(), used: AtomicBool::new(false) };
        self.0.login.compare_and_swap(refused, Arc::new(fresh));
    }

    /// The token, after a login if there is none that lives for ten more minutes.
    pub(super) async fn token(&self, client: &Client) -> std::result::Result<HeaderValue, openstack::Error> {
        let login = self.login();
        // The crate shows its token only on a request: this one is never sent.
        let bearer = login.password.authenticate(client, client.get(self.0.identity_url.clone())).await?.build()?;
        login.used.store(true, Ordering::Relaxed);
        let mut token = bearer.headers().get("x-auth-token").cloned().ok_or_else(|| {
            openstack::Error::new(openstack::ErrorKind::InvalidResponse, "the login brought no token")
        })?;
        token.set_sensitive(true);
        Ok(token)
    }

    /// Where a service is: as the catalog says under any of its types.
    pub(super) async fn endpoint(
        &self,
        client: &Client,
        service: Service,
    ) -> std::result::Result<Url, openstack::Error> {
        if service == Service::Identity {
            return Ok(self.0.identity_url.clone());
        }
        let login = self.login();
        let mut missing = None;
        for catalog_type in service.catalog_types() {
            match login.password.get_endpoint(client, catalog_type, &self.0.filters).await {
                Ok(url) => return Ok(service.versioned(url)),
                Err(cause) if cause.kind() == openstack::ErrorKind::EndpointNotFound => missing = Some(cause),
                Err(cause) => return Err(cause),
            }
        }
        Err(missing.unwrap_or_else(|| openstack::Error::new(openstack::ErrorKind::EndpointNotFound, "no such service")))
    }
}

#[async_trait]
impl AuthType for ServiceAuth {
    async fn authenticate(
        &self,
        client: &Client,
        request: RequestBuilder,
    ) -> std::result::Result<RequestBuilder, openstack::Error> {
        Ok(request.header("x-auth-token", self.token(client).await?))
    }

    async fn get_endpoint(
        &self,
        client: &Client,
        service_type: &str,
        _filters: &EndpointFilters,
    ) -> std::result::Result<Url, openstack::Error> {
        let unknown =
            || openstack::Error::new(openstack::ErrorKind::EndpointNotFound, format!("unknown service {service_type}"));
        self.endpoint(client, Service::of_type(service_type).ok_or_else(unknown)?).await
    }

    /// Forgets the token, so that the next call logs in. The crate also calls this for a login that has none yet, when a
    /// session is made: then there is nothing to do, and nothing is sent.
    async fn refresh(&self, _client: &Client) -> std::result::Result<(), openstack::Error> {
        let login = self.login();
        if login.used.load(Ordering::Relaxed) {
            self.renew(&login);
        }
        Ok(())
    }
}

/// The service user with a token for one project. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) client: AuthenticatedClient,
    pub(super) auth: ServiceAuth,
    /// Whose token goes along as the service token: the one for the service project.
    pub(super) service_auth: ServiceAuth,
    pub(super) timeout: Duration,
}

impl Session {
    fn new(http: &Client, credentials: &ServiceCredentials, scope: Scope, own: Option<&Self>) -> Result<Self> {
        let auth = ServiceAuth::new(credentials, scope)?;
        // Making it only calls our `refresh`, which waits for nothing.
        let client = AuthenticatedClient::new(http.clone(), auth.clone())
            .now_or_never()
            .ok_or_else(|| Error::internal("A session waited for the network."))?
            .map_err(|cause| Error::internal("A session could not be made.").source(cause))?;
        let service_auth = own.map_or_else(|| auth.clone(), |own| own.auth.clone());
        Ok(Self { client, auth, service_auth, timeout: credentials.timeout })
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.auth.0.scope
    }
}

/// All sessions of the service user.
#[derive(Debug)]
pub struct OpenStack {
    http: Client,
    credentials: ServiceCredentials,
    admin: Session,
    projects: Cache<String, Session>,
}

impl OpenStack {
    /// Prepares the sessions; calls nobody.
    ///
    /// # Errors
    /// `BadRequest` naming the option that cannot be used.
    pub fn new(credentials: ServiceCredentials) -> Result<Arc<Self>> {
        let http = credentials.http_client()?;
        let admin = Session::new(&http, &credentials, Scope::Own, None)?;
        let projects = Cache::builder().max_capacity(PROJECT_SESSIONS_MAX).time_to_idle(PROJECT_SESSION_IDLE).build();
        Ok(Arc::new(Self { http, credentials, admin, projects }))
    }

    /// The session for the service project, where the service user has the roles `admin` and `service`.
    #[must_use]
    pub fn admin(&self) -> &Session {
        &self.admin
    }

    /// The session for a customer's project, where the service user is `member`.
    ///
    /// # Errors
    /// Only when [`OpenStack::new`] would have failed too: the login comes with the first call.
    pub async fn project(&self, project_id: &str) -> Result<Session> {
        let make = async {
            Session::new(&self.http, &self.credentials, Scope::Project(project_id.to_owned()), Some(&self.admin))
        };
        self.projects.try_get_with_by_ref(project_id, make).await.map_err(|error| Error::clone(&error))
    }
}
