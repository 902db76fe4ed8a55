//! The schema: what a database has, what this binary needs, and the way from the one to the other.

use migrations::Migrator;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use sea_orm_migration::MigratorTrait;

use super::{Store, database_error};
use crate::error::{Error, Result};

/// How long one upgrade waits for another. A package's scripts may begin it on all nodes at once.
const WAIT_SECONDS: u32 = 120;

impl Store {
    /// Brings the schema to the version of this binary, one process at a time. Returns the names of the changes made.
    ///
    /// # Errors
    /// When a change fails, the schema is newer than this binary, or somebody else's upgrade does not end.
    pub async fn migrate(&self) -> Result<Vec<String>> {
        let connection = self.begin().await?;
        lock(&connection).await?;
        let changed = upgrade(&connection).await;
        // Where the lock is the session's, not the transaction's, it would go back to the pool with the connection.
        if connection.get_database_backend() == DbBackend::MySql {
            let release = format!("SELECT RELEASE_LOCK({MARIADB_LOCK})");
            connection.execute_unprepared(&release).await.map_err(database_error)?;
        }
        let names = changed.map_err(newer_or_broken)?;
        connection.commit().await.map_err(database_error)?;
        Ok(names)
    }

    /// Refuses a schema that is not exactly this binary's.
    ///
    /// # Errors
    /// [`Kind::Conflict`](crate::error::Kind::Conflict) with the remedy.
    pub async fn check_schema(&self) -> Result<()> {
        let pending = Migrator::get_pending_migrations_read_only(&self.write).await.map_err(newer_or_broken)?;
        if pending.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!("The database's schema is {} change(s) behind this binary.", pending.len()))
            .remedy("Run: ratoon manage db upgrade"))
    }

    /// Names of the changes that the schema has, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schema_version(&self) -> Result<Vec<String>> {
        let applied = Migrator::get_applied_migrations_read_only(&self.write).await.map_err(newer_or_broken)?;
        Ok(applied.iter().map(|change| change.name().to_owned()).collect())
    }

    /// Name of the newest change that this binary knows.
    #[must_use]
    pub fn schema_needed() -> String {
        Migrator::migrations().last().map(|change| change.name().to_owned()).unwrap_or_default()
    }
}

/// MariaDB's named locks are the whole server's: two databases on it have nothing to do with each other.
const MARIADB_LOCK: &str = "CONCAT('ratoon.schema.', DATABASE())";

/// Waits until nobody else changes this schema. The write transaction itself is that lock on SQLite.
async fn lock(connection: &DatabaseTransaction) -> Result<()> {
    let backend = connection.get_database_backend();
    let ask = |sql: String| connection.query_one_raw(Statement::from_string(backend, sql));
    let got = match backend {
        DbBackend::Postgres => {
            let wait = format!("SET LOCAL lock_timeout = '{WAIT_SECONDS}s'");
            connection.execute_unprepared(&wait).await.map_err(database_error)?;
            let lock = "SELECT pg_advisory_xact_lock(hashtext('ratoon.schema'), hashtext(current_schema()))";
            ask(lock.to_owned()).await.map(|_| true)
        }
        DbBackend::MySql => ask(format!("SELECT GET_LOCK({MARIADB_LOCK}, {WAIT_SECONDS}) = 1 AS got"))
            .await
            .map(|row| row.is_some_and(|row| row.try_get::<Option<i64>>("", "got").is_ok_and(|got| got == Some(1)))),
        _ => Ok(true),
    };
    match got {
        Ok(true) => Ok(()),
        Ok(false) => Err(in_the_way()),
        Err(error) => Err(in_the_way().source(error)),
    }
}

fn in_the_way() -> Error {
    Error::conflict(format!("Another upgrade of this database has not ended within {WAIT_SECONDS} s."))
        .remedy("See what it does on the other nodes, then run this again.")
}

async fn upgrade(connection: &DatabaseTransaction) -> std::result::Result<Vec<String>, DbErr> {
    let pending = Migrator::get_pending_migrations(connection).await?;
    Migrator::up(connection, None).await?;
    Ok(pending.iter().map(|change| change.name().to_owned()).collect())
}

fn newer_or_broken(error: DbErr) -> Error {
    if error.to_string().contains("missing") {
        return Error::conflict("The database's schema is newer than this binary.")
            .remedy("Install the version of Ratoon that made it, or a later one.");
    }
    database_error(error)
}
