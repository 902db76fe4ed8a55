//! The database: whether it answers, has our schema, and whether an engine is at work.

use super::report::Report;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::parts::store_config;
use crate::store::Store;

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
    match schema(&store).await {
        Ok(version) => report.ok("schema", format!("It is {version}, as this binary needs it.")),
        Err(error) => {
            report.fail("schema", &error);
            return None;
        }
    }
    match store.engines().await {
        Ok(engines) if engines.is_empty() => report.warn(
            "engines",
            "No engine is at work: what is asked for waits.",
            "Start `ratoon engine`, and look at its log.",
        ),
        Ok(engines) => {
            let hosts: Vec<_> = engines.iter().map(|engine| engine.host.as_str()).collect();
            report.ok("engines", format!("{} entered: {}.", hosts.len(), hosts.join(", ")));
        }
        Err(error) => report.fail("engines", &error),
    }
    Some(store)
}

async fn schema(store: &Store) -> Result<String> {
    let (found, needed) = (store.schema_version().await?.pop(), Store::schema_needed());
    match found {
        Some(found) if found == needed => Ok(found),
        found => Err(Error::conflict(format!(
            "It is {}, and this binary needs {needed}.",
            found.unwrap_or_else(|| "empty".into())
        ))
        .remedy("Run `ratoon manage db upgrade`; where the database is the newer one, run the newer Ratoon instead.")),
    }
}
