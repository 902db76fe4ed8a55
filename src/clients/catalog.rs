//! Our own entry in Keystone's catalog: a service and an endpoint for each interface.
//!
//! Asked for by `ratoon manage service register`, with an administrator's credentials; the running service never needs
//! it. Doing it twice changes nothing; a URL that has moved is put right. Two that register at once may both create:
//! the list is read again after a create, and all but the oldest of ours (by id, so both agree) is taken back.

use serde::Deserialize;
use serde_json::json;

use super::service::Service;
use super::session::{OpenStack, Session};
use crate::error::{Error, Kind, Result};

/// What shall stand in the catalog.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Service type: `server-snapshot`.
    pub service_type: String,
    /// Service name: `ratoon`.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Region of the endpoints. Always given: the client library in use cannot read endpoints without one.
    pub region: String,
    /// URL for users.
    pub public: String,
    /// URL for other services.
    pub internal: String,
    /// URL for administrators.
    pub admin: String,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<ServiceEntry>,
}

#[derive(Deserialize)]
struct ServiceBody {
    service: ServiceEntry,
}

#[derive(Deserialize, Clone)]
struct ServiceEntry {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Endpoints {
    endpoints: Vec<EndpointEntry>,
}

#[derive(Deserialize)]
struct EndpointEntry {
    id: String,
    interface: String,
    region_id: Option<String>,
    url: String,
}

/// Brings the catalog to what `wanted` says; returns a line for each thing that was done, none if nothing was.
///
/// # Errors
/// `Backend` when the credentials are no administrator's; `Unavailable` when Keystone does not answer.
pub async fn register(openstack: &OpenStack, wanted: &Registration) -> Result<Vec<String>> {
    let session = openstack.admin();
    let mut done = Vec::new();
    check_region(session, wanted).await?;
    let service_id = service(session, wanted, &mut done).await?;
    for (interface, url) in [("public", &wanted.public), ("internal", &wanted.internal), ("admin", &wanted.admin)] {
        endpoint(session, wanted, &service_id, interface, url, &mut done).await?;
    }
    Ok(done)
}

async fn service(session: &Session, wanted: &Registration, done: &mut Vec<String>) -> Result<String> {
    if let Some(id) = services(session, wanted).await?.into_iter().next() {
        return Ok(id);
    }
    let body = json!({"service": {
        "type": wanted.service_type, "name": wanted.name, "description": wanted.description, "enabled": true}});
    let made: ServiceBody = session.post(Service::Identity, &["services"], body).fetch().await?;
    let oldest = services(session, wanted).await?.into_iter().next().unwrap_or_else(|| made.service.id.clone());
    if oldest == made.service.id {
        done.push(format!("created service {} ({})", wanted.name, wanted.service_type));
    } else {
        session.delete(Service::Identity, &["services", &made.service.id]).send().await?;
    }
    Ok(oldest)
}

/// Ids of the services of our type and name, smallest first.
async fn services(session: &Session, wanted: &Registration) -> Result<Vec<String>> {
    let list: Services =
        session.get(Service::Identity, &["services"]).query("type", wanted.service_type.as_str()).fetch().await?;
    let mut ids: Vec<String> = list
        .services
        .into_iter()
        .filter(|entry| entry.name.as_deref() == Some(wanted.name.as_str()))
        .map(|entry| entry.id)
        .collect();
    ids.sort();
    Ok(ids)
}

/// Keystone refuses an endpoint in a region that it does not know, with words that do not help.
async fn check_region(session: &Session, wanted: &Registration) -> Result<()> {
    match session.get(Service::Identity, &["regions", &wanted.region]).send().await {
        Err(error) if error.kind() == Kind::NotFound => {
            Err(Error::bad_field("region", format!("Keystone knows no region {}.", wanted.region))
                .remedy("Name a region that exists, or create it first.")
                .source(error))
        }
        other => other.map(drop),
    }
}

async fn endpoint(
    session: &Session,
    wanted: &Registration,
    service_id: &str,
    interface: &str,
    url: &str,
    done: &mut Vec<String>,
) -> Result<()> {
    match endpoints(session, wanted, service_id, interface).await?.into_iter().next() {
        Some(entry) if entry.url == url => Ok(()),
        Some(entry) => {
            let body = json!({"endpoint": {"url": url}});
            session
                .call(reqwest::Method::PATCH, Service::Identity, &["endpoints", &entry.id])
                .body(body)
                .send()
                .await?;
            done.push(format!("changed {interface} endpoint from {} to {url}", entry.url));
            Ok(())
        }
        None => {
            let body = json!({"endpoint": {
                "service_id": service_id, "interface": interface, "url": url, "region_id": wanted.region}});
            let made: EndpointBody = session.post(Service::Identity, &["endpoints"], body).fetch().await?;
            let oldest = endpoints(session, wanted, service_id, interface).await?.into_iter().next();
            if oldest.is_none_or(|oldest| oldest.id == made.endpoint.id) {
                done.push(format!("created {interface} endpoint {url}"));
            } else {
                session.delete(Service::Identity, &["endpoints", &made.endpoint.id]).send().await?;
            }
            Ok(())
        }
    }
}

#[derive(Deserialize)]
struct EndpointBody {
    endpoint: EndpointEntry,
}

/// Our service's endpoints of one interface in the wanted region, smallest id first.
async fn endpoints(
    session: &Session,
    wanted: &Registration,
    service_id: &str,
    interface: &str,
) -> Result<Vec<EndpointEntry>> {
    let list: Endpoints = session
        .get(Service::Identity, &["endpoints"])
        .query("service_id", service_id)
        .query("interface", interface)
        .fetch()
        .await?;
    let mut entries: Vec<EndpointEntry> = list
        .endpoints
        .into_iter()
        .filter(|entry| entry.interface == interface && entry.region_id.as_deref() == Some(wanted.region.as_str()))
        .collect();
    entries.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(entries)
}
