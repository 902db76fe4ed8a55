//! `ratoon manage doctor`: whether this host, with this configuration, can do Ratoon's work in this cloud, and what is missing. One
//! line for each thing that was looked at, with its remedy; the exit code is 1 when one of them is an error.
//!
//! It changes nothing in the cloud but this: in Ceph it makes empty images named `ratoon.doctor.…` and removes them, because what a
//! user may do is known by doing it.

use std::time::Duration;

use clap::Args;

use super::say;
use crate::clients::OpenStack;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::parts::credentials;

mod broker;
mod cloud;
mod database;
mod report;
mod storage;

use database::Roll;
use report::{Report, Verdict};

/// Longest wait for one answer of a service: an operator sits before the screen.
const PATIENCE: Duration = Duration::from_secs(15);

/// `manage doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Listen to notifications for so many seconds, and say what came; meanwhile do something to a server
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    listen: u64,
}

pub(super) async fn run(settings: &Settings, command: Doctor) -> Result<()> {
    let mut report = Report::default();
    look(settings, &command, &mut report).await;
    let (errors, warnings) = (report.count(Verdict::Error), report.count(Verdict::Warning));
    if command.json {
        let text = serde_json::to_string_pretty(&report);
        say(&text.map_err(|error| Error::internal("write the report").source(error))?)?;
    } else {
        say(report.text().trim_end())?;
    }
    if errors == 0 {
        return Ok(());
    }
    Err(Error::unavailable(format!("{errors} errors and {warnings} warnings.")).remedy("See above."))
}

async fn look(settings: &Settings, command: &Doctor, report: &mut Report) {
    configuration(settings, report);
    let store = database::look(settings, report).await;
    let roll = match &store {
        Some(store) => Some(Roll::call(store).await),
        None => None,
    };
    match openstack(settings) {
        Ok(openstack) => cloud::look(&openstack, settings, report).await,
        Err(error) => report.fail("keystone", &error),
    }
    broker::look(settings, store.as_ref(), Duration::from_secs(command.listen), report).await;
    storage::look(settings, report).await;
    if let (Some(store), Some(roll)) = (&store, roll) {
        roll.again(store, settings.engine.heartbeat, report).await;
    }
}

fn configuration(settings: &Settings, report: &mut Report) {
    for sentence in &settings.unknown {
        report.warn("configuration", sentence, "See `ratoon manage config sample` for what there is.");
    }
    let checked = settings.check_for_serving().and_then(|()| crate::parts::policy_files(settings).map(|_| ()));
    match checked {
        Ok(()) => report.ok(
            "configuration",
            format!("Ratoon {}; ratoon.conf and the policy can be used.", env!("CARGO_PKG_VERSION")),
        ),
        Err(error) => report.fail("configuration", &error),
    }
}

fn openstack(settings: &Settings) -> Result<std::sync::Arc<OpenStack>> {
    let mut credentials = credentials(&settings.keystone_authtoken)?;
    credentials.timeout = credentials.timeout.min(PATIENCE);
    OpenStack::new(credentials)
}
