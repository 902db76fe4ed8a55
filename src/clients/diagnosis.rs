//! What `ratoon manage doctor` asks of the cloud: the calls on which Ratoon's work rests, as far as they change nothing.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::keystone::{TokenFacts, own_token};
use super::service::Service;
use super::session::{OpenStack, Session};
use crate::clock;
use crate::error::{Error, Result};

/// Servers that are looked at for the projects that there are.
const SERVERS_LOOKED_AT: &str = "200";

/// One call, and how it went.
#[derive(Debug)]
pub struct Trial {
    /// The service called.
    pub service: String,
    /// What was asked for.
    pub call: &'static str,
    /// How it went.
    pub outcome: Result<()>,
}

/// An endpoint of Ratoon's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OwnEndpoint {
    /// Its region.
    pub region: Option<String>,
    /// URL.
    pub url: String,
}

/// The service user's own token, as Keystone describes it.
///
/// # Errors
/// When the login fails, or Keystone does not let us ask about tokens.
pub async fn login(openstack: &OpenStack) -> Result<TokenFacts> {
    own_token(openstack.admin()).await
}

/// By how much our clock is ahead of Keystone's host, to about a second; `None` if it does not tell the time.
///
/// # Errors
/// Those of every call.
pub async fn clock_ahead(openstack: &OpenStack) -> Result<Option<TimeDelta>> {
    let before = clock::now();
    let answer = catalog(openstack.admin()).send().await?;
    let middle = before + (clock::now() - before) / 2;
    // A date without fractions is on average half a second old.
    Ok(answer.date().map(|date| middle - date - TimeDelta::milliseconds(500)))
}

fn catalog(session: &Session) -> super::call::Call<'_> {
    session.get(Service::Identity, &["auth", "catalog"])
}

/// Where the services are that we call, as the catalog says for our region and interface, and the newest microversion of those
/// that have some.
pub async fn services(openstack: &OpenStack) -> Vec<(String, Result<(String, Option<String>)>)> {
    let mut found = vec![];
    for service in [Service::Compute, Service::BlockStorage, Service::Image] {
        found.push((service.to_string(), look_at(openstack.admin(), service).await));
    }
    found
}

async fn look_at(session: &Session, service: Service) -> Result<(String, Option<String>)> {
    let failed = |cause| super::fault::login_failure(service, session.scope(), cause);
    let url = session.auth.endpoint(session.client.inner(), service).await.map_err(failed)?;
    let version = match service.version_header() {
        Some(_) => Some(newest_version(session, service, url.clone()).await?),
        None => None,
    };
    Ok((url.into(), version))
}

/// Ratoon's own endpoints in the catalog; none = it is not registered.
///
/// # Errors
/// Those of every call.
pub async fn own_endpoints(openstack: &OpenStack, service_type: &str) -> Result<Vec<OwnEndpoint>> {
    #[derive(Deserialize)]
    struct Body {
        catalog: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        endpoints: Vec<OwnEndpoint>,
    }
    let body: Body = catalog(openstack.admin()).fetch().await?;
    let entries = body.catalog.into_iter().filter(|entry| entry.kind == service_type);
    Ok(entries.flat_map(|entry| entry.endpoints).collect())
}

/// Whether an API of Ratoon's answers there.
///
/// # Errors
/// `Unavailable`, with what came instead.
pub async fn answers(openstack: &OpenStack, url: &str) -> Result<()> {
    let url = format!("{}/healthcheck", url.trim_end_matches('/'));
    let session = openstack.admin();
    let request = session.client.inner().get(&url).timeout(session.timeout);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(Error::unavailable(format!("{url} answers {}.", answer.status().as_u16()))),
        Err(cause) => Err(Error::unavailable(format!("{url} does not answer.")).source(cause)),
    }
    .map_err(|error| error.remedy("Start `ratoon api`, or correct the URL: `ratoon manage service register`."))
}

/// The calls that need the roles `admin` and `service`, each tried once. `other_project` is one that is not our own: services
/// pass over `all_projects` of somebody who is no administrator, but do not tell him of others' quotas.
pub async fn trials(openstack: &OpenStack, other_project: Option<&str>) -> Vec<Trial> {
    let session = openstack.admin();
    let all = [("all_tenants", "1"), ("limit", "1")];
    let mut calls = vec![
        (Service::Compute, "list the servers of all projects", vec!["servers", "detail"], &all[..]),
        (Service::BlockStorage, "list the volumes of all projects", vec!["volumes", "detail"], &all[..]),
        (Service::BlockStorage, "list the snapshots of all projects", vec!["snapshots", "detail"], &all[..]),
        (Service::BlockStorage, "list the attachments of all projects", vec!["attachments"], &all[..]),
        (Service::Image, "list images", vec!["images"], &all[1..]),
    ];
    if let Some(project) = other_project {
        let usage = &[("usage", "true")][..];
        calls.push((Service::BlockStorage, "read the quota of a project", vec!["os-quota-sets", project], usage));
    }
    let mut trials = vec![];
    for (service, call, path, query) in calls {
        let asked = query.iter().fold(session.get(service, &path), |asked, (name, value)| asked.query(name, *value));
        let outcome = asked.fetch::<IgnoredAny>().await.map(|_| ());
        trials.push(Trial { service: service.to_string(), call, outcome });
    }
    trials
}

/// Projects that have servers now, but not our own.
///
/// # Errors
/// Those of every call.
pub async fn projects_with_servers(openstack: &OpenStack, own: Option<&str>) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Body {
        servers: Vec<Server>,
    }
    #[derive(Deserialize)]
    struct Server {
        tenant_id: String,
    }
    let asked = openstack.admin().get(Service::Compute, &["servers", "detail"]);
    let body: Body = asked.query("all_tenants", "1").query("limit", SERVERS_LOOKED_AT).fetch().await?;
    Ok(body.servers.into_iter().map(|server| server.tenant_id).filter(|id| Some(id.as_str()) != own).collect())
}

/// Logs in to a customer's project, as every capture does.
///
/// # Errors
/// When Keystone refuses it.
pub async fn login_to(openstack: &OpenStack, project_id: &str) -> Result<()> {
    own_token(&openstack.project(project_id).await?).await.map(|_| ())
}

/// The newest microversion of a service, as the document of its version says it.
async fn newest_version(session: &Session, service: Service, mut url: Url) -> Result<String> {
    #[derive(Deserialize)]
    struct Body {
        version: Option<Version>,
        #[serde(default)]
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    struct Version {
        #[serde(default)]
        version: String,
    }
    // Cinder's URL may end with a project's id; the document stands before it.
    let path = url.path().to_owned();
    let end = path.rfind("/v").map_or(path.len(), |at| path[at + 1..].find('/').map_or(path.len(), |end| at + 1 + end));
    url.set_path(&format!("{}/", &path[..end]));
    let failed = |cause| super::fault::login_failure(service, session.scope(), cause);
    let token = session.auth.token(session.client.inner()).await.map_err(failed)?;
    let request = session.client.inner().get(url).header("x-auth-token", token).timeout(session.timeout);
    let untold = || Error::backend(format!("{service} does not tell its version."));
    let body: Body = request
        .send()
        .await
        .map_err(|cause| untold().source(cause))?
        .json()
        .await
        .map_err(|cause| untold().source(cause))?;
    let told = body.version.into_iter().chain(body.versions).map(|it| it.version).find(|version| !version.is_empty());
    told.ok_or_else(untold)
}
