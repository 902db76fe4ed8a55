//! `ratoon manage db`: the only way the schema changes. Serving refuses a schema that it does not know.

use super::say;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::parts::store_config;
use crate::store::Store;

/// The schema's versions: names of migrations, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Versions {
    /// The newest migration that the database has; `None` = an empty database.
    found: Option<String>,
    /// The newest one that this binary knows.
    needed: String,
}

pub(super) async fn upgrade(settings: &Settings) -> Result<()> {
    let applied = migrate(settings).await?;
    for name in &applied {
        say(&format!("Applied {name}."))?;
    }
    say(if applied.is_empty() { "The schema is up to date; nothing to do." } else { "The schema is up to date." })
}

pub(super) async fn version(settings: &Settings) -> Result<()> {
    let versions = schema_version(settings).await?;
    let found = versions.found.as_deref().unwrap_or("none (an empty database)");
    say(&format!("database: {found}\nneeded:   {}", versions.needed))?;
    if versions.found.as_ref() == Some(&versions.needed) {
        return Ok(());
    }
    Err(Error::conflict("The database's schema is not the one that this binary needs.")
        .remedy("Run `ratoon manage db upgrade`; where the database is the newer one, run the newer Ratoon instead."))
}

/// Applies what is missing; the names of what was applied, oldest first.
async fn migrate(settings: &Settings) -> Result<Vec<String>> {
    Store::connect(&store_config(settings)).await?.migrate().await
}

/// Reads, and changes nothing.
async fn schema_version(settings: &Settings) -> Result<Versions> {
    let store = Store::connect(&store_config(settings)).await?;
    Ok(Versions { found: store.schema_version().await?.pop(), needed: Store::schema_needed() })
}
