//! The cloud's services: the login, the clock, the roles, the catalog, every call that only reads, logins to customers' projects,
//! their quotas.

use std::collections::BTreeSet;

use super::report::Report;
use crate::clients::{Cinder, OpenStack, diagnosis};
use crate::config::Settings;
use crate::error::Error;

/// Roles that the service user must have in its own project.
const ROLES: [&str; 2] = ["admin", "service"];
/// Projects that are logged in to at most.
const PROJECTS_MAX: usize = 20;
/// How far apart clocks may be: leases are counted in tens of seconds, and times are shown to people.
const CLOCK_SECONDS_MAX: i64 = 3;

const ROLE_REMEDY: &str =
    "Give the service user this role in its project: openstack role add --project PROJECT --user USER ROLE.";

pub(super) async fn look(openstack: &OpenStack, settings: &Settings, report: &mut Report) {
    let own_project = match diagnosis::login(openstack).await {
        Ok(facts) => {
            report.ok(
                "keystone",
                format!("{} logs in, and may ask whose a token is.", settings.keystone_authtoken.username),
            );
            let missing: Vec<_> = ROLES
                .into_iter()
                .filter(|role| !facts.roles.iter().any(|held| held.eq_ignore_ascii_case(role)))
                .collect();
            if missing.is_empty() {
                report.ok("roles", format!("It has the roles {} in its project.", ROLES.join(" and ")));
            } else {
                let error = Error::backend(format!("It has not the role {} in its project.", missing.join(", nor ")))
                    .remedy(ROLE_REMEDY);
                report.fail("roles", &error);
            }
            facts.project_id.clone()
        }
        Err(error) => {
            report.fail("keystone", &error);
            for check in ["clock", "roles", "catalog", "calls", "projects", "quotas"] {
                report.skip(check, "Needs the login.");
            }
            return;
        }
    };
    clock(openstack, report).await;
    catalog(openstack, settings, report).await;
    let projects = match diagnosis::projects_with_servers(openstack, own_project.as_deref()).await {
        Ok(projects) => Some(projects),
        Err(error) => {
            report.fail("projects", &error);
            None
        }
    };
    calls(openstack, projects.as_ref(), report).await;
    if let Some(projects) = projects {
        customers(openstack, &projects, report).await;
    }
}

async fn clock(openstack: &OpenStack, report: &mut Report) {
    match diagnosis::clock_ahead(openstack).await {
        Ok(Some(ahead)) if ahead.num_seconds().abs() <= CLOCK_SECONDS_MAX => {
            report.ok("clock", "It agrees with Keystone's.")
        }
        Ok(Some(ahead)) => {
            let (seconds, way) =
                (ahead.num_seconds().abs(), if ahead.num_seconds() > 0 { "ahead of" } else { "behind" });
            report.warn("clock", format!("It is {seconds} s {way} Keystone's."), "Run an NTP client on both hosts.");
        }
        Ok(None) => report.skip("clock", "Keystone does not tell the time."),
        Err(error) => report.fail("clock", &error),
    }
}

async fn catalog(openstack: &OpenStack, settings: &Settings, report: &mut Report) {
    for (service, found) in diagnosis::services(openstack).await {
        match found {
            Ok((url, None)) => report.ok("catalog", format!("{service} is at {url}.")),
            Ok((url, Some(version))) => report.ok("catalog", format!("{service} is at {url}, microversion {version}.")),
            Err(error) => report.fail("catalog", &error),
        }
    }
    let service_type = &settings.keystone_authtoken.service_type;
    let endpoints = match diagnosis::own_endpoints(openstack, service_type).await {
        Ok(endpoints) => endpoints,
        Err(error) => return report.fail("catalog", &error),
    };
    let region = settings.keystone_authtoken.region_name.as_ref();
    let here: BTreeSet<_> =
        endpoints.into_iter().filter(|it| region.is_none() || it.region.as_ref() == region).map(|it| it.url).collect();
    if here.is_empty() {
        let error =
            Error::backend(format!("No endpoint of {service_type} is in the catalog: clients do not find Ratoon."))
                .remedy("Register it: `ratoon manage service register`.");
        report.fail("catalog", &error);
    }
    for url in here {
        match diagnosis::answers(openstack, &url).await {
            Ok(()) => report.ok("catalog", format!("{service_type} is at {url}, and answers.")),
            Err(error) => report.fail("catalog", &error),
        }
    }
}

async fn calls(openstack: &OpenStack, projects: Option<&BTreeSet<String>>, report: &mut Report) {
    let other = projects.and_then(BTreeSet::first).map(String::as_str);
    for trial in diagnosis::trials(openstack, other).await {
        match trial.outcome {
            Ok(()) => report.ok("calls", format!("{} lets it {}.", trial.service, trial.call)),
            Err(error) => {
                report.fail("calls", &error.context(format!("{} does not let it {}.", trial.service, trial.call)))
            }
        }
    }
}

async fn customers(openstack: &OpenStack, projects: &BTreeSet<String>, report: &mut Report) {
    if projects.is_empty() {
        report.skip("projects", "No project has a server yet.");
        report.skip("quotas", "No project has a server yet.");
        return;
    }
    let cinder = Cinder::new(openstack.admin().clone());
    let (mut open, mut wide) = (0, 0);
    for project in projects.iter().take(PROJECTS_MAX) {
        match diagnosis::login_to(openstack, project).await {
            Ok(()) => open += 1,
            Err(error) => report.fail("projects", &error),
        }
        match cinder.quota(project).await {
            Ok(quota) if quota.volumes.fits(1) && quota.snapshots.fits(1) && quota.gigabytes.fits(1) => wide += 1,
            Ok(quota) => report.warn(
                "quotas",
                format!(
                    "Project {project} cannot capture data volumes: volumes {} of {}, snapshots {} of {}, GiB {} of {} are in use.",
                    quota.volumes.used, quota.volumes.limit, quota.snapshots.used, quota.snapshots.limit,
                    quota.gigabytes.used, quota.gigabytes.limit
                ),
                format!("Raise them: openstack quota set --volumes N --snapshots N --gigabytes N {project}."),
            ),
            Err(error) => report.fail("quotas", &error),
        }
    }
    let left_out = match projects.len().saturating_sub(PROJECTS_MAX) {
        0 => String::new(),
        more => format!(" {more} more were not looked at."),
    };
    if open > 0 {
        report.ok(
            "projects",
            format!(
                "It may act in {open} of {} projects that have servers.{left_out}",
                projects.len().min(PROJECTS_MAX)
            ),
        );
    }
    if wide > 0 {
        report.ok("quotas", format!("{wide} projects have room for volumes and snapshots.{left_out}"));
    }
}
