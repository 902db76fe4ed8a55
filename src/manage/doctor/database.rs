//! The database: whether it answers, has our schema, and whether an engine is at work.

use std::time::Duration;

use super::PATIENCE;
use super::report::Report;
use crate::clock::{Instant, sleep};
use crate::config::Settings;
use crate::error::Result;
use crate::parts::store_config;
use crate::store::Store;
use crate::store::engines::EngineRecord;

const START: &str = "Start `ratoon engine`, and look at its log.";

/// Looks; the store, if it can be used.
pub(super) async fn look(settings: &Settings, report: &mut Report) -> Option<Store> {
    let config = store_config(settings);
    let kind = config.url.split([':', '+']).next().unwrap_or_default().to_owned();
    let store = match Store::connect(&config).await {
        Ok(store) => store,
        Err(error) => {
            report.fail("database", &error);
            return None;
        }
    };
    report.ok("database", format!("{kind} answers."));
    match store.check_schema().await {
        Ok(()) => report.ok("schema", format!("It is {}, as this binary needs it.", Store::schema_needed())),
        Err(error) => {
            report.fail("schema", &error);
            return None;
        }
    }
    Some(store)
}

/// The engines that have entered, to be looked at twice.
pub(super) struct Roll {
    engines: Result<Vec<EngineRecord>>,
    at: Instant,
}

impl Roll {
    /// The first look.
    pub(super) async fn call(store: &Store) -> Self {
        Self { engines: store.engines().await, at: Instant::now() }
    }

    /// The second: whoever lives has shown it since.
    pub(super) async fn again(self, store: &Store, heartbeat: Duration, report: &mut Report) {
        let before = match self.engines {
            Ok(engines) => engines,
            Err(error) => return report.fail("engines", &error),
        };
        if before.is_empty() {
            return report.warn("engines", "No engine is at work: what is asked for waits.", START);
        }
        sleep((2 * heartbeat).min(PATIENCE).saturating_sub(self.at.elapsed())).await;
        let now = match store.engines().await {
            Ok(engines) => engines,
            Err(error) => return report.fail("engines", &error),
        };
        let lives = |engine: &EngineRecord| now.iter().any(|it| it.id == engine.id && it.beats != engine.beats);
        let (living, silent): (Vec<_>, Vec<_>) = before.into_iter().partition(lives);
        let hosts =
            |engines: &[EngineRecord]| engines.iter().map(|engine| engine.host.as_str()).collect::<Vec<_>>().join(", ");
        if !silent.is_empty() {
            let says = format!(
                "No sign of life comes from {} of {} engines: {}.",
                silent.len(),
                silent.len() + living.len(),
                hosts(&silent)
            );
            report.warn("engines", says, START);
        }
        if !living.is_empty() {
            report.ok("engines", format!("{} at work: {}.", living.len(), hosts(&living)));
        }
    }
}
